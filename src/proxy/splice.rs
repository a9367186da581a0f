//! Pipes for `splice(2)`: bulk bytes go from socket to socket without being copied.
//!
//! Pipes are few and lent for one body at a time. The kernel counts their pages for each user of
//! the whole node, so there may be none to have; then bytes are copied.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pipes of one worker, idle ones included.
const MAX_PIPES: usize = 32;
/// Bytes a pipe is made for. It may hold more or less: what it has are slots for pages.
const PIPE_SIZE: usize = 256 * 1024;
// Never MORE: it would hold back the last bytes of a reply.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The pipes of one worker.
pub(super) struct Pipes {
    idle: Vec<Pipe>,
    live: Rc<Cell<usize>>,
    refused: bool,
    make: fn() -> io::Result<(OwnedFd, OwnedFd)>,
}

/// A pipe that nobody else uses.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    live: Rc<Cell<usize>>,
}

impl Pipes {
    /// None yet.
    pub(super) fn new() -> Pipes {
        Pipes { idle: Vec::new(), live: Rc::default(), refused: false, make }
    }

    /// An empty pipe, unless there are too many, or the system refused one lately.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        if self.refused {
            return None;
        }
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.live.get() >= MAX_PIPES {
            return None;
        }
        match (self.make)() {
            Ok((read, write)) => {
                self.live.set(self.live.get() + 1);
                Some(Pipe { read, write, held: 0, live: self.live.clone() })
            }
            Err(error) => {
                self.refuse(&error);
                None
            }
        }
    }

    /// Takes a pipe back; one that holds bytes is closed.
    pub(super) fn give_back(&mut self, pipe: Pipe) {
        if pipe.held == 0 && !self.refused {
            self.idle.push(pipe);
        }
    }

    /// No pipes until [`Pipes::forgive`]: the system has none to give, or does not let them be used.
    pub(super) fn refuse(&mut self, error: &io::Error) {
        tracing::debug!(%error, "no pipes to be had, copying");
        self.refused = true;
        self.idle.clear();
    }

    /// Tries again.
    pub(super) fn forgive(&mut self) {
        self.refused = false;
    }
}

impl Pipe {
    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Moves what there is from the socket into this empty pipe, `most` bytes at most; 0 is the end
    /// of file.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the socket has nothing; else what the system says.
    pub(super) fn fill(&mut self, from: &TcpStream, most: u64) -> io::Result<usize> {
        let most = usize::try_from(most).unwrap_or(PIPE_SIZE).min(PIPE_SIZE);
        let moved = from.try_io(Interest::READABLE, || {
            Ok(splice(from, None, &self.write, None, most, FLAGS)?)
        })?;
        self.held += moved;
        Ok(moved)
    }

    /// Moves what there is room for into the socket; 0 if there is none.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let held = self.held;
        let moved =
            to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, held, FLAGS)?));
        match moved {
            // Nothing was taken out of a pipe that holds something.
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(moved) => {
                self.held -= moved;
                Ok(moved)
            }
            Err(error) if super::socket::is_retry(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.live.set(self.live.get() - 1);
    }
}

/// Whether it is not the socket's fault: bytes can be copied instead.
pub(super) fn is_unavailable(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::NOMEM))
}

fn make() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A pipe that stays small costs more calls than it saves bytes.
    fcntl_setpipe_size(&write, PIPE_SIZE)?;
    Ok((read, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_lent_and_few() {
        let mut pipes = Pipes::new();
        let mut lent: Vec<_> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(lent.len(), MAX_PIPES);
        let one = lent.pop().unwrap();
        pipes.give_back(one);
        assert!(pipes.take().is_some(), "it was given back, and closed now");
        let mut full = pipes.take().expect("there is room for another");
        full.held = 1;
        pipes.give_back(full);
        assert!(pipes.idle.is_empty(), "what holds bytes is nobody else's");
        drop(lent);
        assert_eq!(pipes.live.get(), 0);
    }

    #[test]
    fn after_a_refusal_nobody_asks_for_a_while() {
        thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });
        let refuse = || {
            ASKED.set(ASKED.get() + 1);
            Err(io::Error::from(Errno::MFILE))
        };
        let mut pipes = Pipes { make: refuse, ..Pipes::new() };
        assert!(pipes.take().is_none() && pipes.take().is_none());
        assert_eq!(ASKED.get(), 1);
        pipes.forgive();
        pipes.make = make;
        assert!(pipes.take().is_some());
    }
}
