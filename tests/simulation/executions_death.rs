//! Executions of ELECTION 9 in which a process, a host or a copy dies.

use crate::hosts::{Stranger, ip};
use crate::redis::Link;
use crate::scenario::{A, B, C, D, execution, plain};
use crate::world::{MS, SEC};
use redis_hive::election::{RedisAddr, RedisOrder};

#[test]
fn x2_hive_of_the_only_copy_dies_and_returns() {
    execution(
        3,
        |c| c.transfer = (8 * SEC, 8 * SEC),
        |w| {
            w.start_both(A);
            w.expect(15 * SEC, "A leads", |w| w.agreed() == Some(A));
            w.write_some(A, 20);
            (B..=C).for_each(|h| w.start_both(h));
            let syncing = |w: &crate::world::World, h: usize| {
                matches!(w.hosts[h].redis.link, Link::Transfer(_))
            };
            w.expect(5 * SEC, "B and C sync", |w| syncing(w, B) && syncing(w, C));
            w.moment(2 * SEC);
            let kept = w.data(A);
            w.crash_hive(A);
            w.always(3 * SEC, "no blank master", |w| !w.is_master(B) && !w.is_master(C));
            w.start_hive(A);
            w.always(4 * SEC, "no blank master", |w| !w.is_master(B) && !w.is_master(C));
            w.ends_with(20 * SEC, kept);
            assert_eq!(w.masters_announced(), 1);
        },
    );
}

#[test]
fn x3_master_dies_while_the_only_copy_loads() {
    let tune = |c: &mut crate::world::Config| {
        c.transfer = (300 * MS, 320 * MS);
        c.load = (2 * SEC, 2 * SEC);
    };
    execution(3, tune, |w| {
        w.start_both(A);
        w.expect(15 * SEC, "A leads", |w| w.agreed() == Some(A));
        w.write_some(A, 20);
        w.start_both(B);
        w.expect(3 * SEC, "B loads", |w| w.hosts[B].redis.loading());
        w.start_both(C);
        let syncs = |w: &crate::world::World| matches!(w.hosts[C].redis.link, Link::Transfer(_));
        w.expect(SEC, "C syncs while B loads", |w| syncs(w) && w.hosts[B].redis.loading());
        let Link::Loading(sync) = w.hosts[B].redis.link else { unreachable!("B loads") };
        w.crash_both(A);
        w.always(SEC, "C waits", |w| !w.is_master(C) && !w.is_master(B));
        w.expect(6 * SEC, "B leads", |w| w.agreed() == Some(B));
        w.ends_with(6 * SEC, sync.data);
    });
}

#[test]
fn x4_the_winner_restarts_empty_before_it_is_promoted() {
    execution(3, plain, |w| {
        w.settled();
        let kept = w.data(C);
        w.crash_both(A);
        (B..=C).for_each(|h| w.hosts[h].order_delay = 8 * MS);
        let promotes = |w: &crate::world::World, h: usize| {
            let promotes = |order: &RedisOrder| matches!(order, RedisOrder::Promote { .. });
            w.hosts[h].hive.as_ref().is_some_and(|hive| hive.orders(promotes))
        };
        let waits = |w: &crate::world::World| (B..=C).find(|h| promotes(w, *h) && !w.is_master(*h));
        w.expect(3 * SEC, "one is to be promoted", |w| waits(w).is_some());
        let winner = waits(w).expect("just seen");
        w.crash_redis(winner);
        w.start_redis(winner);
        w.ends_with(8 * SEC, kept);
        assert!(w.is_master(B + C - winner), "the one that kept its copy is master");
    });
}

#[test]
fn x5_the_address_of_the_dead_master_goes_to_a_stranger() {
    execution(3, plain, |w| {
        w.settled();
        let kept = w.data(B);
        let addr = w.hosts[A].ip;
        w.power_off(A);
        if w.rng.chance(1, 2) {
            w.hosts[A].listed = false;
            w.relist();
        }
        w.run_for(1_500 * MS);
        let kind = if w.rng.chance(2, 3) { Stranger::Welcomes } else { Stranger::Rejects };
        w.hosts[A].ip = ip(100, A);
        w.stranger_at(addr, kind);
        w.run_for(5 * SEC);
        w.ends_with(5 * SEC, kept);
    });
}

#[test]
fn x8_hives_die_one_after_another_and_the_master_stays() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        let syncs = w.checks.full_syncs;
        for victim in [A, B, C] {
            let routes: Vec<u32> = (A..=C).map(|h| w.running(h).route_no).collect();
            w.crash_hive(victim);
            // Dead for longer, and the regent moves the master.
            let span = w.rng.between(50, 1_800) * MS;
            w.run_for(span);
            for other in (A..=C).filter(|h| *h != victim) {
                assert_eq!(w.running(other).route_no, routes[other], "a client of another was cut");
                assert!(w.routes_to(other, A), "a route left the living master");
            }
            w.start_hive(victim);
            w.expect(5 * SEC, "the leadership is back beside the master", |w| {
                w.agreed() == Some(A)
            });
            w.moment(SEC);
        }
        w.ends_whole(3 * SEC);
        assert_eq!((w.checks.full_syncs, w.masters_announced()), (syncs, 1));
    });
}

#[test]
fn x9_the_copy_that_is_ahead_wins() {
    execution(3, plain, |w| {
        w.settled();
        w.part(A, C, false, true);
        w.part(B, C, false, true);
        while w.hosts[B].redis.offset < w.hosts[C].redis.offset + 53_000 {
            w.write_some(A, 1);
        }
        w.expect(SEC, "B has all", |w| w.replicates(B, A));
        w.hosts[C].wall_ahead = -5_000;
        w.power_off(A);
        w.mend();
        let kept = w.data(B);
        w.ends_with(5 * SEC, kept);
        assert!(w.is_master(B) && !w.is_master(C));
        w.power_on(A);
        w.start_both(A);
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x10_writes_before_the_first_replica_count() {
    execution(2, plain, |w| {
        w.start_both(A);
        w.expect(15 * SEC, "A leads", |w| w.agreed() == Some(A));
        w.write_some(A, 1_000);
        assert!(w.hosts[A].redis.offset > 40_000, "the offset does not know these writes");
        w.start_both(B);
        w.expect(5 * SEC, "B follows", |w| w.agreed() == Some(A) && w.equal());
        w.run_for(2 * SEC);
        w.isolate(A, true, true);
        w.expect(5 * SEC, "two leaders", |w| w.leaders() == 2);
        w.write_some(B, 10);
        w.write_some(A, 100);
        let kept = w.data(A);
        w.mend();
        w.ends_with(8 * SEC, kept);
    });
}

#[test]
fn x22_a_blank_pod_takes_the_address_of_the_leader() {
    execution(3, plain, |w| {
        w.settled();
        let (kept, before) = (w.data(B), w.announcements());
        w.power_off(A);
        w.moment(100 * MS);
        w.power_on(A);
        w.start_both(A);
        w.expect(800 * MS, "no silence was waited for", |w| w.announcements() > before);
        w.ends_with(6 * SEC, kept);
    });
}

#[test]
fn x23_the_leader_vanishes_at_any_phase() {
    execution(3, plain, |w| {
        w.settled();
        let (kept, before) = (w.data(B), w.announcements());
        w.moment(200 * MS);
        w.power_off(A);
        let limit = 1_300 * MS;
        w.expect(limit, "elected within peer-timeout + 300 ms", |w| w.announcements() > before);
        w.ends_with(3 * SEC, kept);
    });
}

#[test]
fn x26_one_that_never_grants_and_one_that_never_claims() {
    execution(3, plain, |w| {
        w.settled();
        let before = w.announcements();
        if w.rng.chance(1, 2) {
            let silent = if w.rng.chance(1, 2) { B } else { C };
            w.hosts[silent].never_grants = true;
        } else {
            w.hosts[B].never_claims = true;
        }
        w.crash_both(A);
        w.expect(SEC, "elected within 1 s", |w| w.announcements() > before);
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x26_claims_that_split_the_grants() {
    execution(5, plain, |w| {
        w.settled();
        let before = w.announcements();
        // Equal copies, equal timestamps for who hears it in the same millisecond.
        w.crash_both(A);
        w.expect(SEC, "elected within 1 s", |w| w.announcements() > before);
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x31_a_master_without_a_hive_is_found_up_the_chain() {
    execution(4, plain, |w| {
        w.settled_with(&[A, B, C]);
        w.start_writers();
        w.moment(SEC);
        w.stop_writers();
        w.run_for(SEC);
        (A..=C).for_each(|h| w.crash_hive(h));
        let through = RedisAddr::new(w.hosts[B].ip, 6379);
        w.meddle(C, RedisOrder::Follow(through));
        w.expect(5 * SEC, "the chain replicates", |w| w.replicates(C, A));
        let kept = w.data(A);
        w.hosts[A].listed = w.rng.chance(1, 2);
        w.relist();
        w.start_hive(C);
        w.expect(8 * SEC, "C finds it", |w| w.routes_to(C, A));
        assert!(w.is_master(A) && !w.is_master(B) && !w.is_master(C));
        w.moment(3 * SEC);
        w.start_hive(B);
        // The hive beside the master stays dead: the regent moves the master to its own Redis.
        w.expect(8 * SEC, "it moves", |w| w.agreed_master().is_some_and(|at| at != A));
        w.hosts[A].listed = true;
        w.relist();
        w.start_hive(A);
        w.ends_with(6 * SEC, kept);
        assert!(!w.hosts[D].redis.alive);
    });
}

#[test]
fn x38_an_old_copy_returns_while_the_newest_one_loads() {
    let tune = |c: &mut crate::world::Config| {
        c.transfer = (50 * MS, 60 * MS);
        c.load = (2 * SEC, 2 * SEC);
    };
    execution(3, tune, |w| {
        const E: usize = C;
        w.settled_with(&[A, E]);
        w.freeze_hive(E, 3_600 * SEC);
        w.freeze_redis(E, 3_600 * SEC);
        w.run_for(2 * SEC);
        w.write_some(A, 300);
        w.start_both(B);
        w.expect(8 * SEC, "B loads", |w| w.hosts[B].redis.loading());
        let Link::Loading(sync) = w.hosts[B].redis.link else { unreachable!("B loads") };
        w.moment(500 * MS);
        w.crash_both(A);
        w.thaw_hive(E);
        w.thaw_redis(E);
        // E may have the rest of the stream in its socket: then its copy is as good.
        w.ends_with(10 * SEC, sync.data);
    });
}
