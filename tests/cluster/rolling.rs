//! Pods are replaced by empty ones, and the holder of the only copy is told to stop.

use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::Part;

use super::clients::{Crew, assert_kept, fill, put};
use super::harness::{Hive, SOON, holds_for, wait_until};

/// A stopping hive without clients to wait for ends within the drain timeout of these tests.
const ENDS: Duration = Duration::from_secs(15);

fn short(hive_args: &[&str], redis_args: &[&str], nodes: u8) -> Option<Hive> {
    Hive::with(nodes, |o| {
        o.hive_args = ["--drain-timeout", "1s"].map(String::from).into();
        o.hive_args.extend(hive_args.iter().map(|a| (*a).to_owned()));
        o.redis_args = redis_args.iter().map(|a| (*a).to_owned()).collect();
    })
}

/// The hive first and then Redis, as in a pod; then the pod is gone.
#[track_caller]
fn retire(hive: &mut Hive, host: u8) {
    assert!(hive.stop(host, Part::Both, ENDS).expect("stop"), "{host} stays");
    hive.remove(host).expect("remove");
}

#[track_caller]
fn tell_to_stop(hive: &mut Hive, host: u8) {
    hive.stop(host, Part::Hive, Duration::ZERO).expect("stop");
}

#[track_caller]
fn wait_for_current(hive: &Hive, host: u8) {
    wait_until(&format!("{host} holds a current copy"), SOON, || hive.current(host).then_some(()));
}

/// Waits until the hive of a lonely master has heard of the last write.
#[track_caller]
fn wait_until_known(hive: &Hive, host: u8) {
    wait_until("the hive knows what its Redis holds", SOON, || {
        let offset: u64 = hive.info(host, "master_repl_offset")?.parse().ok()?;
        (hive.status(host)?["redis"]["offset"] == offset).then_some(())
    });
}

/// One after another, each new one empty and at a new address, under writers.
#[test]
fn every_pod_is_replaced() {
    let Some(mut hive) = short(&[], &[], 3) else { return };
    let keys = fill(&hive, 1, "kept", 500, 2);
    let crew = Crew::start(&hive, "meanwhile", &[1, 2, 3, 14, 15, 16], 6);
    for (old, new) in [(1, 14), (2, 15), (3, 16)] {
        hive.start(new).expect("start");
        wait_for_current(&hive, new);
        retire(&mut hive, old);
        crew.wait_for(20);
    }
    let after = hive.settle();
    let (acked, errors, pauses) = crew.stop();
    println!("{} writes, {errors} errors, worst pause {:?}", acked.len(), pauses.last());
    assert_kept(&hive, after.leader, &[14, 15, 16], &keys);
    assert_kept(&hive, after.leader, &[14, 15, 16], &acked);
}

/// The first sync of the only new one takes longer than the drain timeout: the followers end, and
/// the leader stays until that copy is current.
#[test]
fn the_last_copy_waits_for_a_slow_first_sync() {
    let Some(mut hive) = short(&[], &SLOW, 3) else { return };
    let keys = fill(&hive, 1, "kept", 2_500, 2);
    let before = hive.settle();
    let crew = Crew::start(&hive, "meanwhile", &[before.leader, 14], 1);
    hive.start(14).expect("start");
    (1..=3).filter(|h| *h != before.leader).for_each(|host| retire(&mut hive, host));
    tell_to_stop(&mut hive, before.leader);
    wait_until("it says why it stays", SOON, || {
        hive.status_text(before.leader, "/change").contains("stays").then_some(())
    });
    assert_ends_when_current(&mut hive, &[before.leader]);
    assert_eq!(hive.settle().master, 14);
    crew.wait_for(20);
    let (acked, errors, pauses) = crew.stop();
    println!("{} writes, {errors} errors, worst pause {:?}", acked.len(), pauses.last());
    assert_kept(&hive, 14, &[14], &keys);
    assert_kept(&hive, 14, &[14], &acked);
}

/// All are told to stop in the same moment, while the only new one has no copy yet: one of them
/// goes on as leader until it has one.
#[test]
fn all_are_told_to_stop_at_once() {
    let Some(mut hive) = short(&[], &SLOW, 3) else { return };
    let keys = fill(&hive, 1, "kept", 2_500, 2);
    hive.start(14).expect("start");
    (1..=3).for_each(|host| tell_to_stop(&mut hive, host));
    let mut written = Vec::new();
    assert_ends_when_current_with(&mut hive, &[1, 2, 3], |hive| {
        let key = format!("meanwhile:{}", written.len());
        let through = (1..=3).chain([14]).find(|h| put(hive, hive.proxy(*h), &key, "1").is_ok());
        written.extend(through.map(|_| key));
    });
    assert_eq!(hive.settle().master, 14);
    println!("{} writes", written.len());
    assert_kept(&hive, 14, &[14], &keys);
    assert_kept(&hive, 14, &[14], &written);
}

/// A first sync of some seconds: a millisecond a key.
const SLOW: [&str; 2] = ["--rdb-key-save-delay", "1000"];

#[track_caller]
fn assert_ends_when_current(hive: &mut Hive, old: &[u8]) {
    assert_ends_when_current_with(hive, old, |_| ());
}

/// The old ones end, the last of them not before node 14 holds a current copy.
#[track_caller]
fn assert_ends_when_current_with(hive: &mut Hive, old: &[u8], mut also: impl FnMut(&Hive)) {
    let told = Instant::now();
    wait_until("the old ones end", SOON, || {
        also(hive);
        let current = hive.current(14);
        let ended = old.iter().all(|host| !hive.node(*host).is_ok_and(|n| n.alive(Part::Hive)));
        assert!(!ended || current || hive.current(14), "the last copy left");
        ended.then_some(())
    });
    println!("stayed for {:?}", told.elapsed());
    old.iter().for_each(|host| retire(hive, *host));
}

/// A slow copy comes on, so `--last-copy-timeout` does not end it.
#[test]
fn the_last_copy_waits_while_it_is_being_copied() {
    // Two milliseconds a key, and values that do not wait in buffers.
    let slow = ["--rdb-key-save-delay", "2000", "--rdbcompression", "no"];
    let Some(mut hive) = short(&["--last-copy-timeout", "2s"], &slow, 1) else { return };
    let keys: Vec<String> = (0..2_000).map(|n| format!("kept:{n}")).collect();
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.cmd("SET").arg(key).arg("x".repeat(1_000)).ignore();
    }
    pipe.exec(&mut hive.connect(hive.proxy(1)).expect("connect")).expect("fill");
    hive.start(14).expect("start");
    wait_until("the copy begins", SOON, || {
        (hive.info(14, "master_sync_in_progress")? == "1").then_some(())
    });
    let told = Instant::now();
    assert!(hive.stop(1, Part::Both, Duration::from_secs(40)).expect("stop"), "it stays");
    println!("stayed for {:?}", told.elapsed());
    assert_eq!(hive.settle().master, 14);
    assert_kept(&hive, 14, &[14], &keys);
}

/// Nobody comes to copy it: after `--last-copy-timeout` it ends all the same, and says so.
#[test]
fn the_last_copy_ends_when_nobody_copies_it() {
    let Some(mut hive) = short(&["--last-copy-timeout", "1s"], &[], 1) else { return };
    fill(&hive, 1, "lost", 10, 0);
    wait_until_known(&hive, 1);
    let told = Instant::now();
    assert!(hive.stop(1, Part::Hive, ENDS).expect("stop"), "it stays");
    assert!(told.elapsed() >= Duration::from_secs(1), "it ended at once");
    let log = hive.hive_log(1);
    assert!(log.contains("stops all the same"), "it does not say what is lost");
}

/// The last copy stays by default; a second SIGTERM ends it at once.
#[test]
fn a_second_sigterm_ends_the_last_copy() {
    let Some(mut hive) = short(&[], &[], 1) else { return };
    fill(&hive, 1, "lost", 10, 0);
    wait_until_known(&hive, 1);
    tell_to_stop(&mut hive, 1);
    holds_for("the last copy stays", Duration::from_secs(3), || {
        hive.node(1).is_ok_and(|node| node.alive(Part::Hive))
    });
    assert!(hive.status_text(1, "/change").contains("stays"));
    let told = Instant::now();
    assert!(hive.stop(1, Part::Hive, ENDS).expect("stop"), "it stays");
    assert!(told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
}

/// From one node to five and back to one, on another node: nothing is lost.
#[test]
fn scaling_up_and_down_loses_nothing() {
    let Some(mut hive) = short(&[], &[], 1) else { return };
    let keys = fill(&hive, 1, "kept", 500, 0);
    let crew = Crew::start(&hive, "meanwhile", &[5, 4, 3, 2, 1], 3);
    (2..=5).for_each(|host| hive.start(host).expect("start"));
    hive.settle();
    for host in 1..=4 {
        retire(&mut hive, host);
    }
    let after = hive.settle();
    assert_eq!((after.leader, after.master), (5, 5));
    crew.wait_for(20);
    let (acked, errors, pauses) = crew.stop();
    println!("{} writes, {errors} errors, worst pause {:?}", acked.len(), pauses.last());
    assert_kept(&hive, 5, &[5], &keys);
    assert_kept(&hive, 5, &[5], &acked);
}
