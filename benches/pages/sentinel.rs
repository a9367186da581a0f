//! How many clients a second the Sentinel port tells where the master is: fifty connections, each with one
//! question at a time.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use redis_hive::secrets::{Keyring, Secrets};
use redis_hive::sentinel::{self, Limits, Sentinel, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fifty;
use crate::figures::{Budget, Figure};
use crate::usage::thread_seconds;

const CONNECTIONS: usize = 50;
/// The name of the port's thread.
const SERVER: &str = "hive-sentinel";
const QUESTION: &[u8] =
    b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$8\r\nmymaster\r\n";
const ANSWER: &[u8] = b"*2\r\n$8\r\n10.0.1.1\r\n$4\r\n6379\r\n";
/// One sample.
const SAMPLE: Duration = Duration::from_secs(1);

/// Answers a second, and what they would be if the thread had a CPU of its own.
pub fn measure(span: Duration) -> anyhow::Result<[Figure; 2]> {
    let port = start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = "Sentinel port, GET-MASTER-ADDR-BY-NAME, 50 connections: answers";
    let mut seen = Figure::new(name, "/s", 0).within(Budget::least(20_000.0));
    let mut able = Figure::new("the same for each second of its thread's CPU time", "/s", 0);
    let begun = Instant::now();
    while begun.elapsed() < span {
        let (before, asked) = (thread_seconds(SERVER), Instant::now());
        let answers = runtime.block_on(crowd(port.addr))? as f64;
        seen.add(answers / asked.elapsed().as_secs_f64());
        able.add(answers / (thread_seconds(SERVER) - before));
    }
    Ok([seen, able])
}

fn start() -> anyhow::Result<Sentinel> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let settings = Settings {
        name: "mymaster".to_owned(),
        id: "1".repeat(40),
        run_id: "2".repeat(40),
        quorum: 1,
        down_after: Duration::from_secs(1),
        failover_timeout: Duration::from_secs(10),
        keyring: Keyring::fixed(Secrets::default()),
        limits: Limits::default(),
    };
    let port = sentinel::start(listener, settings)?;
    port.publish(fifty::topology());
    Ok(port)
}

/// How many answers all get within a sample.
async fn crowd(addr: SocketAddr) -> anyhow::Result<u64> {
    let until = Instant::now() + SAMPLE;
    let mut clients = JoinSet::new();
    (0..CONNECTIONS).for_each(|_| _ = clients.spawn(client(addr, until)));
    let mut answers = 0;
    while let Some(ended) = clients.join_next().await {
        answers += ended??;
    }
    Ok(answers)
}

async fn client(addr: SocketAddr, until: Instant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut answers, mut answer) = (0, [0; ANSWER.len()]);
    while Instant::now() < until {
        stream.write_all(QUESTION).await?;
        stream.read_exact(&mut answer).await?;
        anyhow::ensure!(answer == ANSWER, "it says {}", String::from_utf8_lossy(&answer));
        answers += 1;
    }
    Ok(answers)
}
