//! Pause mode: nothing fails over until somebody resumes.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use super::asks::cli;
use super::clients::{Writer, assert_kept, fill, put_soon};
use super::harness::{Hive, SOON, holds_for, wait_until};

#[track_caller]
fn wait_for_pause(hive: &mut Hive, paused: bool) {
    let hosts = hive.up();
    wait_until(&format!("paused: {paused} at {hosts:?}"), SOON, || {
        let says = |host: &u8| hive.status(*host).is_some_and(|s| s["paused"] == paused);
        hosts.iter().all(says).then_some(())
    });
}

/// The leader dies in pause mode: nobody takes over before the end of it.
#[test]
fn nobody_fails_over_in_pause_mode() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 200, 2);
    let follower = hive.follower(before);
    let said = cli(&hive, follower, &["pause"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    wait_for_pause(&mut hive, true);
    for host in 1..=3 {
        let status = cli(&hive, host, &["status"]);
        assert!(status.text.contains("paused: no fail-over until"), "{status:?}");
    }
    hive.kill(before.leader, Part::Both).expect("kill");
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    holds_for("nobody takes over", Duration::from_secs(4), || {
        let leads = |host: &u8| hive.status_text(*host, "/role") == "leader";
        let master = |host: &u8| hive.info(*host, "role").as_deref() == Some("master");
        !others.iter().any(|host| leads(host) || master(host))
    });
    assert_eq!(cli(&hive, others[1], &["resume"]).code, Some(0));
    let after = hive.settle();
    wait_for_pause(&mut hive, false);
    assert_ne!(after.master, before.master);
    put_soon(&hive, others[0], "again", "written");
    assert_kept(&hive, after.leader, &others, &keys);
}

/// Every hive restarts in pause mode, one after another, the leader's first: writes go on, the
/// pause stays, and nothing has moved.
#[test]
fn pause_mode_outlives_restarts() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.fulls(&[1, 2, 3]);
    assert_eq!(cli(&hive, before.leader, &["pause"]).code, Some(0));
    wait_for_pause(&mut hive, true);
    let others: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let mut keys = Vec::new();
    for host in [before.leader, others[0], others[1]] {
        let undisturbed: Vec<Writer> = (1..=3)
            .filter(|other| *other != host)
            .map(|other| Writer::start(&hive, &format!("{host}by{other}"), &[hive.proxy(other)]))
            .collect();
        hive.kill(host, Part::Hive).expect("kill");
        undisturbed.iter().for_each(|w| w.wait_for(50));
        hive.revive(host, Part::Hive).expect("revive");
        let now = hive.settle();
        assert_eq!((now.leader, now.master), (before.leader, before.master), "after {host}");
        wait_for_pause(&mut hive, true);
        for writer in undisturbed {
            writer.wait_for(20);
            let written = writer.stop();
            assert_eq!(written.errors, 0, "{:?}", written.first_error);
            keys.extend(written.acked);
        }
    }
    assert_kept(&hive, before.leader, &[1, 2, 3], &keys);
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
    assert_eq!(cli(&hive, others[0], &["resume"]).code, Some(0));
    wait_for_pause(&mut hive, false);
    hive.settle();
}
