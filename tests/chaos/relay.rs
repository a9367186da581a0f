//! A relay that makes every byte late: beside a node, in front of its hive and its Redis.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use redis_hive::cli::dev::launch::{PEER_PORT, REDIS_PORT};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The relay listens this much above the port it stands for.
const ABOVE: u16 = 10_000;
/// So many pieces wait; then the sender does.
const WAITING: usize = 1024;

/// The rules that lead what comes over the wire into the relay; what it sends on is local.
pub fn rules() -> String {
    let mut rules =
        "table ip chaos {\n chain in {\n  type nat hook prerouting priority -100;\n".to_owned();
    for port in [PEER_PORT, REDIS_PORT] {
        rules += &format!("  iifname eth0 tcp dport {port} redirect to :{}\n", port + ABOVE);
    }
    rules + " }\n}\n"
}

/// Serves for ever: `ms` of delay in each direction, towards `ip`.
pub fn main(ms: &str, ip: &str) -> ExitCode {
    let (Ok(ms), Ok(ip)) = (ms.parse(), ip.parse::<Ipv4Addr>()) else { return ExitCode::FAILURE };
    let delay = Duration::from_millis(ms);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let served = runtime.block_on(async {
        let peer = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PEER_PORT + ABOVE)).await?;
        let redis = TcpListener::bind((Ipv4Addr::UNSPECIFIED, REDIS_PORT + ABOVE)).await?;
        tokio::try_join!(
            serve(peer, (ip, PEER_PORT).into(), delay),
            serve(redis, (ip, REDIS_PORT).into(), delay)
        )
    });
    if let Err(e) = served {
        eprintln!("relay: {e}");
    }
    ExitCode::FAILURE
}

async fn serve(listener: TcpListener, to: SocketAddr, delay: Duration) -> std::io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(to).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::join!(late(from_client, to_server, delay), late(from_server, to_client, delay));
        });
    }
}

/// Passes on what it reads, each piece after `delay`, in order.
async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (queue, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(WAITING);
    let read = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            let piece = buffer.get(..len).unwrap_or_default().to_vec();
            if queue.send((Instant::now() + delay, piece)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
