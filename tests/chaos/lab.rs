//! The network: a bridge in a namespace of its own, one namespace for every node with its own
//! address, and this process, with all clients and the DNS server, in another one.
//!
//! Everything hangs on a private mount namespace: when the last process in it has ended, however it
//! ended, the kernel takes all namespaces, links and rules away. Nothing has to be cleaned up.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::net::Net;

/// Where the clients and the DNS server are.
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);
/// Set in the process that already is where it belongs.
const INSIDE: &str = "HIVE_CHAOS_INSIDE";
/// What has to be there, and the package that has it.
const TOOLS: [(&str, &str); 3] =
    [("ip", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux")];

/// The address of a node.
pub fn ip(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host)
}

/// A second address of a node, on a wire that no fault touches: what the suite watches through.
pub fn watched(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, host, 2)
}

/// How this process gets its namespaces.
///
/// # Errors
///
/// What is missing, in words.
pub fn way() -> Result<&'static [&'static str], String> {
    const WAYS: [&[&str]; 3] = [
        &["unshare", "--net", "--mount"],
        &["unshare", "--map-root-user", "--net", "--mount"],
        &["sudo", "-n", "-E", "unshare", "--net", "--mount"],
    ];
    // The last thing that is needed and that a user namespace may forbid.
    const PROBE: &str = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add x && \
                         ip netns exec x nft add table ip x";
    for (tool, package) in TOOLS {
        let mut probe = Command::new(tool);
        probe.arg("--help").env("PATH", path()).stdout(Stdio::null()).stderr(Stdio::null());
        if probe.status().is_err() {
            return Err(format!("{tool} is missing: apt-get install {package}"));
        }
    }
    let works = |way: &&&[&str]| {
        let mut command = command(way);
        command.args(["sh", "-c", PROBE]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    WAYS.iter().find(works).copied().ok_or_else(|| {
        "network namespaces need root, sudo without a password or user namespaces".to_owned()
    })
}

/// Goes on in new namespaces: replaces this process by one that runs the same command there.
/// Returns at once in that one.
///
/// # Errors
///
/// What is missing, in words.
pub fn enter() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return prepare().map_err(|e| format!("prepare the namespaces: {e}"));
    }
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = command(way()?);
    command.arg(exe).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Err(command.exec().to_string())
}

fn command(way: &[&str]) -> Command {
    let mut command = Command::new(way.first().copied().unwrap_or("unshare"));
    command.args(way.get(1..).unwrap_or_default()).env("PATH", path());
    command
}

/// A folder in memory, so that a slow disk stops nobody; it goes with the process.
pub fn in_memory(dir: &Path) -> io::Result<()> {
    run("mount", &["-t", "tmpfs", "redis-hive-chaos", &dir.to_string_lossy()], "")
}

/// `ip` and `nft` may be where only root's PATH leads.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Names of namespaces are files under /run/netns: ours are to be seen by nobody else.
fn prepare() -> io::Result<()> {
    run("mount", &["-t", "tmpfs", "redis-hive-chaos", "/run"], "")?;
    std::fs::create_dir_all("/run/netns")
}

/// The wires of one hive; they go with the value. One at a time.
pub struct Lab {
    net: Arc<Mutex<Net>>,
    hosts: Vec<u8>,
}

impl Lab {
    /// A bridge with this process on it, and no node.
    pub fn new() -> io::Result<Self> {
        let lab = Self { net: Arc::default(), hosts: Vec::new() };
        ip_batch(
            "",
            &[
                "link set lo up".into(),
                "netns add bridge".into(),
                "-n bridge link add br0 type bridge forward_delay 0".into(),
                "-n bridge link set br0 up".into(),
                "link add clients type veth peer name clients netns bridge".into(),
                "-n bridge link set clients master br0 up".into(),
                format!("addr add {CLIENTS}/24 dev clients"),
                "link set clients up".into(),
            ],
        )?;
        Ok(lab)
    }

    /// Adds a node's namespace with its address.
    pub fn add(&mut self, host: u8) -> io::Result<()> {
        let near = Ipv4Addr::new(10, 78, host, 1);
        self.hosts.push(host);
        ip_batch(
            "",
            &[
                format!("netns add n{host}"),
                format!("-n n{host} link set lo up"),
                format!("-n bridge link add p{host} type veth peer name eth0 netns n{host}"),
                format!("-n bridge link set p{host} master br0 up"),
                format!("-n n{host} addr add {}/24 dev eth0", ip(host)),
                format!("-n n{host} link set eth0 up"),
                format!("link add w{host} type veth peer name watch netns n{host}"),
                format!("addr add {near}/30 dev w{host}"),
                format!("link set w{host} up"),
                format!("-n n{host} addr add {}/30 dev watch", watched(host)),
                format!("-n n{host} link set watch up"),
            ],
        )
    }

    /// Takes a node's namespace away. Its processes must have ended.
    pub fn remove(&mut self, host: u8) -> io::Result<()> {
        self.hosts.retain(|h| *h != host);
        self.change(|net| net.forget(host))?;
        let lines = [
            format!("-n bridge link del p{host}"),
            format!("link del w{host}"),
            format!("netns del n{host}"),
        ];
        ip_batch("-force", &lines)
    }

    /// To look at from other threads.
    pub fn shared(&self) -> Arc<Mutex<Net>> {
        Arc::clone(&self.net)
    }

    /// Breaks or mends something, in one step.
    pub fn change(&self, change: impl FnOnce(&mut Net)) -> io::Result<()> {
        let mut net = self.lock();
        let before = net.clone();
        change(&mut net);
        if *net == before {
            return Ok(());
        }
        net.changed();
        // Breaking counts from before it is done, mending from after it: both are under the lock.
        let mut lines = Vec::new();
        for host in before.down.symmetric_difference(&net.down) {
            let how = if net.down.contains(host) { "nomaster" } else { "master br0" };
            lines.push(format!("-n bridge link set p{host} {how}"));
        }
        ip_batch("-force", &lines)?;
        nft("bridge", &net.rules())
    }

    fn lock(&self) -> MutexGuard<'_, Net> {
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut lines = vec!["netns del bridge".to_owned(), "link del clients".to_owned()];
        for host in &self.hosts {
            lines.push(format!("netns del n{host}"));
            lines.push(format!("link del w{host}"));
        }
        let _ = ip_batch("-force", &lines);
    }
}

/// The command that runs `program` with `args` inside a node's namespace; it replaces itself, so
/// that the process id stays.
pub fn inside(host: u8, program: &Path, args: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["netns", "exec", &format!("n{host}")].map(OsString::from).into();
    all.push(program.into());
    all.extend(args);
    all
}

/// Loads rules in a namespace.
pub fn nft(namespace: &str, rules: &str) -> io::Result<()> {
    run("ip", &["netns", "exec", namespace, "nft", "-f", "-"], rules)
}

/// Several `ip` commands; with `-force` those that fail are passed over.
fn ip_batch(option: &str, lines: &[String]) -> io::Result<()> {
    // `-batch` does not take `-n`, so each line is a process of its own: 2 ms.
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match run("ip", &words, "") {
            Err(e) if option.is_empty() => return Err(io::Error::other(format!("ip {line}: {e}"))),
            _ => {}
        }
    }
    Ok(())
}

fn run(program: &str, args: &[&str], input: &str) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read closes it early.
        let _ = stdin.write_all(input.as_bytes());
    }
    let out = child.wait_with_output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&out.stderr).trim())))
}
