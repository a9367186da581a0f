//! One request at a time over loopback, on a connection that stays open, from the first byte sent to the
//! last byte read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use redis_hive::http::{self, Journal, Sources};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::sync::{mpsc, oneshot, watch};

use crate::fifty;
use crate::figures::{Budget, Figure};

/// The name of the thread that serves.
pub const SERVER: &str = "bench-http";
/// Between two requests: who asks does so now and then.
const PAUSE: Duration = Duration::from_millis(2);
/// The server closes connections after a minute.
const CONNECTION_MAX: Duration = Duration::from_secs(20);

/// A hive's HTTP server on a thread of its own, as the control plane is; ends with the value.
pub struct Server {
    pub addr: SocketAddr,
    pub journal: Journal,
    _end: oneshot::Sender<()>,
}

impl Server {
    pub fn start() -> anyhow::Result<Server> {
        let (end, ended) = oneshot::channel();
        let (told, heard) = sync_channel(1);
        let journal = fifty::journal();
        let pages = journal.clone();
        std::thread::Builder::new().name(SERVER.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                // Whoever waits for the address hears of an error by its absence.
                let _ = runtime.block_on(serve(pages, told, ended));
            }
        })?;
        Ok(Server { addr: heard.recv()?, journal, _end: end })
    }
}

async fn serve(
    journal: Journal,
    told: std::sync::mpsc::SyncSender<SocketAddr>,
    ended: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let (_status, status) = watch::channel(Arc::new(fifty::status()?));
    let (_figures, figures) = watch::channel(Arc::new(fifty::figures()));
    let sources = Sources { figures, journal, ..Sources::of(status) };
    let (asks, _asked) = mpsc::channel(1);
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(Ipv4Addr::LOCALHOST.into(), 0, sources, asks, keyring)?;
    told.send(http.addr)?;
    // It ends when the other half is dropped.
    let _ = ended.await;
    Ok(())
}

/// Every page for so long.
pub fn measure(span: Duration) -> anyhow::Result<Vec<Figure>> {
    let server = Server::start()?;
    let rows = [("/metrics", true), ("/status", true), ("/transitions", false), ("/livez", false)];
    rows.into_iter()
        .map(|(path, budgeted)| {
            let (bytes, took) = row(server.addr, path, span)?;
            let figure = Figure::new(format!("{path}, 50 peers, {bytes} bytes"), "ms", 2);
            let mut figure = if budgeted { figure.within(Budget::both(5.0, 5.0)) } else { figure };
            took.iter().for_each(|took| figure.add(took.as_secs_f64() * 1e3));
            Ok(figure)
        })
        .collect()
}

/// The size of the page, and how long each answer took.
fn row(addr: SocketAddr, path: &str, span: Duration) -> anyhow::Result<(usize, Vec<Duration>)> {
    let mut connection = connect(addr)?;
    let (mut bytes, mut took) = (0, Vec::new());
    let begun = Instant::now();
    let mut connected = begun;
    // The first answer warms up what every further one finds warm.
    get(&mut connection, path)?;
    while took.is_empty() || begun.elapsed() < span {
        if connected.elapsed() > CONNECTION_MAX {
            (connection, connected) = (connect(addr)?, Instant::now());
            get(&mut connection, path)?;
        }
        std::thread::sleep(PAUSE);
        let asked = Instant::now();
        bytes = get(&mut connection, path)?;
        took.push(asked.elapsed());
    }
    Ok((bytes, took))
}

fn connect(addr: SocketAddr) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(BufReader::new(stream))
}

/// The length of the body of one answer.
fn get(connection: &mut BufReader<TcpStream>, path: &str) -> anyhow::Result<usize> {
    let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.get_mut().write_all(asked.as_bytes())?;
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        anyhow::ensure!(connection.read_line(&mut line)? > 0, "it closed the connection");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(length)
}
