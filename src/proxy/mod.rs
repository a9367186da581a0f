//! The data plane: takes clients and carries their bytes to the current master.
//!
//! It has threads of its own: a few workers, each with a single-threaded runtime; the first one
//! accepts for all. The control plane steers it through [`Proxy`] and never touches a client's byte.
//!
//! ```text
//! control plane --Proxy::route, ::touch, ::lease--> route.rs, gate.rs (what every thread may do now)
//! accept.rs --socket--> worker.rs --task--> session.rs (held, connecting, turned away) --> relay.rs
//!                                           moving.rs (waits, or goes on elsewhere) <--route--'
//! ```
//!
//! The read endpoint is a second [`Proxy`] ([`start_reads`]), whose only route is the local Redis.
//!
//! Two checks stand before every write, both on memory shared by all threads: that the connection
//! belongs to the current generation of routes (and, for a request, that this is not held), and that
//! the control plane has shown life lately and its lease is not over.

mod accept;
mod commands;
mod desk;
mod flow;
mod gate;
mod ledger;
mod moving;
mod pass;
mod recent;
mod relay;
mod replay;
mod resp;
mod route;
mod scripts;
mod session;
mod socket;
mod splice;
mod visit;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::election;
use accept::Acceptor;
use desk::{Desk, Shared};
use gate::Gate;
pub use ledger::Why;
use route::Routes;
use visit::Entrance;

/// What the data plane is started with.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Where clients connect to: usually one address, `[::]:6380` (which takes IPv4 too) or
    /// `0.0.0.0:6380`. With port 0 the system chooses, see [`Proxy::addresses`].
    pub listen: Vec<SocketAddr>,
    /// `--proxy-threads`: worker threads; 0 counts as 1.
    pub threads: usize,
    /// `--hold-timeout`: how long a client waits for a master before it gets an error.
    pub hold_timeout: Duration,
    /// `--max-clients`: clients at one time, held ones included, and those of the other endpoint;
    /// further ones get an error.
    pub max_clients: usize,
    /// `--splice`: whether bulk bytes may move through pipes, by `splice(2)`.
    pub splice: bool,
    /// `--move-sessions`: whether sessions go on with another master where they can.
    pub move_sessions: bool,
    /// The zero of the control plane's clock.
    pub origin: Instant,
    /// Whether bytes are passed on only until the moment given to [`Proxy::touch`].
    pub freshness: bool,
}

/// Why the data plane did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address could not be listened on: taken, not of this machine, or of an address family
    /// this machine lacks (then try the other family).
    #[error("cannot listen for clients on {addr}: {source} (--proxy-port, --read-port, --bind)")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a proxy thread: {0}")]
    Thread(io::Error),
}

/// Figures of all threads together, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients connected now.
    pub clients: u64,
    /// Of these, clients that wait for a master: new ones, and those that have something to be sent.
    pub held: u64,
    /// Of these, clients that have a connection to a master.
    pub attached: u64,
    /// Of these, clients of the read endpoint, which are here for want of a copy to read from.
    pub visitors: u64,
    /// Connections accepted, those over the limit included.
    pub accepted_total: u64,
    /// Clients that were sent an error and closed.
    pub refused_total: u64,
    /// Of these, clients that were over the limit.
    pub over_limit_total: u64,
    /// Sessions that went on with another master, once for each time.
    pub moved_total: u64,
    /// Sessions cut because the master changed, or could not be followed to another one.
    pub cut_total: u64,
    /// The same by their reasons, in the order of [`Why::ALL`].
    pub cut: [u64; Why::ALL.len()],
    /// Bytes passed on from clients to masters.
    pub bytes_up: u64,
    /// Bytes passed on from masters to clients.
    pub bytes_down: u64,
    /// Bytes of both that went through pipes, by `splice(2)`.
    pub bytes_spliced: u64,
}

/// Called once for every id given to [`Proxy::route`], from a proxy thread; must not block.
pub type Routed = Arc<dyn Fn(u64) + Send + Sync>;

/// Starts the data plane. It holds all clients until the first [`Proxy::route`].
///
/// `routed` is called with the id of a route, in the order of the calls of [`Proxy::route`], as
/// soon as no thread can forward anything by an older route any more.
///
/// # Errors
///
/// [`ProxyError::Listen`] names the address that is taken.
pub fn start(settings: ProxySettings, routed: Routed) -> Result<Proxy, ProxyError> {
    start_with(settings, routed, None)
}

/// Starts the data plane of the read endpoint, as [`start`] does. It holds and turns away nobody
/// for want of a master: where its route is not [`election::Route::Forward`], or the Redis there
/// takes no connection, clients are handed over to the proxy `write`.
///
/// # Errors
///
/// As [`start`].
pub fn start_reads(
    settings: ProxySettings,
    routed: Routed,
    write: &Proxy,
) -> Result<Proxy, ProxyError> {
    start_with(settings, routed, Some(Entrance::new(write.shared.clone())))
}

fn start_with(
    settings: ProxySettings,
    routed: Routed,
    elsewhere: Option<Entrance>,
) -> Result<Proxy, ProxyError> {
    let listeners = accept::listen(&settings.listen)?;
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let (desks, inboxes) = Desk::rows(settings.threads.max(1));
    let shared = Arc::new(Shared {
        routes: Routes::new(desks.len(), routed),
        gate: Gate::new(settings.freshness, settings.origin),
        settings,
        seats: elsewhere.as_ref().map(Entrance::seats).unwrap_or_default(),
        elsewhere,
        desks,
        tally: Default::default(),
        scripts: Default::default(),
        successors: Default::default(),
        draining: AtomicBool::new(false),
        stop: CancellationToken::new(),
    });
    // From here on a failure drops `proxy`, which stops what was started.
    let proxy = Proxy { shared, addresses, threads: Mutex::default(), acceptor: Mutex::default() };
    let (entry, acceptor) = accept::entry(listeners);
    // The first worker accepts, and starts last: then all are there to take clients.
    let mut entry = Some(entry);
    for (index, inbox) in inboxes.into_iter().enumerate().rev() {
        let entry = if index == 0 { entry.take() } else { None };
        let thread = worker::spawn(proxy.shared.clone(), index, inbox, entry);
        proxy.keep(thread.map_err(ProxyError::Thread)?);
    }
    *proxy.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
    Ok(proxy)
}

/// The running data plane. Dropping it is [`Proxy::shutdown`].
pub struct Proxy {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    acceptor: Mutex<Option<Acceptor>>,
}

impl Proxy {
    /// The addresses listened on, with the ports the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sets the route of all threads. From the return of this call no thread begins to pass on a
    /// byte by an older route; `routed(id)` follows when none is still at it, within milliseconds.
    ///
    /// Sessions stay when the new route is to the same run of the same master, forwarded or held.
    /// While it is held replies pass and requests are left unread; `routed(id)` says that none is
    /// passed on any more, and that the replies are out, or 50 ms over. A route of a lower epoch
    /// than one seen before is ignored, and confirmed.
    ///
    /// With any other route they lose their master. `keep` says which of them may go on with the
    /// next one (DESIGN 3.4); its times count from [`ProxySettings::origin`]. The others are cut.
    pub fn route(&self, id: u64, route: election::Route, keep: election::Keep) {
        self.shared.routes.set(id, route, keep);
        self.shared.ring();
        if self.shared.stop.is_cancelled() {
            self.shared.routes.confirm_all();
        }
    }

    /// The control plane's sign of life: bytes are passed on, in both directions, only before
    /// `until`. Replaces what an earlier call said, also when that was later.
    pub fn touch(&self, until: Instant) {
        self.shared.gate.touch(until);
        self.shared.desks.iter().for_each(Desk::touched);
    }

    /// Nothing is passed on, in either direction, after this moment on the boot-time clock
    /// (microseconds), and new clients are held; `None`: no lease. The newest call counts, also
    /// when it says less; one that gives more time lets everybody go on.
    pub fn lease(&self, until: Option<election::Time>) {
        self.shared.gate.lease(until);
        self.shared.desks.iter().for_each(Desk::touched);
    }

    /// Closes every session at its next request boundary: what was passed on is answered first.
    /// Subscribers and blocked ones stay. For a hive that stops and takes no clients any more.
    pub fn drain(&self) {
        if !self.shared.draining.swap(true, Ordering::SeqCst) {
            self.shared.ring();
        }
    }

    /// These Redis servers, each with its run, may be the next master: they are brought the scripts that
    /// sessions run by their SHA-1, as soon as one does and as the user of that session.
    pub fn successors(&self, successors: Vec<(election::RedisAddr, election::RunId)>) {
        self.shared.set_successors(successors);
    }

    /// At most so many clients at one time, beside [`ProxySettings::max_clients`]; `None`: no such
    /// limit. Clients that are here already stay.
    pub fn limit(&self, clients: Option<usize>) {
        self.shared.tally.limit.store(clients.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Closes each visitor with a chance of one in `one_in`, when its last reply has been passed on:
    /// it comes back through the read endpoint.
    pub fn send_home(&self, one_in: u32) {
        visit::send_home(&self.shared.desks, one_in);
    }

    /// The figures now.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Closes the listening sockets. Connections already queued there are still taken.
    pub fn stop_accepting(&self) {
        let acceptor = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(acceptor) = acceptor {
            acceptor.stop();
        }
    }

    /// Cuts every client and ends all threads. Routes not yet confirmed are confirmed.
    pub fn shutdown(&self) {
        self.stop_accepting();
        self.shared.stop.cancel();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a proxy thread ended by a panic");
            }
        }
        self.shared.routes.confirm_all();
    }

    fn keep(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    fn counters(&self) -> Counters {
        let mut sum = Counters {
            clients: self.tally.clients.load(Ordering::Relaxed) as u64,
            visitors: self.tally.visitors.load(Ordering::Relaxed) as u64,
            accepted_total: self.tally.accepted.load(Ordering::Relaxed),
            refused_total: self.tally.refused.load(Ordering::Relaxed),
            over_limit_total: self.tally.refused.load(Ordering::Relaxed),
            ..Counters::default()
        };
        for desk in &self.desks {
            sum.held += desk.tally.held.get();
            sum.attached += desk.tally.attached.get();
            sum.refused_total += desk.tally.refused.get();
            sum.moved_total += desk.tally.moved.get();
            for (why, cut) in Why::ALL.into_iter().zip(&mut sum.cut) {
                *cut += desk.tally.cut_for(why);
            }
            sum.bytes_up += desk.tally.up.get();
            sum.bytes_down += desk.tally.down.get();
            sum.bytes_spliced += desk.tally.spliced.get();
        }
        sum.cut_total = sum.cut.iter().sum();
        sum
    }
}
