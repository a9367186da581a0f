//! Hives of every size start, lock, grow, shrink and start again.

use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{Auth, Part};

use super::clients::{
    Writer, assert_kept, assert_kept_everywhere, fill, get, missing, put, put_soon,
};
use super::harness::{Hive, holds_for, http_code, password, wait_until};

/// Every proxy takes a write that every Redis then has, and probes say what is true.
#[track_caller]
fn works(hive: &mut Hive) {
    let agreed = hive.settle();
    assert_eq!(agreed.leader, agreed.master, "{agreed:?}");
    let hosts = hive.up();
    for host in &hosts {
        put(hive, hive.proxy(*host), &format!("through:{host}"), "yes").expect("write");
        assert_eq!(http_code(hive.ip(*host), "/livez"), 200);
        assert_eq!(http_code(hive.ip(*host), "/readyz"), 200);
        assert_eq!(http_code(hive.ip(*host), "/readyz/read"), 200);
    }
    let keys: Vec<String> = hosts.iter().map(|h| format!("through:{h}")).collect();
    assert_kept(hive, agreed.leader, &hosts, &keys);
    let roles: Vec<Option<String>> = hosts.iter().map(|h| hive.info(*h, "role")).collect();
    let masters = roles.iter().filter(|r| r.as_deref() == Some("master")).count();
    assert_eq!((masters, roles.len()), (1, hosts.len()), "{roles:?}");
}

#[test]
fn one_node() {
    let Some(mut hive) = Hive::of(1) else { return };
    works(&mut hive);
}

#[test]
fn two_nodes() {
    let Some(mut hive) = Hive::of(2) else { return };
    works(&mut hive);
}

/// From the start of three empty nodes to the first write: generous here, measured in `benches/`.
#[test]
fn three_nodes() {
    let Some(mut hive) = Hive::empty(|_| {}) else { return };
    let before = Instant::now();
    (1..=3).for_each(|host| hive.start(host).expect("start"));
    put_soon(&hive, 1, "first", "write");
    let took = before.elapsed();
    assert!(took < Duration::from_secs(5), "the first write took {took:?}");
    works(&mut hive);
}

#[test]
fn five_nodes() {
    let Some(mut hive) = Hive::of(5) else { return };
    works(&mut hive);
}

/// Locked by a password: it works, a client without it gets nothing, and no log, status or
/// process argument shows it.
#[test]
fn with_password() {
    let Some(mut hive) = Hive::with(3, |o| o.auth = password()) else { return };
    works(&mut hive);
    failover_works(&mut hive);
    let bare = super::clients::connect(hive.proxy(1), &Auth::None);
    let refused = bare.and_then(|mut c| redis::cmd("SET").arg("k").arg("v").exec(&mut c));
    assert!(refused.is_err(), "a client without the password wrote");
    assert_secret_kept(&mut hive, "correct-horse");
}

#[test]
fn with_acl_user() {
    let user = || Auth::User { name: "keeper".into(), password: "correct-horse".into() };
    let Some(mut hive) = Hive::with(3, |o| o.auth = user()) else { return };
    works(&mut hive);
    failover_works(&mut hive);
    assert_secret_kept(&mut hive, "correct-horse");
}

#[track_caller]
pub fn failover_works(hive: &mut Hive) {
    let before = hive.settle();
    let keys = fill(hive, before.leader, "kept", 20, 2);
    hive.kill(before.leader, Part::Both).expect("kill");
    let after = hive.settle();
    assert_ne!(after.master, before.master);
    assert_kept_everywhere(hive, after.leader, &keys);
    hive.revive(before.leader, Part::Both).expect("revive");
    hive.settle();
}

#[track_caller]
pub fn assert_secret_kept(hive: &mut Hive, secret: &str) {
    for host in hive.up() {
        assert!(!hive.hive_log(host).contains(secret), "the log of {host} shows the password");
        let status = hive.status(host).expect("status").to_string();
        assert!(!status.contains(secret), "the status of {host} shows the password");
        for pid in hive.node(host).expect("node").pids() {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("cmdline");
            assert!(!String::from_utf8_lossy(&line).contains(secret), "process {pid} shows it");
        }
    }
}

/// A node that joins late gets a full copy and does not disturb the others.
#[test]
fn a_node_joins_late() {
    let Some(mut hive) = Hive::of(2) else { return };
    let before = hive.settle();
    let keys = fill(&hive, 1, "old", 2_000, 1);
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(before.leader)]);
    hive.start(3).expect("start");
    let after = hive.settle();
    assert_eq!(after, before);
    writer.wait_for(100);
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    assert_kept(&hive, 3, &[1, 2, 3], &keys);
    assert_kept(&hive, 3, &[1, 2, 3], &written.acked);
}

/// The pod of a node is replaced: another address, an empty Redis.
#[test]
fn a_node_returns_with_a_new_address() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let keys = fill(&hive, 1, "kept", 500, 2);
    // First a follower, then the leader.
    let follower = hive.follower(before);
    for (gone, new) in [(follower, 14), (before.leader, 15)] {
        hive.remove(gone).expect("remove");
        hive.start(new).expect("start");
        let now = hive.settle();
        assert_kept_everywhere(&mut hive, new, &keys);
        assert_ne!(now.master, gone);
    }
    let hosts = hive.up();
    // Half a minute: whoever is only cut off for a moment stays known.
    wait_until("the old addresses are forgotten", Duration::from_secs(60), || {
        let known = |host: &u8| hive.status(*host).map(|s| s["peers"].to_string());
        let all: String = hosts.iter().map(known).collect::<Option<_>>()?;
        let old = |gone: u8| format!("\"{}:", hive.ip(gone));
        (!all.contains(&old(follower)) && !all.contains(&old(before.leader))).then_some(())
    });
}

/// All followers die and come back empty: the master serves throughout.
#[test]
fn all_followers_lost_then_back() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let keys = fill(&hive, 1, "kept", 500, 2);
    let writer = Writer::start(&hive, "alone", &[hive.proxy(before.leader)]);
    let followers: Vec<u8> = hive.up().into_iter().filter(|h| *h != before.leader).collect();
    for host in &followers {
        hive.kill(*host, Part::Both).expect("kill");
    }
    writer.wait_for(300);
    assert_eq!(hive.settle(), before);
    for host in &followers {
        hive.revive(*host, Part::Both).expect("revive");
    }
    assert_eq!(hive.settle(), before);
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    assert_kept(&hive, before.leader, &[1, 2, 3], &keys);
    assert_kept(&hive, before.leader, &[1, 2, 3], &written.acked);
}

/// Everything dies at once, so the data are gone; the set starts again and serves.
#[test]
fn the_whole_set_restarts() {
    let Some(mut hive) = Hive::of(3) else { return };
    fill(&hive, 1, "gone", 10, 2);
    for host in 1..=3 {
        hive.kill(host, Part::Both).expect("kill");
    }
    for host in 1..=3 {
        hive.revive(host, Part::Both).expect("revive");
    }
    works(&mut hive);
    assert_eq!(get(&hive, hive.proxy(1), "gone:0").expect("get"), None);
}

/// Every hive dies and returns, every Redis lives: nothing is lost and nothing is copied again.
#[test]
fn all_hives_restart_and_every_redis_lives() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let keys = fill(&hive, 1, "kept", 500, 2);
    let full = hive.counter(before.master, "sync_full");
    for host in 1..=3 {
        hive.kill(host, Part::Hive).expect("kill");
    }
    for host in 1..=3 {
        hive.revive(host, Part::Hive).expect("revive");
    }
    let after = hive.settle();
    assert_eq!(after.master, before.master, "a healthy Redis keeps its role");
    assert_eq!(hive.counter(after.master, "sync_full"), full);
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
}

/// Pods are replaced one after another, as in a rollout: the data stay.
#[test]
fn a_rolling_replacement_keeps_the_data() {
    let Some(mut hive) = Hive::with(3, |o| {
        o.hive_args = ["--drain-timeout", "1s"].map(String::from).into();
    }) else {
        return;
    };
    let keys = fill(&hive, 1, "kept", 500, 2);
    for host in 1..=3 {
        hive.stop(host, Part::Both, Duration::from_secs(30)).expect("stop");
        hive.revive(host, Part::Both).expect("revive");
        let now = hive.settle();
        assert_kept(&hive, now.leader, &[1, 2, 3], &keys);
    }
}

/// While there is a master, every hive takes writes: whatever happens to followers.
#[test]
fn every_hive_serves_writes_while_a_master_exists() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let disturbed = hive.follower(before);
    let writers: Vec<Writer> = (1..=3)
        .map(|host| Writer::start(&hive, &format!("by{host}"), &[hive.proxy(host)]))
        .collect();
    for _ in 0..3 {
        hive.kill(disturbed, Part::Redis).expect("kill");
        writers.iter().for_each(|w| w.wait_for(50));
        hive.revive(disturbed, Part::Redis).expect("revive");
        assert_eq!(hive.settle(), before);
    }
    let mut keys = Vec::new();
    for writer in writers {
        let written = writer.stop();
        assert_eq!(written.errors, 0, "{:?}", written.first_error);
        assert!(written.outage < Duration::from_millis(1_000), "{:?}", written.outage);
        keys.extend(written.acked);
    }
    assert_eq!(missing(&hive, hive.proxy(1), &keys), [""; 0]);
}

/// Epochs do not move, nobody changes roles and nobody is copied again while nothing happens.
#[test]
fn nothing_happens_while_nothing_happens() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.counter(before.master, "sync_full");
    holds_for("everybody stays in place", Duration::from_secs(5), || {
        hive.agreed(&[1, 2, 3]) == Some(before)
    });
    assert_eq!(hive.counter(before.master, "sync_full"), full);
}
