//! Connections: who may have one, and how long it may take over what.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::events::{self, Event};
use super::reply::{Protocol, Reply};
use super::requests::Requests;
use super::session::Session;
use super::{Counters, Site, Topology};

/// Bytes asked of the kernel at a time.
const READ_BYTES: usize = 4 * 1024;
/// Replies are sent before there are more than about so many bytes of them.
const UNSENT_BYTES: usize = 16 * 1024;
/// A client whose machine is gone is noticed after about four of these, though it asks nothing.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Accepts and serves, for ever.
///
/// # Errors
///
/// The listener is unusable.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let mut teller = Teller::new(&site);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    while connections.try_join_next().is_some() {}
                    if connections.len() < site.settings.limits.connections {
                        connections.spawn(one(stream, Arc::clone(&site)));
                    } else {
                        reject(&stream, &site);
                    }
                }
                Err(error) => {
                    // Out of file descriptors, or the client has gone already: neither lasts.
                    tracing::debug!("Sentinel: accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = teller.changed() => teller.tell(),
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Publishes what changed.
struct Teller {
    site: Arc<Site>,
    seen: tokio::sync::watch::Receiver<Arc<Topology>>,
    told: Arc<Topology>,
}

impl Teller {
    fn new(site: &Arc<Site>) -> Teller {
        let mut seen = site.topology.clone();
        let told = Arc::clone(&seen.borrow_and_update());
        Teller { site: Arc::clone(site), seen, told }
    }

    async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The hive is ending, and this with it.
            std::future::pending::<()>().await;
        }
    }

    fn tell(&mut self) {
        let now = Arc::clone(&self.seen.borrow_and_update());
        for event in events::between(&self.site.settings, &self.told, &now) {
            // Nobody listening is no error.
            let _ = self.site.events.send(Arc::new(event));
        }
        self.told = now;
    }
}

/// Says why, if that takes no time.
fn reject(stream: &TcpStream, site: &Site) {
    Counters::add(&site.counters.rejected);
    let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
}

/// One connection, to its end.
async fn one(stream: TcpStream, site: Arc<Site>) {
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
    let _ = stream.set_nodelay(true);
    let id = Counters::add(&site.counters.connections);
    site.counters.clients.fetch_add(1, Ordering::Relaxed);
    let mut connection = Connection {
        session: Session::new(Arc::clone(&site), id),
        stream,
        requests: Requests::default(),
        out: Vec::new(),
        events: None,
        deadline: Instant::now() + site.settings.limits.request,
    };
    if let Err(error) = connection.run(&site).await {
        tracing::debug!(id, "Sentinel: a connection ended early: {error}");
    }
    site.counters.clients.fetch_sub(1, Ordering::Relaxed);
}

struct Connection {
    stream: TcpStream,
    session: Session,
    requests: Requests,
    /// Replies that were not sent yet.
    out: Vec<u8>,
    /// There, while it has subscribed to something.
    events: Option<broadcast::Receiver<Arc<Event>>>,
    /// When it is closed for its silence, unless it has subscribed.
    deadline: Instant,
}

impl Connection {
    async fn run(&mut self, site: &Site) -> io::Result<()> {
        loop {
            let closing = self.answer(site).await?;
            self.flush(site.settings.limits.write).await?;
            if closing || !self.turn(site).await? {
                return Ok(());
            }
        }
    }

    /// Answers all that was asked in full; whether that was the last.
    async fn answer(&mut self, site: &Site) -> io::Result<bool> {
        let limits = site.settings.limits;
        let partial = self.requests.is_partial();
        let mut any = false;
        loop {
            match self.requests.next() {
                Ok(Some(request)) => {
                    any = true;
                    self.session.answer(&request, &mut self.out);
                    self.listen(site);
                    if self.session.closing {
                        return Ok(true);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let protocol = Protocol::Resp2;
                    Reply { out: &mut self.out, protocol }.error(&format!("ERR {error}"));
                    return Ok(true);
                }
            }
            if self.out.len() > UNSENT_BYTES {
                self.flush(limits.write).await?;
            }
        }
        // Not pushed back by every byte of a request that comes slowly.
        if any || partial != self.requests.is_partial() {
            let partial = self.requests.is_partial();
            let span = if partial { limits.request } else { limits.idle };
            self.deadline = Instant::now() + span;
        }
        Ok(false)
    }

    /// Hears events from the first subscription on, until there is none.
    fn listen(&mut self, site: &Site) {
        match (self.session.subscriptions.any(), self.events.is_some()) {
            (true, false) => self.events = Some(site.events.subscribe()),
            (false, true) => self.events = None,
            _ => {}
        }
    }

    /// Waits for bytes or an event; `false`: it is over.
    async fn turn(&mut self, site: &Site) -> io::Result<bool> {
        if self.requests.buffer.is_empty() {
            // Thousands that are idle keep nothing.
            self.requests.buffer = Default::default();
            self.out = Vec::new();
        }
        // A subscriber may be silent, but not in the middle of a request.
        let may_wait = self.events.is_some() && !self.requests.is_partial();
        tokio::select! {
            ready = self.stream.readable() => {
                ready?;
                self.read()
            }
            event = next(&mut self.events) => {
                let Some(event) = event else { return Ok(false) };
                self.session.tell(&event, &mut self.out);
                self.flush(site.settings.limits.write).await?;
                Ok(true)
            }
            () = sleep_until(self.deadline), if !may_wait => Ok(false),
        }
    }

    /// Takes what is there; `false`: nothing will come any more.
    fn read(&mut self) -> io::Result<bool> {
        self.requests.buffer.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.requests.buffer) {
            Ok(len) => Ok(len > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends all replies.
    ///
    /// # Errors
    ///
    /// The client is gone, or does not read.
    async fn flush(&mut self, limit: Duration) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        timeout(limit, self.stream.write_all(&self.out)).await??;
        self.out.clear();
        Ok(())
    }
}

/// The next event; `None`: too many were missed.
async fn next(events: &mut Option<broadcast::Receiver<Arc<Event>>>) -> Option<Arc<Event>> {
    match events {
        Some(events) => events.recv().await.ok(),
        None => std::future::pending().await,
    }
}
