//! Executions of ELECTION 9 about planned changes: switchovers, pods that stop, pause mode.

use std::ops::RangeInclusive;

use redis_hive::election::frame::Verdict;
use redis_hive::election::{Ask, Keep, RedisOrder, Route};

use crate::hosts::ip;
use crate::network::Path;
use crate::scenario::{A, B, C, execution, plain};
use crate::world::{Config, MS, SEC, World};

/// Writes of a few milliseconds apart show the shortest pause.
fn busy(config: &mut Config) {
    config.write_every = 4 * MS;
}

fn switchover(w: &mut World, at: usize, to: Option<usize>) -> u64 {
    let to = to.map(|to| w.hosts[to].ip);
    w.ask(at, Ask::Switchover { to })
}

impl World {
    /// Whether some hive holds its clients for a planned change.
    fn holds(&self) -> bool {
        self.hosts.iter().any(|there| {
            there.hive.as_ref().is_some_and(|hive| matches!(hive.route, Route::Held { .. }))
        })
    }

    /// A planned change from A is under way: its order to lead was just sent.
    fn until_ordered(&mut self) {
        self.settled();
        self.start_writers();
        self.moment(SEC);
        let orders = self.checks.orders.len();
        switchover(self, A, None);
        self.expect(2 * SEC, "an order to lead", |w| w.checks.orders.len() > orders);
    }

    /// What the last change of master left of the sessions of a hive.
    fn kept(&self, host: usize) -> Keep {
        self.hosts[host].hive.as_ref().map_or(Keep::None, |hive| hive.sessions.kept)
    }

    fn successor(&self) -> usize {
        self.checks.orders.last().expect("an order was sent").to
    }
}

#[test]
fn a_switchover_loses_nothing_and_pauses_for_milliseconds() {
    execution(3, busy, |w| {
        w.settled();
        w.start_writers();
        w.run_for(SEC);
        let (errors, syncs) = (w.clients.errors, w.checks.full_syncs);
        w.clients.longest_gap = 0;
        let asked = w.rng.below(3);
        let (token, began) = (switchover(w, asked, Some(C)), w.now);
        w.expect(3 * SEC, "C leads", |w| w.agreed() == Some(C));
        w.expect(SEC, "the answer", |w| w.verdict(token) == Some(Verdict::Done));
        let late = w.now - began;
        assert!(late <= 60 * MS, "agreed after {} ms", late / MS);
        let (gap, errors) = (w.clients.longest_gap / MS, w.clients.errors - errors);
        assert!(gap <= 60, "a pause of {gap} ms");
        assert!(errors == 0, "{errors} clients saw an error");
        assert_eq!(w.checks.full_syncs, syncs, "every resync is partial");
        for host in [A, B, C] {
            let kept = w.kept(host);
            assert!(matches!(kept, Keep::Planned { .. }), "sessions move at {host}: {kept:?}");
        }
        w.ends_whole(3 * SEC);
    });
}

/// Nobody is held while it is asked, so an answer that comes late is worth another question.
#[test]
fn a_successor_that_is_slow_at_first_is_asked_again() {
    execution(3, plain, |w| silent_at_first(w, Path::Dropped, 2..=3));
}

/// That nobody is there is known at once, and is no reason to ask without a pause.
#[test]
fn a_successor_without_a_route_is_asked_again_after_a_while() {
    execution(3, plain, |w| silent_at_first(w, Path::NoRoute, 3..=6));
}

/// `questions`: what the leader asks the successor in 400 ms, with the look at its port that comes
/// every other second.
fn silent_at_first(w: &mut World, path: Path, questions: RangeInclusive<u64>) {
    w.settled();
    w.shut_door(A, C, path);
    let asked = |w: &World| w.checks.probes.get(&(A, w.redis_addr(C))).copied().unwrap_or_default();
    let before = asked(w);
    let token = switchover(w, A, Some(C));
    w.run_for(400 * MS);
    assert!(!w.holds(), "nobody waits for it");
    let asked = asked(w) - before;
    assert!(questions.contains(&asked), "{asked} questions");
    w.shut_door(A, C, Path::Open);
    w.expect(SEC, "the answer", |w| w.verdict(token) == Some(Verdict::Done));
    w.expect(SEC, "C leads", |w| w.agreed() == Some(C));
    w.ends_whole(3 * SEC);
}

/// Everybody can replicate from the oldest version: it takes over, and the log says why.
#[test]
fn the_oldest_version_takes_over() {
    execution(3, plain, |w| {
        w.settled();
        for host in [A, B] {
            w.hosts[host].redis.version.minor = 4;
        }
        w.run_for(2 * SEC);
        switchover(w, A, None);
        let mut why = String::new();
        w.expect(3 * SEC, "C leads", |w| {
            let said = w.running(A).reported.as_str();
            if said.contains("moves to") {
                said.clone_into(&mut why);
            }
            w.agreed() == Some(C)
        });
        assert!(why.contains("7.0.15 is the oldest"), "{why}");
    });
}

/// Sessions that were idle for two heartbeats when the master died live on, others do not.
#[test]
fn idle_sessions_survive_a_crash() {
    execution(3, busy, |w| {
        w.settled();
        w.start_writers();
        w.run_for(2 * SEC);
        let dead = w.now;
        w.crash_both(A);
        w.expect(3 * SEC, "another one leads", |w| matches!(w.agreed(), Some(B | C)));
        for host in [B, C] {
            let clock = w.hosts[host].hive.as_ref().map_or(0, |hive| hive.origin);
            let Keep::Crash { before } = w.kept(host) else {
                panic!("at {host}: {:?}", w.kept(host));
            };
            let idle = (dead + clock).saturating_sub(before.0) / MS;
            assert!((0..=1_000).contains(&idle), "idle for {idle} ms at {host}");
        }
    });
}

#[test]
fn a_switchover_that_cannot_be_is_refused() {
    execution(3, plain, |w| {
        w.settled();
        let before = w.announcements();
        let unknown = w.ask(B, Ask::Switchover { to: Some(ip(240, 0)) });
        w.expect(10 * SEC, "unknown", |w| w.verdict(unknown) == Some(Verdict::Unfit));
        w.stop(C);
        w.run_for(10 * MS);
        let stops = switchover(w, A, Some(C));
        w.expect(10 * SEC, "it stops", |w| w.verdict(stops) == Some(Verdict::Unfit));
        assert_eq!(w.announcements(), before, "nothing moved");
        w.run_for(3 * SEC);
        w.start_both(C);
        w.expect(10 * SEC, "C is back", |w| w.agreed() == Some(A) && w.equal());
        w.run_for(2 * SEC);
        let pause = w.ask(C, Ask::Pause);
        w.expect(10 * SEC, "paused", |w| w.verdict(pause) == Some(Verdict::Done));
        w.run_for(SEC);
        let paused = switchover(w, B, None);
        w.expect(10 * SEC, "paused", |w| w.verdict(paused) == Some(Verdict::Conflict));
        let resume = w.ask(B, Ask::Resume);
        w.expect(10 * SEC, "resumed", |w| w.verdict(resume) == Some(Verdict::Done));
        w.run_for(SEC);
        let first = switchover(w, A, Some(B));
        let second = switchover(w, A, Some(C));
        w.expect(10 * SEC, "both answers", |w| {
            w.verdict(first) == Some(Verdict::Done) && w.verdict(second) == Some(Verdict::Conflict)
        });
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn a_leader_that_stops_hands_over() {
    execution(3, busy, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        let syncs = w.checks.full_syncs;
        w.clients.longest_gap = 0;
        w.retire(A);
        w.expect(5 * SEC, "A is gone", |w| w.hosts[A].gone);
        w.expect(2 * SEC, "another one leads", |w| w.agreed().is_some());
        let gap = w.clients.longest_gap / MS;
        assert!(gap <= 60, "a pause of {gap} ms");
        assert_eq!(w.checks.full_syncs, syncs, "every resync is partial");
        w.ends_whole(3 * SEC);
    });
}

#[test]
fn x16_the_link_breaks_right_after_the_order() {
    execution(3, plain, |w| {
        w.until_ordered();
        let (to, kept) = (w.successor(), w.data(A));
        w.stop_writers();
        w.moment(600);
        if w.rng.chance(1, 2) {
            w.part(A, to, true, false);
        } else {
            w.isolate(to, true, true);
        }
        w.moment(4 * SEC);
        w.mend();
        w.ends_with(10 * SEC, kept);
    });
}

#[test]
fn x16_the_successor_sleeps_and_reads_the_order_late() {
    execution(3, plain, |w| {
        w.until_ordered();
        let to = w.successor();
        let span = w.rng.between(50 * MS, 3 * SEC);
        w.freeze_hive(to, span);
        if w.rng.chance(1, 2) {
            w.freeze_redis(to, span);
        }
        w.run_for(span + SEC);
        w.ends_whole(10 * SEC);
    });
}

#[test]
fn x16_the_holder_dies_while_it_holds() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        switchover(w, A, None);
        w.expect(2 * SEC, "clients are held", |w| w.holds());
        w.moment(8 * MS);
        let kept = w.data(B);
        let hive_only = w.rng.chance(1, 2);
        if hive_only {
            w.crash_hive(A);
        } else {
            w.crash_both(A);
        }
        w.run_for(1_500 * MS);
        assert!(!w.holds(), "a hold outlives its holder");
        w.expect(6 * SEC, "another one leads", |w| w.agreed().is_some());
        if hive_only {
            w.ends_whole(6 * SEC);
        } else {
            w.ends_with(6 * SEC, kept);
        }
    });
}

#[test]
fn x28_a_caretaker_leads_while_nobody_else_can() {
    execution(3, plain, |w| {
        w.hosts[A].priority = 0;
        w.hosts[B].cannot_promote = true;
        w.settled_with(&[A]);
        w.start_both(B);
        w.start_writers();
        w.run_for(25 * SEC);
        let tried = w.checks.orders.len();
        assert!(tried <= 2, "B was ordered to lead {tried} times");
        w.expect(2 * SEC, "the caretaker leads", |w| w.agreed_master() == Some(A));
        w.start_both(C);
        w.expect(12 * SEC, "C takes over", |w| w.agreed_master() == Some(C));
        w.ends_whole(3 * SEC);
    });
}

#[test]
fn x30_the_last_copy_stays_through_a_first_sync_of_a_minute() {
    let tune = |c: &mut Config| c.transfer = (60 * SEC, 60 * SEC);
    execution(1, tune, |w| {
        w.settled_with(&[A]);
        w.write_some(A, 30);
        w.start_writers();
        let wait = w.rng.between(0, 3 * SEC);
        let new = w.replace(A, wait).expect("there is room");
        let copied = |w: &World| w.hosts[new].redis.complete();
        w.always(70 * SEC, "the last copy stays", |w| copied(w) || w.is_master(A));
        assert!(copied(w), "it was copied");
        w.expect(15 * SEC, "the new one leads", |w| w.agreed() == Some(new) && w.hosts[A].gone);
        w.ends_whole(3 * SEC);
    });
}

#[test]
fn x30_all_pods_are_replaced_one_after_another() {
    let tune = |c: &mut Config| {
        c.transfer = (20 * MS, 4 * SEC);
        c.load = (20 * MS, 2 * SEC);
    };
    execution(3, tune, |w| {
        w.settled();
        w.start_writers();
        for old in [A, B, C] {
            let wait = if w.rng.chance(1, 2) { 0 } else { w.rng.between(0, 8 * SEC) };
            w.replace(old, wait).expect("there is room");
            w.moment(2 * SEC);
        }
        w.expect(30 * SEC, "the old ones are gone", |w| (A..=C).all(|old| w.hosts[old].gone));
        w.ends_whole(10 * SEC);
    });
}

#[test]
fn x30_new_pods_of_another_name_do_not_lead_beside_the_last_copy() {
    execution(1, plain, |w| {
        w.settled_with(&[A]);
        w.write_some(A, 30);
        let new = w.new_stranger_pod();
        w.moment(3 * SEC);
        let kept = w.data(A);
        w.retire(A);
        w.always(58 * SEC, "the last copy stays, nothing blank leads", |w| {
            w.hosts[A].redis.alive && !w.is_master(new)
        });
        assert_eq!(w.data(A), kept);
    });
}

#[test]
fn x32_the_regents_move_is_interrupted_at_every_step() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        w.moment(SEC);
        w.crash_hive(A);
        w.expect(3 * SEC, "a regent leads", |w| w.leaders() == 1);
        let regent = if w.role(B) == Some(redis_hive::election::HiveRole::Leader) { B } else { C };
        match w.rng.below(4) {
            0 => w.expect(8 * SEC, "clients are held", |w| w.holds()),
            1 => w.expect(8 * SEC, "writes wait", |w| w.hosts[A].redis.paused_until > w.now),
            2 => w.expect(8 * SEC, "the old master follows", |w| !w.is_master(A)),
            _ => w.expect(8 * SEC, "the new master", |w| w.is_master(B) || w.is_master(C)),
        }
        w.moment(3 * MS);
        match w.rng.below(5) {
            0 => w.start_hive(A),
            1 => w.crash_hive(regent),
            2 => w.freeze_hive(regent, 1_500 * MS),
            3 => w.part(A, regent, true, true),
            _ => {
                w.start_hive(A);
                w.freeze_hive(regent, 400 * MS);
            }
        }
        w.moment(3 * SEC);
        w.mend();
        w.start_hive(A);
        w.start_hive(regent);
        w.ends_whole(10 * SEC);
    });
}

#[test]
fn x37_the_leaders_hive_restarts_in_pause_mode() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        let asked = w.rng.below(3);
        let token = w.ask(asked, Ask::Pause);
        w.expect(SEC, "paused", |w| w.verdict(token) == Some(Verdict::Done));
        w.run_for(SEC);
        w.crash_hive(A);
        let span = w.rng.between(50 * MS, 6 * SEC);
        w.always(span, "writes go on", |w| w.routes_to(B, A) && w.routes_to(C, A));
        w.start_hive(A);
        w.always(4 * SEC, "writes go on", |w| w.routes_to(B, A) && w.routes_to(C, A));
        assert!(w.routes_to(A, A), "A's own clients are served again");
        assert_eq!(w.masters_announced(), 1);
        let token = w.ask(C, Ask::Resume);
        w.expect(SEC, "resumed", |w| w.verdict(token) == Some(Verdict::Done));
        w.ends_whole(6 * SEC);
    });
}

#[test]
fn x37_nobody_fails_over_in_pause_mode() {
    execution(3, plain, |w| {
        w.settled();
        let kept = w.data(B);
        w.ask(B, Ask::Pause);
        w.run_for(SEC);
        w.crash_redis(A);
        w.always(8 * SEC, "no other master", |w| !w.is_master(B) && !w.is_master(C));
        w.start_redis(A);
        w.always(3 * SEC, "no empty master", |w| (A..=C).all(|host| !w.is_master(host)));
        w.ask(C, Ask::Resume);
        w.ends_with(8 * SEC, kept);
    });
}

/// Whoever demotes and promotes goes through the same model: an old master that becomes its
/// replica's replica, and back.
#[test]
fn a_circle_of_replicas_moves_nothing() {
    execution(3, plain, |w| {
        w.settled();
        (A..=C).for_each(|host| w.crash_hive(host));
        let (kept, offset) = (w.data(A), w.hosts[A].redis.offset);
        let syncs = w.checks.full_syncs;
        let to = w.redis_addr(B);
        w.meddle(A, RedisOrder::Follow(to));
        w.run_for(SEC);
        assert!((A..=C).all(|host| w.data(host) == kept && w.hosts[host].redis.offset == offset));
        w.meddle(B, RedisOrder::Promote { first: false });
        w.run_for(2 * SEC);
        assert!(w.replicates(A, B) && w.replicates(C, A));
        assert_eq!(w.checks.full_syncs, syncs, "every resync is partial");
    });
}
