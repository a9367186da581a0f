//! Accepts clients and hands each to the least loaded worker.
//!
//! One worker accepts for all, beside its sessions: a client that it keeps costs no wake-up of another
//! thread. A listener for each worker (`SO_REUSEPORT`) would leave it to chance how long-lived
//! connections spread, and a listener that is closed would take its queue with it. Figures:
//! benches/README.md.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Job, Shared};
use super::worker::Door;
use super::{ProxyError, socket};

/// Wait after an accept that failed for want of something (file descriptors, memory).
const BACK_OFF: Duration = Duration::from_millis(50);
/// Clients over the limit that are told so and waited for at one time; others are just closed.
const MAX_TURNED_AWAY: usize = 256;
/// Connections taken from the queue of a listener that is being closed.
const LAST_CALL: usize = 4096;

/// Opens all listeners, or none.
///
/// # Errors
///
/// [`ProxyError::Listen`] with the first address that failed.
pub(super) fn listen(addresses: &[SocketAddr]) -> Result<Vec<std::net::TcpListener>, ProxyError> {
    // Dual stack, unless IPv4 has a listener of its own.
    let only_v6 = addresses.iter().any(SocketAddr::is_ipv4);
    let open =
        |&addr| socket::listen(addr, only_v6).map_err(|source| ProxyError::Listen { addr, source });
    addresses.iter().map(open).collect()
}

/// The listeners on their way to the worker that accepts.
pub(super) struct Entry {
    listeners: Vec<std::net::TcpListener>,
    stop: CancellationToken,
    /// Nothing is sent: it is dropped with the last listener.
    closed: mpsc::Sender<()>,
}

/// Stops the accepting.
pub(super) struct Acceptor {
    stop: CancellationToken,
    closed: mpsc::Receiver<()>,
}

/// Both ends of accepting at these listeners.
pub(super) fn entry(listeners: Vec<std::net::TcpListener>) -> (Entry, Acceptor) {
    let stop = CancellationToken::new();
    let (closed, all_closed) = mpsc::channel();
    (Entry { listeners, stop: stop.clone(), closed }, Acceptor { stop, closed: all_closed })
}

impl Acceptor {
    /// Closes the listeners; waits for it.
    pub(super) fn stop(self) {
        self.stop.cancel();
        // An error: nobody holds the other end any more.
        while self.closed.recv().is_ok() {}
    }
}

impl Entry {
    /// Has the runtime it is called in watch the listeners.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn watched(self) -> io::Result<Hall> {
        let listeners = self.listeners.into_iter().map(TcpListener::from_std);
        let listeners = listeners.collect::<io::Result<_>>()?;
        Ok(Hall { listeners, stop: self.stop, closed: self.closed })
    }
}

/// The listeners where they are accepted at.
pub(super) struct Hall {
    listeners: Vec<TcpListener>,
    stop: CancellationToken,
    closed: mpsc::Sender<()>,
}

impl Hall {
    /// Accepts from now on; `door`: that of the worker whose thread this is.
    pub(super) fn open(self, door: &Rc<Door>) {
        for listener in self.listeners {
            let (door, stop, closed) = (door.clone(), self.stop.clone(), self.closed.clone());
            tokio::task::spawn_local(async move {
                accept(listener, &door, &stop).await;
                drop(closed);
            });
        }
    }
}

async fn accept(listener: TcpListener, door: &Rc<Door>, stop: &CancellationToken) {
    let mut short = false;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((client, _)) => {
                short = false;
                door.receive(client);
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                // The client stays in the queue and the listener ready: do not spin on it.
                if !std::mem::replace(&mut short, true) {
                    tracing::warn!(%error, "cannot accept a client, trying again");
                }
                stop.run_until_cancelled(tokio::time::sleep(BACK_OFF)).await;
            }
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..LAST_CALL {
        match listener.accept() {
            Ok((client, _)) if client.set_nonblocking(true).is_ok() => {
                if let Ok(client) = TcpStream::from_std(client) {
                    door.receive(client);
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// The connection ended before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Gives a client to the least loaded worker, or has it told that there are too many.
pub(super) fn place(client: std::net::TcpStream, shared: &Shared, visitor: bool) {
    let Some(desk) = least_loaded(shared) else { return };
    if seat(shared, desk, visitor) {
        // It fails only while the worker ends; the socket is closed then.
        let _ = desk.inbox.send(Job::Serve { client, visitor });
    } else {
        turn_away(client, shared, desk);
    }
}

/// The worker with the fewest clients.
pub(super) fn least_loaded(shared: &Shared) -> Option<&Desk> {
    shared.desks.iter().min_by_key(|desk| desk.load.load(Ordering::Relaxed))
}

/// Counts a client in at this worker; false if there are too many.
pub(super) fn seat(shared: &Shared, desk: &Desk, visitor: bool) -> bool {
    let tally = &shared.tally;
    let here = tally.clients.fetch_add(1, Ordering::Relaxed);
    let seats = shared.seats.fetch_add(1, Ordering::Relaxed);
    if here < tally.limit.load(Ordering::Relaxed) && seats < shared.settings.max_clients {
        desk.load.fetch_add(1, Ordering::Relaxed);
        tally.visitors.fetch_add(usize::from(visitor), Ordering::Relaxed);
        return true;
    }
    shared.seats.fetch_sub(1, Ordering::Relaxed);
    tally.clients.fetch_sub(1, Ordering::Relaxed);
    tally.refused.fetch_add(1, Ordering::Relaxed);
    false
}

/// Has a client told that there are too many, unless too many are being told.
pub(super) fn turn_away(client: std::net::TcpStream, shared: &Shared, desk: &Desk) {
    let told = &shared.tally.turned_away;
    if told.fetch_add(1, Ordering::Relaxed) < MAX_TURNED_AWAY {
        let _ = desk.inbox.send(Job::TurnAway(client));
    } else {
        told.fetch_sub(1, Ordering::Relaxed);
    }
}
