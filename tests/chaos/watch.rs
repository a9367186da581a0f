//! What is checked at all times, over wires that no fault touches: how many masters a connected
//! group has, whether a complete copy was overwritten by an empty one, and what processes take.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis_hive::cli::dev::launch::REDIS_PORT;

use super::history::now;
use super::hive::connect;
use super::lab;
use super::net::Net;

/// The key that every complete copy has from the start.
pub const CANARY: &str = "canary";
/// How often every Redis is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Older than this is not known any more.
const FRESH: Duration = Duration::from_millis(500);
/// How long two leaders may take to settle it once they reach each other: to hear of one another
/// (a dial, a heartbeat), to compare and to give way.
pub const TWO_MASTERS: Duration = Duration::from_secs(3);

/// What one look at a Redis told.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    master: bool,
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub rss_mib: u64,
    pub fds: u64,
}

#[derive(Default)]
struct Shared {
    looks: BTreeMap<u8, Look>,
    violations: Vec<String>,
    /// Whether a replica whose copy is gone is worth a word.
    canary: bool,
}

/// The watchers; they end with the value.
pub struct Watch {
    stop: Arc<AtomicBool>,
    shared: Arc<Mutex<Shared>>,
    nodes: BTreeMap<u8, (Arc<AtomicBool>, JoinHandle<()>)>,
    pids: BTreeMap<u8, [Option<u32>; 2]>,
    judge: Option<JoinHandle<()>>,
    stalls: Arc<AtomicU64>,
    metronome: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the judge.
    pub fn start(net: Arc<Mutex<Net>>) -> Self {
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Shared>>::default());
        let judge = {
            let (stop, shared) = (Arc::clone(&stop), Arc::clone(&shared));
            Some(std::thread::spawn(move || judge(&net, &shared, &stop)))
        };
        let stalls = Arc::<AtomicU64>::default();
        let metronome = {
            let (stop, stalls) = (Arc::clone(&stop), Arc::clone(&stalls));
            Some(std::thread::spawn(move || metronome(&stalls, &stop)))
        };
        let (nodes, pids) = (BTreeMap::new(), BTreeMap::new());
        Self { stop, shared, nodes, pids, judge, stalls, metronome }
    }

    /// Watches a node, which has these processes from now on.
    pub fn set(&mut self, host: u8, pids: [Option<u32>; 2], has_redis: bool) {
        self.pids.insert(host, pids);
        if has_redis && !self.nodes.contains_key(&host) {
            let stop = Arc::new(AtomicBool::new(false));
            let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&self.shared));
            let thread = std::thread::spawn(move || watch(host, &shared, &stopped));
            self.nodes.insert(host, (stop, thread));
        }
    }

    /// The node is taken away.
    pub fn remove(&mut self, host: u8) {
        self.pids.remove(&host);
        if let Some((stop, thread)) = self.nodes.remove(&host) {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        lock(&self.shared).looks.remove(&host);
    }

    /// From now on every copy that had the canary has to keep it, or not any more.
    pub fn guard_canary(&self, guard: bool) {
        lock(&self.shared).canary = guard;
    }

    /// What was found since this was asked last.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared).violations)
    }

    /// The longest time since this was asked last that a thread which only sleeps did not run:
    /// what this machine made every process miss.
    pub fn take_stall(&self) -> Duration {
        Duration::from_micros(self.stalls.swap(0, Ordering::Relaxed))
    }

    /// What the Redis and the sidecar of every node take now.
    pub fn usage(&self) -> BTreeMap<u8, [Option<Usage>; 2]> {
        let of = |pids: &[Option<u32>; 2]| pids.map(|pid| pid.and_then(usage));
        self.pids.iter().map(|(host, pids)| (*host, of(pids))).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let hosts: Vec<u8> = self.nodes.keys().copied().collect();
        hosts.into_iter().for_each(|host| self.remove(host));
        for thread in [self.judge.take(), self.metronome.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

/// What a process takes now.
pub fn usage(pid: u32) -> Option<Usage> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(proc.join("status")).ok()?;
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().ok()?;
    let fds = std::fs::read_dir(proc.join("fd")).ok()?.count() as u64;
    Some(Usage { rss_mib: kib / 1024, fds })
}

/// Looks at one Redis again and again.
fn watch(host: u8, shared: &Mutex<Shared>, stop: &AtomicBool) {
    let addr = SocketAddr::from((lab::watched(host), REDIS_PORT));
    let mut connection = None;
    // The run that was seen with the canary.
    let mut had: Option<String> = None;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        if connection.is_none() {
            connection = connect(addr, Duration::from_millis(400)).ok();
        }
        let Some(open) = connection.as_mut() else { continue };
        let mut pipe = redis::pipe();
        pipe.cmd("INFO").arg("everything").cmd("EXISTS").arg(CANARY);
        // A loading Redis and a fenced one refuse the second.
        let Ok((info, canary)) = pipe.query::<(String, u64)>(open) else {
            let info = redis::cmd("INFO").arg("everything").query::<String>(open);
            match info {
                Ok(info) => see(host, shared, &info, None, &mut had),
                Err(_) => connection = None,
            }
            continue;
        };
        see(host, shared, &info, Some(canary > 0), &mut had);
    }
}

fn see(
    host: u8,
    shared: &Mutex<Shared>,
    info: &str,
    canary: Option<bool>,
    had: &mut Option<String>,
) {
    let field = |name: &str| {
        let value = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim_end().to_owned()
    };
    let run = field("run_id");
    let mut shared = lock(shared);
    let master = field("role") == "master";
    shared.looks.insert(host, Look { at: Instant::now(), master });
    let same = had.as_ref() == Some(&run);
    match canary {
        Some(true) => *had = Some(run),
        Some(false) if same && field("loading") != "1" && field("async_loading") != "1" => {
            *had = None;
            if shared.canary {
                shared.violations.push(format!(
                    "{} ms: the copy of {host} is gone while its Redis ran: role {}, master {}, keys {}",
                    now() / 1000,
                    field("role"),
                    field("master_host"),
                    field("db0")
                ));
            }
        }
        _ => {}
    }
}

fn metronome(longest: &AtomicU64, stop: &AtomicBool) {
    const BEAT: Duration = Duration::from_millis(20);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        std::thread::sleep(BEAT);
        let late = start.elapsed().saturating_sub(BEAT).as_micros() as u64;
        longest.fetch_max(late, Ordering::Relaxed);
    }
}

/// Looks for two masters that reach each other, again and again.
fn judge(net: &Mutex<Net>, shared: &Mutex<Shared>, stop: &AtomicBool) {
    let mut since: BTreeMap<(u8, u8), Instant> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let net = lock(net).clone();
        let (masters, hosts): (Vec<u8>, Vec<u8>) = {
            let shared = lock(shared);
            let fresh = |l: &Look| l.at.elapsed() < FRESH;
            let master = shared.looks.iter().filter(|(_, l)| l.master && fresh(l));
            (master.map(|(h, _)| *h).collect(), shared.looks.keys().copied().collect())
        };
        let mut pairs = Vec::new();
        for one in &masters {
            let group = net.group(*one, &hosts);
            pairs.extend(
                masters.iter().filter(|o| *o > one && group.contains(o)).map(|o| (*one, *o)),
            );
        }
        since.retain(|pair, _| pairs.contains(pair));
        for pair in pairs {
            let first = since.entry(pair).or_insert_with(Instant::now);
            // A change of the network starts it anew: it may have cut them for a moment.
            let start = net.since().map_or(*first, |changed| changed.max(*first));
            if start.elapsed() > TWO_MASTERS {
                let (a, b) = pair;
                let found = format!(
                    "{} ms: {a} and {b} are both master and reach each other",
                    now() / 1000
                );
                lock(shared).violations.push(found);
                *first = Instant::now() + Duration::from_secs(60);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
