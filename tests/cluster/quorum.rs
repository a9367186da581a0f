//! `--quorum 2`: without enough hives nobody writes; and a witness that makes enough of two.

use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::Part;

use super::asks::cli;
use super::clients::{Writer, assert_kept, put, put_soon};
use super::harness::{Hive, holds_for, wait_until};

/// The lease is 0.6 s; whatever was on its way had its time too.
const LEASE_ENDS: Duration = Duration::from_secs(2);
/// Without a hurry: an election under quorum waits for leases and silence.
const LONG: Duration = Duration::from_secs(40);

fn of_two(hosts: u8) -> Option<Hive> {
    Hive::with(hosts, |o| o.hive_args = ["--quorum", "2"].map(String::from).into())
}

/// No write is acknowledged any more, after a time for the lease to end.
#[track_caller]
fn assert_silenced(what: &str, writer: &Writer) {
    let lost = Instant::now();
    let mut last = (writer.acked(), Duration::ZERO);
    holds_for("time passes", LEASE_ENDS, || {
        let now = writer.acked();
        if now != last.0 {
            last = (now, lost.elapsed());
        }
        true
    });
    println!("{what}: the last write {:?} after the loss", last.1);
    let acked = writer.acked();
    holds_for("no write is acknowledged", Duration::from_secs(2), || writer.acked() == acked);
}

#[test]
fn a_leader_without_its_quorum_takes_no_writes() {
    let Some(mut hive) = of_two(3) else { return };
    for frozen in [true, false] {
        let before = hive.settle_within(LONG);
        let lease = hive.status(before.leader).expect("status")["lease_ms"].as_u64();
        assert!(lease.is_some_and(|left| left <= 600), "{lease:?} ms");
        let status = cli(&hive, before.leader, &["status"]);
        assert!(status.text.contains("quorum  2, lease"), "{status:?}");
        let followers: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
        let name = if frozen { "frozen" } else { "killed" };
        let writer = Writer::start(&hive, name, &[hive.proxy(before.leader)]);
        writer.wait_for(20);
        for host in &followers {
            match frozen {
                true => hive.freeze(*host, Part::Both).expect("freeze"),
                false => hive.kill(*host, Part::Both).expect("kill"),
            }
        }
        assert_silenced(name, &writer);
        assert_ne!(hive.status_text(before.leader, "/role"), "leader");
        for host in &followers {
            hive.thaw(*host, Part::Both).expect("thaw");
            hive.revive(*host, Part::Both).expect("revive");
        }
        let after = hive.settle_within(LONG);
        writer.wait_for(20);
        let written = writer.stop();
        assert_kept(&hive, after.leader, &[1, 2, 3], &written.acked);
    }
}

/// Two data nodes and a witness go on after the loss of any one, and not after that of two.
#[test]
fn two_and_a_witness() {
    let Some(mut hive) = of_two(0) else { return };
    hive.start(1).expect("start");
    hive.start(2).expect("start");
    hive.start_with(3, &["--witness"], &[]).expect("start");
    hive.kill(3, Part::Redis).expect("a witness has none");
    let before = hive.settle_within(LONG);
    assert_eq!(hive.status_text(3, "/role"), "witness");
    let status = cli(&hive, 3, &["status"]);
    assert!(status.text.contains("none: a witness"), "{status:?}");
    put(&hive, hive.proxy(3), "by the witness", "yes").expect("a witness has a proxy");
    let mut keys = vec!["by the witness".to_owned()];
    for lost in [before.leader, 3, 3 - before.leader] {
        let kept = if lost == 1 { 2 } else { 1 };
        let leads = hive.settle_within(LONG).leader == lost;
        // Replication is asynchronous, and Redis feeds a fresh replica only after up to a second.
        let both = || {
            let offset = |host| hive.info(host, "master_repl_offset");
            (offset(1)? == offset(2)?).then_some(())
        };
        wait_until("both have every write", LONG, both);
        hive.kill(lost, Part::Both).expect("kill");
        let since = Instant::now();
        let key = format!("without {lost}");
        put_soon(&hive, kept, &key, "yes");
        let role = if leads { "the leader" } else { "another" };
        println!("without {role}: a write after {:?}", since.elapsed());
        keys.push(key);
        hive.settle_within(LONG);
        let part = if lost == 3 { Part::Hive } else { Part::Both };
        hive.revive(lost, part).expect("revive");
    }
    let now = hive.settle_within(LONG);
    assert_kept(&hive, 3, &[1, 2], &keys);
    let writer = Writer::start(&hive, "alone", &[hive.proxy(now.leader)]);
    hive.kill(3, Part::Hive).expect("kill");
    hive.kill(3 - now.leader, Part::Both).expect("kill");
    assert_silenced("alone", &writer);
    hive.revive(3, Part::Hive).expect("revive");
    writer.wait_for(20);
    keys.extend(writer.stop().acked);
    hive.revive(3 - now.leader, Part::Both).expect("revive");
    let now = hive.settle_within(LONG);
    assert_kept(&hive, now.leader, &[1, 2], &keys);
}

/// `--min-replicas-to-write`: set on the master's Redis while enough follow, lowered to what does.
#[test]
fn min_replicas_follow_those_who_follow() {
    let Some(mut hive) = Hive::with(2, |o| {
        o.hive_args = ["--min-replicas-to-write", "1"].map(String::from).into();
    }) else {
        return;
    };
    let before = hive.settle();
    let follower = hive.follower(before);
    wait_for_minimum(&hive, before.master, "1");
    hive.kill(follower, Part::Both).expect("kill");
    wait_for_minimum(&hive, before.master, "0");
    put_soon(&hive, before.leader, "alone", "yes");
    hive.revive(follower, Part::Both).expect("revive");
    wait_for_minimum(&hive, before.master, "1");
    assert_eq!(hive.settle(), before);
    assert_kept(&hive, follower, &[1, 2], &["alone".to_owned()]);
}

#[track_caller]
fn wait_for_minimum(hive: &Hive, host: u8, minimum: &str) {
    wait_until(&format!("a write needs {minimum} replicas"), LONG, || {
        let mut connection = hive.connect(hive.redis(host)).ok()?;
        let get = redis::cmd("CONFIG").arg("GET").arg("min-replicas-to-write").to_owned();
        let pair: Vec<String> = get.query(&mut connection).ok()?;
        (pair.last().map(String::as_str) == Some(minimum)).then_some(())
    });
}
