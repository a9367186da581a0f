//! Every survivor keeps its history: who lived through a change resyncs partially, or not at all.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use super::clients::{Crew, Writer, assert_kept, fill, put};
use super::harness::{Hive, SOON, holds_for, wait_until};

/// A follower's hive is killed, and stopped, and returns: no resync, no election, no epoch, and no
/// client of another hive is cut.
#[test]
fn a_followers_hive_restarts() {
    let Some(mut hive) = Hive::with(3, |o| {
        o.hive_args = ["--drain-timeout", "1s"].map(String::from).into();
    }) else {
        return;
    };
    let before = hive.settle();
    let full = hive.fulls(&[1, 2, 3]);
    let follower = hive.follower(before);
    let others: Vec<u8> = (1..=3).filter(|h| *h != follower).collect();
    let writers: Vec<Writer> = others
        .iter()
        .map(|host| Writer::start(&hive, &format!("by{host}"), &[hive.proxy(*host)]))
        .collect();
    for killed in [true, false] {
        match killed {
            true => hive.kill(follower, Part::Hive).expect("kill"),
            false => assert!(hive.stop(follower, Part::Hive, SOON).expect("stop"), "it stays"),
        }
        writers.iter().for_each(|w| w.wait_for(50));
        hive.revive(follower, Part::Hive).expect("revive");
        assert_eq!(hive.settle(), before, "an epoch, a leader or the master moved");
    }
    for writer in writers {
        let written = writer.stop();
        assert_eq!(written.errors, 0, "{:?}", written.first_error);
        assert_kept(&hive, follower, &[1, 2, 3], &written.acked);
    }
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
}

/// The leader's hive dies and stays away: its regent moves the master to a living pair, as a
/// planned change.
#[test]
fn the_leaders_hive_dies_and_stays_away() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.fulls(&[1, 2, 3]);
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let crew = Crew::start(&hive, "meanwhile", &others, 4);
    hive.kill(before.leader, Part::Hive).expect("kill");
    wait_until("a regent leads with the same master", SOON, || {
        let now = hive.agreed(&others)?;
        (now.leader != before.leader).then_some(())
    });
    let moved = wait_until("the regent moves the master", SOON, || {
        hive.agreed(&others).filter(|now| now.master != before.master)
    });
    assert_eq!(moved.leader, moved.master, "{moved:?}");
    crew.wait_for(50);
    let (keys, errors, pauses) = crew.stop();
    println!("{errors} errors, worst pause {:?}", pauses.last());
    assert!(pauses.iter().all(|pause| *pause < Duration::from_secs(1)), "{pauses:?}");
    assert_kept(&hive, moved.leader, &[1, 2, 3], &keys);
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
    hive.revive(before.leader, Part::Hive).expect("revive");
    assert_eq!(hive.settle(), moved, "who comes back takes nothing over");
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
}

/// The leader's hive dies for the third time in a minute: the master moves to another pair, by a
/// planned change, although that hive is back every time.
#[test]
fn a_hive_that_dies_again_and_again_loses_the_master() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.fulls(&[1, 2, 3]);
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let crew = Crew::start(&hive, "meanwhile", &others, 3);
    for death in 1..=3 {
        hive.kill(before.leader, Part::Hive).expect("kill");
        wait_until("a regent leads", SOON, || {
            hive.agreed(&others).filter(|n| n.leader != before.leader)
        });
        hive.revive(before.leader, Part::Hive).expect("revive");
        wait_until(&format!("the end of death {death}"), SOON, || {
            let now = hive.agreed(&[1, 2, 3])?;
            (now.leader == now.master && (death < 3 || now.master != before.master)).then_some(())
        });
    }
    let after = hive.settle();
    assert_ne!(after.master, before.master);
    crew.wait_for(20);
    let (keys, errors, pauses) = crew.stop();
    println!("{errors} errors, worst pause {:?}", pauses.last());
    assert!(pauses.iter().all(|pause| *pause < Duration::from_millis(1_500)), "{pauses:?}");
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
}

/// The same while no other Redis can take over for a moment: the master is not told to replicate
/// itself, although its own hive is the youngest.
#[test]
fn a_master_is_never_its_own_successor() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let crew = Crew::start(&hive, "meanwhile", &others, 2);
    for death in 1..=3 {
        if death == 3 {
            others.iter().for_each(|h| hive.freeze(*h, Part::Redis).expect("freeze"));
        }
        hive.kill(before.leader, Part::Hive).expect("kill");
        let regency = || hive.agreed(&others).filter(|now| now.leader != before.leader);
        wait_until("a regent leads", SOON, regency);
        hive.revive(before.leader, Part::Hive).expect("revive");
        if death < 3 {
            let back = || hive.agreed(&[1, 2, 3]).filter(|now| now.leader == before.leader);
            wait_until("the leadership is back beside the master", SOON, back);
        }
    }
    let own = hive.ip(before.master).to_string();
    holds_for("it does not replicate itself", Duration::from_secs(2), || {
        hive.info(before.master, "master_host") != Some(own.clone())
    });
    others.iter().for_each(|h| hive.thaw(*h, Part::Redis).expect("thaw"));
    let after = hive.settle();
    crew.wait_for(20);
    let (keys, errors, pauses) = crew.stop();
    println!("{errors} errors, worst pause {:?}", pauses.last());
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
}

/// Leader and master die together again and again: the survivors never copy again from each other.
#[test]
fn survivors_of_failovers_resync_partially() {
    let Some(mut hive) = Hive::of(4) else { return };
    let mut living = vec![1, 2, 3, 4];
    while living.len() > 2 {
        let before = hive.settle();
        let keys = fill(&hive, before.leader, &format!("by{}", living.len()), 200, 2);
        living.retain(|host| *host != before.master);
        let full = hive.fulls(&living);
        let crew = Crew::start(&hive, &format!("of{}", living.len()), &living, 3);
        hive.kill(before.master, Part::Both).expect("kill");
        let after = hive.settle();
        crew.wait_for(20);
        drop(crew.stop());
        assert_kept(&hive, after.leader, &living, &keys);
        assert_eq!(hive.fulls(&living), full, "somebody copied again");
    }
}

/// A leader that wakes with clients that asked while it slept answers none of them with what it
/// held before.
#[test]
fn a_woken_leader_serves_nothing_stale() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let old = before.leader;
    let other = hive.follower(before);
    put(&hive, hive.proxy(old), "value", "old").expect("put");
    // Some are connected, and some connect while it sleeps.
    let mut sessions: Vec<_> =
        (0..4).map(|_| hive.connect(hive.proxy(old)).expect("connect")).collect();
    hive.freeze(old, Part::Both).expect("freeze");
    let late: Vec<_> = (0..4)
        .map(|_| {
            let addr = hive.proxy(old);
            let auth = hive.options().auth.clone();
            std::thread::spawn(move || ask_value(super::clients::connect(addr, &auth).ok()))
        })
        .collect();
    let after = hive.settle();
    assert_ne!(after.master, before.master);
    put(&hive, hive.proxy(other), "value", "new").expect("put");
    let early: Vec<_> = sessions
        .drain(..)
        .map(|session| std::thread::spawn(move || ask_value(Some(session))))
        .collect();
    // The questions are in the sockets of a hive that sleeps.
    holds_for("nobody is answered", Duration::from_millis(300), || {
        early.iter().chain(&late).all(|asker| !asker.is_finished())
    });
    hive.thaw(old, Part::Both).expect("thaw");
    for asker in early.into_iter().chain(late) {
        let value = asker.join().expect("asker");
        assert_ne!(value.as_deref(), Some("old"), "a stale answer");
    }
    assert_eq!(hive.settle().master, after.master);
}

fn ask_value(session: Option<redis::Connection>) -> Option<String> {
    let mut session = session?;
    redis::cmd("GET").arg("value").query(&mut session).ok()
}
