//! Executions of ELECTION 9 with `--quorum`: never a write acknowledged by an older master.

use redis_hive::election::{Ask, HiveRole};

use crate::scenario::{A, B, C, D, execution};
use crate::world::{Config, MS, SEC, World};

const E: usize = 4;

fn two(config: &mut Config) {
    config.quorum = 2;
    config.write_every = 8 * MS;
}

fn three(config: &mut Config) {
    config.quorum = 3;
    config.write_every = 8 * MS;
}

impl World {
    /// All hosts start at once, A first; it leads.
    fn settled_together(&mut self) {
        (0..self.hosts.len()).for_each(|host| {
            self.start_both(host);
            self.run_for(300 * MS);
        });
        self.expect(30 * SEC, "A leads", |w| w.agreed() == Some(A) && w.equal());
        self.run_for(2_500 * MS);
    }

    /// Some commands take long on every host.
    fn slow_everywhere(&mut self) {
        let slow = self.rng.between(0, 400) * MS;
        self.hosts.iter_mut().for_each(|host| host.slow_commands = slow);
    }
}

#[test]
fn a_healthy_quorum_holds_nobody() {
    execution(3, two, |w| {
        w.settled_together();
        w.start_writers();
        let held = w.clients.held;
        w.run_for(20 * SEC);
        assert_eq!(w.clients.held, held, "clients were held without need");
        w.ends_whole(2 * SEC);
    });
}

#[test]
fn at_any_phase_of_the_heartbeats_a_quorum_holds_nobody() {
    execution(5, three, |w| {
        (0..5).for_each(|host| {
            w.start_both(host);
            w.moment(400 * MS);
        });
        w.expect(30 * SEC, "one leads", |w| w.agreed().is_some() && w.equal());
        w.start_writers();
        for _ in 0..8 {
            // A hive that starts anew has another phase.
            let again = w.rng.below(5);
            if w.role(again) != Some(HiveRole::Leader) {
                w.crash_hive(again);
                w.moment(400 * MS);
                w.start_hive(again);
            }
            w.expect(5 * SEC, "all follow", |w| w.agreed().is_some());
            w.run_for(1_500 * MS);
            let held = w.clients.held;
            w.run_for(2 * SEC);
            assert_eq!(w.clients.held, held, "clients were held without need");
        }
        w.ends_whole(2 * SEC);
    });
}

#[test]
fn a_switchover_with_a_quorum_loses_nothing() {
    execution(3, two, |w| {
        w.settled_together();
        w.start_writers();
        w.slow_everywhere();
        w.moment(SEC);
        for _ in 0..3 {
            let at = w.rng.below(3);
            w.ask(at, Ask::Switchover { to: None });
            w.moment(3 * SEC);
        }
        w.ends_whole(4 * SEC);
    });
}

#[test]
fn x17_the_leader_is_isolated_at_any_phase() {
    execution(3, two, isolated_leader);
}

/// A is cut off at a random moment; B and C go on without it.
pub fn isolated_leader(w: &mut World) {
    w.settled_together();
    w.start_writers();
    w.slow_everywhere();
    w.moment(SEC);
    w.isolate(A, true, true);
    let cut = w.now;
    w.expect(5 * SEC, "another one leads", |w| {
        w.role(B) == Some(HiveRole::Leader) || w.role(C) == Some(HiveRole::Leader)
    });
    w.moment(2 * SEC);
    let last = w.clients.last_ack[A];
    assert!(last < cut + SEC, "A acknowledged a write {} ms later", (last - cut) / MS);
    w.mend();
    w.stop_writers();
    w.expect(10 * SEC, "all agree", |w| w.agreed().is_some() && w.equal());
}

#[test]
fn x17_two_of_five_are_cut_off_and_their_leader_sleeps() {
    execution(5, three, sleeping_leader);
}

/// {A, C} are cut off, and hive A sleeps for a while: what it and C held back must not pass later.
pub fn sleeping_leader(w: &mut World) {
    w.settled_together();
    w.start_writers();
    w.slow_everywhere();
    w.moment(SEC);
    for a in [A, C] {
        [B, D, E].into_iter().for_each(|b| w.part(a, b, true, true));
    }
    w.moment(300 * MS);
    let span = w.rng.between(100 * MS, 4 * SEC);
    w.freeze_hive(A, span);
    w.expect(6 * SEC, "another one leads", |w| {
        [B, D, E].into_iter().any(|host| w.role(host) == Some(HiveRole::Leader))
    });
    w.run_for(4 * SEC);
    w.mend();
    w.stop_writers();
    w.expect(10 * SEC, "all agree", |w| w.agreed().is_some() && w.equal());
}

#[test]
fn x17_everything_of_the_leader_sleeps() {
    execution(3, two, |w| {
        w.settled_together();
        w.start_writers();
        w.slow_everywhere();
        w.moment(SEC);
        let span = w.rng.between(400 * MS, 4 * SEC);
        w.freeze_hive(A, span);
        w.freeze_redis(A, span);
        w.run_for(span + 3 * SEC);
        w.stop_writers();
        w.expect(10 * SEC, "all agree", |w| w.agreed().is_some() && w.equal());
    });
}

#[test]
fn x18_a_witness_that_restarts_does_not_vote_twice() {
    execution(3, two, |w| {
        const W: usize = C;
        w.hosts[W].witness = true;
        w.settled_together();
        w.start_writers();
        w.slow_everywhere();
        w.moment(SEC);
        w.part(A, B, true, true);
        w.moment(2 * SEC);
        w.crash_hive(W);
        w.moment(400 * MS);
        w.start_hive(W);
        w.run_for(5 * SEC);
        w.always(2 * SEC, "one leader", |w| w.leaders() <= 1);
        w.mend();
        w.stop_writers();
        w.expect(10 * SEC, "all agree", |w| w.agreed().is_some() && w.equal());
    });
}

#[test]
fn x18_the_order_comes_late_or_never() {
    execution(3, two, |w| {
        const W: usize = C;
        w.hosts[W].witness = true;
        w.settled_together();
        w.start_writers();
        w.moment(SEC);
        let orders = w.checks.orders.len();
        w.ask(A, Ask::Switchover { to: None });
        w.expect(2 * SEC, "an order to lead", |w| w.checks.orders.len() > orders);
        w.moment(500);
        if w.rng.chance(1, 2) {
            let span = w.rng.between(100 * MS, 3 * SEC);
            w.freeze_hive(B, span);
            w.run_for(span);
        } else {
            w.part(A, B, true, true);
            w.moment(4 * SEC);
        }
        w.mend();
        w.ends_whole(10 * SEC);
    });
}
