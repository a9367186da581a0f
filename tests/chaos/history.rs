//! What was acknowledged, when; what of it is missing; and which fault did it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};

use super::load::key;

/// Microseconds since the start of the run, on the monotonic clock.
pub fn now() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// An acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub number: u32,
    pub sent: u64,
    pub at: u64,
    /// The hive it went through.
    pub via: u8,
    /// The Redis that executed it.
    pub by: u8,
    /// The promotion of that Redis, if it told: equal for all writes between two promotions.
    pub reign: Option<u64>,
}

/// A counter that showed less than what had been confirmed before it was asked.
#[derive(Clone, Copy, Debug)]
pub struct Backstep {
    pub at: u64,
    pub via: u8,
    pub floor: u64,
    pub value: u64,
    pub read: bool,
}

/// What was acknowledged this shortly before a crash may not have been copied yet, microseconds.
const SOON_AFTER: u64 = 500_000;

impl Backstep {
    fn tell(&self) -> String {
        let how = if self.read { "read" } else { "counted up to" };
        let Self { at, via, floor, value, .. } = self;
        format!(
            "at {} ms a client of {via} {how} {value}; before, {floor} was confirmed",
            at / 1000
        )
    }
}

/// Two sides that found each other again take so long to settle who goes on, microseconds.
const SETTLING: u64 = 1_000_000;

/// Something that was done to the hive.
#[derive(Clone, Debug)]
pub struct Fault {
    pub name: String,
    /// The nodes it hit; none: all of them.
    pub hosts: Vec<u8>,
    pub start: u64,
    pub end: u64,
}

/// What the clients saw.
pub struct History {
    writers: Vec<Mutex<Writes>>,
    seen: Mutex<Seen>,
    /// The last time a message came, and the number of the messages.
    pub heard: AtomicU64,
    pub popped: AtomicU64,
}

#[derive(Default)]
struct Writes {
    acks: Vec<Ack>,
    /// So many of them were looked for.
    checked: usize,
}

/// What is counted from one step to the next.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub errors: u64,
    pub kinds: BTreeMap<String, u64>,
    pub backsteps: Vec<String>,
    /// Messages that came twice or out of order, elements popped twice, damaged big values.
    pub disorder: Vec<String>,
    taken: std::collections::BTreeSet<u64>,
}

impl History {
    pub fn new(writers: u8) -> Self {
        Self {
            writers: (0..writers).map(|_| Mutex::default()).collect(),
            seen: Mutex::default(),
            heard: AtomicU64::new(0),
            popped: AtomicU64::new(0),
        }
    }

    pub fn acked(&self, writer: u8, ack: Ack) {
        if let Some(writes) = self.writers.get(usize::from(writer)) {
            lock(writes).acks.push(ack);
        }
    }

    pub fn failed(&self, via: u8, error: &redis::RedisError) {
        let mut seen = lock(&self.seen);
        seen.errors += 1;
        let text = format!("{error}");
        let kind = format!("via {via}: {}", text.chars().take(60).collect::<String>());
        // Errors may name a port or a time: not every one may be a kind of its own.
        if seen.kinds.len() < 30 || seen.kinds.contains_key(&kind) {
            *seen.kinds.entry(kind).or_default() += 1;
        }
    }

    pub fn stepped_back(&self, step: Backstep) {
        lock(&self.seen).backsteps.push(step.tell());
    }

    pub fn heard(&self, number: u64, in_order: bool) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        if !in_order {
            lock(&self.seen).disorder.push(format!("message {number} came twice or late"));
        }
    }

    pub fn popped(&self, number: u64) {
        self.popped.fetch_add(1, Ordering::Relaxed);
        let mut seen = lock(&self.seen);
        if !seen.taken.insert(number) {
            seen.disorder.push(format!("element {number} was popped twice"));
        }
    }

    pub fn big(&self, whole: bool) {
        if !whole {
            lock(&self.seen).disorder.push("a value of 1 MiB was damaged".into());
        }
    }

    /// What was counted since this was asked last.
    pub fn take_seen(&self) -> Seen {
        let mut seen = lock(&self.seen);
        let taken = seen.taken.clone();
        std::mem::replace(&mut *seen, Seen { taken, ..Seen::default() })
    }

    /// How many writes were acknowledged so far.
    pub fn acks(&self) -> usize {
        self.writers.iter().map(|w| lock(w).acks.len()).sum()
    }

    /// Promotions whose writes were acknowledged at the same time, since a moment: two masters.
    pub fn overlaps(&self, since: u64) -> Vec<String> {
        // Who executed it, when the first and the last one were acknowledged.
        let mut reigns: BTreeMap<u64, (u8, u64, u64)> = BTreeMap::new();
        for writer in &self.writers {
            let writes = lock(writer);
            let first = writes.acks.partition_point(|a| a.at < since);
            for ack in writes.acks.get(first..).unwrap_or_default() {
                let Some(id) = ack.reign else { continue };
                let reign = reigns.entry(id).or_insert((ack.by, ack.at, ack.at));
                reign.1 = reign.1.min(ack.at);
                reign.2 = reign.2.max(ack.at);
            }
        }
        let mut reigns: Vec<(u8, u64, u64)> = reigns.into_values().collect();
        reigns.sort_by_key(|(_, first, _)| *first);
        let pairs = reigns.iter().zip(reigns.iter().skip(1));
        let overlap = pairs.filter(|((_, _, last), (_, first, _))| last >= first);
        let tell = |((old, _, last), (new, first, _)): (&(u8, u64, u64), &(u8, u64, u64))| {
            let late = (last - first) as f64 / 1000.0;
            format!("TWO MASTERS: {old} acknowledged a write {late:.1} ms after {new} had opened")
        };
        overlap.map(tell).collect()
    }

    /// From `since` to `until`, the longest time without any acknowledged write, and without one of
    /// the same writer.
    pub fn outage(&self, since: u64, until: u64) -> (Duration, Duration) {
        // The last writer is the slow one, which has pauses of its own.
        let steady = self.writers.len().saturating_sub(1);
        let mut all = Vec::new();
        let mut worst = 0;
        for writer in self.writers.iter().take(steady) {
            let writes = lock(writer);
            let first = writes.acks.partition_point(|a| a.at < since);
            let times = writes.acks.get(first..).unwrap_or_default().iter().map(|a| a.at);
            let times: Vec<u64> = times.take_while(|at| *at <= until).collect();
            worst = worst.max(longest_gap(&times, since, until));
            all.extend(times);
        }
        all.sort_unstable();
        let dark = longest_gap(&all, since, until);
        (Duration::from_micros(dark), Duration::from_micros(worst))
    }

    /// Looks on a server for every write that was acknowledged until `until` and not looked for
    /// before; returns those that it does not have. With `again`, for all of them.
    pub fn missing(
        &self,
        server: &mut Connection,
        until: u64,
        again: bool,
    ) -> RedisResult<Vec<(u8, Ack)>> {
        let mut lost = Vec::new();
        for (id, writer) in (0..).zip(&self.writers) {
            let acks: Vec<Ack> = {
                let writes = lock(writer);
                let end = writes.acks.partition_point(|a| a.at <= until);
                let start = if again { 0 } else { writes.checked.min(end) };
                writes.acks.get(start..end).unwrap_or_default().to_vec()
            };
            for some in acks.chunks(500) {
                let keys: Vec<String> = some.iter().map(|a| key(id, a.number)).collect();
                let found: Vec<Option<String>> = redis::cmd("MGET").arg(keys).query(server)?;
                let gone = some.iter().zip(found).filter(|(_, value)| value.is_none());
                lost.extend(gone.map(|(ack, _)| (id, *ack)));
            }
        }
        Ok(lost)
    }

    /// Everything acknowledged until now was looked for. What is lost is forgotten, so that it is
    /// not reported twice.
    pub fn checked(&self, until: u64, lost: &[(u8, Ack)]) {
        for (id, writer) in (0_u8..).zip(&self.writers) {
            let mut writes = lock(writer);
            let gone = |a: &Ack| lost.iter().any(|(w, l)| *w == id && l.number == a.number);
            if !lost.is_empty() {
                writes.acks.retain(|a| !gone(a));
            }
            writes.checked = writes.acks.partition_point(|a| a.at <= until);
        }
    }

    /// Forgets all writes: the data set is gone by intention.
    pub fn forget(&self) {
        for writer in &self.writers {
            *lock(writer) = Writes::default();
        }
    }
}

/// The fault that took a write which `by` had executed and which was acknowledged at `at`: one that
/// hit that node soon after, else while it was going on; else any that was going on; else the next.
pub fn blame(faults: &[Fault], at: u64, by: u8) -> Option<&Fault> {
    let hits = |f: &&Fault| f.hosts.is_empty() || f.hosts.contains(&by);
    let soon = |f: &&Fault| f.start > at && f.start < at + SOON_AFTER;
    let during = |f: &&Fault| f.start <= at && at <= f.end.saturating_add(SETTLING);
    let next = || faults.iter().filter(|f| f.start > at).min_by_key(|f| f.start);
    faults
        .iter()
        .find(|f| hits(f) && soon(f))
        .or_else(|| faults.iter().rev().find(|f| hits(f) && during(f)))
        .or_else(|| faults.iter().rev().find(during))
        .or_else(next)
}

/// One line for every fault that lost something: how much, who had executed it, and when it had
/// been acknowledged, in milliseconds after the fault began.
pub fn tell(lost: &[(u8, Ack)], faults: &[Fault]) -> Vec<String> {
    let mut groups: BTreeMap<(u64, u8, u8), Vec<&Ack>> = BTreeMap::new();
    for (_, ack) in lost {
        let start = blame(faults, ack.at, ack.by).map_or(0, |f| f.start);
        groups.entry((start, ack.by, ack.via)).or_default().push(ack);
    }
    let line = |((start, by, via), acks): ((u64, u8, u8), Vec<&Ack>)| {
        let name = faults.iter().find(|f| f.start == start).map_or("no fault", |f| &f.name);
        let after = |at: u64| (at as f64 - start as f64) / 1000.0;
        let first = acks.iter().map(|a| a.at).min().map_or(0.0, after);
        let last = acks.iter().map(|a| a.at).max().map_or(0.0, after);
        format!(
            "{} writes, executed by {by} through {via}, taken by: {name}; acknowledged {first:.1} to \
             {last:.1} ms after it began",
            acks.len()
        )
    };
    groups.into_iter().map(line).collect()
}

fn longest_gap(times: &[u64], since: u64, until: u64) -> u64 {
    let mut last = since;
    let gaps =
        times.iter().chain([&until]).map(|at| at.saturating_sub(std::mem::replace(&mut last, *at)));
    gaps.max().unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The history's own judgement is judged before it judges anybody.
pub fn self_check() -> Result<(), String> {
    let fault = |name: &str, start, end, host| {
        let ms = |t: u64| t * 1000;
        Fault { name: name.into(), hosts: vec![host], start: ms(start), end: ms(end) }
    };
    let faults =
        [fault("one", 1000, 2000, 1), fault("two", 1500, 4000, 2), fault("three", 9000, 9001, 3)];
    let expectations = [
        (900, 1, "one"),
        (1200, 1, "one"),
        (1200, 2, "two"),
        (1600, 1, "one"),
        (3500, 1, "two"),
        (6000, 1, "three"),
        (10_900, 1, ""),
    ];
    for (at, by, expected) in expectations {
        let found = blame(&faults, at * 1000, by).map_or("", |f| f.name.as_str());
        if found != expected {
            return Err(format!("a loss of {by} at {at} is blamed on {found:?}, not {expected:?}"));
        }
    }
    let history = History::new(2);
    for (number, at) in [(0, 1_000), (1, 2_000), (2, 9_000)] {
        let reign = Some(u64::from(number > 1));
        history.acked(0, Ack { number, sent: at, at, via: 1, by: 1, reign });
    }
    if !history.overlaps(0).is_empty() {
        return Err("one master after another is taken for two".into());
    }
    let outage = history.outage(1_000, 10_000);
    if outage != (Duration::from_millis(7), Duration::from_millis(7)) {
        return Err(format!("an outage of 7 ms is measured as {outage:?}"));
    }
    history.acked(1, Ack { number: 0, sent: 0, at: 9_500, via: 2, by: 2, reign: Some(0) });
    if history.overlaps(0).len() != 1 {
        return Err("two masters are not noticed".into());
    }
    Ok(())
}
