//! What it takes to start a node: addresses that are free, a server binary, arguments, secrets in
//! files.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::nodes::{LocalHive, Node};
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
    /// Nodes with the last bytes 1 to 3 are known to be free then.
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

/// The flags every Redis of a hive is started with, so that it can never be a master by accident.
pub const BOOT_FENCE: [&str; 17] = [
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
];

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

/// Whether all ports of a node can be listened on at this address.
///
/// # Errors
///
/// Names the first that cannot.
pub(super) fn free(ip: Ipv4Addr) -> io::Result<()> {
    for port in [REDIS_PORT, PROXY_PORT, READ_PORT, PEER_PORT, HTTP_PORT] {
        TcpListener::bind((ip, port)).map_err(|e| {
            io::Error::new(e.kind(), format!("port {port} of {ip} cannot be used: {e}"))
        })?;
    }
    Ok(())
}

/// A network that is ours as long as the value lives: nobody listens on the ports of its first
/// addresses, and no other hive of this kind may take it.
#[derive(Debug)]
pub(super) struct Network {
    bytes: [u8; 3],
    /// Two hives that start in the same moment both see free ports; only one gets this.
    _claim: UdpSocket,
}

impl Network {
    /// Takes the network if the first `hosts` addresses are free.
    pub(super) fn take(bytes: [u8; 3], hosts: u8) -> io::Result<Self> {
        let [a, b, c] = bytes;
        (1..=hosts).try_for_each(|host| free(Ipv4Addr::new(a, b, c, host)))?;
        let claim = UdpSocket::bind((Ipv4Addr::new(a, b, c, 1), PEER_PORT))?;
        Ok(Self { bytes, _claim: claim })
    }

    /// Takes one that is chosen by chance.
    pub(super) fn any() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..50 {
            let [b, c, ..] = random().to_be_bytes();
            // 127.0.* is where people's own servers are.
            match Self::take([127, b.max(1), c], 3) {
                Ok(network) => return Ok(network),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// The address with this last byte.
    pub(super) fn ip(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.bytes;
        Ipv4Addr::new(a, b, c, host)
    }
}

/// Starts a node's Redis: empty, and fenced.
pub(super) fn launch_redis(options: &Options, node: &Node) -> io::Result<Process> {
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

/// Starts a node's sidecar.
pub(super) fn launch_hive(options: &Options, node: &Node, dns: SocketAddr) -> io::Result<Process> {
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

pub(super) fn private_dir(path: &Path) -> io::Result<()> {
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
pub(super) struct TempDir {
    pub(super) path: PathBuf,
}

impl TempDir {
    pub(super) fn new() -> io::Result<Self> {
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
