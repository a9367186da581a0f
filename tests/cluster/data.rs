//! No key is lost that a reachable copy had.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_hive::cli::dev::nodes::{Auth, Part};

use super::clients::{assert_kept, connect, fill, get};
use super::harness::{Hive, SOON, wait_until};

/// The leader's Redis is killed and is back, empty, before anybody can notice by silence. Behind
/// the boot fence it cannot give its emptiness to the replicas.
#[test]
fn the_leaders_redis_restarts_empty_at_once() {
    let Some(mut hive) = Hive::of(3) else { return };
    for round in 0..3 {
        let before = hive.settle();
        let keys = fill(&hive, before.leader, &format!("round{round}"), 500, 2);
        hive.kill(before.master, Part::Redis).expect("kill");
        hive.revive(before.master, Part::Redis).expect("revive");
        let after = hive.settle();
        assert_ne!(after.master, before.master, "the empty one must not be master");
        assert_kept(&hive, before.leader, &[1, 2, 3], &keys);
    }
}

/// The same with the whole pod: both processes are killed and back at once, on the same address.
#[test]
fn the_leader_restarts_empty_at_once() {
    let Some(mut hive) = Hive::of(3) else { return };
    for round in 0..3 {
        let before = hive.settle();
        let keys = fill(&hive, before.leader, &format!("round{round}"), 500, 2);
        hive.kill(before.master, Part::Both).expect("kill");
        hive.revive(before.master, Part::Both).expect("revive");
        let after = hive.settle();
        assert_ne!(after.master, before.master, "the empty one must not be master");
        assert_kept(&hive, before.leader, &[1, 2, 3], &keys);
    }
}

/// 26 keys are rewritten and re-read without a pause while the oldest node is killed and
/// recreated empty, twenty times. A write that a replica has confirmed may never be gone, and no
/// key may ever go back to an older value than that.
#[test]
fn twenty_rounds_of_killing_the_oldest() {
    let Some(mut hive) = Hive::of(3) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let alphabet = Alphabet {
        addrs: (1..=3).map(|h| hive.proxy(h)).collect(),
        auth: hive.options().auth.clone(),
        stop: Arc::clone(&stop),
        sure: BTreeMap::new(),
        number: 0,
    };
    let thread = std::thread::spawn(move || alphabet.run());
    let ended = EndThread(stop);
    for round in 0..20_u8 {
        let oldest = 1 + round % 3;
        hive.kill(oldest, Part::Both).expect("kill");
        hive.revive(oldest, Part::Both).expect("revive");
        hive.settle();
        assert!(!thread.is_finished(), "a key was lost in round {round}");
    }
    drop(ended);
    let sure = thread.join().expect("no key was lost");
    assert_eq!(sure.len(), 26, "every letter was confirmed at least once");
    for (letter, number) in sure {
        let found = get(&hive, hive.proxy(1), &letter).expect("get");
        let found: u64 = found.and_then(|f| f.parse().ok()).unwrap_or(0);
        assert!(found >= number, "{letter} is {found}, {number} had been confirmed");
    }
}

struct EndThread(Arc<AtomicBool>);

impl Drop for EndThread {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The only writer of the keys a to z; every value is larger than all before.
struct Alphabet {
    addrs: Vec<SocketAddr>,
    auth: Auth,
    stop: Arc<AtomicBool>,
    /// The newest value of each key that a replica confirmed.
    sure: BTreeMap<String, u64>,
    number: u64,
}

impl Alphabet {
    fn run(mut self) -> BTreeMap<String, u64> {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            // A broken connection is what a failover looks like; a lost key is not.
            if self.pass(self.addrs[turn % self.addrs.len()]).is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.sure
    }

    /// Re-reads and rewrites all letters on one connection.
    fn pass(&mut self, addr: SocketAddr) -> redis::RedisResult<()> {
        let mut connection = connect(addr, &self.auth)?;
        for letter in (b'a'..=b'z').map(|l| char::from(l).to_string()) {
            let found: Option<u64> = redis::cmd("GET").arg(&letter).query(&mut connection)?;
            if let Some(least) = self.sure.get(&letter) {
                assert!(found >= Some(*least), "{letter} is {found:?}, {least} was confirmed");
            }
            self.number += 1;
            redis::cmd("SET").arg(&letter).arg(self.number).exec(&mut connection)?;
            let copies: u64 = redis::cmd("WAIT").arg(1).arg(50).query(&mut connection)?;
            if copies > 0 {
                self.sure.insert(letter, self.number);
            }
        }
        Ok(())
    }
}

/// The last master dies while the only replica still loads what it was sent: the whole file is
/// there, so it leads when it is loaded, and not before.
#[test]
fn the_master_dies_while_the_only_replica_loads() {
    let Some(mut hive) = Hive::of(1) else { return };
    let keys = fill(&hive, 1, "kept", 4_000, 0);
    // One millisecond a key: a load of four seconds in which Redis still answers.
    let slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    // 6.2 knows only the first of the two, and answers often enough without the other.
    let known = if hive.info(1, "redis_version").is_some_and(|it| it.starts_with("6.")) {
        &slowly[..2]
    } else {
        &slowly[..]
    };
    hive.start_with(2, &[], known).expect("start");
    wait_until("the replica loads", SOON, || {
        (hive.info(2, "loading")? == "1" || hive.info(2, "async_loading")? == "1").then_some(())
    });
    hive.kill(1, Part::Both).expect("kill");
    assert_eq!(hive.info(2, "loading").as_deref(), Some("1"), "the load ended too early to test");
    let after = hive.settle();
    assert_eq!(after.master, 2);
    assert_kept(&hive, 2, &[2], &keys);
    // The old one returns empty and gets everything.
    hive.revive(1, Part::Both).expect("revive");
    assert_eq!(hive.settle().master, 2);
    assert_kept(&hive, 1, &[1, 2], &keys);
}
