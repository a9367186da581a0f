//! Sessions through changes of the master (DESIGN 3.4): none of these clients ever reconnects.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::Connection;
use redis_hive::cli::dev::nodes::{Auth, Part};

use super::asks::cli;
use super::clients::connect;
use super::harness::{Hive, SOON, wait_until};

const HOSTS: [u8; 3] = [1, 2, 3];
/// Changes that nobody has to notice, and how many there may be until there were so many: on a
/// machine without time to spare a hive gives a change up, or cuts whom it is not sure of.
const CLEAN: usize = 4;
const CHANGES: usize = 20;

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

/// What the clients of a test have come to.
#[derive(Default)]
struct Sum {
    over: AtomicBool,
    counted: AtomicU64,
    jobs: AtomicU64,
    errors: AtomicU64,
}

impl Sum {
    fn counted(&self) -> u64 {
        self.counted.load(Ordering::SeqCst)
    }

    /// Works with one connection after the other; each is worth an error, but for the first.
    fn work(&self, connect: impl Fn() -> Connection, work: impl Fn(&mut Connection) -> Option<()>) {
        while !self.over.load(Ordering::SeqCst) {
            let mut client = connect();
            while work(&mut client).is_some() {
                if self.over.load(Ordering::SeqCst) {
                    return;
                }
            }
            self.errors.fetch_add(u64::from(!self.over.load(Ordering::SeqCst)), Ordering::SeqCst);
        }
    }
}

/// Counters are the checker: an INCR that was done twice, or not at all, shows at once. Workers
/// that block on a queue get every job once.
#[test]
fn nobody_notices_planned_changes() {
    let Some(mut hive) = debugging() else { return };
    let sum = Sum::default();
    let proxies = HOSTS.map(|host| hive.proxy(host));
    let mut clean = 0;
    std::thread::scope(|scope| {
        let _end = Raise(&sum.over);
        for (n, proxy) in proxies.iter().cycle().take(6).enumerate() {
            let (sum, last) = (&sum, std::cell::Cell::new(None));
            scope.spawn(move || {
                let open = || {
                    last.set(None);
                    let mut client = open(*proxy);
                    run::<()>(&mut client, &["SELECT", &n.to_string()]).expect("SELECT");
                    client
                };
                sum.work(open, |client| {
                    let got: u64 = run(client, &["INCR", "count"]).ok()?;
                    assert!(last.replace(Some(got)).is_none_or(|last| got == last + 1), "{got}");
                    sum.counted.fetch_add(1, Ordering::SeqCst);
                    Some(())
                });
            });
        }
        for proxy in proxies {
            let sum = &sum;
            scope.spawn(move || {
                sum.work(
                    || open(proxy),
                    |client| {
                        let job: Option<(String, u64)> =
                            run(client, &["BLPOP", "queue", "9"]).ok()?;
                        sum.jobs.fetch_add(u64::from(job.is_some()), Ordering::SeqCst);
                        Some(())
                    },
                );
            });
        }
        for change in 0.. {
            let before = hive.settle();
            let (errors, goal) = (sum.errors.load(Ordering::SeqCst), sum.counted() + 200);
            let said = cli(&hive, before.leader, &["switchover"]);
            wait_until("they go on", SOON, || (sum.counted() > goal).then_some(()));
            let job = change.to_string();
            let mut pushed = open(hive.proxy(before.leader));
            run::<()>(&mut pushed, &["RPUSH", "queue", &job]).expect("RPUSH");
            wait_until("every job is done once", SOON, || {
                (sum.jobs.load(Ordering::SeqCst) == change + 1).then_some(())
            });
            let errors = sum.errors.load(Ordering::SeqCst) - errors;
            println!("{errors} errors: {}", said.text.trim_end());
            clean += usize::from(errors == 0 && said.code == Some(0));
            if clean == CLEAN {
                break;
            }
            assert!(change < CHANGES as u64, "{clean} clean changes");
        }
    });
    println!("{} INCR", sum.counted());
    wait_until("every one of them was moved every time", SOON, || {
        let moved = |host| hive.status(host)?["proxy"]["migrated"].as_u64();
        let all: u64 = HOSTS.into_iter().filter_map(moved).sum();
        (all >= CLEAN as u64 * 6).then_some(())
    });
}

/// A connection that does not wait for ever, but longer than a blocking command.
fn open(proxy: SocketAddr) -> Connection {
    let connection = connect(proxy, &Auth::None).expect("connect");
    connection.set_read_timeout(Some(SOON)).expect("a deadline");
    connection
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

/// Every Redis has the scripts that are run before it can be the master; so a session whose hive has
/// never seen the text goes on, too.
#[test]
fn scripts_are_everywhere_before_the_master_changes() {
    let Some(mut hive) = debugging() else { return };
    let before = hive.settle();
    let [first, second] = [hive.follower(before), before.leader];
    let mut loads = open(hive.proxy(first));
    let text = "return redis.call('INCR', KEYS[1])";
    let sha: String = run(&mut loads, &["SCRIPT", "LOAD", text]).expect("SCRIPT LOAD");
    let count = |client: &mut Connection| run::<u64>(client, &["EVALSHA", &sha, "1", "scripted"]);
    assert_eq!(count(&mut loads).expect("EVALSHA"), 1);
    let mut runs = open(hive.proxy(second));
    assert_eq!(count(&mut runs).expect("EVALSHA"), 2);
    for host in HOSTS {
        let mut direct = open(hive.redis(host));
        wait_until("it is there", SOON, || {
            let known: Vec<bool> = run(&mut direct, &["SCRIPT", "EXISTS", &sha]).ok()?;
            (known == [true]).then_some(())
        });
    }
    let said = cli(&hive, before.leader, &["switchover"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let after = hive.settle();
    assert_ne!(after.master, before.master);
    assert_eq!(count(&mut loads).expect("it was moved"), 3);
    assert_eq!(count(&mut runs).expect("it was moved"), 4);
}
