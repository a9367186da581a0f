//! A port that answers clients of Redis Sentinel: who is the master, who else is there, what changes.
//!
//! The driver publishes a [`Topology`]; everything else happens on a thread of this room's own, so
//! that no client delays a heartbeat. Nothing can be changed from here. What is answered is in
//! `docs/sentinel.md`.

mod asks;
mod commands;
mod connection;
mod events;
mod fields;
mod glob;
mod info;
mod reply;
mod requests;
mod session;
mod subscriptions;
mod topology;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::secrets::Keyring;

pub use topology::{Master, Node, Replica, Topology};

/// The Sentinel whose replies these are; clients that ask for a version get it.
pub const COMPATIBLE: &str = "7.0.15";

/// What never changes while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that clients ask for.
    pub name: String,
    /// This hive among the Sentinels: forty hexadecimal digits.
    pub id: String,
    /// This run of it: forty hexadecimal digits.
    pub run_id: String,
    /// Hives that must follow a master; 1: none.
    pub quorum: u32,
    /// Silence after which something counts as down.
    pub down_after: Duration,
    /// The longest a failover should take.
    pub failover_timeout: Duration,
    /// What `AUTH` is held against; reading needs no password.
    pub keyring: Keyring,
    /// What clients may take.
    pub limits: Limits,
}

/// What clients may take. Requests have at most 8 KiB, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more gets an error and a close.
    pub connections: usize,
    /// A request, and the first one too, must be whole after this time.
    pub request: Duration,
    /// Who asks nothing for so long, and has subscribed to nothing, is closed.
    pub idle: Duration,
    /// Who does not take what it is sent within this time is closed.
    pub write: Duration,
    /// Events that wait for a subscriber; with more it is closed.
    pub events: usize,
}

impl Limits {
    /// Connections at a time.
    pub const CONNECTIONS: usize = 1024;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: Limits::CONNECTIONS,
            request: Duration::from_secs(10),
            // Libraries keep their connection to a Sentinel, and take its end for that of the Sentinel.
            idle: Duration::from_secs(3600),
            write: Duration::from_secs(5),
            events: 256,
        }
    }
}

/// The running server; ends, with its connections and its thread, when dropped.
#[derive(Debug)]
pub struct Sentinel {
    /// Where it listens.
    pub addr: SocketAddr,
    topology: watch::Sender<Arc<Topology>>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// Begins to serve on a listener that does not block.
///
/// # Errors
///
/// The listener is unusable, or there can be no further thread.
pub fn start(listener: TcpListener, settings: Settings) -> io::Result<Sentinel> {
    let addr = listener.local_addr()?;
    let (topology, seen) = watch::channel(Arc::new(Topology::default()));
    let site = Arc::new(Site {
        events: broadcast::Sender::new(settings.limits.events),
        settings,
        port: addr.port(),
        topology: seen,
        started: Instant::now(),
        counters: Counters::default(),
    });
    let end = CancellationToken::new();
    let ended = end.clone();
    let thread = std::thread::Builder::new().name("hive-sentinel".to_owned()).spawn(move || {
        if let Err(error) = run(listener, site, &ended) {
            tracing::error!("--sentinel-port: {error}: it answers no more");
        }
    })?;
    Ok(Sentinel { addr, topology, end, thread: Some(thread) })
}

/// Serves until the end.
fn run(listener: TcpListener, site: Arc<Site>, end: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = connection::serve(listener, site);
    runtime.block_on(end.run_until_cancelled(serve)).unwrap_or(Ok(()))
}

impl Sentinel {
    /// What is known now. While it names no master, the last one counts as down.
    pub fn publish(&self, topology: Topology) {
        let next = topology.following(&self.topology.borrow());
        self.topology.send_replace(Arc::new(next));
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What all connections share.
struct Site {
    settings: Settings,
    /// Where it listens.
    port: u16,
    topology: watch::Receiver<Arc<Topology>>,
    events: broadcast::Sender<Arc<events::Event>>,
    started: Instant,
    counters: Counters,
}

/// What `INFO` counts.
#[derive(Debug, Default)]
struct Counters {
    clients: AtomicU64,
    /// Connections since the start; also the newest client's id.
    connections: AtomicU64,
    commands: AtomicU64,
    rejected: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod examples {
    use super::*;
    use crate::secrets::Secrets;

    /// Those of a hive of three with `--quorum 2`.
    pub fn settings() -> Settings {
        Settings {
            name: "mymaster".to_owned(),
            id: "1".repeat(40),
            run_id: "2".repeat(40),
            quorum: 2,
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(10),
            keyring: Keyring::fixed(Secrets::default()),
            limits: Limits::default(),
        }
    }
}
