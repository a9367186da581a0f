//! Hives that share a secret: they elect and fail over, change it while they run, and whoever does
//! not have it stays outside.

use std::path::PathBuf;
use std::time::Duration;

use super::basics::{assert_secret_kept, failover_works};
use super::clients::{Crew, assert_kept_everywhere, fill};
use super::harness::{Hive, SOON, holds_for, wait_until};

const OLD: &str = "old-correct-horse-battery-staple";
const NEW: &str = "new-correct-horse-battery-staple";

/// Three hives, each with a file of its own.
fn locked() -> Option<Hive> {
    let mut hive = Hive::empty(|_| {})?;
    for host in 1..=3 {
        let file = file(&hive, host);
        std::fs::write(&file, OLD).expect("a file");
        let flags = ["--secret-file", file.to_str().expect("a path")];
        hive.start_with(host, &flags, &[]).expect("start");
    }
    hive.settle();
    Some(hive)
}

fn file(hive: &Hive, host: u8) -> PathBuf {
    hive.dir().join(format!("secret-{host}"))
}

/// Every file holds this from now on, and every hive has read it: `changes` so far.
#[track_caller]
fn change(hive: &mut Hive, secrets: &str, changes: usize) {
    for host in [2, 1, 3] {
        let file = file(hive, host);
        let next = file.with_extension("next");
        std::fs::write(&next, secrets).expect("a file");
        std::fs::rename(&next, &file).expect("a swap");
    }
    for host in 1..=3 {
        wait_until(&format!("{host} reads its new secrets"), SOON, || {
            let log = hive.hive_log(host);
            (log.matches("has changed: it is in force").count() == changes).then_some(())
        });
    }
}

#[test]
fn failovers_and_a_change_of_the_secret() {
    let Some(mut hive) = locked() else { return };
    failover_works(&mut hive);
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 100, 2);
    let crew = Crew::start(&hive, "meanwhile", &[1, 2, 3], 3);
    for (changes, secrets) in (1..).zip([[OLD, NEW].join("\n"), [NEW, OLD].join("\n"), NEW.into()])
    {
        change_and_work(&mut hive, &crew, &secrets, changes);
    }
    assert_eq!(hive.settle(), before, "nothing moved");
    let (acked, errors, _) = crew.stop();
    assert_eq!(errors, 0, "a change of the secret is nobody's affair");
    assert_kept_everywhere(&mut hive, before.leader, &keys);
    assert_kept_everywhere(&mut hive, before.leader, &acked);
    failover_works(&mut hive);
    assert_secret_kept(&mut hive, "correct-horse");
}

/// Everybody has read these secrets, still hears everybody, and has nothing to complain about.
#[track_caller]
fn change_and_work(hive: &mut Hive, crew: &Crew, secrets: &str, changes: usize) {
    change(hive, secrets, changes);
    crew.wait_for(20);
    for host in 1..=3 {
        wait_until(&format!("{host} hears all and is content"), SOON, || {
            let status = hive.status(host)?;
            let heard = status["peers"].as_array()?.iter().filter(|it| it["reachable"] == true);
            let content = status["problems"].as_array()?.is_empty();
            (heard.count() == 2 && content).then_some(())
        });
    }
}

/// One without a secret and one with another: both wait, say why, and change nothing.
#[test]
fn strangers_stay_outside() {
    let Some(mut hive) = locked() else { return };
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 100, 2);
    let wrong = file(&hive, 5);
    std::fs::write(&wrong, NEW).expect("a file");
    let flags = ["--secret-file", wrong.to_str().expect("a path")];
    hive.start_with(4, &[], &[]).expect("start");
    hive.start_with(5, &flags, &[]).expect("start");
    for (host, reason) in [
        (4, "has a secret and this hive has none"),
        (5, "has another secret (--secret-file) or another --name"),
    ] {
        wait_until(&format!("{host} says why it waits"), SOON, || {
            hive.hive_log(host).contains(reason).then_some(())
        });
    }
    wait_until("they are told off", SOON, || {
        let log = hive.hive_log(before.leader);
        ["has no secret, as this hive has", "has another secret"]
            .iter()
            .all(|line| log.contains(line))
            .then_some(())
    });
    holds_for("nobody leads or follows but the three", Duration::from_secs(3), || {
        let waits = |host: u8| {
            let role = hive.status_text(host, "/role");
            role != "leader" && role != "follower"
        };
        waits(4) && waits(5) && hive.agreed(&[1, 2, 3]) == Some(before)
    });
    let lines = hive.hive_log(before.leader).lines().filter(|l| l.contains("WARN")).count();
    assert!(lines <= 20, "{lines} warnings about two strangers");
    let status = hive.status_text(4, "/master");
    assert_eq!(status, "", "a stranger learns nothing");
    hive.remove(4).expect("remove");
    hive.remove(5).expect("remove");
    assert_kept_everywhere(&mut hive, before.leader, &keys);
}
