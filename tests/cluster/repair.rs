//! What was changed by hand or is only makeshift is put right, without an election.

use std::time::Duration;

use super::clients::{Crew, Writer, assert_kept, fill};
use super::harness::{Hive, holds_for};

/// A follower's Redis is pointed elsewhere by hand, and is made a master.
#[test]
fn a_follower_is_pointed_elsewhere_by_hand() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let follower = hive.follower(before);
    let keys = fill(&hive, 1, "kept", 200, 2);
    let other = (1..=3).find(|h| *h != before.leader && *h != follower).expect("a node");
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(before.leader)]);
    let (nowhere, other) = (hive.ip(200).to_string(), hive.ip(other).to_string());
    for to in [[nowhere.as_str(), "6379"], [other.as_str(), "6379"], ["NO", "ONE"]] {
        let mut redis = hive.connect(hive.redis(follower)).expect("connect");
        redis::cmd("REPLICAOF").arg(&to[..]).exec(&mut redis).expect("REPLICAOF");
        assert_eq!(hive.settle(), before, "after REPLICAOF {to:?}");
        writer.wait_for(20);
    }
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    assert_kept(&hive, follower, &[1, 2, 3], &keys);
    assert_kept(&hive, follower, &[1, 2, 3], &written.acked);
}

/// A standby leads only until another one holds a current copy.
#[test]
fn a_standby_hands_over() {
    let Some(mut hive) = Hive::empty(|_| {}) else { return };
    hive.start_with(1, &["--priority", "0"], &[]).expect("start");
    assert_eq!(hive.settle().master, 1, "a caretaker is better than nobody");
    let keys = fill(&hive, 1, "kept", 200, 0);
    let crew = Crew::start(&hive, "meanwhile", &[1], 3);
    hive.start(2).expect("start");
    let mut after = hive.settle();
    if after.master != 2 {
        after = super::harness::wait_until("it hands over", super::harness::SOON, || {
            hive.agreed(&[1, 2]).filter(|now| now.master == 2)
        });
    }
    assert_eq!((after.leader, after.master), (2, 2));
    crew.wait_for(20);
    holds_for("it takes nothing back", Duration::from_secs(1), || {
        hive.agreed(&[1, 2]) == Some(after)
    });
    let (acked, errors, pauses) = crew.stop();
    println!("{errors} errors, worst pause {:?}", pauses.last());
    assert_kept(&hive, 1, &[1, 2], &keys);
    assert_kept(&hive, 1, &[1, 2], &acked);
}
