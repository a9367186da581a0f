//! The process with everything on: three real nodes with a read endpoint, a Sentinel port and a secret,
//! after a change of the master, while they are asked for their metrics and followed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::http;
use redis_hive::cli::dev::nodes::{HTTP_PORT, Part};

use crate::figures::{Budget, Figure};
use crate::harness::{Hive, exe};
use crate::usage::resident_mib;

const HOSTS: [u8; 3] = [1, 2, 3];
const SENTINEL_PORT: u16 = 26379;
const ASKED_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

/// The size of the binary, and the memory of each process.
pub fn measure(span: Duration) -> anyhow::Result<Vec<Figure>> {
    let mut size = Figure::new("size of the binary", "MB", 2).within(Budget::worst(15.0));
    size.add(std::fs::metadata(exe())?.len() as f64 / 1e6);
    let mut table = vec![size];
    let Some(mut hive) = with_everything()? else { return Ok(table) };
    let first = hive.settle();
    hive.kill(first.master, Part::Redis)?;
    hive.settle();
    hive.revive(first.master, Part::Redis)?;
    hive.settle();
    let name = "read port, Sentinel port, secret, metrics, events: VmRSS of one sidecar";
    let mut resident = Figure::new(name, "MiB", 2).within(Budget::worst(12.0));
    let listeners: Vec<[TcpStream; 2]> =
        HOSTS.map(|host| listen(&hive, host)).into_iter().collect::<Result<_, _>>()?;
    let begun = Instant::now();
    while resident.is_empty() || begun.elapsed() < span {
        for host in HOSTS {
            ask(&hive, host)?;
            resident.add(resident_mib(sidecar(&mut hive, host)?));
        }
        std::thread::sleep(ASKED_EVERY);
    }
    drop(listeners);
    table.push(resident);
    Ok(table)
}

/// `None`, said loudly: there is no Redis server.
fn with_everything() -> anyhow::Result<Option<Hive>> {
    let Some(mut hive) = Hive::empty(|_| {}) else { return Ok(None) };
    let secret = hive.dir().join("secret");
    std::fs::write(&secret, "a-secret-for-nobody-but-these-three")?;
    let secret = format!("--secret-file={}", secret.display());
    let sentinel = format!("--sentinel-port={SENTINEL_PORT}");
    HOSTS.into_iter().try_for_each(|host| hive.start_with(host, &[&secret, &sentinel], &[]))?;
    Ok(Some(hive))
}

/// One who follows the events, and one who follows the master.
fn listen(hive: &Hive, host: u8) -> anyhow::Result<[TcpStream; 2]> {
    let talk = |port, words: &str| {
        let mut stream = TcpStream::connect(SocketAddr::from((hive.ip(host), port)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(words.as_bytes())?;
        stream.read_exact(&mut [0; 16])?;
        anyhow::Ok(stream)
    };
    Ok([
        talk(HTTP_PORT, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")?,
        talk(SENTINEL_PORT, "SUBSCRIBE +switch-master\r\n")?,
    ])
}

/// All pages once, and where the master is.
fn ask(hive: &Hive, host: u8) -> anyhow::Result<()> {
    for path in ["/metrics", "/status", "/transitions"] {
        let answer = http::get(SocketAddr::from((hive.ip(host), HTTP_PORT)), path, PATIENCE);
        let (code, _) = answer.map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
        anyhow::ensure!(code == 200, "{path}: {code}");
    }
    let mut stream = TcpStream::connect(SocketAddr::from((hive.ip(host), SENTINEL_PORT)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"SENTINEL GET-MASTER-ADDR-BY-NAME mymaster\r\n")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    anyhow::ensure!(&answer == b"*2\r\n", "the Sentinel port knows no master");
    Ok(())
}

fn sidecar(hive: &mut Hive, host: u8) -> anyhow::Result<u32> {
    let node = hive.node(host)?;
    anyhow::ensure!(node.alive(Part::Both), "{host} has ended");
    // Redis comes first.
    Ok(node.pids()[1])
}
