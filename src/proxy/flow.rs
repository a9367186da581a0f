//! One direction of a session: reads, shows the ledger, writes, and keeps what cannot go yet.
//!
//! A chunk goes through the worker's shared buffer and is written at once. What the ledger does
//! not let go, and what the other side has no room for, is kept; nothing more is read while
//! anything waits for room (backpressure). The body of a large value goes through a pipe.

use std::borrow::Cow;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::ledger::Ledger;
use super::pass::{Fault, Pass, Permit, Stop, Verdict};
use super::splice::{self, Pipe};
use super::worker::Worker;
use super::{ledger::Why, socket};
use crate::election::Time;

/// Bytes moved in one direction before others get their turn.
const TURN: usize = 512 * 1024;
/// What a step counts for at least, whatever it moves.
const STEP: usize = 16 * 1024;
/// The ledger waits for less than this of a request.
const KEPT_MAX: usize = 2 * 1024 * 1024;
/// Bytes of a body from which it is cheaper to splice than to copy.
const SPLICE_FROM: u64 = 64 * 1024;

/// One direction.
#[derive(Default)]
pub(super) struct Flow {
    /// Read and not yet written. Boxed, because an idle session has none.
    kept: Option<Box<Kept>>,
    /// Bytes that come next and that nobody needs to look at.
    body: u64,
    /// Read once without waiting to be told.
    unread: bool,
    eof: bool,
    moved: bool,
    /// Its end was passed on, or what it carries has nowhere to go.
    pub(super) done: bool,
}

/// Both ends of a direction and all it asks.
pub(super) struct Road<'a> {
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    pub(super) pass: Pass<'a>,
    pub(super) ledger: &'a mut Ledger,
    /// When bytes were passed on last.
    pub(super) last: &'a mut Time,
}

/// At most one buffer, or one pipe.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// So many of them have been written.
    sent: usize,
    /// So many of them the ledger has let go.
    clear: usize,
    /// Behind these is something that the ledger has not seen.
    unseen: bool,
    /// What comes behind the bytes that were let go.
    pipe: Option<Pipe>,
    /// What comes then.
    stop: Option<Stop>,
}

impl Flow {
    /// A direction that begins with these bytes, `clear` of which the ledger has let go already.
    /// `unread`: there may be more that the runtime will not tell of again.
    pub(super) fn new(bytes: Vec<u8>, clear: usize, unread: bool) -> Flow {
        let kept = Kept { bytes, clear, unseen: true, ..Kept::default() };
        let kept = (!kept.bytes.is_empty()).then(|| Box::new(kept));
        Flow { kept, unread, ..Flow::default() }
    }

    /// Moves what there is. Ready at the end of file, when all before it is written, or at a fault.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        road: &mut Road<'_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = TURN;
        while turn > 0 {
            if self.eof && self.kept.is_none() {
                return Poll::Ready(Ok(()));
            }
            let moved = ready!(self.step(cx, road))?;
            turn = turn.saturating_sub(moved.max(STEP));
        }
        // Woken when the sockets of all others have been looked at.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    /// Whether the end of file was read, or bytes wait here that the ledger has let go.
    pub(super) fn is_committed(&self) -> bool {
        self.eof || self.kept.as_ref().is_some_and(|kept| kept.clear > 0 || kept.pipe.is_some())
    }

    /// Whether no bytes wait here.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// The bytes the ledger has not let go.
    pub(super) fn into_tail(self) -> Vec<u8> {
        let Some(mut kept) = self.kept else { return Vec::new() };
        kept.bytes.split_off(kept.clear.min(kept.bytes.len()))
    }

    /// Whether bytes were passed on since the last call.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    fn step(&mut self, cx: &mut Context<'_>, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        let Some(kept) = &mut self.kept else { return self.take_in(cx, road) };
        if kept.sent < kept.clear || kept.pipe.is_some() {
            return self.write(cx, road);
        }
        if let Some(stop) = kept.stop {
            self.kept = None;
            return Poll::Ready(Err(Fault::Stop(stop)));
        }
        if self.eof {
            // The end of what will never be whole.
            kept.clear = kept.bytes.len();
            self.tidy();
            return Poll::Ready(Ok(0));
        }
        if kept.unseen || road.pass.is_released() {
            let bytes = self.take_kept();
            return self.pass_on(Cow::Owned(bytes), road);
        }
        self.take_in(cx, road)
    }

    fn take_in(&mut self, cx: &mut Context<'_>, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        ready!(road.pass.ask_to_read(road.ledger));
        if !self.unread {
            ready!(road.from.poll_read_ready(cx)).map_err(|_| Fault::Source)?;
        }
        if self.body >= SPLICE_FROM && road.pass.worker.shared().settings.splice {
            let pipe = road.pass.worker.pipes.borrow_mut().take();
            if let Some(pipe) = pipe {
                return self.splice(pipe, road);
            }
        }
        self.read(road)
    }

    /// One receive, into the shared buffer; short things kept before are put in front of it there.
    fn read(&mut self, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        let mut buffer = road.pass.worker.buffer.borrow_mut();
        let kept = self.kept.as_ref().map_or(&[][..], |kept| &kept.bytes);
        let front = if kept.len() <= buffer.len() / 2 { kept.len() } else { 0 };
        let (before, room) = buffer.split_at_mut(front);
        before.copy_from_slice(&kept[..front]);
        let received = if std::mem::take(&mut self.unread) {
            socket::recv_now(road.from, room)
        } else {
            socket::recv(road.from, room)
        };
        match received {
            Ok(0) => self.eof = true,
            Ok(received) if front < kept.len() => {
                let mut bytes = self.take_kept();
                bytes.extend_from_slice(&room[..received]);
                return self.pass_on(Cow::Owned(bytes), road);
            }
            Ok(received) => {
                return self.pass_on(Cow::Borrowed(&buffer[..front + received]), road);
            }
            Err(error) if socket::is_retry(&error) => {}
            Err(_) => return Poll::Ready(Err(Fault::Source)),
        }
        Poll::Ready(Ok(0))
    }

    /// Writes what may go of this input, which begins with all that was kept before.
    fn pass_on(&mut self, input: Cow<'_, [u8]>, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        let permit = match road.pass.ask(road.ledger, false) {
            Poll::Ready(Ok(permit)) => permit,
            other => {
                self.keep(Kept { bytes: input.into_owned(), unseen: true, ..Kept::default() });
                return other.map_ok(|_| 0);
            }
        };
        let Verdict { clear, body, stop, lapsed } = road.pass.judge(road.ledger, &input, &permit);
        self.body = body;
        let sent = if clear == 0 { Ok(0) } else { socket::send(road.to, &input[..clear]) };
        let sent = sent.map_err(|_| Fault::Sink)?;
        let last = *road.last;
        self.count(sent, road, &permit);
        if lapsed {
            *road.last = last;
        }
        if sent == input.len() && stop.is_none() {
            self.kept = None;
            return Poll::Ready(Ok(sent));
        }
        let mut bytes = if sent == 0 { input.into_owned() } else { input[sent..].to_vec() };
        let clear = clear - sent;
        if stop.is_some() {
            // What is behind a stop is for nobody.
            bytes.truncate(clear);
        } else if bytes.len() - clear > KEPT_MAX {
            return Poll::Ready(Err(Fault::Stop(Stop::Cut(Why::HalfRequest))));
        }
        // What a hold has stopped is looked at again after it, though nothing more may come.
        let unseen = permit.held && road.pass.is_stopped_by_hold(road.ledger, false);
        self.keep(Kept { bytes, clear, stop, unseen, ..Kept::default() });
        Poll::Ready(Ok(sent))
    }

    fn splice(&mut self, mut pipe: Pipe, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        match pipe.fill(road.from, self.body) {
            Ok(0) => self.eof = true,
            Ok(moved) => {
                self.body = self.body.saturating_sub(moved as u64);
                road.pass.skip(road.ledger, moved);
                self.keep(Kept { pipe: Some(pipe), ..Kept::default() });
                return self.write_pipe(road);
            }
            Err(error) if socket::is_retry(&error) => {}
            Err(error) if splice::is_unavailable(&error) => {
                road.pass.worker.pipes.borrow_mut().refuse(&error);
            }
            Err(_) => return Poll::Ready(Err(Fault::Source)),
        }
        road.pass.worker.pipes.borrow_mut().give_back(pipe);
        Poll::Ready(Ok(0))
    }

    fn write(&mut self, cx: &mut Context<'_>, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        ready!(road.to.poll_write_ready(cx)).map_err(|_| Fault::Sink)?;
        if self.kept.as_ref().is_some_and(|kept| kept.pipe.is_some()) {
            return self.write_pipe(road);
        }
        let permit = ready!(road.pass.ask(road.ledger, true))?;
        let Some(kept) = &mut self.kept else { return Poll::Ready(Ok(0)) };
        let rest = kept.bytes.get(kept.sent..kept.clear).unwrap_or_default();
        let sent = socket::send(road.to, rest).map_err(|_| Fault::Sink)?;
        kept.sent += sent;
        self.count(sent, road, &permit);
        self.tidy();
        Poll::Ready(Ok(sent))
    }

    fn write_pipe(&mut self, road: &mut Road<'_>) -> Poll<Result<usize, Fault>> {
        let permit = ready!(road.pass.ask(road.ledger, true))?;
        let pipe = self.kept.as_mut().and_then(|kept| kept.pipe.as_mut());
        let Some(pipe) = pipe else { return Poll::Ready(Ok(0)) };
        let sent = pipe.drain(road.to).map_err(|_| Fault::Sink)?;
        if pipe.held() == 0 {
            self.release(road.pass.worker);
        }
        road.pass.worker.tally().spliced.add(sent as u64);
        self.count(sent, road, &permit);
        Poll::Ready(Ok(sent))
    }

    /// Gives the pipe back; nothing else is kept beside one.
    fn release(&mut self, worker: &Worker) {
        if let Some(pipe) = self.kept.take().and_then(|kept| kept.pipe) {
            worker.pipes.borrow_mut().give_back(pipe);
        }
    }

    fn count(&mut self, sent: usize, road: &mut Road<'_>, permit: &Permit) {
        if sent > 0 {
            self.moved = true;
            *road.last = permit.now;
            road.pass.count(sent);
        }
    }

    fn take_kept(&mut self) -> Vec<u8> {
        self.kept.take().map(|kept| kept.bytes).unwrap_or_default()
    }

    fn keep(&mut self, kept: Kept) {
        self.kept = Some(Box::new(kept));
    }

    /// Drops what has been written.
    fn tidy(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if kept.sent < kept.clear {
            return;
        }
        kept.bytes.drain(..kept.clear.min(kept.bytes.len()));
        (kept.sent, kept.clear) = (0, 0);
        if kept.bytes.is_empty() && kept.stop.is_none() {
            self.kept = None;
        } else {
            kept.bytes.shrink_to_fit();
        }
    }
}
