//! What is compared: Redis itself, the peers and the hive in front of it, started and stopped.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{
    LocalHive, Options, PROXY_PORT, Part, REDIS_PORT, find_redis_server,
};
use redis_hive::cli::dev::process::Process;

use crate::meter;
use crate::peers::{PEERS, Peer, Place};
use crate::talk::{self, Exchange};

/// The hive that is compared with the peers.
pub const HIVE: &str = "hive";
/// Redis without anything in front of it.
pub const DIRECT: &str = "direct";
/// The hive with a lease, and a witness beside it.
pub const LEASED: &str = "hive-quorum";

/// How long a system may take to serve.
const SOON: Duration = Duration::from_secs(20);
/// Where the first peer listens; each has the next port.
const FIRST_PORT: u16 = 7001;
/// Connections beside the idle ones.
const SPARE_CLIENTS: usize = 100;
/// Descriptors that none of the idle connections takes: a hive keeps 1,024 for other things, and those
/// of the other clients.
const SPARE_DESCRIPTORS: u64 = 1024 + 2 * SPARE_CLIENTS as u64;

/// What the systems are started with.
pub struct Setup {
    /// The sidecar under test.
    pub hive: PathBuf,
    /// More arguments for every sidecar.
    pub hive_args: Vec<String>,
    /// Where the packaged peers are.
    pub venv: PathBuf,
    pub threads: usize,
    /// Idle connections that each has to bear.
    pub idle: usize,
    /// Descriptors that a process may open.
    pub descriptors: u64,
}

impl Setup {
    /// The most idle connections that leave each proxy two descriptors for each of them.
    pub fn most_idle(descriptors: u64) -> usize {
        (descriptors.saturating_sub(SPARE_DESCRIPTORS) / 2) as usize
    }

    fn clients(&self) -> usize {
        self.idle + SPARE_CLIENTS
    }
}

/// One of the systems, running.
pub struct System {
    pub name: String,
    /// Where its clients connect to.
    pub addr: SocketAddr,
    /// The Redis behind it.
    pub redis: SocketAddr,
    /// The process of that.
    pub redis_pid: u32,
    kind: Kind,
}

enum Kind {
    Direct,
    Peer { program: PathBuf, arguments: Vec<OsString>, log: PathBuf, process: Option<Process> },
    Hive(Box<LocalHive>),
}

impl System {
    /// A sidecar in front of a Redis of its own, with a witness if it is to have a lease. `words`:
    /// another binary, or nothing, and more arguments.
    pub fn hive(name: &str, words: &[String], setup: &Setup) -> io::Result<System> {
        let exe = words.first().filter(|word| !word.is_empty());
        let exe = exe.map_or_else(|| setup.hive.clone(), PathBuf::from);
        let server = match std::env::var_os("HIVE_TEST_REDIS_SERVER") {
            Some(path) => path.into(),
            None => find_redis_server().map_err(io::Error::other)?,
        };
        let mut options = Options::new(exe, server);
        options.hive_args = setup.hive_args.clone();
        options.hive_args.extend(words.iter().skip(1).cloned());
        let mut push = |key: &str, value: String| options.hive_args.extend([key.into(), value]);
        push("--proxy-threads", setup.threads.to_string());
        push("--max-clients", setup.clients().to_string());
        let clients = setup.descriptors.saturating_sub(100).to_string();
        let redis_args = ["--maxclients", &clients, "--tcp-backlog", "4096"];
        options.redis_args.extend(redis_args.map(str::to_owned));
        let quorum: &[&str] = if name == LEASED { &["--quorum", "2"] } else { &[] };
        let mut hive = LocalHive::new(options)?;
        hive.start_with(1, quorum, &[])?;
        if name == LEASED {
            hive.start_with(2, &["--quorum", "2", "--witness"], &[])?;
            hive.kill(2, Part::Redis)?;
        }
        let node = hive.node(1)?;
        let (addr, redis) = (node.at(PROXY_PORT), node.at(REDIS_PORT));
        let (name, redis_pid) = (name.to_owned(), node.pids().first().copied());
        let kind = Kind::Hive(Box::new(hive));
        let mut system = System { name, addr, redis, redis_pid: redis_pid.unwrap_or(0), kind };
        if redis_pid.is_none() {
            let log = system.log();
            return Err(io::Error::other(format!("{}: Redis does not start\n{log}", system.name)));
        }
        system.serves()?;
        talk::prepare(redis)?;
        Ok(system)
    }

    /// The Redis of a hive.
    pub fn direct(hive: &System) -> System {
        let System { redis, redis_pid, .. } = *hive;
        System { name: DIRECT.to_owned(), addr: redis, redis, redis_pid, kind: Kind::Direct }
    }

    /// A peer in front of the Redis of a hive; its files are in a new directory below `room`.
    pub fn peer(peer: &Peer, hive: &System, room: &Path, setup: &Setup) -> io::Result<System> {
        let index = PEERS.iter().position(|other| other.name == peer.name).unwrap_or_default();
        let addr = SocketAddr::new(hive.redis.ip(), FIRST_PORT + index as u16);
        let dir = room.join(format!("{}-{}", peer.name, setup.threads));
        std::fs::create_dir_all(&dir)?;
        let place = Place {
            listen: addr,
            redis: hive.redis,
            dir: &dir,
            threads: setup.threads,
            clients: setup.clients(),
            descriptors: setup.descriptors,
        };
        let (program, arguments) = peer.command(&setup.venv, &place)?;
        let kind = Kind::Peer { program, arguments, log: dir.join("log"), process: None };
        let System { redis, redis_pid, .. } = *hive;
        let mut system = System { name: peer.name.to_owned(), addr, redis, redis_pid, kind };
        system.restart()?;
        Ok(system)
    }

    /// Whether anything stands before Redis.
    pub fn is_proxy(&self) -> bool {
        !matches!(self.kind, Kind::Direct)
    }

    /// The processes of the proxy; none if there is none.
    pub fn processes(&mut self) -> Vec<u32> {
        let root = match &mut self.kind {
            Kind::Direct => None,
            Kind::Peer { process, .. } => process.as_ref().map(Process::id),
            Kind::Hive(hive) => hive.node(1).ok().and_then(|node| node.pids().get(1).copied()),
        };
        root.map(meter::family).unwrap_or_default()
    }

    /// Starts the proxy anew and waits until it serves; Redis stays as it is.
    ///
    /// # Errors
    ///
    /// It does not serve; with the end of its log.
    pub fn restart(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Direct => {}
            Kind::Peer { program, arguments, log, process } => {
                *process = None;
                let guard = Path::new(env!("CARGO_BIN_EXE_redis-hive"));
                *process = Some(Process::start(guard, program, arguments, log.clone())?);
            }
            Kind::Hive(hive) => {
                hive.kill(1, Part::Hive)?;
                hive.revive(1, Part::Hive)?;
            }
        }
        self.serves()
    }

    fn serves(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + SOON;
        while let Err(error) = Exchange::ping().once(self.addr) {
            if Instant::now() > deadline {
                let log = self.log();
                let what = format!("{} does not serve: {error}\n{log}", self.name);
                return Err(io::Error::other(what));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log(&mut self) -> String {
        let path = match &mut self.kind {
            Kind::Direct => return String::new(),
            Kind::Peer { log, .. } => log.clone(),
            Kind::Hive(hive) => match hive.node(1) {
                Ok(node) => node.hive_log(),
                Err(_) => return String::new(),
            },
        };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}
