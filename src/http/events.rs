//! `GET /events`: transitions as they happen, as server-sent events.
//!
//! An event is `id: RUN-CHANGE`, `event: transition`, `data:` the transition in JSON. An entry that is
//! completed later is sent again with the same `seq`. `Last-Event-ID` (or `?last=`) goes on after that
//! event; of another run of the hive, or too old, it means from the beginning of what is kept.
//!
//! No listener has a queue: it holds a place in the journal and gets what is newer when its connection
//! takes it. Who falls behind what is kept is closed. So is every stream after a while, between two
//! events: who listens comes back by itself and misses nothing.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use hyper::body::{Body, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::journal::{Journal, Transition};
use super::{Answer, text};

/// Listeners at one time; together with others they must leave room for probes.
const LISTENERS_MAX: usize = 128;
/// A comment is sent after so long without an event: proxies between must see life.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A stream ends after so long, before its connection is cut.
const STREAM_MAX: Duration = Duration::from_secs(55);
/// A listener comes back after so many milliseconds.
const RETRY_MS: u32 = 1000;
/// Events in one piece.
const AT_ONCE: usize = 16;

/// The journal, and who listens to it.
#[derive(Clone)]
pub(super) struct Events {
    pub journal: Journal,
    seats: Arc<Semaphore>,
}

impl Events {
    pub fn new(journal: Journal) -> Events {
        Events { journal, seats: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        LISTENERS_MAX - self.seats.available_permits()
    }

    /// The stream after the event named by the header or the query.
    pub fn answer(&self, headers: &HeaderMap, query: Option<&str>) -> Answer {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many listen already\n");
        };
        let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let named = header.or_else(|| super::parameter(query, "last"));
        let listener = Listener {
            seen: self.place(named),
            changes: self.journal.changes(),
            journal: self.journal.clone(),
            until: Instant::now() + STREAM_MAX,
            greeted: false,
            _seat: seat,
        };
        let mut answer = Response::new(Either::Right(Stream::of(listener)));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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

struct Listener {
    journal: Journal,
    changes: watch::Receiver<u64>,
    /// The newest change it was sent.
    seen: u64,
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
            if Instant::now() >= self.until {
                return None;
            }
            self.changes.mark_unchanged();
            let news = self.journal.news(self.seen, AT_ONCE)?;
            if let Some((newest, _)) = news.last() {
                self.seen = *newest;
                return Some((self.write(&news).into(), self));
            }
            let until = quiet_at.min(self.until);
            match timeout(until.saturating_duration_since(Instant::now()), self.changes.changed())
                .await
            {
                Ok(Ok(())) => {}
                // The hive ends.
                Ok(Err(_)) => return None,
                Err(_) => return Some((Bytes::from_static(b": still here\n\n"), self)),
            }
        }
    }

    fn write(&self, news: &[(u64, Arc<Transition>)]) -> String {
        let mut text = String::new();
        for (change, transition) in news {
            // Numbers and strings: neither fails. JSON on one line has no line end in it.
            let data = serde_json::to_string(&**transition).unwrap_or_default();
            let run = self.journal.run();
            let _ = write!(text, "id: {run}-{change}\nevent: transition\ndata: {data}\n\n");
        }
        text
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
