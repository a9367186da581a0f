//! A hundred people look at the page while something happens every second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fifty;
use crate::figures::{Budget, Figure};
use crate::pages::{SERVER, Server};
use crate::usage::thread_seconds;

const VIEWERS: u64 = 100;
/// A stream ends after 55 s, and the next one begins with everything that is kept.
const SPAN_MAX: Duration = Duration::from_secs(45);
/// What ends an event, however it falls into pieces: no transition has a line end in it.
const END: u8 = b'\n';

/// The CPU share of the serving thread, a sample a second.
pub fn measure(span: Duration) -> anyhow::Result<Figure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(span.min(SPAN_MAX)))
}

async fn watch(span: Duration) -> anyhow::Result<Figure> {
    let server = Server::start()?;
    let name = format!("{VIEWERS} viewers of /events, one event a second, 50 peers: CPU");
    let mut figure = Figure::new(name, "%", 3).within(Budget::median(1.0));
    let events = Arc::new(AtomicU64::new(0));
    let mut viewers = JoinSet::new();
    (0..VIEWERS).for_each(|_| _ = viewers.spawn(view(server.addr, events.clone())));
    // Everybody gets what is kept first.
    arrived(&events, VIEWERS * fifty::TRANSITIONS).await?;
    let begun = Instant::now();
    while begun.elapsed() < span {
        let (before, sent) = (thread_seconds(SERVER), Instant::now());
        let told = events.load(Ordering::Relaxed);
        server.journal.push(fifty::transition(fifty::TRANSITIONS + 1));
        arrived(&events, told + VIEWERS).await?;
        tokio::time::sleep_until((sent + Duration::from_secs(1)).into()).await;
        let used = thread_seconds(SERVER) - before;
        figure.add(used / sent.elapsed().as_secs_f64() * 100.0);
    }
    anyhow::ensure!(viewers.try_join_next().is_none(), "a viewer was closed");
    Ok(figure)
}

/// Waits until all viewers together have so many events.
async fn arrived(events: &AtomicU64, count: u64) -> anyhow::Result<()> {
    let all = async {
        while events.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(30), all).await?)
}

/// Listens from the newest entry that is kept, and counts events.
async fn view(addr: SocketAddr, events: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let (mut piece, mut line) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let count = stream.read(&mut piece).await?;
        anyhow::ensure!(count > 0, "the stream ended");
        for byte in &piece[..count] {
            if *byte != END {
                line.push(*byte);
                continue;
            }
            events.fetch_add(u64::from(line.starts_with(b"data: ")), Ordering::Relaxed);
            line.clear();
        }
    }
}
