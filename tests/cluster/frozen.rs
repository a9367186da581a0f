//! Processes that hang and wake up again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use super::clients::{Writer, assert_kept, fill, missing};
use super::harness::{Agreed, Hive, SOON, holds_for, wait_until};

/// The leader's hive hangs while its Redis lives: it is replaced, the master stays, and when it
/// wakes it does not lead in its old epoch. (It may be handed the leadership again, in a new one.)
#[test]
fn a_hung_leader_hive_is_replaced() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let old = before.leader;
    let other = hive.follower(before);
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(other)]);
    hive.freeze(old, Part::Hive).expect("freeze");
    let after = hive.settle();
    assert_ne!(after.leader, old);
    assert!(after.epoch > before.epoch);
    assert_eq!(after.master, before.master, "a living master stays master");
    writer.wait_for(100);

    let knocker = Knocker::start(vec![hive.proxy(old)], "woken");
    knocker.wait_for_tries(2);
    hive.thaw(old, Part::Hive).expect("thaw");
    assert_wakes_humble(&hive, before);
    hive.settle();
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    let mut keys = written.acked;
    keys.extend(knocker.stop());
    assert_kept(&hive, other, &[1, 2, 3], &keys);
}

/// Hive and Redis of the leader hang together: another one is master. When they wake, nothing is
/// written to the old Redis as a master, neither through its hive nor past it.
#[test]
fn a_hung_leader_is_replaced_and_wakes_fenced() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let old = before.leader;
    let keys = fill(&hive, old, "kept", 200, 2);
    let other = hive.follower(before);
    hive.freeze(old, Part::Both).expect("freeze");
    let after = hive.settle();
    assert_ne!(after.master, before.master);
    assert!(after.epoch > before.epoch);
    assert_kept(&hive, other, &[after.master], &keys);

    // Clients that the old pair accepts when it wakes.
    let through = Knocker::start(vec![hive.proxy(old)], "through");
    let past = Knocker::start(vec![hive.redis(old)], "past");
    through.wait_for_tries(2);
    past.wait_for_tries(2);
    hive.thaw(old, Part::Both).expect("thaw");
    assert_wakes_humble(&hive, before);
    let healed = hive.settle();
    assert_eq!(healed.master, after.master, "who wakes takes nothing over");
    let (through, past) = (through.stop(), past.stop());
    assert_eq!(past, [""; 0], "the old Redis took writes after it woke");
    assert_eq!(missing(&hive, hive.proxy(other), &through), [""; 0], "acknowledged, then lost");
    assert_kept(&hive, other, &[1, 2, 3], &keys);
    assert_eq!(hive.info(old, "role").as_deref(), Some("slave"));
}

#[test]
fn a_hung_leader_redis_is_replaced() {
    let Some(mut hive) = Hive::with(3, |o| {
        // Short, so that the test is: the default lets a script of five seconds pass.
        o.redis_args = ["--lua-time-limit", "500"].map(String::from).into();
        o.hive_args = ["--redis-timeout", "2s"].map(String::from).into();
    }) else {
        return;
    };
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 200, 2);
    hive.freeze(before.master, Part::Redis).expect("freeze");
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.master).collect();
    let after = wait_until("another Redis is master", SOON, || {
        hive.agreed(&[1, 2, 3]).filter(|now| now.master != before.master)
    });
    assert_kept(&hive, others[0], &others, &keys);
    hive.thaw(before.master, Part::Redis).expect("thaw");
    assert_eq!(hive.settle().master, after.master);
    assert_kept(&hive, others[0], &[1, 2, 3], &keys);
}

#[test]
fn a_follower_stopped_for_two_seconds_wakes_and_nothing_happens() {
    sleepy_follower(Part::Both);
}

#[test]
fn a_followers_hive_stopped_for_two_seconds_wakes_and_nothing_happens() {
    sleepy_follower(Part::Hive);
}

fn sleepy_follower(part: Part) {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.counter(before.master, "sync_full");
    let sleeper = hive.follower(before);
    let awake: Vec<u8> = (1..=3).filter(|h| *h != sleeper).collect();
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(awake[0])]);
    hive.freeze(sleeper, part).expect("freeze");
    holds_for("the others stay in place", Duration::from_secs(2), || {
        hive.agreed(&awake) == Some(before)
    });
    hive.thaw(sleeper, part).expect("thaw");
    assert_eq!(hive.settle(), before);
    holds_for("all stay in place", Duration::from_secs(2), || hive.agreed(&awake) == Some(before));
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    assert_eq!(hive.counter(before.master, "sync_full"), full);
    assert_kept(&hive, sleeper, &[1, 2, 3], &written.acked);
}

/// A hive that led when it fell asleep gives its old epoch up at once, and for good.
#[track_caller]
fn assert_wakes_humble(hive: &Hive, before: Agreed) {
    let leads_as_before = || {
        let status = hive.status(before.leader)?;
        Some(status["role"] == "leader" && status["epoch"] == before.epoch)
    };
    wait_until("the woken hive is humble", Duration::from_secs(1), || {
        (leads_as_before() == Some(false)).then_some(())
    });
    holds_for("it stays humble", Duration::from_secs(2), || leads_as_before() != Some(true));
}

/// Connects anew for every write and sends it in one go, without waiting for anything first.
struct Knocker {
    stop: Arc<AtomicBool>,
    tries: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Knocker {
    fn start(addrs: Vec<SocketAddr>, prefix: &str) -> Self {
        let (stop, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..2)
            .map(|id| {
                let (stop, tries) = (Arc::clone(&stop), Arc::clone(&tries));
                let (addrs, prefix) = (addrs.clone(), format!("{prefix}:{id}"));
                std::thread::spawn(move || {
                    let mut acked = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        tries.fetch_add(1, Ordering::Relaxed);
                        let key = format!("{prefix}:{number}");
                        if knock(addrs[number % addrs.len()], &key).unwrap_or(false) {
                            acked.push(key);
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    acked
                })
            })
            .collect();
        Self { stop, tries, threads }
    }

    #[track_caller]
    fn wait_for_tries(&self, tries: u64) {
        wait_until("clients knock", SOON, || {
            (self.tries.load(Ordering::Relaxed) >= tries).then_some(())
        });
    }

    /// The keys that were acknowledged.
    fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).flat_map(|t| t.join().expect("knocker")).collect()
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn knock(addr: SocketAddr, key: &str) -> std::io::Result<bool> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&addr, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("SET {key} 1\r\n").as_bytes())?;
    let mut reply = [0_u8; 64];
    let len = stream.read(&mut reply)?;
    Ok(reply[..len].starts_with(b"+OK"))
}
