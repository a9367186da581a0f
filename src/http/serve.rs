//! Connections: how many there are, how long each may last, and how much it may send.
//!
//! Whoever sends slowly, or nothing, or never reads, has its connection closed; a crowd of them keeps
//! no probe out and fills no memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::{Answer, Site};

/// A request's head must come within this time, and the next request too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long a connection takes no further request: also bounds those who send or read slowly.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// What the request under way has then: more than any may take.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(25);
/// With more connections one of them is closed: a flood of silent ones must not keep probes out.
const CONNECTIONS_MAX: usize = 256;
/// The longest head of a request, and what is read ahead of a body.
const HEAD_MAX_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// What is still read of a request that has got its answer, and how long, so that the answer arrives:
/// closing with unread bytes resets the connection, and the answer is lost with it.
const REST_MAX_BYTES: usize = 256 * 1024;
const REST_MAX: Duration = Duration::from_millis(500);
/// What hyper does not say by itself.
const HEAD_TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The connection that a request came on.
#[derive(Clone, Debug, Default)]
pub(super) struct Visit {
    /// This side of it.
    pub local: Option<SocketAddr>,
    /// Where it comes from.
    pub remote: Option<IpAddr>,
    /// When it is closed, whatever is under way.
    pub cut_at: Option<Instant>,
    waiting: Arc<AtomicBool>,
}

impl Visit {
    /// As long as this lives somebody waits for the hive to do something, and the connection is not
    /// the first that makes room. Nothing that a client may drag out may happen meanwhile.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.store(true, Ordering::Relaxed);
        Waiting(&self.waiting)
    }
}

/// See [`Visit::wait`].
pub(super) struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Serves whoever connects, without end.
pub(super) async fn accept(listener: TcpListener, site: Site) {
    let mut connections = JoinSet::new();
    let mut by_age: VecDeque<(Visit, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client has gone already: neither lasts.
                tracing::debug!("HTTP: accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        by_age.retain(|(_, connection)| !connection.is_finished());
        if by_age.len() >= CONNECTIONS_MAX {
            make_room(&mut by_age);
        }
        let local = stream.local_addr().ok();
        let cut_at = Some(Instant::now() + CONNECTION_MAX + LAST_ANSWER_MAX);
        let visit = Visit { local, remote: Some(remote.ip()), cut_at, ..Visit::default() };
        let connection = connections.spawn(serve(stream, visit.clone(), site.clone()));
        by_age.push_back((visit, connection));
    }
}

/// Closes the oldest connection that does not wait for the hive, else the oldest.
fn make_room(by_age: &mut VecDeque<(Visit, AbortHandle)>) {
    let idle = by_age.iter().position(|(visit, _)| !visit.waiting.load(Ordering::Relaxed));
    if let Some((_, connection)) = by_age.remove(idle.unwrap_or_default()) {
        connection.abort();
    }
}

/// One connection, to its end.
async fn serve(stream: TcpStream, visit: Visit, site: Site) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, visit) = (site.clone(), visit.clone());
        Box::pin(async move { Ok::<Answer, Infallible>(site.answer(&visit, request).await) })
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut ended =
        timeout(CONNECTION_MAX, poll_fn(|cx| connection.poll_without_shutdown(cx))).await;
    if ended.is_err() {
        Pin::new(&mut connection).graceful_shutdown();
        ended = timeout(LAST_ANSWER_MAX, poll_fn(|cx| connection.poll_without_shutdown(cx))).await;
    }
    let Ok(ended) = ended else { return };
    let left = connection.into_parts();
    let mut stream = left.io.into_inner();
    if let Err(error) = ended {
        tracing::debug!("HTTP: a connection ended early: {error}");
        if error.is_timeout() && !left.read_buf.is_empty() {
            // Fits the socket's buffer, or nobody reads there.
            let _ = stream.try_write(HEAD_TOO_SLOW);
        }
    }
    // However this ends, the connection is closed.
    let _ = timeout(REST_MAX, finish(&mut stream)).await;
}

/// Says that nothing more comes, and reads what the other side still sends.
async fn finish(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    let mut left = REST_MAX_BYTES;
    while left > 0 {
        match stream.read(&mut unread).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_the_hive_is_not_the_first_to_go() {
        let mut all = JoinSet::new();
        let mut by_age: VecDeque<(Visit, AbortHandle)> =
            (0..3).map(|_| (Visit::default(), all.spawn(std::future::pending::<()>()))).collect();
        let oldest = by_age[0].0.clone();
        let waiting = oldest.wait();
        make_room(&mut by_age);
        assert_eq!(by_age.len(), 2);
        assert!(Arc::ptr_eq(&by_age[0].0.waiting, &oldest.waiting), "the second one has gone");
        drop(waiting);
        make_room(&mut by_age);
        assert!(!Arc::ptr_eq(&by_age[0].0.waiting, &oldest.waiting));
        let others: Vec<Visit> = by_age.iter().map(|(visit, _)| visit.clone()).collect();
        let _all_wait: Vec<Waiting<'_>> = others.iter().map(Visit::wait).collect();
        make_room(&mut by_age);
        assert!(by_age.is_empty(), "there is always room for one more");
    }
}
