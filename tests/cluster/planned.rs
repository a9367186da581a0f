//! The master is moved on purpose: nothing is lost, nobody copies again, and who asks hears why
//! not if not.

use std::net::SocketAddr;
use std::time::Duration;

use redis_hive::cli::dev::nodes::{HTTP_PORT, Part};

use super::asks::{cli, post, post_to};
use super::clients::{Crew, Writer, assert_kept, fill, put};
use super::harness::{Agreed, Hive, SOON, wait_until};

/// A switchover takes milliseconds: this only has to tell it from a timeout on a busy machine.
const PAUSE: Duration = Duration::from_secs(1);
/// A switchover pauses the writes of the master for two seconds, unless somebody resumes them.
const RESUMED: Duration = Duration::from_millis(1_500);

#[test]
fn switchover_through_the_leader() {
    switchover(|hive, before, _| {
        let said = cli(hive, before.leader, &["switchover"]);
        (said.code == Some(0), said.text)
    });
}

#[test]
fn switchover_through_a_follower() {
    switchover(|hive, before, _| {
        let follower = hive.follower(before);
        let (code, verdict, text) = post(hive, follower, "/switchover");
        ((code, verdict.as_str()) == (200, "done"), text)
    });
}

#[test]
fn switchover_to_a_named_one() {
    switchover(|hive, before, to| {
        let ip = hive.ip(to).to_string();
        let said = match to % 2 {
            0 => cli(hive, before.leader, &["switchover", "--to", &ip]),
            _ => cli(hive, to, &["switchover", "--to", &ip]),
        };
        (said.code == Some(0) && said.text.starts_with(&ip), said.text)
    });
}

/// Twice, with ten writers through all three hives. `ask` gets the hive that is least likely to be
/// chosen without being named, and gives whether it was done and what was answered.
#[track_caller]
fn switchover(ask: impl Fn(&mut Hive, Agreed, u8) -> (bool, String)) {
    let Some(mut hive) = Hive::of(3) else { return };
    let all = [1, 2, 3];
    let mut named = 0;
    for round in 0..2 {
        let (before, to, full, crew, text) = wait_until("a leader is asked", SOON, || {
            let before = hive.settle();
            let full = hive.fulls(&all);
            let to = all.into_iter().find(|h| *h != before.leader && *h != named);
            let to = to.expect("a node");
            let crew = Crew::start(&hive, &format!("round{round}"), &all, 10);
            crew.wait_for(50);
            let (done, text) = ask(&mut hive, before, to);
            if !done && text.contains("there is no leader now") {
                // The machine stood still for longer than the peer timeout.
                crew.stop();
                return None;
            }
            assert!(done, "{text}");
            Some((before, to, full, crew, text))
        });
        named = to;
        assert!(text.contains("leads since epoch"), "{text}");
        crew.wait_for(50);
        let after = hive.settle();
        let (keys, errors, pauses) = crew.stop();
        let (middle, worst) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
        println!("{}: pause {middle:?}, worst {worst:?}, {errors} errors", text.trim_end());
        assert_ne!(after.master, before.master);
        assert_eq!(after.leader, after.master, "{after:?}");
        assert!(after.epoch > before.epoch);
        if text.starts_with(&hive.ip(to).to_string()) {
            assert_eq!(after.master, to);
        }
        assert!(worst < PAUSE, "no write for {worst:?}");
        assert_kept(&hive, after.leader, &all, &keys);
        assert_eq!(hive.fulls(&all), full, "somebody copied again");
        let role = hive.info(before.master, "role");
        assert_eq!(role.as_deref(), Some("slave"));
    }
}

/// Who asks for what cannot be hears why, and nothing has moved.
#[test]
fn switchover_is_refused_with_the_reason() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let follower = hive.follower(before);
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(before.leader)]);
    let to =
        |host: u8, hive: &Hive| ["switchover".into(), "--to".into(), hive.ip(host).to_string()];
    let asked = |hive: &Hive, at: u8, wish: u8| {
        let words = to(wish, hive);
        cli(hive, at, &words.each_ref().map(String::as_str))
    };
    for at in [before.leader, follower] {
        let said = asked(&hive, at, 99);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.text.contains("no hive that is heard"), "{said:?}");
        let said = asked(&hive, at, before.leader);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.text.contains("leads already"), "{said:?}");
        let path = format!("/switchover?to={}", hive.ip(99));
        assert_eq!(post(&hive, at, &path).0, 422);
        assert_eq!(post(&hive, at, "/switchover?to=nobody").0, 400);
    }

    assert_eq!(cli(&hive, follower, &["pause"]).code, Some(0));
    wait_until("all are paused", SOON, || all_paused(&hive, true));
    for at in [before.leader, follower] {
        let said = cli(&hive, at, &["switchover"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.text.contains("pause mode is on"), "{said:?}");
        assert_eq!(post(&hive, at, "/switchover").0, 409);
    }
    assert_eq!(cli(&hive, follower, &["resume"]).code, Some(0));
    wait_until("nobody is paused", SOON, || all_paused(&hive, false));

    // It says so and still serves: nobody is moved there.
    hive.stop(follower, Part::Hive, Duration::ZERO).expect("stop");
    wait_until("the leader knows that it stops", SOON, || {
        let said = asked(&hive, before.leader, follower);
        assert_eq!(said.code, Some(1), "{said:?}");
        said.text.contains("is stopping").then_some(())
    });
    assert_eq!(hive.status(before.leader).map(|s| s["epoch"] == before.epoch), Some(true));
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
}

fn all_paused(hive: &Hive, paused: bool) -> Option<()> {
    (1..=3).all(|h| hive.status(h).is_some_and(|s| s["paused"] == paused)).then_some(())
}

/// The successor's Redis hangs: the change is undone, and the old master serves on.
#[test]
fn switchover_to_a_hung_redis_is_undone() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let follower = hive.follower(before);
    let keys = fill(&hive, 1, "kept", 100, 2);
    let full = hive.fulls(&[1, 2, 3]);
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(before.leader)]);
    hive.freeze(follower, Part::Redis).expect("freeze");
    let ip = hive.ip(follower).to_string();
    let said = cli(&hive, before.leader, &["switchover", "--to", &ip]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.text.contains(&ip), "{said:?}");
    writer.wait_for(20);
    hive.thaw(follower, Part::Redis).expect("thaw");
    assert_eq!(hive.settle(), before, "nothing has moved");
    let written = writer.stop();
    println!("undone with {} errors, pause {:?}: {}", written.errors, written.outage, said.text);
    assert_kept(&hive, follower, &[1, 2, 3], &written.acked);
    assert_kept(&hive, follower, &[1, 2, 3], &keys);
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
}

#[test]
fn switchover_of_a_single_node_is_refused() {
    let Some(hive) = Hive::of(1) else { return };
    let said = cli(&hive, 1, &["switchover"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.text.contains("no other hive is in reach"), "{said:?}");
    assert_eq!(post(&hive, 1, "/switchover").0, 422);
    put(&hive, hive.proxy(1), "still", "written").expect("write");
    let gone = cli(&hive, 2, &["switchover"]);
    assert_eq!(gone.code, Some(69), "nobody is there: {gone:?}");
}

/// Two people ask at once, through two hives, for two successors: both get an answer, one gets what
/// was asked for, and nothing is lost.
#[test]
fn two_switchovers_at_once() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let full = hive.fulls(&[1, 2, 3]);
    let crew = Crew::start(&hive, "meanwhile", &[1, 2, 3], 3);
    let wishes: Vec<u8> = (1..=3).filter(|h| *h != before.leader).collect();
    let answers: Vec<(u16, String, String)> = std::thread::scope(|scope| {
        let hive = &hive;
        let ask = |to: u8| move || post(hive, to, &format!("/switchover?to={}", hive.ip(to)));
        let asked: Vec<_> = wishes.iter().map(|to| scope.spawn(ask(*to))).collect();
        asked.into_iter().map(|thread| thread.join().expect("asker")).collect()
    });
    println!("{answers:?}");
    let after = hive.settle();
    assert!(answers.iter().any(|(code, ..)| *code == 200), "{answers:?}");
    assert!(answers.iter().all(|(code, ..)| [200, 409, 422].contains(code)), "{answers:?}");
    assert!(wishes.contains(&after.master), "{after:?}");
    let (keys, ..) = crew.stop();
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
    assert_eq!(hive.fulls(&[1, 2, 3]), full, "somebody copied again");
}

/// The leader's hive is killed at some moment of a switchover, both Redis servers live.
#[test]
fn the_leaders_hive_dies_during_a_switchover() {
    dies_during_a_switchover(true);
}

/// The same with the hive of the successor.
#[test]
fn the_successors_hive_dies_during_a_switchover() {
    dies_during_a_switchover(false);
}

fn dies_during_a_switchover(leader: bool) {
    let Some(mut hive) = Hive::of(3) else { return };
    let all = [1, 2, 3];
    let full = hive.fulls(&all);
    let mut keys = Vec::new();
    for delay in [2, 8, 14, 20, 35] {
        let before = hive.settle();
        let to = hive.follower(before);
        let victim = if leader { before.leader } else { to };
        let others: Vec<u8> = all.into_iter().filter(|h| *h != victim).collect();
        let asked = *others.iter().find(|h| **h != before.leader).expect("a follower");
        let crew = Crew::start(&hive, &format!("after{delay}"), &others, 3);
        crew.wait_for(10);
        let addr = SocketAddr::from((hive.ip(asked), HTTP_PORT));
        let path = format!("/switchover?to={}", hive.ip(to));
        let answer = std::thread::spawn(move || post_to(addr, &path));
        std::thread::sleep(Duration::from_millis(delay));
        hive.kill(victim, Part::Hive).expect("kill");
        crew.wait_for(10);
        hive.revive(victim, Part::Hive).expect("revive");
        let after = hive.settle();
        crew.wait_for(10);
        let (acked, errors, pauses) = crew.stop();
        let (code, _, text) = answer.join().expect("the asker");
        println!(
            "{delay} ms: {} to {}, {errors} errors, worst pause {:?}: {code} {text}",
            before.master,
            after.master,
            pauses.last()
        );
        if !leader {
            // What a switchover had paused does not stay so when it ends otherwise.
            assert!(pauses.iter().all(|pause| *pause < RESUMED), "{pauses:?}");
        }
        keys.extend(acked);
        assert_kept(&hive, after.leader, &all, &keys);
        assert_eq!(hive.fulls(&all), full, "somebody copied again");
    }
}
