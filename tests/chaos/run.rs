//! One hive under load, what is done to it step by step, and the judgement after every step.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::history::{self, Ack, Fault, now};
use super::hive::{Agreed, Hive, Part, Setting};
use super::load::{Amount, Load};
use super::rng::Rng;
use super::watch::{CANARY, Usage};

/// What a step may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: planned changes, crashes of a hive alone, followers.
    None,
    /// What had not left a master that crashed, or what the losing side of a partition took.
    Tail,
    /// Everything: all copies were destroyed.
    All,
}

/// Something that is done to a hive. Afterwards as many pods must run as before.
#[derive(Clone, Copy)]
pub struct Step {
    pub name: &'static str,
    pub loss: Loss,
    /// How soon after its end all must be well.
    pub within: Duration,
    pub run: fn(&mut Chaos) -> Done,
}

/// Why it could not be done.
pub type Done = Result<(), String>;

/// All must be well within this time of the last fault.
pub const SOON: Duration = Duration::from_secs(5);
/// The same where `--redis-timeout` is part of it.
pub const LATER: Duration = Duration::from_secs(10);
/// A replica has everything within this time. TCP tries a cut connection again only after about as
/// long as it was cut.
const COPIES: Duration = Duration::from_secs(15);
/// What was acknowledged longer than this before a crash has left the master.
const TAIL: u64 = 1_000_000;
/// How much more than at the start a process may take when all is well again.
const MORE_MIB: u64 = 64;
const MORE_FDS: u64 = 100;

/// A machine that lets a sleeping thread wait for so long longer measures itself, not the hive: this
/// and a heartbeat are most of a lease.
const STALL: Duration = Duration::from_millis(250);

/// What became of a step.
pub struct Verdict {
    pub wrong: Vec<String>,
    /// The machine was too busy for a fair judgement.
    pub stalled: bool,
}

/// A hive under load.
pub struct Chaos {
    // The clients end first.
    pub load: Load,
    pub hive: Hive,
    pub rng: Rng,
    pub faults: Vec<Fault>,
    /// The hive without a Redis, if there is one.
    pub witness: Option<u8>,
    /// There may never be two masters.
    pub exclusive: bool,
    base: Usage,
    nodes: usize,
    long: bool,
}

impl Chaos {
    /// Starts `nodes` pods, waits until they are well, and lets the clients loose.
    pub fn start(
        setting: Setting,
        dir: PathBuf,
        nodes: usize,
        witness: bool,
        amount: Amount,
        rng: Rng,
        long: bool,
    ) -> Result<Self, String> {
        let text = |e: std::io::Error| format!("start: {e}");
        let exclusive = setting.hive_args.iter().any(|a| a == "--quorum");
        let mut hive = Hive::new(setting, dir).map_err(text)?;
        // It is there first: a quorum needs it.
        let witness =
            witness.then(|| hive.add_with(&["--witness"], false)).transpose().map_err(text)?;
        for _ in 0..nodes {
            hive.add().map_err(text)?;
        }
        let (agreed, _) = hive.settle(Duration::from_secs(20))?;
        plant(&hive, agreed, nodes - 1)?;
        let base = largest(&hive);
        let load = Load::start(&hive.service, amount);
        let nodes = hive.hosts().len();
        Ok(Self { load, hive, rng, faults: Vec::new(), witness, exclusive, base, nodes, long })
    }

    /// Waits until all is well and the hive beside the master leads.
    pub fn ready(&mut self) -> Result<Agreed, String> {
        let start = Instant::now();
        loop {
            let (agreed, _) = self.hive.settle(LATER)?;
            if agreed.leader == agreed.master {
                return Ok(agreed);
            }
            if start.elapsed() > LATER {
                return Err(format!("the leadership does not return to the master: {agreed:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether there is time.
    pub fn long(&self) -> bool {
        self.long
    }

    /// All nodes but this one.
    pub fn others(&self, host: u8) -> Vec<u8> {
        self.hive.hosts().into_iter().filter(|h| *h != host).collect()
    }

    /// Any node but this one.
    pub fn other(&mut self, host: u8) -> u8 {
        let others = self.others(host);
        self.rng.pick(&others)
    }

    /// Lets the clients work for a while; the seed says how long.
    pub fn wait(&mut self, least_ms: u64, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.rng.between(least_ms, most_ms + 1)));
    }

    /// From now on a fault is there; the number is for [`Chaos::end`].
    pub fn begin(&mut self, name: String, hosts: Vec<u8>) -> usize {
        self.faults.push(Fault { name, hosts, start: now(), end: u64::MAX });
        self.faults.len() - 1
    }

    /// It is mended.
    pub fn end(&mut self, fault: usize) {
        if let Some(fault) = self.faults.get_mut(fault) {
            fault.end = now();
        }
    }

    /// Does it, waits until all is well, and judges. Returns what was wrong, after printing it.
    pub fn step(&mut self, step: &Step) -> Verdict {
        self.hive.watch.take_stall();
        let start = now();
        let acks = self.load.history.acks();
        let before = self.faults.len();
        let whole = self.begin(step.name.to_owned(), Vec::new());
        let mut wrong = Vec::new();
        wrong.extend((step.run)(self).err());
        let settled = self.hive.settle(step.within);
        self.end(whole);
        // The mixed ones name their parts; those are to blame then.
        if self.faults.len() > before + 1 {
            self.faults.remove(whole);
        }
        let (mut took, written) = (None, self.load.history.acks().saturating_sub(acks));
        match settled {
            Ok((agreed, so_long)) => {
                took = Some(so_long);
                wrong.extend(self.judge_writes(step, agreed, start));
                wrong.extend(self.judge_liveness());
                wrong.extend(self.judge_growth());
            }
            Err(why) => wrong.push(why),
        }
        if self.hive.hosts().len() != self.nodes {
            wrong.push(format!("{} pods are left of {}", self.hive.hosts().len(), self.nodes));
        }
        let end = now();
        let seen = self.load.history.take_seen();
        if step.loss == Loss::None {
            wrong.extend(seen.backsteps.iter().take(5).cloned());
            wrong.extend(seen.disorder.iter().take(5).cloned());
        }
        if self.exclusive {
            wrong.extend(self.load.history.overlaps(start));
        }
        wrong.extend(self.hive.watch.take_violations());
        wrong.extend(self.hive.panics());
        let stall = self.hive.watch.take_stall();
        let (dark, worst) = self.load.history.outage(start, end);
        println!(
            "{} {:60} {:5.1} s, well after {}; dark {:5.2} s, worst client {:5.2} s, {:4} errors, \
             {written:5} writes, {:3} back{}",
            if wrong.is_empty() { "ok  " } else { "FAIL" },
            step.name,
            (end - start) as f64 / 1e6,
            took.map_or("  never".into(), |t| format!("{:5.2} s", t.as_secs_f64())),
            dark.as_secs_f64(),
            worst.as_secs_f64(),
            seen.errors,
            seen.backsteps.len(),
            if stall > STALL {
                format!(", THE MACHINE STOOD STILL FOR {stall:.1?}")
            } else {
                String::new()
            },
        );
        for line in &wrong {
            println!("       {line}");
        }
        if !wrong.is_empty() {
            self.hive.record();
            for (kind, count) in &seen.kinds {
                println!("       {count} x {kind}");
            }
        }
        Verdict { wrong, stalled: stall > STALL }
    }

    /// Looks for what was acknowledged, on the master and on every copy.
    fn judge_writes(&mut self, step: &Step, agreed: Agreed, start: u64) -> Vec<String> {
        let until = now();
        let history = &self.load.history;
        let mut wrong = Vec::new();
        let missing = self
            .hive
            .redis(agreed.master)
            .and_then(|mut master| history.missing(&mut master, until, false));
        let lost = match missing {
            Ok(lost) => lost,
            Err(e) => {
                return vec![format!("the master {} does not tell its keys: {e}", agreed.master)];
            }
        };
        let told = history::tell(&lost, &self.faults);
        let unexplained = |ack: &Ack| {
            let fault = history::blame(&self.faults, ack.at, ack.by);
            step.loss != Loss::All
                && fault.is_none_or(|f| ack.at + TAIL < f.start || f.start < start)
        };
        if step.loss == Loss::None {
            wrong.extend(told.iter().map(|line| format!("LOST WRITES: {line}")));
        } else {
            told.iter().for_each(|line| println!("     lost: {line}"));
            let strange = lost.iter().filter(|(_, ack)| unexplained(ack)).count();
            if strange > 0 {
                wrong.push(format!("{strange} of the lost writes are explained by no fault"));
            }
        }
        for host in self.hive.hosts() {
            if host != agreed.master && Some(host) != self.witness {
                wrong.extend(self.judge_copy(host, until, &lost));
            }
        }
        self.load.history.checked(until, &lost);
        wrong
    }

    /// A replica may be a moment behind.
    fn judge_copy(&self, host: u8, until: u64, lost: &[(u8, Ack)]) -> Option<String> {
        let deadline = Instant::now() + COPIES;
        loop {
            let missing = self
                .hive
                .redis(host)
                .and_then(|mut copy| self.load.history.missing(&mut copy, until, false));
            let why = match missing {
                Ok(mut missing) => {
                    missing.retain(|m| !lost.contains(m));
                    if missing.is_empty() {
                        return None;
                    }
                    format!("the copy of {host} lacks {} writes that the master has", missing.len())
                }
                Err(e) => format!("the copy of {host} does not tell its keys: {e}"),
            };
            if Instant::now() > deadline {
                return Some(why);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything that was ever acknowledged and not lost before is still there.
    pub fn judge_all(&mut self) -> Vec<String> {
        let until = now();
        let found = self.hive.settle(LATER).and_then(|(agreed, _)| {
            let mut master = self.hive.redis(agreed.master).map_err(|e| e.to_string())?;
            self.load.history.missing(&mut master, until, true).map_err(|e| e.to_string())
        });
        match found {
            Ok(lost) => history::tell(&lost, &self.faults),
            Err(why) => vec![why],
        }
    }

    /// Subscribers hear, and those who wait get something.
    fn judge_liveness(&self) -> Option<String> {
        let history = &self.load.history;
        let count =
            || [history.heard.load(Ordering::Relaxed), history.popped.load(Ordering::Relaxed)];
        let before = count();
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            if count().iter().zip(before).all(|(now, then)| *now > then) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let [heard, popped] = count();
        Some(format!(
            "within {SOON:?} the subscriber heard {} messages, and BLPOP got {} elements",
            heard - before[0],
            popped - before[1]
        ))
    }

    fn judge_growth(&self) -> Option<String> {
        let now = largest(&self.hive);
        let grown =
            now.rss_mib > self.base.rss_mib + MORE_MIB || now.fds > self.base.fds + MORE_FDS;
        grown.then(|| format!("a sidecar takes {now:?}; at the start it was {:?}", self.base))
    }

    /// The data set was destroyed by intention: clients and judges start anew.
    pub fn forget(&mut self) -> Done {
        self.hive.watch.guard_canary(false);
        self.load.history.forget();
        Ok(())
    }

    /// A new canary, after a data set was destroyed.
    pub fn replant(&mut self) -> Done {
        let (agreed, _) = self.hive.settle(LATER)?;
        let copies = self.nodes - 1 - usize::from(self.witness.is_some());
        plant(&self.hive, agreed, copies)
    }

    /// Starts what does not run of every pod.
    pub fn revive_all(&mut self) -> Done {
        for host in self.hive.hosts() {
            let part = if Some(host) == self.witness { Part::Hive } else { Part::Both };
            self.hive.revive(host, part).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// Writes the canary to every copy and guards it.
fn plant(hive: &Hive, agreed: Agreed, copies: usize) -> Done {
    let write = || -> redis::RedisResult<usize> {
        let mut master = hive.redis(agreed.master)?;
        redis::cmd("SET").arg(CANARY).arg(1).exec(&mut master)?;
        redis::cmd("WAIT").arg(copies).arg(2000).query(&mut master)
    };
    let have = write().map_err(|e| format!("the canary: {e}"))?;
    if have < copies {
        return Err(format!("the canary reached {have} of {copies} replicas"));
    }
    hive.watch.guard_canary(true);
    Ok(())
}

/// The most that any sidecar takes.
fn largest(hive: &Hive) -> Usage {
    let mut most = Usage::default();
    for [_, sidecar] in hive.watch.usage().values() {
        if let Some(usage) = sidecar {
            most.rss_mib = most.rss_mib.max(usage.rss_mib);
            most.fds = most.fds.max(usage.fds);
        }
    }
    most
}
