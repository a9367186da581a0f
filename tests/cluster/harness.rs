//! A hive under test: started, awaited, asked, and told about when a test fails.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::TlsCertificates;
use redis_hive::cli::dev::http;
use redis_hive::cli::dev::nodes::{
    Auth, HTTP_PORT, LocalHive, Options, PROXY_PORT, Part, READ_PORT, REDIS_PORT, find_redis_server,
};
use serde_json::Value;

use super::clients::Login;

/// The longest wait for anything that should take a second or two.
pub const SOON: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How many hives run at once, where one process runs all tests.
const AT_ONCE: usize = 2;

/// The binary under test.
pub fn exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_redis-hive"))
}

/// The server to test with; `None`, said loudly, where there is none.
pub fn redis_server() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HIVE_TEST_REDIS_SERVER") {
        return Some(path.into());
    }
    match find_redis_server() {
        Ok(path) => Some(path),
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{why}"),
        Err(why) => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
            None
        }
    }
}

/// Waits until `condition` gives something.
///
/// # Panics
///
/// When it does not in time, naming `what`.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("{limit:?} have passed without: {what}"))
}

/// The same, giving up quietly.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Holds for the whole span: looks again and again.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    if within(span, || (!condition()).then_some(())).is_some() {
        panic!("it did not hold: {what}");
    }
}

/// What all living hives agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub epoch: u64,
    /// The last byte of the leader's address.
    pub leader: u8,
    /// The last byte of the master's address.
    pub master: u8,
}

/// A hive that is cleaned away with the value, and whose logs are printed if the test failed.
pub struct Hive {
    local: LocalHive,
    /// What clients trust and show; `None`: they talk plain text.
    tls: Option<TlsCertificates>,
    _turn: Turn,
}

impl Hive {
    /// Nodes 1 to `nodes`, settled.
    pub fn of(nodes: u8) -> Option<Self> {
        Self::with(nodes, |_| {})
    }

    /// The same with other options.
    pub fn with(nodes: u8, change: impl FnOnce(&mut Options)) -> Option<Self> {
        let mut hive = Self::empty(change)?;
        (1..=nodes).for_each(|host| hive.start(host).expect("start a node"));
        if nodes > 0 {
            hive.settle();
        }
        Some(hive)
    }

    /// No node yet.
    pub fn empty(change: impl FnOnce(&mut Options)) -> Option<Self> {
        let mut options = Options::new(exe(), redis_server()?);
        change(&mut options);
        let turn = Turn::take();
        let local = LocalHive::new(options).expect("prepare a hive");
        Some(Self { local, tls: None, _turn: turn })
    }

    /// `/status` of a node, if it answers.
    pub fn status(&self, host: u8) -> Option<Value> {
        status_of(self.ip(host))
    }

    /// A string of a node's `/status`; empty if there is none.
    pub fn status_text(&self, host: u8, pointer: &str) -> String {
        let found = self.status(host);
        let text = found.as_ref().and_then(|s| s.pointer(pointer)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    /// The nodes whose sidecar should be able to answer.
    pub fn up(&mut self) -> Vec<u8> {
        let awake = |n: &mut redis_hive::cli::dev::nodes::Node| {
            n.alive(Part::Hive) && !n.frozen(Part::Hive)
        };
        self.nodes_mut().iter_mut().filter_map(|n| awake(n).then_some(n.host())).collect()
    }

    /// What these hives agree on, if they do and the leader is one of them or `master` is.
    pub fn agreed(&self, hosts: &[u8]) -> Option<Agreed> {
        let mut views = BTreeSet::new();
        for host in hosts {
            let status = self.status(*host)?;
            let leader: Ipv4Addr = status["leader"].as_str()?.parse().ok()?;
            let master: SocketAddr = status["master"].as_str()?.parse().ok()?;
            let role = status["role"].as_str()?;
            let fits = match leader == self.ip(*host) {
                true => role == "leader",
                false => role == "follower" || role == "witness",
            };
            if !fits {
                return None;
            }
            views.insert((status["epoch"].as_u64()?, leader, master.ip()));
        }
        let host = |ip: Ipv4Addr| ip.octets()[3];
        match views.into_iter().collect::<Vec<_>>()[..] {
            [(epoch, leader, std::net::IpAddr::V4(master))] if hosts.contains(&host(leader)) => {
                Some(Agreed { epoch, leader: host(leader), master: host(master) })
            }
            _ => None,
        }
    }

    /// Waits until all living hives agree, and every living Redis beside one says itself that it is
    /// the master or replicates it, and holds a current copy. Hives that have not noticed yet what
    /// a test just did to the master therefore do not count as settled.
    #[track_caller]
    pub fn settle(&mut self) -> Agreed {
        self.settle_within(SOON)
    }

    /// The same with a limit of one's own.
    #[track_caller]
    pub fn settle_within(&mut self, limit: Duration) -> Agreed {
        let hosts = self.up();
        let running = |n: &mut redis_hive::cli::dev::nodes::Node| {
            n.alive(Part::Both) && !n.frozen(Part::Both)
        };
        let copies: Vec<u8> =
            self.nodes_mut().iter_mut().filter_map(|n| running(n).then_some(n.host())).collect();
        wait_until(&format!("{hosts:?} agree and {copies:?} are current"), limit, || {
            let agreed = self.agreed(&hosts)?;
            if hosts.contains(&agreed.master) != copies.contains(&agreed.master) {
                return None;
            }
            let fine = |host: &u8| self.current(*host) && self.replicates(*host, agreed.master);
            copies.iter().all(fine).then_some(agreed)
        })
    }

    /// Whether the node says that its copy is current.
    pub fn current(&self, host: u8) -> bool {
        self.status(host).is_some_and(|s| s["redis"]["current"] == true)
    }

    /// Whether the Redis itself says that it is this master or is connected to it.
    fn replicates(&self, host: u8, master: u8) -> bool {
        let Some(info) = self.all_info(host) else { return false };
        let says = |line: &str| info.lines().any(|l| l.trim_end() == line);
        if host == master {
            return says("role:master");
        }
        let link = format!("master_host:{}", self.ip(master));
        says("role:slave") && says(&link) && says("master_link_status:up")
    }

    /// The write endpoint of a node.
    pub fn proxy(&self, host: u8) -> SocketAddr {
        SocketAddr::from((self.ip(host), PROXY_PORT))
    }

    /// The read endpoint of a node.
    pub fn reads(&self, host: u8) -> SocketAddr {
        SocketAddr::from((self.ip(host), READ_PORT))
    }

    /// The Redis of a node, past its sidecar.
    pub fn redis(&self, host: u8) -> SocketAddr {
        SocketAddr::from((self.ip(host), REDIS_PORT))
    }

    /// A connection that fails instead of waiting for ever.
    pub fn connect(&self, addr: SocketAddr) -> redis::RedisResult<redis::Connection> {
        self.login().connect(addr)
    }

    /// How clients connect.
    pub fn login(&self) -> Login {
        Login { auth: self.options().auth.clone(), tls: self.tls.clone() }
    }

    /// Lets clients talk TLS from now on.
    pub fn talk_tls(&mut self, tls: TlsCertificates) {
        self.tls = Some(tls);
    }

    /// One node that does not lead.
    pub fn follower(&mut self, agreed: Agreed) -> u8 {
        let hosts = self.up();
        *hosts.iter().find(|h| **h != agreed.leader).expect("a follower")
    }

    /// What the sidecar of a node wrote so far.
    pub fn hive_log(&mut self, host: u8) -> String {
        let log = self.node(host).expect("node").hive_log();
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// A field of `INFO` of a node's Redis.
    pub fn info(&self, host: u8, field: &str) -> Option<String> {
        let found = self.all_info(host)?;
        let found = found.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
        Some(found.trim_end().to_owned())
    }

    /// How many full copies each of these Redis servers has given away.
    #[track_caller]
    pub fn fulls(&self, hosts: &[u8]) -> Vec<u64> {
        hosts.iter().map(|host| self.counter(*host, "sync_full")).collect()
    }

    fn all_info(&self, host: u8) -> Option<String> {
        let mut connection = self.connect(self.redis(host)).ok()?;
        redis::cmd("INFO").arg("everything").query(&mut connection).ok()
    }

    /// A counter of `INFO`; fails the test if the Redis does not answer.
    #[track_caller]
    pub fn counter(&self, host: u8, field: &str) -> u64 {
        let value = wait_until(field, SOON, || self.info(host, field));
        value.parse().unwrap_or_else(|_| panic!("{field}:{value}"))
    }
}

/// `/status` at an address, if it answers.
pub fn status_of(ip: Ipv4Addr) -> Option<Value> {
    let addr = SocketAddr::from((ip, HTTP_PORT));
    let (code, body) = http::get(addr, "/status", Duration::from_millis(500)).ok()?;
    if code == 200 { serde_json::from_str(&body).ok() } else { None }
}

/// The HTTP status code of a path; 0 if there is no answer.
pub fn http_code(ip: Ipv4Addr, path: &str) -> u16 {
    let addr = SocketAddr::from((ip, HTTP_PORT));
    http::get(addr, path, Duration::from_secs(2)).map_or(0, |(code, _)| code)
}

/// A password for hives that have one.
pub fn password() -> Auth {
    Auth::Password("correct-horse".into())
}

impl Deref for Hive {
    type Target = LocalHive;

    fn deref(&self) -> &LocalHive {
        &self.local
    }
}

impl DerefMut for Hive {
    fn deref_mut(&mut self) -> &mut LocalHive {
        &mut self.local
    }
}

impl Drop for Hive {
    fn drop(&mut self) {
        let panics = self.panics();
        if std::thread::panicking() {
            for host in self.up() {
                let status = self.status(host).map(|s| s.to_string());
                eprintln!("---- status of {}: {}", self.ip(host), status.unwrap_or_default());
            }
            for log in self.logs() {
                eprintln!("---- end of {}\n{}", log.display(), tail(&log));
            }
        }
        for panic in &panics {
            eprintln!("---- A SIDECAR PANICKED: {panic}");
        }
        assert!(panics.is_empty() || std::thread::panicking(), "a sidecar panicked");
    }
}

impl Hive {
    /// All logs of all nodes, also those that a test made by itself.
    fn logs(&self) -> Vec<PathBuf> {
        let inside = |dir: &std::path::Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|e| e.path()).collect::<Vec<_>>()
        };
        let mut files = inside(self.dir());
        files.extend(files.clone().iter().flat_map(|path| inside(path)));
        files.retain(|path| path.extension().is_some_and(|e| e == "log"));
        files.sort();
        files
    }

    /// What panicking sidecars had to say.
    fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for log in self.logs() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let mut lines = text.lines();
            while let Some(line) = lines.by_ref().find(|l| l.contains("panicked at")) {
                found.push(format!("{} {line} {}", log.display(), lines.next().unwrap_or("")));
            }
        }
        found
    }
}

/// The last lines that tell something: neither stack frames nor fenced Redis servers that try
/// their closed port once a second.
fn tail(log: &std::path::Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let noise = |l: &&str| {
        let start = l.trim_start();
        start.starts_with("at ")
            || start.split_once(": ").is_some_and(|(n, _)| n.parse::<u8>().is_ok())
            || l.contains("Connecting to MASTER 127.0.0.1:1")
            || l.contains("sync started")
            || l.contains("socket for SYNC")
    };
    let lines: Vec<&str> = text.lines().filter(|l| !noise(l)).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The right to run a hive; waits for one of [`AT_ONCE`].
struct Turn;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Turn {
    fn take() -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |n: &mut usize| *n >= AT_ONCE;
        *ENDED.wait_while(running, full).unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
