//! The two endpoints that `dev` prints: plain TCP, passed on to any node that lives.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A node on this machine that does not take a connection within this time is hung.
const CONNECT: Duration = Duration::from_millis(300);
/// More connections wait until others have ended.
const MAX_CONNECTIONS: usize = 1024;

/// Where an endpoint leads to, tried in turn; changed while it runs.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<Vec<SocketAddr>>>);

impl Targets {
    /// Replaces them; connections that are open stay.
    pub fn set(&self, targets: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    fn get(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An endpoint that is bound and not yet served.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    targets: Targets,
}

impl Endpoint {
    /// Binds a port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// The port cannot be used.
    pub fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, targets: Targets::default() })
    }

    /// A handle to change where it leads to.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }

    /// Serves for ever. A client is closed if no target takes it.
    ///
    /// # Errors
    ///
    /// The listener cannot be registered with the runtime.
    pub async fn serve(self) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut turn = 0_usize;
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let Ok((client, _)) = listener.accept().await else {
                // Out of descriptors: they come back when somebody leaves.
                tokio::time::sleep(CONNECT).await;
                continue;
            };
            turn = turn.wrapping_add(1);
            let mut targets = self.targets.get();
            if !targets.is_empty() {
                let middle = turn % targets.len();
                targets.rotate_left(middle);
            }
            tokio::spawn(async move {
                pass_on(client, &targets).await;
                drop(slot);
            });
        }
    }
}

async fn pass_on(mut client: TcpStream, targets: &[SocketAddr]) {
    for target in targets {
        if let Ok(Ok(mut server)) = timeout(CONNECT, TcpStream::connect(target)).await {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn the_first_target_that_lives_is_taken() {
        let dead = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("dead");
        let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("alive");
        let endpoint = Endpoint::bind(0).expect("bind");
        let addr = endpoint.listener.local_addr().expect("addr");
        endpoint.targets().set(vec![dead, alive.local_addr().expect("addr")]);
        let serving = tokio::spawn(endpoint.serve());
        for _ in 0..3 {
            let mut client = TcpStream::connect(addr).await.expect("connect");
            client.write_all(b"ping").await.expect("write");
            let (mut server, _) = alive.accept().await.expect("accept");
            let mut got = [0_u8; 4];
            server.read_exact(&mut got).await.expect("read");
            assert_eq!(&got, b"ping");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn without_a_target_a_client_is_closed() {
        let endpoint = Endpoint::bind(0).expect("bind");
        let addr = endpoint.listener.local_addr().expect("addr");
        let serving = tokio::spawn(endpoint.serve());
        let mut client = TcpStream::connect(addr).await.expect("connect");
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(5), client.read_to_end(&mut rest)).await;
        assert_eq!(closed.expect("in time").expect("an orderly end"), 0);
        serving.abort();
    }
}
