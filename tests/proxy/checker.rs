//! Read-your-writes, and nothing done twice, while the master of real servers changes at random.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::fake::{Client, request};
use crate::pair::{Column, Death, Pair};
use crate::servers;
use crate::support::*;

const CLIENTS: usize = 12;
const ROUNDS: usize = 15;

/// A sequence of numbers that belongs to `seed`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What all clients together have come to.
#[derive(Default)]
struct Sum {
    asked: AtomicU64,
    sessions: AtomicU64,
}

/// One session: whatever it has seen of a key it never sees undone.
struct Session<'a> {
    client: Client,
    /// The newest value seen of each client's key.
    seen: [u64; CLIENTS],
    /// The last reply to its INCR.
    count: Option<u64>,
    sum: &'a Sum,
}

impl Session<'_> {
    fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        use io::Write;
        self.client.stream.write_all(&request(words))?;
        let answer = self.client.frame()?;
        self.sum.asked.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }

    fn read(&mut self, key: usize) -> io::Result<()> {
        let value = self.ask(&["GET", &format!("key{key}")])?;
        let value = if value == "nil" { 0 } else { value.parse().expect(&value) };
        assert!(value >= self.seen[key], "key{key} went back from {} to {value}", self.seen[key]);
        self.seen[key] = value;
        Ok(())
    }

    fn write(&mut self, key: usize, value: u64) -> io::Result<()> {
        let answer = self.ask(&["SET", &format!("key{key}"), &value.to_string()])?;
        assert_eq!(answer, "OK");
        self.seen[key] = value;
        Ok(())
    }

    /// Nobody else counts here, so that a count done twice or lost shows at once.
    fn count(&mut self, key: usize) -> io::Result<()> {
        let count: u64 = self.ask(&["INCR", &format!("count{key}")])?.parse().expect("a number");
        if let Some(last) = self.count {
            assert_eq!(count, last + 1, "count{key}");
        }
        self.count = Some(count);
        Ok(())
    }
}

/// One client of many sessions: opens the next one when one is cut.
fn live(proxy: SocketAddr, me: usize, seed: u64, over: &AtomicBool, sum: &Sum) {
    let mut random = Random(seed.wrapping_add(me as u64));
    // Half of them hardly ever ask anything: those outlive crashes.
    let pause = if me.is_multiple_of(2) { 400 } else { 4 };
    let mut value = 0;
    while !over.load(Ordering::SeqCst) {
        let client = Client::new(dial(proxy));
        sum.sessions.fetch_add(1, Ordering::Relaxed);
        let mut session = Session { client, seen: [0; CLIENTS], count: None, sum };
        let mut turn = || -> io::Result<()> {
            while !over.load(Ordering::SeqCst) {
                match random.below(4) {
                    0 => {
                        value += 1;
                        session.write(me, value)?;
                    }
                    1 => session.count(me)?,
                    2 => session.read(me)?,
                    _ => session.read(random.below(CLIENTS as u64) as usize)?,
                }
                std::thread::sleep(Duration::from_millis(random.below(pause)));
            }
            Ok(())
        };
        // It was cut.
        let _ = turn();
    }
}

/// Runs clients, and these changes one after the other; returns how many sessions there were.
fn check(binary: &Path, seed: u64, mut next: impl FnMut(&mut Random) -> Column) -> (Pair, u64) {
    println!("seed {seed}");
    let mut pair = Pair::start(binary);
    let (over, sum, mut random) = (AtomicBool::new(false), Sum::default(), Random(seed));
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for me in 0..CLIENTS {
            let (proxy, over, sum) = (pair.hive.proxy.addresses()[0], &over, &sum);
            scope.spawn(move || live(proxy, me, seed, over, sum));
        }
        for _ in 0..ROUNDS {
            let asked = sum.asked.load(Ordering::Relaxed);
            wait_until("they go on", || sum.asked.load(Ordering::Relaxed) > asked + 100);
            std::thread::sleep(Duration::from_millis(random.below(200)));
            let (column, before) = (next(&mut random), pair.hive.now());
            match column {
                Column::Crash if random.below(2) == 0 => pair.crash(before, Death::Killed),
                Column::Crash => pair.crash(before, Death::Frozen),
                other => pair.change(other),
            }
        }
    });
    let sessions = sum.sessions.load(Ordering::Relaxed);
    let counters = pair.counters();
    println!("{} requests, {sessions} sessions, {counters:?}", sum.asked.load(Ordering::Relaxed));
    assert!(counters.moved_total > 0);
    (pair, sessions)
}

#[test]
fn no_moved_session_sees_anything_undone() {
    let Some(binary) = servers::binary("redis-system") else { return };
    let seed = std::env::var("HIVE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    check(&binary, seed, |random| match random.below(5) {
        0 | 1 => Column::Planned,
        2 | 3 => Column::Crash,
        _ => Column::Healed,
    });
}

/// Planned changes alone: every session lasts to the end.
#[test]
fn planned_changes_cut_nobody() {
    let Some(binary) = servers::binary("redis-system") else { return };
    let (pair, sessions) = check(&binary, 1, |_| Column::Planned);
    assert_eq!((sessions, pair.counters().cut_total), (CLIENTS as u64, 0));
}
