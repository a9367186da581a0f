//! A whole hive on this machine: real Redis servers and real sidecars, each pair on a loopback
//! address of its own with the default ports, found through an embedded DNS.
//!
//! Everything here blocks; `dev` and the tests on real servers use it from ordinary threads.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dns::DnsServer;
use super::process::Process;

/// The local Redis of every node.
pub const REDIS_PORT: u16 = 6379;
/// The write endpoint of every sidecar.
pub const PROXY_PORT: u16 = 6380;
/// The read endpoint of every sidecar.
pub const READ_PORT: u16 = 6381;
/// The peer protocol of every sidecar.
pub const PEER_PORT: u16 = 6390;
/// HTTP of every sidecar.
pub const HTTP_PORT: u16 = 6391;

const ALL_PORTS: [u16; 5] = [REDIS_PORT, PROXY_PORT, READ_PORT, PEER_PORT, HTTP_PORT];

/// What every Redis is started with, so that it can never be a master by accident.
const BOOT_FENCE: [&str; 19] = [
    "--replicaof",
    "127.0.0.1",
    "1",
    "--replica-serve-stale-data",
    "no",
    "--save",
    "",
    "--appendonly",
    "no",
    "--repl-diskless-sync",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
    "--repl-backlog-ttl",
    "0",
    "--rdb-del-sync-files",
    "yes",
    "--daemonize",
    "no",
];

/// How clients, replicas and the sidecar log in to Redis. Handed over in files that only this
/// user can read, never as arguments.
#[derive(Clone, Default)]
pub enum Auth {
    /// No password.
    #[default]
    None,
    /// `requirepass`.
    Password(String),
    /// An ACL user; the default user is off.
    User {
        /// Its name.
        name: String,
        /// Its password.
        password: String,
    },
}

/// How a hive is laid out. Start from [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// The `redis-hive` binary: sidecar and guard.
    pub exe: PathBuf,
    /// The `redis-server` or `valkey-server` binary.
    pub redis_server: PathBuf,
    /// The first three bytes of all addresses, or `None` for a free network in 127.0.0.0/8.
    pub network: Option<[u8; 3]>,
    /// How Redis is locked.
    pub auth: Auth,
    /// More arguments for every sidecar.
    pub hive_args: Vec<String>,
    /// More arguments for every Redis.
    pub redis_args: Vec<String>,
}

impl Options {
    /// A hive without a password on a free network.
    #[must_use]
    pub fn new(exe: PathBuf, redis_server: PathBuf) -> Self {
        Self {
            exe,
            redis_server,
            network: None,
            auth: Auth::None,
            hive_args: Vec::new(),
            redis_args: Vec::new(),
        }
    }
}

/// Which of a node's two processes is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The Redis server.
    Redis,
    /// The sidecar.
    Hive,
    /// Both.
    Both,
}

impl Part {
    fn redis(self) -> bool {
        self != Self::Hive
    }

    fn hive(self) -> bool {
        self != Self::Redis
    }
}

/// A node: the last byte of its address and its two processes.
#[derive(Debug)]
pub struct Node {
    host: u8,
    ip: Ipv4Addr,
    dir: PathBuf,
    redis: Option<Process>,
    hive: Option<Process>,
    hive_args: Vec<String>,
    redis_args: Vec<String>,
}

impl Node {
    /// The last byte of its address.
    #[must_use]
    pub fn host(&self) -> u8 {
        self.host
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A port of it.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.ip, port))
    }

    /// Whether the process was started and has not ended; for [`Part::Both`] whether both.
    pub fn alive(&mut self, part: Part) -> bool {
        let up = |p: &mut Option<Process>| p.as_mut().is_some_and(|p| p.ended().is_none());
        (!part.redis() || up(&mut self.redis)) && (!part.hive() || up(&mut self.hive))
    }

    /// Whether one of the processes that `part` names was stopped with SIGSTOP.
    #[must_use]
    pub fn frozen(&self, part: Part) -> bool {
        let stopped = |p: &Option<Process>| p.as_ref().is_some_and(Process::frozen);
        (part.redis() && stopped(&self.redis)) || (part.hive() && stopped(&self.hive))
    }

    /// The process ids of what lives, Redis first.
    pub fn pids(&mut self) -> Vec<u32> {
        let live = |p: &mut Process| p.ended().is_none().then(|| p.id());
        [&mut self.redis, &mut self.hive]
            .into_iter()
            .filter_map(|p| p.as_mut().and_then(live))
            .collect()
    }

    /// Where the sidecar's log is; all its runs share one file.
    #[must_use]
    pub fn hive_log(&self) -> PathBuf {
        self.dir.join("hive.log")
    }

    /// Where the log of Redis is; all its runs share one file.
    #[must_use]
    pub fn redis_log(&self) -> PathBuf {
        self.dir.join("redis.log")
    }

    /// The processes that `part` names and that were started.
    fn each(&mut self, part: Part) -> impl Iterator<Item = &mut Process> {
        let redis = self.redis.as_mut().filter(|_| part.redis());
        let hive = self.hive.as_mut().filter(|_| part.hive());
        redis.into_iter().chain(hive)
    }
}

/// A hive under construction, under test or on show. Dropping it kills every process and removes
/// every file. The thread that starts nodes must outlive them (see [`Process::start`]).
pub struct LocalHive {
    options: Options,
    network: [u8; 3],
    dns: DnsServer,
    dir: TempDir,
    nodes: Vec<Node>,
}

impl LocalHive {
    /// The name of the headless Service.
    pub const SERVICE: &str = "redis-peers.dev.svc.cluster.local.";

    /// Prepares a hive without nodes.
    ///
    /// # Errors
    ///
    /// No network is free, or the DNS or the directory cannot be made.
    pub fn new(options: Options) -> io::Result<Self> {
        let network = match options.network {
            Some(network) => network,
            None => free_network()?,
        };
        let dns = DnsServer::start(Self::SERVICE)?;
        let dir = TempDir::new()?;
        Ok(Self { options, network, dns, dir, nodes: Vec::new() })
    }

    /// The DNS, to list and unlist addresses and to make it fail.
    #[must_use]
    pub fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// Where all files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// How it is laid out.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The address with this last byte.
    #[must_use]
    pub fn ip(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, host)
    }

    /// All nodes that were ever started, in that order, without the removed ones.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The same, to be acted upon.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// The node with this last byte.
    ///
    /// # Errors
    ///
    /// `NotFound` if none was started there.
    pub fn node(&mut self, host: u8) -> io::Result<&mut Node> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no node {host}"));
        self.nodes.iter_mut().find(|n| n.host == host).ok_or_else(missing)
    }

    /// Starts an empty node and lists it in DNS.
    ///
    /// # Errors
    ///
    /// As [`LocalHive::start_with`].
    pub fn start(&mut self, host: u8) -> io::Result<()> {
        self.start_with(host, &[], &[])
    }

    /// Starts an empty node with more arguments, kept for its later revivals, and lists it.
    ///
    /// # Errors
    ///
    /// One of its ports is taken, the node exists, or a process does not start.
    pub fn start_with(&mut self, host: u8, hive: &[&str], redis: &[&str]) -> io::Result<()> {
        if self.nodes.iter().any(|n| n.host == host) {
            return Err(io::Error::other(format!("node {host} exists")));
        }
        let ip = self.ip(host);
        free(ip, &ALL_PORTS)?;
        let dir = self.dir.path.join(format!("node-{host}"));
        private_dir(&dir)?;
        let own = |args: &[&str]| args.iter().map(|a| (*a).to_owned()).collect();
        self.nodes.push(Node {
            host,
            ip,
            dir,
            redis: None,
            hive: None,
            hive_args: own(hive),
            redis_args: own(redis),
        });
        self.dns.list(ip);
        self.revive(host, Part::Both)
    }

    /// Starts what of `part` does not live: Redis always empty and fenced. DNS is not touched.
    ///
    /// # Errors
    ///
    /// No such node, or a process does not start.
    pub fn revive(&mut self, host: u8, part: Part) -> io::Result<()> {
        let options = self.options.clone();
        let dns = self.dns.addr();
        let node = self.node(host)?;
        if part.redis() && !node.alive(Part::Redis) {
            node.redis = Some(start_redis(&options, node)?);
        }
        if part.hive() && !node.alive(Part::Hive) {
            node.hive = Some(start_hive(&options, node, dns)?);
        }
        Ok(())
    }

    /// SIGKILL, and waits for the end. DNS keeps the address: the pod is still there.
    ///
    /// # Errors
    ///
    /// No such node.
    pub fn kill(&mut self, host: u8, part: Part) -> io::Result<()> {
        // Freeze first: then both are gone in one instant, as with a node's power.
        let node = self.node(host)?;
        if part == Part::Both {
            node.each(part).for_each(Process::freeze);
        }
        node.each(part).for_each(Process::kill);
        Ok(())
    }

    /// SIGTERM, and waits at most `limit` for the end. `Ok(false)` if something still lives.
    /// With both, Redis gets its signal only after the hive has gone, as in the pods.
    ///
    /// # Errors
    ///
    /// No such node.
    pub fn stop(&mut self, host: u8, part: Part, limit: Duration) -> io::Result<bool> {
        let mut order = Vec::new();
        order.extend(part.hive().then_some(Part::Hive));
        order.extend(part.redis().then_some(Part::Redis));
        let node = self.node(host)?;
        for one in order {
            for process in node.each(one) {
                process.terminate();
                if process.wait(limit).is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    ///
    /// No such node.
    pub fn freeze(&mut self, host: u8, part: Part) -> io::Result<()> {
        self.node(host)?.each(part).for_each(Process::freeze);
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// No such node.
    pub fn thaw(&mut self, host: u8, part: Part) -> io::Result<()> {
        self.node(host)?.each(part).for_each(Process::thaw);
        Ok(())
    }

    /// The pod is deleted: both processes are killed, the address leaves DNS, the files go.
    ///
    /// # Errors
    ///
    /// No such node.
    pub fn remove(&mut self, host: u8) -> io::Result<()> {
        self.kill(host, Part::Both)?;
        let ip = self.ip(host);
        self.dns.unlist(ip);
        self.nodes.retain(|n| n.host != host);
        Ok(())
    }
}

impl Drop for LocalHive {
    fn drop(&mut self) {
        // All at once, so that no hive spends its last moment electing another one.
        for node in &mut self.nodes {
            node.each(Part::Both).for_each(Process::freeze);
        }
        self.nodes.clear();
    }
}

/// Finds `redis-server`, else `valkey-server`, in PATH.
///
/// # Errors
///
/// A sentence that tells how to install one.
pub fn find_redis_server() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            "neither redis-server nor valkey-server is in PATH; install one, for example with \
             `sudo apt-get install redis-server` (or `dnf install valkey`)"
                .to_owned()
        })
}

/// Whether these ports can be listened on at this address.
///
/// # Errors
///
/// Names the first that cannot.
pub fn free(ip: Ipv4Addr, ports: &[u16]) -> io::Result<()> {
    for port in ports {
        TcpListener::bind((ip, *port)).map_err(|e| {
            io::Error::new(e.kind(), format!("port {port} of {ip} cannot be used: {e}"))
        })?;
    }
    Ok(())
}

/// Whether the first `hosts` addresses of a network have all the ports of a node free.
///
/// # Errors
///
/// Names the first port that is taken.
pub fn network_free(network: [u8; 3], hosts: u8) -> io::Result<()> {
    let [a, b, c] = network;
    (1..=hosts).try_for_each(|host| free(Ipv4Addr::new(a, b, c, host), &ALL_PORTS))
}

fn free_network() -> io::Result<[u8; 3]> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..50 {
        let [b, c, ..] = random().to_be_bytes();
        // 127.0.* is where people's own servers are.
        let network = [127, b.max(1), c];
        match network_free(network, 3) {
            Ok(()) => return Ok(network),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn start_redis(options: &Options, node: &Node) -> io::Result<Process> {
    let data = node.dir.join("redis");
    let _ = fs::remove_dir_all(&data);
    private_dir(&data)?;
    let mut args: Vec<OsString> = Vec::new();
    if let Some(config) = redis_config(&options.auth) {
        let file = node.dir.join("redis.conf");
        private_file(&file, &config)?;
        args.push(file.into());
    }
    let mut push = |key: &str, value: &str| args.extend([key.into(), value.into()]);
    push("--port", &REDIS_PORT.to_string());
    push("--bind", &node.ip.to_string());
    // All outgoing loopback connections come from 127.0.0.1; the address must be told.
    push("--replica-announce-ip", &node.ip.to_string());
    push("--protected-mode", "no");
    push("--dir", &data.to_string_lossy());
    args.extend(BOOT_FENCE.iter().map(OsString::from));
    args.extend(options.redis_args.iter().chain(&node.redis_args).map(OsString::from));
    Process::start(&options.exe, &options.redis_server, args, node.redis_log())
}

fn redis_config(auth: &Auth) -> Option<String> {
    match auth {
        Auth::None => None,
        Auth::Password(password) => {
            Some(format!("requirepass {password}\nmasterauth {password}\n"))
        }
        Auth::User { name, password } => Some(format!(
            "user default off\nuser {name} on >{password} ~* &* +@all\n\
             masteruser {name}\nmasterauth {password}\n"
        )),
    }
}

fn start_hive(options: &Options, node: &Node, dns: SocketAddr) -> io::Result<Process> {
    let mut args = sidecar_args(node.ip, dns);
    let mut push = |key: &str, value: &str| args.extend([key.into(), value.into()]);
    let file = node.dir.join("password");
    match &options.auth {
        Auth::None => {}
        Auth::Password(password) => {
            private_file(&file, password)?;
            push("--redis-password-file", &file.to_string_lossy());
        }
        Auth::User { name, password } => {
            private_file(&file, password)?;
            push("--redis-username", name);
            push("--redis-password-file", &file.to_string_lossy());
        }
    }
    args.extend(options.hive_args.iter().chain(&node.hive_args).map(OsString::from));
    Process::start(&options.exe, &options.exe, args, node.hive_log())
}

/// The arguments of a sidecar at `ip` that finds its peers through the DNS server at `dns`,
/// without credentials.
#[must_use]
pub fn sidecar_args(ip: Ipv4Addr, dns: SocketAddr) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["run".into()];
    let mut push = |key: &str, value: &str| args.extend([key.into(), value.into()]);
    push("--service", LocalHive::SERVICE);
    push("--dns-server", &dns.to_string());
    push("--advertise", &ip.to_string());
    push("--bind", &ip.to_string());
    push("--redis", &SocketAddr::from((ip, REDIS_PORT)).to_string());
    args
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn private_file(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// Unpredictable enough for a directory name; the keys of a hash map come from the kernel.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// A directory that goes with the value, unless `HIVE_DEV_KEEP` is set.
struct TempDir {
    path: PathBuf,
}

impl TempDir {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("redis-hive-{:016x}", random()));
        private_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::env::var_os("HIVE_DEV_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The address as DNS and the other rooms have it.
impl From<&Node> for IpAddr {
    fn from(node: &Node) -> Self {
        Self::V4(node.ip)
    }
}
