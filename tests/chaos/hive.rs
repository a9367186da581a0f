//! A hive in the lab: its processes, its DNS, and what it says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::dns::DnsServer;
use redis_hive::cli::dev::http;
use redis_hive::cli::dev::launch::{HTTP_PORT, PROXY_PORT, REDIS_PORT};
use redis_hive::cli::dev::nodes::LocalHive;
pub use redis_hive::cli::dev::nodes::Part;
use redis_hive::cli::dev::process::Process;
use serde_json::Value;

use super::lab::{self, Lab};
use super::load::Service;
pub use super::pods::{connect, launch};
use super::pods::{start_hive, start_redis};
use super::watch::Watch;

/// What every hive and every Redis of a run is started with.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The server binary.
    pub server: PathBuf,
    /// More arguments for every sidecar.
    pub hive_args: Vec<String>,
}

/// A pod.
pub struct Node {
    pub(super) host: u8,
    pub(super) dir: PathBuf,
    redis: Option<Process>,
    hive: Option<Process>,
    pub(super) hive_args: Vec<String>,
    pub(super) fenced: bool,
}

impl Node {
    fn each(&mut self, part: Part) -> impl Iterator<Item = &mut Process> {
        let redis = self.redis.as_mut().filter(|_| part != Part::Hive);
        let hive = self.hive.as_mut().filter(|_| part != Part::Redis);
        redis.into_iter().chain(hive)
    }

    fn runs(&mut self, part: Part) -> bool {
        let up = |p: &mut Option<Process>| {
            p.as_mut().is_some_and(|p| p.ended().is_none() && !p.frozen())
        };
        (part == Part::Hive || up(&mut self.redis)) && (part == Part::Redis || up(&mut self.hive))
    }

    /// The process id of its Redis and of its sidecar, as far as they were started.
    fn pids(&self) -> [Option<u32>; 2] {
        [&self.redis, &self.hive].map(|p| p.as_ref().map(Process::id))
    }
}

/// What all hives agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub epoch: u64,
    pub leader: u8,
    pub master: u8,
}

/// The hive under test. All of it goes with the value.
pub struct Hive {
    // Processes end before their namespaces go: fields are dropped in this order.
    nodes: BTreeMap<u8, Node>,
    pub lab: Lab,
    pub dns: DnsServer,
    pub watch: Watch,
    /// Where clients connect to.
    pub service: Service,
    setting: Setting,
    dir: PathBuf,
    next: u8,
}

impl Hive {
    /// A lab without a node; files go into `dir`.
    pub fn new(setting: Setting, dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let lab = Lab::new()?;
        let watch = Watch::start(lab.shared());
        let dns = DnsServer::start_on(lab::CLIENTS, LocalHive::SERVICE)?;
        let service = Service::default();
        Ok(Self { nodes: BTreeMap::new(), lab, dns, watch, service, setting, dir, next: 1 })
    }

    /// The nodes there are.
    pub fn hosts(&self) -> Vec<u8> {
        self.nodes.keys().copied().collect()
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server binary.
    pub fn server(&self) -> &Path {
        &self.setting.server
    }

    /// The master, if all agree on one now.
    pub fn settled(&mut self) -> Result<u8, String> {
        Ok(self.agreed()?.master)
    }

    /// Adds an empty pod at an address nobody had, and lists it.
    pub fn add(&mut self) -> io::Result<u8> {
        self.add_with(&[], true)
    }

    /// The same with more arguments for its sidecar, and without a Redis for a witness.
    pub fn add_with(&mut self, hive_args: &[&str], redis: bool) -> io::Result<u8> {
        let host = self.next;
        self.next += 1;
        self.lab.add(host)?;
        self.dns.list(lab::ip(host));
        self.place(host, hive_args)?;
        self.revive(host, if redis { Part::Both } else { Part::Hive })?;
        if redis {
            self.service.add(host);
        }
        Ok(host)
    }

    /// A pod without processes on wires that are there.
    pub fn place(&mut self, host: u8, hive_args: &[&str]) -> io::Result<()> {
        let dir = self.dir.join(format!("node-{host}"));
        std::fs::create_dir_all(&dir)?;
        let hive_args = hive_args.iter().map(|a| (*a).to_owned()).collect();
        let node = Node { host, dir, redis: None, hive: None, hive_args, fenced: true };
        self.nodes.insert(host, node);
        Ok(())
    }

    /// Takes the boot fence away from (or gives it back to) a Redis that is started later.
    pub fn set_fenced(&mut self, host: u8, fenced: bool) {
        if let Some(node) = self.nodes.get_mut(&host) {
            node.fenced = fenced;
        }
    }

    /// Starts what of `part` does not live; Redis is always empty.
    pub fn revive(&mut self, host: u8, part: Part) -> io::Result<()> {
        let dns = self.dns.addr();
        let setting = self.setting.clone();
        let node = self.node(host)?;
        let dead = |p: &mut Option<Process>| p.as_mut().is_none_or(|p| p.ended().is_some());
        if part != Part::Hive && dead(&mut node.redis) {
            node.redis = Some(start_redis(&setting, node)?);
        }
        if part != Part::Redis && dead(&mut node.hive) {
            node.hive = Some(start_hive(&setting, node, dns)?);
        }
        let (pids, has_redis) = (node.pids(), node.redis.is_some());
        self.watch.set(host, pids, has_redis);
        self.note(host)
    }

    /// SIGKILL for all of these in one instant.
    pub fn kill(&mut self, host: u8, part: Part) -> io::Result<()> {
        let node = self.node(host)?;
        node.each(part).for_each(Process::freeze);
        node.each(part).for_each(Process::kill);
        self.note(host)
    }

    /// SIGTERM as a pod gets it: the hive first, Redis when it has gone. Says how long it took.
    pub fn stop(&mut self, host: u8, limit: Duration) -> Result<Duration, String> {
        let start = Instant::now();
        let node = self.node(host).map_err(|e| e.to_string())?;
        for part in [Part::Hive, Part::Redis] {
            for process in node.each(part) {
                process.terminate();
                if process.wait(limit).is_none() {
                    return Err(format!("{part:?} of {host} does not stop within {limit:?}"));
                }
            }
        }
        self.note(host).map_err(|e| e.to_string())?;
        Ok(start.elapsed())
    }

    /// SIGSTOP.
    pub fn freeze(&mut self, host: u8, part: Part) -> io::Result<()> {
        self.node(host)?.each(part).for_each(Process::freeze);
        self.note(host)
    }

    /// SIGCONT.
    pub fn thaw(&mut self, host: u8, part: Part) -> io::Result<()> {
        self.node(host)?.each(part).for_each(Process::thaw);
        self.note(host)
    }

    /// The pod is deleted, with its address; what still runs is killed.
    pub fn remove(&mut self, host: u8) -> io::Result<()> {
        self.service.remove(host);
        self.watch.remove(host);
        if let Some(mut node) = self.nodes.remove(&host) {
            node.each(Part::Both).for_each(Process::freeze);
            node.each(Part::Both).for_each(Process::kill);
        }
        self.dns.unlist(lab::ip(host));
        self.lab.remove(host)
    }

    /// Whether the processes run and are not frozen.
    pub fn runs(&mut self, host: u8, part: Part) -> bool {
        self.nodes.get_mut(&host).is_some_and(|n| n.runs(part))
    }

    /// The process id of a Redis.
    pub fn redis_pid(&self, host: u8) -> Option<u32> {
        self.nodes.get(&host)?.pids()[0]
    }

    /// `/status`, over the wire that no fault touches.
    pub fn status(&self, host: u8) -> Option<Value> {
        let addr = SocketAddr::from((lab::watched(host), HTTP_PORT));
        let (code, body) = http::get(addr, "/status", Duration::from_millis(700)).ok()?;
        if code == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    /// The pod's readiness.
    pub fn ready(&self, host: u8) -> bool {
        let addr = SocketAddr::from((lab::watched(host), HTTP_PORT));
        http::get(addr, "/readyz", Duration::from_millis(700)).is_ok_and(|(code, _)| code == 200)
    }

    /// What the running hives agree on; `Err` tells what they say if they do not, or if a running
    /// Redis beside one of them has no current copy.
    pub fn agreed(&mut self) -> Result<Agreed, String> {
        let hosts = self.hosts();
        let hosts: Vec<u8> = hosts.into_iter().filter(|h| self.runs(*h, Part::Hive)).collect();
        let mut views = BTreeSet::new();
        let mut seen = Vec::new();
        for host in &hosts {
            let status = self.status(*host).ok_or_else(|| format!("{host} does not answer"))?;
            let copy = self.nodes.get(host).is_some_and(|n| n.redis.is_some());
            let says = &status["redis"];
            let master = format!("{}:{REDIS_PORT}", lab::ip(*host));
            let fits = (says["role"] == "master") == (status["master"] == master.as_str());
            let current =
                !copy || !self.runs(*host, Part::Redis) || (fits && says["current"] == true);
            let epoch = status["epoch"].as_u64().unwrap_or(0);
            let ip = |v: &Value| v.as_str().and_then(|s| s.parse::<IpAddr>().ok());
            let addr = |v: &Value| v.as_str().and_then(|s| s.parse::<SocketAddr>().ok());
            let (leader, master) = (ip(&status["leader"]), addr(&status["master"]));
            let last = |a: IpAddr| if let IpAddr::V4(a) = a { a.octets()[3] } else { 0 };
            let view = (epoch, leader.map(last), master.map(|m| last(m.ip())));
            let role = status["role"].as_str().unwrap_or("?");
            let mark = if current { "" } else { " WITHOUT ITS COPY" };
            seen.push(format!(
                "{host}: {role} e{epoch} leader {:?} master {:?}{mark}",
                view.1, view.2
            ));
            views.insert(view);
            if !current {
                views.insert((0, None, None));
            }
        }
        match views.into_iter().collect::<Vec<_>>()[..] {
            [(epoch, Some(leader), Some(master))] if hosts.contains(&leader) => {
                self.replicated(&hosts, master)?;
                Ok(Agreed { epoch, leader, master })
            }
            _ => Err(seen.join("; ")),
        }
    }

    /// Whether every running Redis says itself that it is this master or is fed by it: hives may
    /// not have noticed yet what was just done.
    fn replicated(&mut self, hosts: &[u8], master: u8) -> Result<(), String> {
        for host in hosts {
            let running = self.nodes.get_mut(host).is_some_and(|n| n.redis.is_some());
            if !running || !self.runs(*host, Part::Redis) {
                continue;
            }
            let ask = |mut c: redis::Connection| {
                redis::cmd("INFO").arg("replication").query::<String>(&mut c)
            };
            let info = self.redis(*host).and_then(ask).map_err(|e| format!("Redis {host}: {e}"))?;
            let says = |line: &str| info.lines().any(|l| l.trim_end() == line);
            let fed =
                says(&format!("master_host:{}", lab::ip(master))) && says("master_link_status:up");
            if if *host == master { !says("role:master") } else { !fed } {
                return Err(format!("the Redis of {host} is not what the hives say"));
            }
        }
        Ok(())
    }

    /// Waits until all agree and are current, and a write through every hive works. Tells how long
    /// it took, or what was in the way.
    pub fn settle(&mut self, limit: Duration) -> Result<(Agreed, Duration), String> {
        let start = Instant::now();
        loop {
            let found = self.agreed().and_then(|agreed| {
                let hosts = self.hosts();
                let served = hosts.into_iter().filter(|h| self.runs(*h, Part::Hive));
                served.collect::<Vec<_>>().into_iter().try_for_each(|h| self.serves(h))?;
                Ok(agreed)
            });
            match found {
                Ok(agreed) => return Ok((agreed, start.elapsed())),
                Err(why) if start.elapsed() >= limit => {
                    return Err(format!("not settled after {limit:?}: {why}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether a write through this hive is taken.
    fn serves(&self, host: u8) -> Result<(), String> {
        let addr = SocketAddr::from((lab::watched(host), PROXY_PORT));
        let wait = Duration::from_millis(700);
        let write = || -> redis::RedisResult<()> {
            let mut connection = connect(addr, wait)?;
            redis::cmd("SET").arg("probe").arg(1).exec(&mut connection)
        };
        write().map_err(|e| format!("no write through {host}: {e}"))
    }

    /// A connection to a node's Redis, past its sidecar and past all faults.
    pub fn redis(&self, host: u8) -> redis::RedisResult<redis::Connection> {
        connect(SocketAddr::from((lab::watched(host), REDIS_PORT)), Duration::from_secs(3))
    }

    /// Runs a command of redis-hive beside a sidecar; what it says if it fails.
    pub fn command(&self, host: u8, args: &[&str]) -> Result<String, String> {
        let exe = Path::new(env!("CARGO_BIN_EXE_redis-hive"));
        let args = args.iter().map(OsString::from).collect();
        let mut command = std::process::Command::new("ip");
        command.args(lab::inside(host, exe, args));
        let out = command.output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if out.status.success() {
            return Ok(text);
        }
        Err(format!("{args:?}: {text}{}", String::from_utf8_lossy(&out.stderr), args = command))
    }

    /// Writes what every sidecar and every Redis says of itself beside its logs.
    pub fn record(&self) {
        for (host, node) in &self.nodes {
            let status = self.status(*host).map(|s| format!("{s:#}")).unwrap_or_default();
            let info =
                self.redis(*host).and_then(|mut c| redis::cmd("INFO").query::<String>(&mut c));
            let text = format!("{status}\n{}\n", info.unwrap_or_else(|e| e.to_string()));
            let _ = std::fs::write(node.dir.join("status.log"), text);
        }
    }

    /// What sidecars wrote before they died of a broken invariant.
    pub fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return found };
        for entry in entries.flatten() {
            let log = entry.path().join("hive.log");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let mut lines = text.lines();
            while let Some(line) = lines.by_ref().find(|l| l.contains("panicked at")) {
                found.push(format!("{}: {line} {}", log.display(), lines.next().unwrap_or("")));
            }
        }
        found
    }

    fn node(&mut self, host: u8) -> io::Result<&mut Node> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no node {host}"));
        self.nodes.get_mut(&host).ok_or_else(missing)
    }

    /// Tells the network's picture whether this node relays anything.
    fn note(&mut self, host: u8) -> io::Result<()> {
        let runs = self.runs(host, Part::Hive);
        self.lab.change(|net| {
            if runs {
                net.stopped.remove(&host)
            } else {
                net.stopped.insert(host)
            };
        })
    }
}
