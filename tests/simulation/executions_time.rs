//! Executions of ELECTION 9 about sleep, hung servers, restarts and equal candidates.

use crate::redis::Link;
use crate::scenario::{A, B, C, execution, plain};
use crate::world::{MS, SEC, World};
use redis_hive::election::{RedisAddr, RedisOrder};

#[test]
fn x12_a_follower_sleeps_and_wakes() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        let before = w.announcements();
        w.freeze_hive(C, 1_200 * MS);
        if w.rng.chance(1, 2) {
            w.freeze_redis(C, 1_200 * MS);
        }
        w.run_for(5 * SEC);
        assert_eq!(w.announcements(), before, "no election");
        w.ends_whole(3 * SEC);
    });
}

#[test]
fn x14_a_hung_master_wakes_as_no_master() {
    execution(3, plain, |w| {
        w.settled();
        let before = w.announcements();
        w.freeze_redis(A, 12 * SEC);
        w.expect(11 * SEC, "another leads", |w| w.announcements() > before && w.leaders() == 1);
        w.run_for(SEC);
        w.thaw_redis(A);
        w.expect(500 * MS, "A's Redis is none", |w| !w.is_master(A));
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x14_a_script_runs_while_its_hive_resigns() {
    execution(3, plain, |w| {
        w.settled();
        w.busy_redis(A, 9 * SEC);
        w.moment(2 * SEC);
        w.stop(A);
        w.run_for(10 * SEC);
        w.start_hive(A);
        w.ends_whole(8 * SEC);
        let masters = (A..=C).filter(|h| w.is_master(*h)).count();
        assert_eq!(masters, 1, "no second master");
    });
}

#[test]
fn x15_somebody_demotes_the_master() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        let epoch = w.highest_epoch();
        let to = if w.rng.chance(1, 2) { RedisAddr::PARKED } else { w.redis_addr(B) };
        w.meddle(A, RedisOrder::Follow(to));
        w.expect(3 * SEC, "a new leadership", |w| w.highest_epoch() > epoch);
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x21_hives_restart_while_others_claim() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        let syncs = w.checks.full_syncs;
        w.crash_hive(A);
        let pause = w.rng.between(1, 120) * MS;
        w.run_for(pause);
        w.start_hive(A);
        w.moment(100 * MS);
        w.crash_hive(C);
        w.dns.set(C, crate::dns::Mode::Failing);
        w.moment(200 * MS);
        w.start_hive(C);
        w.run_for(2 * SEC);
        w.dns.set(C, crate::dns::Mode::Live);
        w.expect(6 * SEC, "one leader, the old master", |w| w.agreed_master() == Some(A));
        w.ends_whole(3 * SEC);
        assert_eq!((w.checks.full_syncs, w.masters_announced()), (syncs, 1));
    });
}

#[test]
fn x29_connections_are_killed() {
    execution(3, plain, |w| {
        w.settled();
        let before = w.announcements();
        for host in A..=C {
            w.kill_connections(host);
        }
        w.run_for(5 * SEC);
        assert_eq!(w.announcements(), before, "no failover");
        w.ends_whole(SEC);
    });
}

#[test]
fn x29_a_script_of_seven_seconds() {
    execution(3, plain, |w| {
        w.settled();
        let before = w.announcements();
        w.busy_redis(A, 7 * SEC);
        w.run_for(10 * SEC);
        assert_eq!(w.announcements(), before, "no failover");
        w.ends_whole(SEC);
    });
}

#[test]
fn x29_nine_comes_before_ten() {
    execution(3, eight_to_ten, nine_before_ten);
}

/// Addresses .8, .9 and .10, and wall clocks that stand still: timestamps are equal.
pub fn eight_to_ten(config: &mut crate::world::Config) {
    config.first_ip = 8;
    config.clock_stands = true;
}

/// .8 dies; the copies and timestamps of .9 and .10 are equal.
pub fn nine_before_ten(w: &mut World) {
    w.settled();
    w.crash_both(A);
    w.expect(5 * SEC, "one leader", |w| w.agreed().is_some());
    assert_eq!(w.agreed(), Some(B), ".9 wins");
}

#[test]
fn x33_the_holder_of_the_only_copy_pauses() {
    execution(
        2,
        |c| c.transfer = (6 * SEC, 6 * SEC),
        |w| {
            w.start_both(A);
            w.expect(15 * SEC, "A leads", |w| w.agreed() == Some(A));
            w.write_some(A, 50);
            w.start_both(B);
            let syncs = |w: &World| matches!(w.hosts[B].redis.link, Link::Transfer(_));
            w.expect(5 * SEC, "B syncs", syncs);
            w.moment(SEC);
            let kept = w.data(A);
            let span = [1_500, 1_500, 4_000][w.rng.below(3)] * MS;
            match w.rng.below(3) {
                0 => {
                    w.freeze_hive(A, span);
                    w.freeze_redis(A, span);
                }
                1 => w.freeze_hive(A, span),
                _ => w.freeze_redis(A, span),
            }
            w.always(12 * SEC, "B is never master", |w| !w.is_master(B));
            w.ends_with(15 * SEC, kept);
        },
    );
}

#[test]
fn x34_every_loop_is_late_and_the_leader_vanishes() {
    execution(3, plain, |w| {
        w.settled();
        for host in A..=C {
            w.hosts[host].throttled = true;
            w.rearm(host);
        }
        let before = w.announcements();
        w.run_for(8 * SEC);
        assert_eq!(w.announcements(), before, "lateness alone moves nothing");
        w.moment(400 * MS);
        w.power_off(A);
        // About 2 s; the tail of ten late turns in a row is longer.
        w.expect(2_400 * MS, "elected within 2.4 s", |w| w.announcements() > before);
        w.ends_whole(5 * SEC);
    });
}
