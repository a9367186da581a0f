//! A whole hive on this machine: real Redis servers and real sidecars, each pair on a loopback
//! address of its own with the default ports, found through an embedded DNS.
//!
//! Everything here blocks; `dev` and the tests on real servers use it from ordinary threads.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dns::DnsServer;
pub use super::launch::{
    Auth, HTTP_PORT, Options, PEER_PORT, PROXY_PORT, READ_PORT, REDIS_PORT, find_redis_server,
    sidecar_args,
};
use super::launch::{Network, TempDir, free, launch_hive, launch_redis, private_dir};
use super::process::Process;

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
    pub(super) ip: Ipv4Addr,
    pub(super) dir: PathBuf,
    redis: Option<Process>,
    hive: Option<Process>,
    pub(super) hive_args: Vec<String>,
    pub(super) redis_args: Vec<String>,
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
    network: Network,
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
    /// The network is not free, or the DNS or the directory cannot be made.
    pub fn new(options: Options) -> io::Result<Self> {
        let network = match options.network {
            Some(bytes) => Network::take(bytes, 1)?,
            None => Network::any()?,
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
        self.network.ip(host)
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
        free(ip)?;
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
            node.redis = Some(launch_redis(&options, node)?);
        }
        if part.hive() && !node.alive(Part::Hive) {
            node.hive = Some(launch_hive(&options, node, dns)?);
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
