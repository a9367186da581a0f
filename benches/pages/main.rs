//! What it takes to be told by a hive with 50 peers and a full journal: one request over loopback, on a
//! connection that stays open, from the first byte sent to the last byte read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_hive::election::Cause;
use redis_hive::http::figures::{Change, Figures, KINDS, ProxyFigures, Told};
use redis_hive::http::journal::{Offer, Transition, Vote};
use redis_hive::http::status::{PeerStatus, Status};
use redis_hive::http::{self, Journal, Sources};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

const PEERS: u8 = 50;
const TRANSITIONS: u64 = 256;
const ROUNDS: usize = 500;
/// A row ends early after this: the server closes connections after a minute.
const ROW_MAX: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (_status, status) = watch::channel(Arc::new(status()?));
    let (_figures, figures) = watch::channel(Arc::new(figures()));
    let journal = Journal::new("run".to_owned());
    (1..=TRANSITIONS).for_each(|epoch| _ = journal.push(transition(epoch)));
    let sources = Sources { figures, journal, ..Sources::of(status) };
    let (asks, _asked) = mpsc::channel(1);
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(Ipv4Addr::LOCALHOST.into(), 0, sources, asks, keyring)?;
    println!("{:<20}{:>10}{:>12}{:>12}{:>12}", "page", "bytes", "median", "99 %", "worst");
    for path in ["/metrics", "/status", "/transitions", "/livez"] {
        row(http.addr, path).await?;
    }
    Ok(())
}

async fn row(addr: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut connection = BufReader::new(TcpStream::connect(addr).await?);
    let mut bytes = 0;
    let mut took = Vec::with_capacity(ROUNDS);
    let row_begun = Instant::now();
    while took.len() < ROUNDS && row_begun.elapsed() < ROW_MAX {
        let begun = Instant::now();
        bytes = get(&mut connection, path).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let at = |part: usize| format!("{:.2} ms", ms(took[(took.len() - 1) * part / 100]));
    println!("{path:<20}{bytes:>10}{:>12}{:>12}{:>12}", at(50), at(99), at(100));
    Ok(())
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// The length of the body of one answer.
async fn get(connection: &mut BufReader<TcpStream>, path: &str) -> anyhow::Result<usize> {
    let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.get_mut().write_all(asked.as_bytes()).await?;
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        anyhow::ensure!(connection.read_line(&mut line).await? > 0, "it closed the connection");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(length)
}

fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, host])
}

fn status() -> anyhow::Result<Status> {
    let mut status: Status = serde_json::from_str(include_str!("../../tests/support/status.json"))?;
    let peer = status.peers[0].clone();
    let peers = (1..=PEERS).map(|host| SocketAddr::new(ip(host), 6390));
    status.peers = peers.map(|addr| PeerStatus { addr, ..peer.clone() }).collect();
    status.transitions = vec![status.transitions[0].clone(); 32];
    Ok(status)
}

fn figures() -> Figures {
    let all = KINDS
        .into_iter()
        .flat_map(|kind| Cause::ALL.map(|cause| Change { kind, cause: cause.word(), count: 1 }));
    let cut: Vec<(&str, u64)> = (0..14).map(|_| ("outstanding", 1)).collect();
    let endpoint = ProxyFigures { cut, ..ProxyFigures::default() };
    let mut figures = Figures {
        told: Told { changes: all.collect(), ..Told::default() },
        write: endpoint.clone(),
        read: Some(endpoint),
        master_offset: Some(1 << 40),
        ..Figures::default()
    };
    let replica = |host| (SocketAddr::new(ip(host), 6379).to_string(), Duration::ZERO);
    figures.redis.acknowledged = (1..=PEERS).map(replica).collect();
    figures
}

fn transition(epoch: u64) -> Transition {
    let state = Some("complete".to_owned());
    let offer = |host| Offer {
        node: ip(host),
        state: state.clone(),
        offset: 1 << 40,
        keys: 1 << 20,
        priority: 100,
    };
    let vote = |host| Vote { by: ip(host), to: ip(0), epoch, granted: true, why: String::new() };
    Transition {
        epoch,
        kind: "failover".to_owned(),
        reason: "following 10.0.1.1:6390 with master 10.0.1.1:6379".to_owned(),
        offers: (1..=PEERS).map(offer).collect(),
        votes: (1..=PEERS).map(vote).collect(),
        ..Transition::default()
    }
}
