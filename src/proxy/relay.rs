//! A client and its master: bytes both ways, and how a session ends.
//!
//! One future that holds both sockets, the session's account and nothing else while idle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::flow::{Flow, Road};
use super::ledger::{Change, Ledger, Why};
use super::pass::{self, Fault, Pass, Stop, Way};
use super::worker::Seat;
use super::{session, socket};
use crate::election::Time;

/// Sweeps (10 s each) without a byte after which a half-closed session is given up.
const IDLE_SWEEPS: u8 = 6;
/// Before the first poll there is no slot.
const NO_SLOT: u32 = u32::MAX;

/// A session with a master; ends with either side, or with its generation.
pub(super) struct Relay {
    /// Until the end.
    link: Option<Link>,
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

struct Link {
    seat: Seat,
    client: TcpStream,
    master: TcpStream,
    ledger: Ledger,
    up: Flow,
    down: Flow,
    generation: u64,
    last_reply: Time,
    slot: u32,
    sweeps: u8,
    idle: u8,
    /// The worker counts it as busy.
    counted: bool,
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
    /// This hive stops or a visitor goes home, and the client is owed nothing.
    Drained,
    /// It may not go on.
    Cut(Why),
    /// It may go on with another master.
    Part(Parted),
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
        let link = Link {
            seat,
            client,
            master,
            ledger: Ledger::default(),
            up: Flow::new(Vec::new(), 0, unread),
            down: Flow::default(),
            generation,
            last_reply: Time(0),
            slot: NO_SLOT,
            sweeps,
            idle: 0,
            counted: false,
        };
        Relay { link: Some(link) }
    }

    /// Goes on with another master: sends `again`, which the ledger accounts for already, then what
    /// was left.
    pub(super) fn resume(
        left: Leftover,
        mut again: Vec<u8>,
        master: TcpStream,
        generation: u64,
    ) -> Relay {
        let mut relay = Relay::new(left.seat, left.client, master, generation, true);
        if let Some(link) = &mut relay.link {
            let clear = again.len();
            again.extend_from_slice(&left.tail);
            link.ledger = left.ledger;
            link.seat.worker().count_waiting(0, link.ledger.waiting());
            link.last_reply = left.last_reply;
            link.up = Flow::new(again, clear, true);
        }
        relay
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.get_mut();
        let Some(link) = &mut relay.link else { return Poll::Ready(()) };
        let waited = link.ledger.waiting();
        let end = link.turn(cx);
        link.account(waited);
        let end = ready!(end);
        if let Some(link) = relay.link.take() {
            link.end(end);
        }
        Poll::Ready(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(link) = &mut self.link {
            // The worker ends.
            link.reset_both();
            link.leave();
        }
    }
}

impl Link {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.slot == NO_SLOT {
            self.slot = self.seat.worker().enrol(cx.waker().clone(), self.seat.is_visitor());
        }
        if self.seat.worker().shared().routes.stamp().generation() != self.generation {
            return Poll::Ready(self.outdated());
        }
        // Replies first: what a master said before it broke is delivered.
        if !self.down.done
            && let Poll::Ready(done) = self.poll_down(cx)
            && let Some(end) = self.after_down(done)
        {
            return Poll::Ready(end);
        }
        if !self.up.done
            && let Poll::Ready(done) = self.poll_up(cx)
            && let Some(end) = self.after_up(done)
        {
            return Poll::Ready(end);
        }
        match (self.up.done, self.down.done) {
            (true, true) => Poll::Ready(End::Complete),
            (false, false) if self.is_drained() => Poll::Ready(End::Drained),
            (false, false) => Poll::Pending,
            _ => self.half_closed(),
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let worker = &**self.seat.worker();
        let pass = Pass { worker, generation: self.generation, slot: self.slot, way: Way::Replies };
        let (from, to, ledger) = (&self.master, &self.client, &mut self.ledger);
        let last = &mut self.last_reply;
        self.down.poll(cx, &mut Road { from, to, pass, ledger, last })
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let worker = &**self.seat.worker();
        let pass =
            Pass { worker, generation: self.generation, slot: self.slot, way: Way::Requests };
        let (from, to, ledger) = (&self.client, &self.master, &mut self.ledger);
        // Only replies tell how old a session is.
        let last = &mut Time(0);
        self.up.poll(cx, &mut Road { from, to, pass, ledger, last })
    }

    fn after_down(&mut self, done: Result<(), Fault>) -> Option<End> {
        match done {
            Ok(()) | Err(Fault::Source) if self.may_outlive_master() => {
                Some(End::Part(Parted::Lost))
            }
            Ok(()) => {
                // Where both are done the close tells it.
                if !self.up.done {
                    socket::shutdown_write(&self.client);
                }
                self.down.done = true;
                None
            }
            Err(Fault::Source) => Some(End::Master),
            Err(Fault::Sink) => Some(End::Client),
            Err(Fault::Outdated) => Some(self.outdated()),
            Err(Fault::Stop(Stop::Cut(why))) => Some(End::Cut(why)),
            Err(Fault::Stop(Stop::Undone)) => Some(self.undone()),
        }
    }

    fn after_up(&mut self, done: Result<(), Fault>) -> Option<End> {
        match done {
            // Redis answers the end of file by its own: it need not be waited for.
            Ok(()) if self.is_at_rest() && !self.ledger.is_waiting() => return Some(End::Complete),
            Ok(()) => socket::shutdown_write(&self.master),
            Err(Fault::Source) => return Some(End::Client),
            // It may have said something before; the end of that ends the session.
            Err(Fault::Sink) if !self.down.done => self.up = Flow::default(),
            Err(Fault::Sink) => return Some(End::Master),
            Err(Fault::Outdated) => return Some(self.outdated()),
            Err(Fault::Stop(Stop::Cut(why))) => return Some(End::Cut(why)),
            Err(Fault::Stop(Stop::Undone)) => return Some(self.part(Parted::Undone)),
        }
        self.up.done = true;
        None
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

    /// Whether the master owes nothing, now or later.
    fn is_at_rest(&self) -> bool {
        self.down.is_empty()
            && self.ledger.is_settled()
            && self.ledger.may_move(Change::Planned).is_ok()
    }

    /// Whether the session can do without this master for a while, and perhaps have another.
    fn may_outlive_master(&self) -> bool {
        self.stuck().is_none()
            && self.is_at_rest()
            && self.seat.worker().shared().settings.move_sessions
    }

    /// Whether this hive stops, or a visitor is sent home, and nothing is asked of the master, nor
    /// waited for.
    fn is_drained(&self) -> bool {
        let worker = self.seat.worker();
        let sent_home = || self.seat.is_visitor() && worker.is_sent_home(self.slot);
        (worker.is_draining() || sent_home())
            && self.up.is_empty()
            && self.stuck().is_none()
            && match self.ledger.may_move(Change::Planned) {
                Ok(()) | Err(Why::Script) => true,
                Err(Why::Tracking) => self.ledger.is_settled(),
                Err(_) => false,
            }
    }

    /// What cannot be taken along to another master.
    fn stuck(&self) -> Option<Why> {
        let why = if self.up.is_committed() || self.up.done || self.down.done {
            Why::HalfRequest
        } else if !self.down.is_empty() {
            Why::Outstanding
        } else {
            return None;
        };
        // The ledger may know better.
        Some(self.ledger.may_move(Change::Planned).err().unwrap_or(why))
    }

    fn part(&self, parted: Parted) -> End {
        self.stuck().map_or(End::Part(parted), End::Cut)
    }

    /// The route leads elsewhere. What the old master said may be here without having been looked
    /// at: in a planned change, that it has done nothing. Anything else is a reply that the client
    /// will not get.
    fn outdated(&mut self) -> End {
        let owed = self.ledger.may_move(Change::Planned).err();
        if let Some(why @ (Why::Blocked | Why::Outstanding)) = owed
            && (why == Why::Blocked || self.ledger.may_be_undone())
            && !self.down.is_committed()
        {
            let said = self.last_words();
            if self.ledger.lapse(&said) {
                return self.part(Parted::Undone);
            }
            let down = pass::hear(self.seat.worker(), &mut self.ledger, &said, true);
            if down.undone && down.send == 0 {
                return self.part(Parted::Undone);
            }
            if !said.is_empty() {
                return End::Cut(why);
            }
        }
        self.part(Parted::Outdated)
    }

    /// What the master has said and nobody has looked at.
    fn last_words(&mut self) -> Vec<u8> {
        let mut said = self.drop_down();
        let mut buffer = self.seat.worker().buffer.borrow_mut();
        let received = socket::recv_now(&self.master, &mut buffer).unwrap_or(0);
        said.extend_from_slice(buffer.get(..received).unwrap_or_default());
        said
    }

    /// All that may be passed on has been; the refusal behind it is not for the client.
    fn undone(&mut self) -> End {
        self.drop_down();
        self.part(Parted::Undone)
    }

    /// Nothing more of this master goes to the client. Returns what was read and not let go.
    fn drop_down(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.down).into_tail()
    }

    /// Tells the worker whether something is outstanding, how much is waited with now instead of these
    /// bytes, and which scripts are run.
    fn account(&mut self, waited: u32) {
        let busy = !self.ledger.is_settled();
        if busy != self.counted {
            self.counted = busy;
            self.seat.worker().count_busy(busy);
        }
        let waiting = self.ledger.waiting();
        if waiting != waited {
            self.seat.worker().count_waiting(waited, waiting);
        }
        let worker = self.seat.worker();
        let asked = !self.ledger.scripts().is_empty() && worker.asks_for_scripts(self.slot);
        if self.ledger.take_script_news() || asked {
            worker.runs_scripts(self.slot, &self.ledger);
        }
    }

    fn end(mut self, end: End) {
        self.leave();
        match end {
            // What is on its way to the client is still delivered; the close tells it the rest.
            End::Complete | End::Master => {}
            // Nobody wants the replies, and what the master has not read it need not read.
            End::Client => socket::reset_on_close(&self.master),
            End::Cut(why) => {
                self.seat.worker().count_cut(why);
                self.reset_both();
            }
            End::Drained => session::drained(self.client, self.seat),
            End::Part(parted) => {
                socket::reset_on_close(&self.master);
                session::outlive(self.into_leftover(parted));
            }
        }
    }

    fn into_leftover(self, parted: Parted) -> Leftover {
        Leftover {
            last_reply: self.last_reply,
            client: self.client,
            seat: self.seat,
            ledger: self.ledger,
            generation: self.generation,
            tail: self.up.into_tail(),
            parted,
        }
    }

    fn reset_both(&self) {
        socket::reset_on_close(&self.master);
        socket::reset_on_close(&self.client);
    }

    /// The worker has nothing more to do with it.
    fn leave(&mut self) {
        let worker = self.seat.worker();
        worker.count_waiting(self.ledger.waiting(), 0);
        if std::mem::take(&mut self.counted) {
            worker.count_busy(false);
        }
        worker.leave(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker keeps one of these for every client: growth is paid ten thousand times.
    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Relay>() <= 288, "{} bytes", size_of::<Relay>());
    }
}
