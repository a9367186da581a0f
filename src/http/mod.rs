//! Probes, status, a page for people, and what they ask for, over HTTP/1.1 (DESIGN 2.3).
//!
//! The driver publishes a [`Status`] and [`Figures`], writes a [`Journal`], beats a [`Pulse`] and answers
//! what is [`Asked`]; nothing here reaches into another room.

mod asks;
mod events;
pub mod figures;
mod history;
pub mod journal;
mod metrics;
mod page;
mod press;
pub mod ready;
mod serve;
pub mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::listener;
use crate::secrets::Keyring;
use asks::Door;
use events::Events;
use metrics::Moment;
use serve::Visit;

pub use asks::{Asked, Outcome, Told};
pub use figures::Figures;
pub use history::History;
pub use journal::Journal;
pub use status::Status;

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// The control loop must have beaten within this time.
const PULSE_MAX: Duration = Duration::from_secs(5);

type Answer = Response<Either<Full<Bytes>, events::Stream>>;

/// So many bytes are in one answer of `/transitions`, but for the end of its last entry: the journal of
/// a large hive has megabytes, and whoever reads them must hold up nothing.
const TRANSITIONS_BYTES: usize = 64 * 1024;

/// What can only be read, besides the files of [`page`].
const PAGES: [&str; 8] = [
    "/livez",
    "/readyz",
    "/readyz/read",
    "/status",
    "/metrics",
    "/transitions",
    "/events",
    "/page/history",
];

/// The listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("--http-port {port}: cannot listen: {source}")]
pub struct HttpError {
    /// The port asked for.
    pub port: u16,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// The control loop's sign of life.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    /// Milliseconds after `origin`.
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { origin: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// The control loop has just turned.
    pub fn beat(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Time since the last beat, or since this was made.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(last)
    }
}

/// What is told to who asks.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What `/status` prints.
    pub status: watch::Receiver<Arc<Status>>,
    /// What `/metrics` tells besides.
    pub figures: watch::Receiver<Arc<Figures>>,
    /// What `/transitions` and `/events` tell.
    pub journal: Journal,
    /// What the charts of the page begin with.
    pub history: History,
    /// Beaten by the control loop.
    pub pulse: Arc<Pulse>,
}

impl Sources {
    /// A status, and nothing else yet.
    pub fn of(status: watch::Receiver<Arc<Status>>) -> Sources {
        let journal = Journal::new(status.borrow().incarnation.clone());
        let figures = watch::channel(Arc::default()).1;
        let history = History::default();
        Sources { status, figures, journal, history, pulse: Arc::default() }
    }
}

/// The running server; ends, with its connections, when dropped.
#[derive(Debug)]
pub struct Http {
    /// Where it listens.
    pub addr: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Begins to serve. Needs a tokio runtime.
///
/// `bind` `::` means IPv4 too, and IPv4 alone where there is no IPv6. `asks` takes what people ask for,
/// who must know a secret of `keyring`, if there is one.
///
/// # Errors
///
/// [`HttpError`], naming the flag, where the port is taken or the address is not ours.
pub fn start(
    bind: IpAddr,
    port: u16,
    sources: Sources,
    asks: mpsc::Sender<Asked>,
    keyring: Keyring,
) -> Result<Http, HttpError> {
    let opened = listener::open(bind, port, BACKLOG).and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, addr))
    });
    let (listener, addr) = opened.map_err(|source| HttpError { port, source })?;
    let events = Events::new(sources.journal.clone(), sources.status.clone());
    let site = Site { sources, events, door: Door::new(asks, keyring) };
    let task = tokio::spawn(serve::accept(listener, site));
    Ok(Http { addr, _task: AbortOnDropHandle::new(task) })
}

/// What every request is answered from.
#[derive(Clone)]
struct Site {
    sources: Sources,
    events: Events,
    door: Door,
}

impl Site {
    async fn answer(&self, visit: &Visit, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method(), request.uri().path());
        if asks::is_ask(path) {
            if method != Method::POST {
                return not_allowed("POST");
            }
            return self.door.answer(visit, request).await;
        }
        let file = page::file(path);
        if file.is_none() && !PAGES.contains(&path) {
            return text(StatusCode::NOT_FOUND, "there is no such page\n");
        }
        if method != Method::GET && method != Method::HEAD {
            return not_allowed("GET, HEAD");
        }
        match file {
            Some(file) => page::answer(file),
            None => self.page(path, request.uri().query(), request.headers(), visit),
        }
    }

    /// One of [`PAGES`].
    fn page(&self, path: &str, query: Option<&str>, headers: &HeaderMap, visit: &Visit) -> Answer {
        let status = Arc::clone(&self.sources.status.borrow());
        match path {
            "/livez" => probe(self.alive()),
            "/readyz" => probe(self.alive().and_then(|()| ready::ready(&status.readiness))),
            "/readyz/read" => match max_lag_bytes(query) {
                Ok(max) => probe(self.alive().and_then(|()| ready::ready_to_read(&status, max))),
                Err(why) => text(StatusCode::BAD_REQUEST, &why),
            },
            "/metrics" => {
                let figures = Arc::clone(&self.sources.figures.borrow());
                let listeners = self.events.listeners();
                metrics::page(Moment { status, figures, listeners }, headers)
            }
            "/transitions" => self.transitions(query),
            "/events" => self.events.answer(visit, headers, query),
            "/page/history" => {
                compact(&self.sources.history.told(&status.incarnation, Instant::now()))
            }
            _ => json(StatusCode::OK, &*status),
        }
    }

    /// The oldest that are kept and have a number above `since`, as many as fit one answer.
    fn transitions(&self, query: Option<&str>) -> Answer {
        let Ok(since) = parameter(query, "since").map_or(Ok(0), str::parse) else {
            return text(StatusCode::BAD_REQUEST, "since must be the number of a transition\n");
        };
        let mut body = vec![b'['];
        for transition in self.sources.journal.after(since) {
            if body.len() >= TRANSITIONS_BYTES {
                break;
            }
            if body.len() > 1 {
                body.push(b',');
            }
            if let Err(error) = serde_json::to_writer(&mut body, &*transition) {
                return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n"));
            }
        }
        body.push(b']');
        answer(StatusCode::OK, "application/json", body.into())
    }

    fn alive(&self) -> Result<(), String> {
        let age = self.sources.pulse.age();
        if age < PULSE_MAX {
            return Ok(());
        }
        Err(format!("the control loop has not turned for {} s", age.as_secs()))
    }
}

/// The first value of this name in a query; other parameters are ignored.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn max_lag_bytes(query: Option<&str>) -> Result<Option<u64>, String> {
    match parameter(query, "max_lag_bytes").map(str::parse).transpose() {
        Ok(max) => Ok(max),
        Err(_) => Err("max_lag_bytes must be a whole number of bytes\n".to_owned()),
    }
}

fn probe(outcome: Result<(), String>) -> Answer {
    match outcome {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
    }
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// What only programs read.
fn compact(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => answer(StatusCode::OK, "application/json", body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn json(code: StatusCode, value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            answer(code, "application/json", body.into())
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(code: StatusCode, body: &str) -> Answer {
    answer(code, "text/plain; charset=utf-8", Bytes::copy_from_slice(body.as_bytes()))
}

fn answer(code: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
