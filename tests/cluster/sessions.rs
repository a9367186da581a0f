//! Sessions through changes of the master (DESIGN 3.4): none of these clients ever reconnects.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::Connection;
use redis_hive::cli::dev::nodes::Part;

use super::asks::cli;
use super::harness::{Hive, SOON, wait_until};

const HOSTS: [u8; 3] = [1, 2, 3];
const CHANGES: u64 = 6;

fn run<T: redis::FromRedisValue>(to: &mut Connection, words: &[&str]) -> redis::RedisResult<T> {
    redis::cmd(words[0]).arg(&words[1..]).query(to)
}

/// Raises the flag when it goes, also in a failure: the threads of the test end then.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The log tells then why a session was cut.
fn debugging() -> Option<Hive> {
    Hive::with(3, |o| o.hive_args = ["--log-level", "debug"].map(String::from).into())
}

/// Counters are the checker: an INCR that was done twice, or not at all, shows at once. Workers
/// that block on a queue get every job once.
#[test]
fn nobody_notices_planned_changes() {
    let Some(mut hive) = debugging() else { return };
    let (over, counted, jobs) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for (n, host) in HOSTS.iter().cycle().take(6).enumerate() {
            let mut client = hive.connect(hive.proxy(*host)).expect("connect");
            let (over, counted) = (&over, &counted);
            scope.spawn(move || {
                let (database, key) = (n.to_string(), format!("count{n}"));
                run::<()>(&mut client, &["SELECT", &database]).expect("SELECT");
                for count in 1.. {
                    let got: u64 = run(&mut client, &["INCR", &key]).expect("INCR");
                    assert_eq!(got, count, "{key}");
                    counted.fetch_add(1, Ordering::Relaxed);
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for host in HOSTS {
            let mut client = hive.connect(hive.proxy(host)).expect("connect");
            client.set_read_timeout(Some(2 * SOON)).expect("a deadline");
            let (over, jobs) = (&over, &jobs);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let job = run::<(String, u64)>(&mut client, &["BLPOP", "queue", "0"]);
                    assert!(job.expect("BLPOP").1 > 0);
                    jobs.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut sent = 0;
        for _ in 0..CHANGES {
            let before = hive.settle();
            let goal = counted.load(Ordering::Relaxed) + 200;
            let said = cli(&hive, before.leader, &["switchover"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            wait_until("all go on", SOON, || {
                (counted.load(Ordering::Relaxed) > goal).then_some(())
            });
            let mut client = hive.connect(hive.proxy(before.leader)).expect("connect");
            for _ in 0..5 {
                sent += 1;
                run::<()>(&mut client, &["RPUSH", "queue", &sent.to_string()]).expect("RPUSH");
            }
            wait_until("the jobs are done", SOON, || {
                (jobs.load(Ordering::SeqCst) == sent).then_some(())
            });
        }
        over.store(true, Ordering::SeqCst);
        let mut client = hive.connect(hive.proxy(1)).expect("connect");
        for _ in HOSTS {
            run::<()>(&mut client, &["RPUSH", "queue", "1"]).expect("RPUSH");
        }
    });
    println!("{} INCR", counted.load(Ordering::Relaxed));
    wait_until("every one of them was moved every time", SOON, || {
        let moved = |host| hive.status(host)?["proxy"]["migrated"].as_u64();
        let all: u64 = HOSTS.into_iter().filter_map(moved).sum();
        (all >= CHANGES * 6).then_some(())
    });
}

/// Clients of the other hives that have asked nothing for a while.
#[test]
fn idle_sessions_outlive_the_death_of_the_master() {
    for part in [Part::Both, Part::Redis] {
        let Some(mut hive) = debugging() else { return };
        let before = hive.settle();
        let others = HOSTS.into_iter().filter(|host| *host != before.leader);
        let mut idle: Vec<_> = others
            .map(|host| {
                let mut client = hive.connect(hive.proxy(host)).expect("connect");
                run::<()>(&mut client, &["SELECT", "3"]).expect("SELECT");
                run::<()>(&mut client, &["SET", &format!("of{host}"), "mine"]).expect("SET");
                (host, client)
            })
            .collect();
        // Longer than two heartbeats, and whatever the machine adds to them.
        std::thread::sleep(Duration::from_secs(2));
        hive.kill(before.leader, part).expect("kill");
        let after = hive.settle();
        assert_ne!(after.master, before.master);
        for (host, client) in &mut idle {
            let value: String = run(client, &["GET", &format!("of{host}")]).expect("GET");
            assert_eq!(value, "mine");
            wait_until("it is shown", SOON, || {
                (hive.status(*host)?["proxy"]["migrated"] == 1).then_some(())
            });
        }
    }
}
