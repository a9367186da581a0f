//! A client and its master: bytes both ways.
//!
//! One future that holds both sockets and nothing else while idle. A chunk goes through the
//! worker's shared buffer and is written at once; only a tail that the other side has no room for
//! is kept, and then nothing more is read (backpressure).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::desk::Count;
use super::ledger::Ledger;
use super::socket;
use super::worker::{Seat, Worker};
use crate::election::Time;

/// Chunks moved in one direction before others get their turn.
const TURN: usize = 4;
/// Sweeps (10 s each) without a byte after which a half-closed session is given up.
const IDLE_SWEEPS: u8 = 6;
/// Before the first poll there is no slot.
const NO_SLOT: u32 = u32::MAX;

/// A session with a master; ends with either side, or with its generation.
pub(super) struct Relay {
    seat: Seat,
    client: TcpStream,
    master: TcpStream,
    up: Flow,
    down: Flow,
    generation: u64,
    slot: u32,
    sweeps: u32,
    idle: u8,
    ended: bool,
}

/// A session without a master: what a relay leaves behind when it parts from one.
///
/// Nothing of it is on its way: what the ledger let go has been sent, what the master said has been
/// delivered.
pub(super) struct Leftover {
    /// The client's connection; it may have sent bytes that the runtime will not tell of again.
    pub(super) client: TcpStream,
    /// Its place.
    pub(super) seat: Seat,
    /// Its account.
    pub(super) ledger: Ledger,
    /// The generation of the master it had.
    pub(super) generation: u64,
    /// Bytes from the client that the ledger has not let go.
    pub(super) tail: Vec<u8>,
    /// When the last reply was passed on, since [`super::ProxySettings::origin`]; 0 if none was.
    pub(super) last_reply: Time,
    /// Why it has parted.
    pub(super) parted: Parted,
}

/// Why a session has lost its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parted {
    /// The route leads elsewhere.
    Outdated,
    /// In a planned change the master did not do what was asked: the next one may.
    Undone,
    /// The master closed, or its connection broke, with nothing outstanding: it may have failed, and
    /// the route will say so soon. If not, it meant this client, which has to be closed.
    Lost,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides closed and all bytes are delivered.
    Complete,
    /// The client's connection broke, or a half-closed session stood still.
    Client,
    /// The master's connection broke.
    Master,
    /// The route changed.
    Cut,
}

impl Relay {
    /// A relay for the master of `generation`. `unread`: the client may have sent bytes that the
    /// runtime will not tell of again.
    pub(super) fn new(
        seat: Seat,
        client: TcpStream,
        master: TcpStream,
        generation: u64,
        unread: bool,
    ) -> Relay {
        let sweeps = seat.worker().sweeps();
        Relay {
            seat,
            client,
            master,
            up: Flow { unread, ..Flow::default() },
            down: Flow::default(),
            generation,
            slot: NO_SLOT,
            sweeps,
            idle: 0,
            ended: false,
        }
    }

    /// A relay for a session that has moved to the master of `generation`.
    pub(super) fn resume(leftover: Leftover, master: TcpStream, generation: u64) -> Relay {
        Relay::new(leftover.seat, leftover.client, master, generation, true)
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let worker = &**self.seat.worker();
        if self.slot == NO_SLOT {
            self.slot = worker.enrol(cx.waker().clone());
        }
        let (generation, slot) = (self.generation, self.slot);
        let requests = Pass { worker, generation, slot, requests: true };
        let replies = Pass { requests: false, ..requests };
        if worker.shared().routes.stamp().generation() != generation {
            return Poll::Ready(End::Cut);
        }
        let (client, master, tally) = (&self.client, &self.master, worker.tally());
        // Replies first: what a master said before it broke is delivered.
        let down = self.down.poll(cx, master, client, &replies, &tally.down);
        if let Poll::Ready(Err(fault)) = down {
            return Poll::Ready(fault.end(End::Master, End::Client));
        }
        let up = self.up.poll(cx, client, master, &requests, &tally.up);
        if let Poll::Ready(Err(fault)) = up {
            return Poll::Ready(fault.end(End::Client, End::Master));
        }
        match (up, down) {
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(End::Complete),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => self.half_closed(),
        }
    }

    /// One direction has ended. The other goes on as long as it moves: a peer that vanished, or
    /// a client that never closes after its master did, would stay for ever.
    fn half_closed(&mut self) -> Poll<End> {
        let worker = self.seat.worker();
        worker.half_closed(self.slot);
        if worker.sweeps() != self.sweeps {
            self.sweeps = worker.sweeps();
            let moved = self.up.take_moved() | self.down.take_moved();
            self.idle = if moved { 0 } else { self.idle + 1 };
        }
        if self.idle > IDLE_SWEEPS { Poll::Ready(End::Client) } else { Poll::Pending }
    }

    fn end(&mut self, end: End) {
        self.ended = true;
        match end {
            End::Complete => {}
            // What is on its way to the client is still delivered; the close tells it the rest.
            End::Master => {}
            // Nobody wants the replies, and what the master has not read it need not read.
            End::Client => socket::reset_on_close(&self.master),
            End::Cut => {
                self.seat.worker().count_cut(super::Why::Tunnel);
                self.reset_both();
            }
        }
    }

    fn reset_both(&self) {
        socket::reset_on_close(&self.master);
        socket::reset_on_close(&self.client);
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.get_mut();
        let end = ready!(relay.turn(cx));
        relay.end(end);
        Poll::Ready(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.ended {
            // The worker ends.
            self.reset_both();
        }
        self.seat.worker().leave(self.slot);
    }
}

/// The permission to pass on bytes in one direction, asked before every write.
struct Pass<'a> {
    worker: &'a Worker,
    generation: u64,
    slot: u32,
    /// From the client to the master: what a held route stops.
    requests: bool,
}

impl Pass<'_> {
    /// Ready if bytes may go now; pending, with a wake-up, while the route is held or the gate is
    /// closed.
    fn ask(&self) -> Poll<Result<(), Fault>> {
        let stamp = self.worker.shared().routes.stamp();
        if stamp.generation() != self.generation {
            return Poll::Ready(Err(Fault::Cut));
        }
        if self.requests && stamp.is_held() {
            self.worker.keep(self.slot);
            return Poll::Pending;
        }
        if !self.worker.shared().gate.is_open() && self.worker.stall(self.slot) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready unless the route is held, or another relay waits for the gate already.
    fn ask_to_read(&self) -> Poll<()> {
        if self.requests && self.worker.shared().routes.stamp().is_held() {
            self.worker.keep(self.slot);
            return Poll::Pending;
        }
        if self.worker.is_stalled() && self.worker.stall(self.slot) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Why a direction ends before its end of file.
enum Fault {
    /// The socket it reads from broke.
    Source,
    /// The socket it writes to broke.
    Sink,
    /// The route changed.
    Cut,
}

impl Fault {
    fn end(self, source: End, sink: End) -> End {
        match self {
            Fault::Source => source,
            Fault::Sink => sink,
            Fault::Cut => End::Cut,
        }
    }
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Read and not yet written.
    tail: Option<Box<Tail>>,
    /// Read once without waiting to be told.
    unread: bool,
    eof: bool,
    done: bool,
    moved: bool,
}

/// What the other side had no room for: at most one buffer. Boxed, because an idle session has none.
struct Tail {
    bytes: Vec<u8>,
    written: usize,
}

impl Flow {
    /// Moves what there is. Ready when the end of file has been passed on, or at a fault.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        pass: &Pass<'_>,
        count: &Count,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..TURN {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            if self.tail.is_some() {
                ready!(self.write_tail(cx, to, pass, count))?;
            } else if self.eof {
                socket::shutdown_write(to);
                self.done = true;
            } else {
                ready!(self.read(cx, from, to, pass, count))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write_tail(
        &mut self,
        cx: &mut Context<'_>,
        to: &TcpStream,
        pass: &Pass<'_>,
        count: &Count,
    ) -> Poll<Result<(), Fault>> {
        ready!(to.poll_write_ready(cx)).map_err(|_| Fault::Sink)?;
        ready!(pass.ask())?;
        let Some(tail) = &mut self.tail else { return Poll::Ready(Ok(())) };
        let rest = tail.bytes.get(tail.written..).unwrap_or_default();
        let sent = socket::send(to, rest).map_err(|_| Fault::Sink)?;
        tail.written += sent;
        if sent == rest.len() {
            self.tail = None;
        }
        self.sent(sent, count);
        Poll::Ready(Ok(()))
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        pass: &Pass<'_>,
        count: &Count,
    ) -> Poll<Result<(), Fault>> {
        ready!(pass.ask_to_read());
        let mut buffer = pass.worker.buffer.borrow_mut();
        let received = if std::mem::take(&mut self.unread) {
            socket::recv_now(from, &mut buffer)
        } else {
            ready!(from.poll_read_ready(cx)).map_err(|_| Fault::Source)?;
            socket::recv(from, &mut buffer)
        };
        let chunk = match received {
            Ok(0) => {
                self.eof = true;
                return Poll::Ready(Ok(()));
            }
            Ok(received) => buffer.get(..received).unwrap_or_default(),
            Err(error) if socket::is_retry(&error) => return Poll::Ready(Ok(())),
            Err(_) => return Poll::Ready(Err(Fault::Source)),
        };
        let asked = pass.ask();
        let sent = match asked {
            Poll::Ready(Ok(())) => socket::send(to, chunk).map_err(|_| Fault::Sink)?,
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            Poll::Pending => 0,
        };
        self.sent(sent, count);
        if sent < chunk.len() {
            let bytes = chunk.get(sent..).unwrap_or_default().to_vec();
            self.tail = Some(Box::new(Tail { bytes, written: 0 }));
        }
        asked
    }

    fn sent(&mut self, sent: usize, count: &Count) {
        self.moved |= sent > 0;
        count.add(sent as u64);
    }

    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker keeps one of these for every client: growth is paid ten thousand times.
    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Relay>() <= 144, "{} bytes", size_of::<Relay>());
    }
}
