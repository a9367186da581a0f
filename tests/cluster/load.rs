//! The leader's hive dies under load while its Redis lives.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use super::clients::{Writer, assert_kept};
use super::harness::{Hive, SOON, wait_until};

/// No acknowledged write is lost, no client of another hive is cut, nothing is copied again, and
/// the leadership is back beside the master when that hive is back.
#[test]
fn the_leaders_hive_dies_under_load() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.counter(before.master, "sync_full");
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let mut undisturbed = Vec::new();
    for client in 0..4 {
        for host in &others {
            let name = format!("by{host}:{client}");
            undisturbed.push(Writer::start(&hive, &name, &[hive.proxy(*host)]));
        }
    }
    // Clients of the hive that dies: they reconnect to another one.
    let everywhere: Vec<_> = [before.leader, others[0]].map(|h| hive.proxy(h)).into();
    let moved = Writer::start(&hive, "moved", &everywhere);
    undisturbed.iter().for_each(|w| w.wait_for(100));

    hive.kill(before.leader, Part::Hive).expect("kill");
    let regency = hive.settle();
    assert_eq!(regency.master, before.master, "a living master stays master");
    assert_ne!(regency.leader, before.leader);
    // Within two seconds: then its regent would move the master.
    moved.wait_for(10);
    hive.revive(before.leader, Part::Hive).expect("revive");
    wait_until("the leadership is back beside the master", SOON, || {
        let now = hive.agreed(&[1, 2, 3])?;
        (now.leader == before.leader && now.master == before.master).then_some(())
    });
    moved.wait_for(100);
    undisturbed.iter().for_each(|w| w.wait_for(100));

    let mut keys = Vec::new();
    for writer in undisturbed {
        let written = writer.stop();
        assert_eq!(written.errors, 0, "a client of another hive: {:?}", written.first_error);
        keys.extend(written.acked);
    }
    let moved = moved.stop();
    assert!(moved.outage < Duration::from_secs(1), "no write for {:?}", moved.outage);
    keys.extend(moved.acked);
    assert_kept(&hive, 1, &[1, 2, 3], &keys);
    assert_eq!(hive.counter(before.master, "sync_full"), full, "somebody copied again");
}
