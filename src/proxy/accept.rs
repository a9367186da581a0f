//! The thread that accepts clients and hands each to the least loaded worker.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use super::desk::{Job, Shared};
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

/// The running thread.
pub(super) struct Acceptor {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl Acceptor {
    /// Starts accepting.
    ///
    /// # Errors
    ///
    /// What the system says about the thread or its runtime.
    pub(super) fn spawn(
        listeners: Vec<std::net::TcpListener>,
        shared: &Arc<Shared>,
    ) -> io::Result<Acceptor> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners = {
            let _entered = runtime.enter();
            listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>()?
        };
        let stop = CancellationToken::new();
        let (token, shared) = (stop.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("hive-accept".into()).spawn(move || {
            runtime.block_on(async {
                let tasks: Vec<_> = listeners
                    .into_iter()
                    .map(|listener| tokio::spawn(accept(listener, shared.clone(), token.clone())))
                    .collect();
                for task in tasks {
                    if task.await.is_err() {
                        tracing::error!("accepting clients ended by a panic");
                    }
                }
            });
        })?;
        Ok(Acceptor { thread, stop })
    }

    /// Closes the listeners; waits for it.
    pub(super) fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the accepting thread ended by a panic");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut short = false;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                short = false;
                hand_over(stream, &shared);
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
            Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => hand_over(stream, &shared),
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

fn hand_over(stream: TcpStream, shared: &Shared) {
    shared.tally.accepted.fetch_add(1, Ordering::Relaxed);
    place(stream, shared, false);
}

/// Gives a client to the least loaded worker, or has it told that there are too many.
pub(super) fn place(client: TcpStream, shared: &Shared, visitor: bool) {
    let Some(desk) = shared.desks.iter().min_by_key(|desk| desk.load.load(Ordering::Relaxed))
    else {
        return;
    };
    let tally = &shared.tally;
    let here = tally.clients.fetch_add(1, Ordering::Relaxed);
    let seats = shared.seats.fetch_add(1, Ordering::Relaxed);
    if here < tally.limit.load(Ordering::Relaxed) && seats < shared.settings.max_clients {
        desk.load.fetch_add(1, Ordering::Relaxed);
        tally.visitors.fetch_add(usize::from(visitor), Ordering::Relaxed);
        // It fails only while the worker ends; the socket is closed then.
        let _ = desk.inbox.send(Job::Serve { client, visitor });
        return;
    }
    shared.seats.fetch_sub(1, Ordering::Relaxed);
    tally.clients.fetch_sub(1, Ordering::Relaxed);
    tally.refused.fetch_add(1, Ordering::Relaxed);
    if tally.turned_away.fetch_add(1, Ordering::Relaxed) < MAX_TURNED_AWAY {
        let _ = desk.inbox.send(Job::TurnAway(client));
    } else {
        tally.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}
