//! Somebody is lost: the leader's or a follower's hive, Redis or both, by kill or by SIGTERM.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use super::clients::{Writer, assert_kept, fill};
use super::harness::{Agreed, Hive};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Follower,
    Leader,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Killed,
    Stopped,
}

/// How long writes may be impossible. The budgets of DESIGN 4 are held by `benches/`; this only
/// has to tell a failover from a timeout.
const OUTAGE: Duration = Duration::from_secs(3);

macro_rules! losses {
    ($($name:ident: $who:ident $part:ident $how:ident;)*) => {
        $(
            #[test]
            fn $name() {
                lose(Who::$who, Part::$part, How::$how);
            }
        )*
    };
}

losses! {
    a_followers_hive_is_killed: Follower Hive Killed;
    a_followers_redis_is_killed: Follower Redis Killed;
    a_follower_is_killed: Follower Both Killed;
    a_followers_hive_is_stopped: Follower Hive Stopped;
    a_followers_redis_is_stopped: Follower Redis Stopped;
    a_follower_is_stopped: Follower Both Stopped;
    the_leaders_hive_is_killed: Leader Hive Killed;
    the_leaders_redis_is_killed: Leader Redis Killed;
    the_leader_is_killed: Leader Both Killed;
    the_leaders_hive_is_stopped: Leader Hive Stopped;
    the_leaders_redis_is_stopped: Leader Redis Stopped;
    the_leader_is_stopped: Leader Both Stopped;
}

fn lose(who: Who, part: Part, how: How) {
    let Some(mut hive) = Hive::with(3, |o| {
        o.hive_args = ["--drain-timeout", "1s"].map(String::from).into();
    }) else {
        return;
    };
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 500, 2);
    let follower = hive.follower(before);
    let victim = if who == Who::Leader { before.leader } else { follower };
    let others: Vec<u8> = (1..=3).filter(|h| *h != victim).collect();
    let living: Vec<u8> = if part == Part::Hive { vec![1, 2, 3] } else { others.clone() };
    let full = hive.fulls(&living);
    let addrs: Vec<_> = others.iter().map(|h| hive.proxy(*h)).collect();
    let writer = Writer::start(&hive, "meanwhile", &addrs);

    match how {
        How::Killed => hive.kill(victim, part).expect("kill"),
        How::Stopped => {
            assert!(hive.stop(victim, part, Duration::from_secs(30)).expect("stop"), "it stays");
        }
    }
    let after = hive.settle();
    writer.wait_for(100);
    let written = writer.stop();
    judge((who, part, how), (before, after), written.errors);
    assert!(written.outage < OUTAGE, "no write for {:?}", written.outage);
    assert_kept(&hive, after.leader, &living, &keys);
    let handed_over = how == How::Stopped && part != Part::Redis;
    if after.master == before.master || handed_over {
        // The very same Redis serves on, or its successor had everything: what was acknowledged
        // is there.
        assert_kept(&hive, after.leader, &living, &written.acked);
    }
    assert_eq!(hive.fulls(&living), full, "somebody copied again");

    hive.revive(victim, part).expect("revive");
    let healed = hive.settle();
    assert_eq!(healed.master, after.master, "who comes back takes nothing over");
    assert_kept(&hive, victim, &[1, 2, 3], &keys);
}

/// What must and must not have changed.
#[track_caller]
fn judge((who, part, how): (Who, Part, How), (before, after): (Agreed, Agreed), errors: u64) {
    match (who, part, how) {
        (Who::Follower, _, _) => {
            assert_eq!(after, before, "a lost follower changes nothing");
            assert_eq!(errors, 0, "clients of other hives were disturbed");
        }
        (Who::Leader, Part::Hive, How::Killed) => {
            assert_eq!(after.master, before.master, "a living master stays master");
            assert_ne!(after.leader, before.leader);
            assert!(after.epoch > before.epoch);
            assert_eq!(errors, 0, "clients of other hives were disturbed");
        }
        (Who::Leader, _, _) => {
            assert_ne!(after.master, before.master);
            assert_eq!(after.leader, after.master);
            assert!(after.epoch > before.epoch);
        }
    }
}
