//! A session between two masters: its client waits, and goes on where that cannot be noticed.
//!
//! Nothing is connected before there is something to do, so that a change of master costs an idle
//! session nothing and the new master no stampede. The route may change again meanwhile: every
//! change is judged, and who may not go on is cut at once, not at its next request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ledger::{Again, Change, Why};
use super::relay::{Leftover, Parted, Relay};
use super::replay::{Failed, replay};
use super::session::{self, Held, Leave, Looked, Waited};
use super::socket;
use super::worker::View;
use crate::election::Route;

/// How long the route may take to change after a master closed an idle connection and was found alive.
/// Then it did not crash (CLIENT KILL, `timeout`, too many clients): the close is passed on.
const NOTICE: Duration = Duration::from_millis(50);

/// Keeps the client of a session until it can go on, or cuts it. The connection to the old master
/// is closed already.
pub(super) fn outlive(leftover: Leftover) {
    let mut session = Detached::new(leftover);
    if session.closed_by.is_some() && !session.may_move() {
        return;
    }
    match session.judge() {
        Ok(()) => {
            tokio::task::spawn_local(Box::new(session).run());
        }
        Err(why) => session.cut(why),
    }
}

/// A session without a master.
struct Detached {
    left: Leftover,
    /// What has happened since it had one.
    change: Change,
    /// The generation whose master closed it: it does not go back there.
    closed_by: Option<u64>,
    /// Since when the master that closed it is known to live.
    alive_since: Option<Instant>,
    /// There is something to be sent, or was.
    wants: bool,
    waited: Waited,
}

/// What became of it.
enum End {
    /// It goes on with this master, which is sent these bytes first.
    To(TcpStream, Vec<u8>),
    /// The client closed or reset.
    Gone,
    /// The master's close is passed on.
    Closed,
    Cut(Why),
    Leave(Leave),
}

impl Detached {
    fn new(left: Leftover) -> Detached {
        let closed_by = (left.parted == Parted::Lost).then_some(left.generation);
        let wants = left.parted == Parted::Undone || !left.tail.is_empty();
        let waited = Waited::new(left.parted == Parted::Undone);
        Detached { left, change: Change::Planned, closed_by, alive_since: None, wants, waited }
    }

    fn may_move(&self) -> bool {
        self.left.seat.worker().shared().settings.move_sessions
    }

    /// Follows the route to its newest generation, if every change on the way keeps this session.
    fn judge(&mut self) -> Result<(), Why> {
        if !self.may_move() {
            return Err(Why::Off);
        }
        let routes = &self.left.seat.worker().shared().routes;
        let fate = routes.fate(self.left.generation, self.left.last_reply)?;
        if fate.change == Change::Crash {
            self.change = Change::Crash;
        }
        self.left.generation = fate.generation;
        self.left.ledger.may_move(self.change)?;
        // A script that is not here the next master has, or nobody: it is asked at once, so that in
        // that case this session is cut now and not when it needs it.
        self.wants |= !self.left.seat.worker().shared().scripts.have(self.left.ledger.scripts());
        Ok(())
    }

    fn cut(self, why: Why) {
        self.left.seat.worker().count_cut(why);
        socket::reset_on_close(&self.left.client);
    }

    // Boxes: there may be ten thousand that are idle, and a future takes room for all that it may do.
    async fn run(mut self: Box<Self>) {
        let mut view = self.left.seat.worker().view();
        let end = loop {
            if let Some(end) = self.step(&mut view).await {
                break end;
            }
        };
        match end {
            End::To(master, again) => {
                let generation = self.left.generation;
                self.left.seat.worker().tally().moved.add(1);
                tokio::task::spawn_local(Relay::resume(self.left, again, master, generation));
            }
            End::Closed => tracing::debug!("the master's close is passed on"),
            End::Gone => {}
            End::Cut(why) => self.cut(why),
            End::Leave(how) => {
                Box::pin(session::leave(&self.left.client, &self.left.seat, how)).await;
            }
        }
    }

    /// Looks at the route once, and waits until there is something new.
    async fn step(&mut self, view: &mut watch::Receiver<View>) -> Option<End> {
        if let Err(why) = self.judge() {
            return Some(End::Cut(why));
        }
        let now = view.borrow_and_update().clone();
        if now.current.generation != self.left.generation {
            // The bell of the newest route has not been heard yet.
            return view.changed().await.err().map(|_| End::Gone);
        }
        if let Route::Refuse { reason } = &now.current.route {
            return Some(End::Leave(Leave::TurnedAway(reason.clone())));
        }
        if self.left.seat.worker().is_draining() && self.left.parted != Parted::Undone {
            return Some(End::Leave(Leave::Drained));
        }
        if self.closed_by == Some(self.left.generation) {
            return Box::pin(self.doubt(&now, view)).await;
        }
        if !self.wants {
            return self.idle(view).await;
        }
        let gone_on = Box::pin(self.go_on(view)).await;
        gone_on.map_or_else(|end| end, |(master, again)| Some(End::To(master, again)))
    }

    /// Its master closed it, and is still the one all are sent to.
    async fn doubt(&mut self, now: &View, view: &mut watch::Receiver<View>) -> Option<End> {
        let (Route::Forward { master, .. } | Route::Held { master, .. }) = now.current.route else {
            return Some(End::Closed);
        };
        let worker = self.left.seat.worker().clone();
        if now.probe != 0 {
            self.alive_since = None;
            return self.wait(view).await;
        }
        let Some(since) = self.alive_since else {
            let generation = self.left.generation;
            let alive = tokio::select! {
                biased;
                end = self.wait(view) => return end,
                alive = worker.is_alive(generation, master) => alive,
            };
            self.alive_since = alive.then(Instant::now);
            return None;
        };
        let waited = tokio::time::timeout_at(since + NOTICE, self.wait(view)).await;
        waited.unwrap_or(Some(End::Closed))
    }

    /// Waits as a held client if there is something to be sent, else until there is.
    async fn wait(&mut self, view: &mut watch::Receiver<View>) -> Option<End> {
        if !self.wants {
            return self.idle(view).await;
        }
        match session::hold(&self.left.client, &self.left.seat, view, &mut self.waited).await {
            Held::Changed => None,
            Held::Gone => Some(End::Gone),
            Held::TooLong => {
                let reason = "the master closed and takes no connections (redis-hive)".to_owned();
                Some(End::Leave(Leave::TurnedAway(reason)))
            }
        }
    }

    /// Waits, for ever, until the client sends something or the route changes.
    async fn idle(&mut self, view: &mut watch::Receiver<View>) -> Option<End> {
        // The relay may have taken the socket's readiness away: once without waiting to be told.
        let mut first = Some(socket::peek_now(&self.left.client));
        let sent = poll_fn(|cx| match first.take() {
            Some(Ok(sent)) => Poll::Ready(sent > 0),
            Some(Err(error)) if !socket::is_retry(&error) => Poll::Ready(false),
            _ => {
                let peeked = self.left.client.poll_peek(cx, &mut ReadBuf::new(&mut [0]));
                peeked.map(|peeked| matches!(peeked, Ok(1..)))
            }
        });
        tokio::select! {
            biased;
            changed = view.changed() => changed.err().map(|_| End::Gone),
            sent = sent => {
                self.wants = sent;
                (!sent).then_some(End::Gone)
            }
        }
    }

    /// Connects, and brings the new connection to where the old one was.
    ///
    /// # Errors
    ///
    /// The end of the session; none where it has to look again.
    async fn go_on(
        &mut self,
        view: &mut watch::Receiver<View>,
    ) -> Result<(TcpStream, Vec<u8>), Option<End>> {
        let (client, seat) = (&self.left.client, &self.left.seat);
        let (master, generation) = match session::look(client, seat, view, &mut self.waited).await {
            Looked::Master(master, generation) => (master, generation),
            Looked::Changed => return Err(None),
            Looked::Gone => return Err(Some(End::Gone)),
            Looked::Over(how) => return Err(Some(End::Leave(how))),
            // What a session has set cannot be handed over.
            Looked::Elsewhere => return Err(Some(End::Closed)),
        };
        if self.judge().is_err() || self.left.generation != generation {
            return Err(None);
        }
        let worker = self.left.seat.worker().clone();
        let replayed = tokio::select! {
            biased;
            () = session::gone(&self.left.client), if self.waited.any() => {
                return Err(Some(End::Gone));
            }
            replayed = replay(&master, &worker, generation, &self.left.ledger) => replayed,
        };
        if !worker.may_ask(generation) {
            return Err(None);
        }
        match replayed {
            Ok(()) => {}
            Err(Failed::Outdated) => return Err(None),
            Err(Failed::Cut(why)) => return Err(Some(End::Cut(why))),
            Err(Failed::Closed) => {
                if let Route::Forward { master, .. } = view.borrow().current.route {
                    worker.master_is_silent(generation, master);
                }
                return Err(None);
            }
        }
        self.left.ledger.moved();
        // No wait since the master was allowed to be asked.
        let again = match self.left.ledger.again(worker.millis()) {
            Some(Again::Request(request)) => self.begin(&master, request)?,
            Some(Again::Reply(reply)) => {
                self.tell(reply).await?;
                Vec::new()
            }
            None => Vec::new(),
        };
        Ok((master, again))
    }

    /// Sends what can be sent at once: from there on a hold does not stop it. Returns the rest.
    fn begin(&self, master: &TcpStream, mut request: Vec<u8>) -> Result<Vec<u8>, Option<End>> {
        let sent = socket::send(master, &request).map_err(|_| End::Cut(Why::Outstanding))?;
        self.left.seat.worker().tally().up.add(sent as u64);
        Ok(request.split_off(sent))
    }

    /// Sends this to the client.
    async fn tell(&self, mut reply: &[u8]) -> Result<(), Option<End>> {
        while !reply.is_empty() {
            self.left.client.writable().await.map_err(|_| End::Gone)?;
            let sent = socket::send(&self.left.client, reply).map_err(|_| End::Gone)?;
            self.left.seat.worker().tally().down.add(sent as u64);
            reply = reply.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// After a change of master there are as many of these as there are idle clients.
    #[test]
    fn a_session_that_waits_is_small() {
        let size = size_of_future(Detached::run) + size_of::<Detached>();
        assert!(size <= 640, "{size} bytes");
    }
}
