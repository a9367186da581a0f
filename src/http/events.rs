//! `GET /events`: transitions as they happen, as server-sent events.
//!
//! An event is `id: RUN-CHANGE`, `event: transition`, `data:` the transition in JSON. An entry that is
//! completed later is sent again with the same `seq`. `Last-Event-ID` (or `?last=`) goes on after that
//! event; of another run of the hive, or too old, it means from the beginning of what is kept.
//!
//! `?brief` leaves out offers and votes, and sends the status too: `event: status` at the start, every
//! second, and soon after a transition. The page at `/` lives on that.
//!
//! No listener has a queue: it holds a place in the journal and gets what is newer when its connection
//! takes it, encoded once for all. Who falls behind what is kept is closed. So is every stream after a
//! while, between two events: who listens comes back by itself and misses nothing.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use hyper::body::{Body, Frame};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::journal::Journal;
use super::press::{Detail, Press};
use super::serve::Visit;
use super::status::Status;
use super::{Answer, text};

/// Listeners at one time; together with others they must leave room for probes.
const LISTENERS_MAX: usize = 128;
/// A comment is sent after so long without an event: proxies between must see life.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A stream ends after so long, before its connection is cut.
const STREAM_MAX: Duration = Duration::from_secs(55);
/// What is left then to say that it ends.
const CUT_MARGIN: Duration = Duration::from_secs(3);
/// A listener comes back after so many milliseconds.
const RETRY_MS: u32 = 1000;
/// How often who asked for it is told the status.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// After a transition the status is told this soon: what it brings with it has happened by then.
const STATUS_AFTER: Duration = Duration::from_millis(250);

/// The journal, and who listens to it.
#[derive(Clone)]
pub(super) struct Events {
    journal: Journal,
    press: Press,
    seats: Arc<Semaphore>,
}

impl Events {
    /// Of this journal, and with this status between its events.
    pub fn new(journal: Journal, status: watch::Receiver<Arc<Status>>) -> Events {
        let press = Press::new(journal.run().to_owned(), status);
        Events { journal, press, seats: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        LISTENERS_MAX - self.seats.available_permits()
    }

    /// The stream after the event named by the header or the query.
    pub fn answer(&self, visit: &Visit, headers: &HeaderMap, query: Option<&str>) -> Answer {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many listen already\n");
        };
        let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let named = header.or_else(|| super::parameter(query, "last"));
        let mut words = query.unwrap_or_default().split('&');
        let brief = words.any(|word| word.split('=').next() == Some("brief"));
        let listener = Listener {
            seen: self.place(named),
            changes: self.journal.changes(),
            journal: self.journal.clone(),
            press: self.press.clone(),
            detail: if brief { Detail::Brief } else { Detail::Whole },
            status_at: brief.then(Instant::now),
            until: until(Instant::now(), visit.cut_at),
            greeted: false,
            _seat: seat,
        };
        let mut answer = Response::new(Either::Right(Stream::of(listener)));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The next stream gets a connection that lasts as long as it does.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }

    /// The change after which this listener goes on.
    fn place(&self, named: Option<&str>) -> u64 {
        let forgotten = self.journal.forgotten();
        let parts = named.and_then(|id| id.split_once('-'));
        let known = parts.filter(|(run, _)| *run == self.journal.run());
        let change = known.and_then(|(_, change)| change.parse::<u64>().ok());
        // A number that was never given is not waited for.
        change
            .filter(|change| *change <= *self.journal.changes().borrow())
            .map_or(forgotten, |change| change.max(forgotten))
    }
}

/// When a stream that begins now ends: before its connection is cut, which may have served others.
fn until(now: Instant, cut_at: Option<Instant>) -> Instant {
    let end = now + STREAM_MAX;
    cut_at.and_then(|at| at.checked_sub(CUT_MARGIN)).map_or(end, |at| at.min(end))
}

struct Listener {
    journal: Journal,
    press: Press,
    changes: watch::Receiver<u64>,
    /// The newest change it was sent.
    seen: u64,
    detail: Detail,
    /// When it is told the status again; `None`: never.
    status_at: Option<Instant>,
    until: Instant,
    greeted: bool,
    _seat: OwnedSemaphorePermit,
}

impl Listener {
    /// The next piece; `None`: the stream ends.
    async fn next(mut self) -> Option<(Bytes, Listener)> {
        if !self.greeted {
            self.greeted = true;
            let hello = format!("retry: {RETRY_MS}\n\n");
            return Some((hello.into(), self));
        }
        let quiet_at = Instant::now() + KEEP_ALIVE;
        loop {
            let now = Instant::now();
            if now >= self.until {
                return None;
            }
            if self.status_at.is_some_and(|at| at <= now) {
                self.status_at = Some(now + STATUS_EVERY);
                return Some((self.press.status(now), self));
            }
            if now >= quiet_at {
                return Some((Bytes::from_static(b": still here\n\n"), self));
            }
            self.changes.mark_unchanged();
            if let Some((change, transition)) = self.journal.next(self.seen).ok()? {
                self.seen = change;
                self.status_at = self.status_at.map(|at| at.min(now + STATUS_AFTER));
                return Some((self.press.event(change, &transition, self.detail), self));
            }
            let wake = self.status_at.map_or(quiet_at, |at| at.min(quiet_at)).min(self.until);
            // The hive ends: the journal is written no more.
            if let Ok(Err(_)) = timeout_at(wake, self.changes.changed()).await {
                return None;
            }
        }
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Listener)>> + Send>>;

/// The body: asked for the next piece only when the last one is on its way.
pub(super) struct Stream(Option<Next>);

impl Stream {
    fn of(listener: Listener) -> Stream {
        Stream(Some(Box::pin(listener.next())))
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        match next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.0 = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some((piece, listener))) => {
                self.0 = Some(Box::pin(listener.next()));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_before_its_connection() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(until(now, None), after(55));
        assert_eq!(until(now, Some(after(85))), after(55), "a new connection");
        assert_eq!(until(now, Some(after(26))), after(23), "one that polled for a minute");
    }
}
