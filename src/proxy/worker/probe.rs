//! Whether the master takes connections: asked by one for all.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::Worker;
use crate::election::RedisAddr;
use crate::proxy::socket;

/// First and longest wait between two questions whether a master takes connections again.
const PROBE_FIRST: Duration = Duration::from_millis(50);
const PROBE_LONGEST: Duration = Duration::from_millis(500);

/// Longest wait for a word of a master that closed a connection.
const ANSWER: Duration = Duration::from_secs(1);

/// What a worker knows of its questions.
#[derive(Default)]
pub(super) struct Probes {
    /// Counts them.
    count: Cell<u32>,
    /// The question put last to a master that closed a connection, and its generation.
    last: RefCell<Option<(u64, Question)>>,
}

/// One for all who ask at the same time.
type Question = Rc<OnceCell<bool>>;

impl Probes {
    fn question(&self, generation: u64) -> Question {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((of, question)) if *of == generation && !question.initialized() => {
                question.clone()
            }
            _ => last.insert((generation, Question::default())).1.clone(),
        }
    }
}

impl Worker {
    /// The master of `generation` did not take a connection: everybody waits for one probe
    /// instead of trying alone.
    pub(in crate::proxy) fn master_is_silent(
        self: &Rc<Worker>,
        generation: u64,
        master: RedisAddr,
    ) {
        let view = self.view.borrow().clone();
        if view.current.generation != generation || view.probe != 0 {
            return;
        }
        let probe = self.probes.count.get().checked_add(1).unwrap_or(1);
        self.probes.count.set(probe);
        self.view.send_modify(|view| view.probe = probe);
        tokio::task::spawn_local(self.clone().probe(probe, master));
    }

    /// Whether the master of `generation`, which closed a connection, lives. If not, everybody waits
    /// as in [`Worker::master_is_silent`].
    pub(in crate::proxy) async fn is_alive(
        self: &Rc<Worker>,
        generation: u64,
        master: RedisAddr,
    ) -> bool {
        let question = self.probes.question(generation);
        let ask = || async {
            let answered = tokio::time::timeout(ANSWER, answers(master)).await;
            matches!(answered, Ok(Ok(())))
        };
        let alive = *question.get_or_init(ask).await;
        if !alive {
            self.master_is_silent(generation, master);
        }
        alive
    }

    async fn probe(self: Rc<Worker>, probe: u32, master: RedisAddr) {
        let mut wait = PROBE_FIRST;
        loop {
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(PROBE_LONGEST);
            if self.view.borrow().probe != probe {
                return;
            }
            if socket::connect(master).await.is_ok() {
                self.view.send_if_modified(|view| {
                    let mine = view.probe == probe;
                    if mine {
                        view.probe = 0;
                    }
                    mine
                });
                return;
            }
        }
    }
}

/// What every Redis answers that speaks without TLS.
const PING: &[u8] = b"PING\r\n";
/// A handshake of TLS with nothing in it, which one that speaks TLS answers with an alert.
const HANDSHAKE: &[u8] = &[0x16, 3, 1, 0, 4, 1, 0, 0, 0];

/// Returns when the master has answered something, be it an error. To take a connection is not
/// enough: the kernel of a process that is being killed closes those it has before the listener.
async fn answers(master: RedisAddr) -> io::Result<()> {
    match answers_to(master, PING).await {
        // A Redis that speaks nothing but TLS closes without a word.
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
            answers_to(master, HANDSHAKE).await
        }
        answered => answered,
    }
}

async fn answers_to(master: RedisAddr, question: &[u8]) -> io::Result<()> {
    let stream = socket::connect(master).await?;
    socket::send(&stream, question)?;
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Something that answers to what begins with this byte, and closes on everything else.
    fn speaker(first: u8) -> RedisAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut heard = [0];
                if stream.read_exact(&mut heard).is_ok() && heard[0] == first {
                    // Whoever does not wait for it has hung up.
                    let _ = stream.write_all(b"+");
                }
            }
        });
        RedisAddr::new(addr.ip(), addr.port())
    }

    /// One that speaks TLS takes no PING, and a process that is gone answers nothing at all.
    #[tokio::test]
    async fn a_master_that_speaks_tls_only_is_alive_too() {
        assert!(answers(speaker(PING[0])).await.is_ok());
        assert!(answers(speaker(HANDSHAKE[0])).await.is_ok());
        assert!(answers(speaker(0)).await.is_err());
    }
}
