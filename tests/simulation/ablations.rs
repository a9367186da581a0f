//! The simulator can fail: each rule switched off, and each planted bug, is caught by the faults that isolate it.
//!
//! A test first shows that the same seeds pass with the rule in place, or lose far less.

use redis_hive::election::{Ablation, HiveRole};

use crate::executions_time::{eight_to_ten, nine_before_ten};
use crate::mix::Mix;
use crate::network::Path;
use crate::plans::Plan;
use crate::random::{Sums, run_guarded, sweep};
use crate::scenario::{attempt, plain};
use crate::world::{Config, MS, SEC, World};

const NONE: Mix = Mix::NONE;

/// Demands that the ablated core breaks an invariant, does not converge, or loses clearly more
/// acknowledged writes than the whole one does in the same seeds.
fn caught(mix: Mix, tune: fn(&mut Plan), ablation: Ablation) {
    let most = 600;
    let mut ablated = Plan::of(mix, ablation);
    tune(&mut ablated);
    let mut whole = Plan::of(mix, Ablation::default());
    tune(&mut whole);
    let mut with = Sums::default();
    let mut first = 0;
    while first < most {
        let part = sweep(&ablated, first, 100, true);
        if let Some((seed, what)) = part.broken.first() {
            let same = run_guarded(&whole, *seed, true);
            assert!(
                same.violations.is_empty(),
                "{}\nthe whole core breaks it too: {:?}",
                same.story,
                same.violations
            );
            println!("caught by seed {seed}: {what}");
            return;
        }
        with.lost += part.lost;
        with.acknowledged += part.acknowledged;
        first += 100;
    }
    let without = sweep(&whole, 0, most, true);
    println!("lost {} of {}, whole core {}", with.lost, with.acknowledged, without.lost);
    assert!(without.broken.is_empty(), "the whole core fails: {:?}", without.broken);
    assert!(with.lost > 2 * without.lost + 20, "nothing was found in {most} seeds");
}

/// Demands that an execution that passes with the whole core fails with the ablated one.
fn caught_in(hosts: usize, tune: fn(&mut Config), ablate: fn(&mut Config), body: fn(&mut World)) {
    let mut failed = None;
    for seed in 0..24 {
        attempt(seed, false, hosts, tune, body).expect("the whole core passes");
        let broken = attempt_with(seed, hosts, tune, ablate, body);
        failed = failed.or(broken.err());
    }
    println!("caught: {:?}", failed.as_deref().map(str::trim));
    assert!(failed.is_some(), "nothing was found");
}

fn attempt_with(
    seed: u64,
    hosts: usize,
    tune: fn(&mut Config),
    ablate: fn(&mut Config),
    body: fn(&mut World),
) -> Result<(), String> {
    let mut config = Config::new(seed);
    tune(&mut config);
    ablate(&mut config);
    crate::scenario::attempt_in(World::new(config, hosts), body)
}

fn as_is(_: &mut Plan) {}

fn slow_syncs(plan: &mut Plan) {
    plan.slow_syncs = true;
}

fn late_streams(plan: &mut Plan) {
    plan.late_streams = true;
}

fn dense(plan: &mut Plan) {
    plan.pace = 800 * MS;
}

fn split_birth(plan: &mut Plan) {
    plan.split_birth = true;
}

#[test]
fn ablation_no_living_master() {
    let mix = Mix { hive_crash: 3, both_freeze: 0, ..NONE };
    caught(mix, slow_syncs, Ablation { no_living_master: true, ..Default::default() });
}

#[test]
fn ablation_no_park_before_grant() {
    let mix = Mix { partition: 3, port_cut: 3, both_crash: 2, redis_freeze: 2, ..NONE };
    caught(mix, dense, Ablation { no_park_before_grant: true, ..Default::default() });
}

#[test]
fn ablation_no_frozen_passports() {
    let mix = Mix { both_crash: 4, redis_crash: 2, ..NONE };
    caught(mix, late_streams, Ablation { no_frozen_passports: true, ..Default::default() });
}

#[test]
fn ablation_no_gap_counting() {
    let ablate = |c: &mut Config| c.ablation.no_gap_counting = true;
    caught_in(2, plain, ablate, |w| {
        w.settled();
        let before = w.announcements();
        // What is sent to a paused machine comes after it woke.
        w.freeze_hive(1, 1_500 * MS);
        w.isolate(1, true, false);
        w.run_for(1_499 * MS);
        w.mend();
        w.run_for(2 * SEC);
        assert_eq!(w.announcements(), before, "who slept knows nothing of silence");
    });
}

#[test]
fn ablation_no_one_way_deference() {
    let ablate = |c: &mut Config| c.ablation.no_one_way_deference = true;
    caught_in(2, plain, ablate, crate::executions_net::one_way);
}

#[test]
fn ablation_leave_heard_leader() {
    let ablate = |c: &mut Config| c.ablation.leave_heard_leader = true;
    caught_in(4, plain, ablate, |w| {
        w.settled();
        w.isolate(2, true, true);
        w.expect(6 * SEC, "C leads alone", |w| w.role(2) == Some(HiveRole::Leader));
        w.write_some(2, 3);
        w.write_some(0, 60);
        w.expect(SEC, "B and D have all", |w| w.replicates(1, 0) && w.replicates(3, 0));
        let kept = w.data(0);
        // C is back for its followers; A and C never hear each other.
        for (a, b) in [(1, 2), (3, 2)] {
            w.cut(a, b, true, true, Path::Open);
            w.cut(b, a, true, true, Path::Open);
        }
        w.cut(0, 2, false, true, Path::Open);
        w.cut(2, 0, false, true, Path::Open);
        w.ends_with(12 * SEC, kept);
    });
}

#[test]
fn ablation_no_giving_way() {
    let ablate = |c: &mut Config| c.ablation.no_giving_way = true;
    caught_in(4, plain, ablate, crate::executions_net::lonely_higher_epoch);
}

#[test]
fn ablation_no_root_guard() {
    let mix = Mix { partition: 2, hive_crash: 3, ..NONE };
    caught(mix, split_birth, Ablation { no_root_guard: true, ..Default::default() });
}

#[test]
fn ablation_no_promise_expiry() {
    let mix = Mix { partition: 3, hive_crash: 3, weather: 2, ..NONE };
    caught(mix, dense, Ablation { no_promise_expiry: true, ..Default::default() });
}

#[test]
fn ablation_no_order_epoch_check() {
    let ablate = |c: &mut Config| c.ablation.no_order_epoch_check = true;
    caught_in(3, plain, ablate, |w| {
        w.settled();
        w.crash_hive(0);
        w.expect(3 * SEC, "a regent leads", |w| w.leaders() == 1);
        w.start_hive(0);
        let follower = Some(redis_hive::election::HiveRole::Follower);
        w.expect(3 * SEC, "A follows it", |w| w.role(0) == follower && w.leaders() == 1);
        let regent = if w.role(1) == follower { 2 } else { 1 };
        w.stale_order(regent, 0);
        let led = w.running(regent).seen.leadership.map(|led| led.epoch);
        let steals = |w: &World| {
            let seen = w.running(0).seen;
            Some(seen.role) != follower && seen.leadership.map(|led| led.epoch) == led
        };
        w.always(2 * SEC, "a stale order is void", |w| !steals(w));
    });
}

#[test]
fn ablation_no_lease() {
    let tune = |c: &mut Config| {
        c.quorum = 2;
        c.write_every = 8 * MS;
    };
    let ablate = |c: &mut Config| c.ablation.no_lease = true;
    caught_in(3, tune, ablate, crate::executions_quorum::isolated_leader);
}

#[test]
fn ablation_no_lease_of_a_sleeper() {
    let tune = |c: &mut Config| {
        c.quorum = 3;
        c.write_every = 8 * MS;
    };
    let ablate = |c: &mut Config| c.ablation.no_lease = true;
    caught_in(5, tune, ablate, crate::executions_quorum::sleeping_leader);
}

#[test]
fn planted_grant_twice() {
    let mix = Mix { both_crash: 3, weather: 3, hive_crash: 1, ..NONE };
    caught(mix, dense, Ablation { grant_twice: true, ..Default::default() });
}

#[test]
fn planted_ignore_passports() {
    let mix = Mix { port_cut: 4, both_crash: 3, ..NONE };
    caught(mix, dense, Ablation { ignore_passports: true, ..Default::default() });
}

#[test]
fn planted_ips_as_text() {
    let ablate = |c: &mut Config| c.ablation.ips_as_text = true;
    caught_in(3, eight_to_ten, ablate, nine_before_ten);
}

#[test]
fn planted_promote_before_grants() {
    let mix = Mix { both_crash: 3, port_cut: 2, partition: 1, ..NONE };
    caught(mix, as_is, Ablation { promote_before_grants: true, ..Default::default() });
}

#[test]
fn planted_keep_leading_after_restart() {
    let mix = Mix { redis_reboot: 4, ..NONE };
    caught(mix, as_is, Ablation { keep_leading_after_restart: true, ..Default::default() });
}

#[test]
fn planted_blank_bootstraps_at_once() {
    let ablate = |c: &mut Config| c.ablation.blank_bootstraps_at_once = true;
    caught_in(3, plain, ablate, |w| {
        w.settled_with(&[0, 1]);
        w.isolate(2, true, true);
        w.start_both(2);
        w.always(6 * SEC, "an empty one alone waits", |w| !w.is_master(2));
    });
}

/// The checks themselves: a hive that settled passes its audit.
#[test]
fn a_quiet_world_breaks_nothing() {
    crate::scenario::execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.run_for(5 * SEC);
        w.ends_whole(2 * SEC);
    });
}
