//! A hundred people look at the page while something happens every second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fifty::{self, RUN};
use crate::figures::{Budget, Figure};
use crate::pages::{SERVER, Server};
use crate::usage::thread_seconds;

const VIEWERS: u64 = 100;
/// A stream ends after 55 s, and the next one begins with everything that is kept.
const SPAN_MAX: Duration = Duration::from_secs(45);
/// What ends a line; a piece of a stream may end anywhere.
const END: u8 = b'\n';

/// The CPU share of the serving thread, a sample a second: as the page listens, and with everything that
/// there is.
pub fn measure(span: Duration) -> anyhow::Result<[Figure; 2]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let span = span.min(SPAN_MAX);
    let page = runtime.block_on(watch("/events?brief&", span))?.within(Budget::median(1.0));
    Ok([page, runtime.block_on(watch("/events?", span))?])
}

async fn watch(path: &'static str, span: Duration) -> anyhow::Result<Figure> {
    let server = Server::start()?;
    let shown = path.trim_end_matches(['?', '&']);
    let name = format!("{VIEWERS} viewers of {shown}, one event a second, 50 peers: CPU");
    let mut figure = Figure::new(name, "%", 3);
    let events = Arc::new(AtomicU64::new(0));
    let mut viewers = JoinSet::new();
    (0..VIEWERS).for_each(|_| _ = viewers.spawn(view(server.addr, path, events.clone())));
    arrived(&events, VIEWERS).await?;
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

/// Listens for what is new, and counts the greeting and transitions.
async fn view(addr: SocketAddr, path: &str, events: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let last = fifty::TRANSITIONS;
    let asked = format!("GET {path}last={RUN}-{last} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let (mut piece, mut line) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let count = stream.read(&mut piece).await?;
        anyhow::ensure!(count > 0, "the stream ended");
        for byte in &piece[..count] {
            if *byte != END {
                line.push(*byte);
                continue;
            }
            events.fetch_add(
                u64::from(line == b"event: transition" || line.starts_with(b"retry: ")),
                Ordering::Relaxed,
            );
            line.clear();
        }
    }
}
