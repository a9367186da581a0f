//! Executions of ELECTION 9 about partitions, one-way links, DNS and addresses.

use crate::dns::Mode;
use crate::network::Path;
use crate::scenario::{A, B, C, D, execution, plain};
use crate::world::{MS, SEC, World};
use redis_hive::election::HiveRole;

fn alone_behind_a_partition(w: &mut World, leaderless: bool) {
    w.start_both(C);
    w.expect(15 * SEC, "the holder leads", |w| w.agreed() == Some(C));
    w.write_some(C, 200);
    w.isolate(C, true, true);
    w.start_both(A);
    w.start_both(B);
    let empty_leads =
        |w: &World| w.role(A) == Some(HiveRole::Leader) || w.role(B) == Some(HiveRole::Leader);
    w.expect(25 * SEC, "the empty side bootstraps", empty_leads);
    w.run_for(SEC);
    w.write_some(A, 10);
    w.moment(SEC);
    if leaderless {
        w.crash_hive(C);
        w.moment(200 * MS);
        w.start_hive(C);
        w.moment(200 * MS);
    }
    let kept = w.data(C);
    w.mend();
    w.ends_with(10 * SEC, kept);
}

#[test]
fn x1_data_behind_a_partition_win_over_an_empty_bootstrap() {
    execution(3, plain, |w| alone_behind_a_partition(w, false));
}

#[test]
fn x1_also_when_their_holder_comes_without_a_leader() {
    execution(3, plain, |w| alone_behind_a_partition(w, true));
}

#[test]
fn x6_no_dns_no_leader() {
    execution(3, plain, |w| {
        w.dns.set_all(Mode::Failing);
        (A..=C).for_each(|h| w.start_both(h));
        let starting = |w: &World| (A..=C).all(|h| w.role(h) == Some(HiveRole::Starting));
        w.always(25 * SEC, "all are starting", starting);
        w.dns.set_all(Mode::Live);
        w.expect(5 * SEC, "one leader", |w| w.agreed().is_some());
        w.ends_whole(5 * SEC);
        assert_eq!(w.masters_announced(), 1);
    });
}

#[test]
fn x7_dns_shows_each_only_itself_at_first() {
    execution(2, plain, |w| {
        w.dns.set_all(Mode::OnlyMyself);
        w.start_both(A);
        w.moment(50 * MS);
        w.start_both(B);
        w.run_for(300 * MS);
        w.dns.set_all(Mode::Live);
        w.expect(8 * SEC, "one leader", |w| w.agreed().is_some() && w.equal());
        w.always(2 * SEC, "it stays", |w| w.leaders() == 1);
    });
}

#[test]
fn x11_two_copies_beat_a_lonely_higher_epoch() {
    execution(4, plain, lonely_higher_epoch);
}

/// C led alone, A led B and D in an earlier epoch and had more: A dies as C returns.
pub fn lonely_higher_epoch(w: &mut World) {
    w.settled();
    w.isolate(C, true, true);
    w.expect(6 * SEC, "C leads alone", |w| w.role(C) == Some(HiveRole::Leader));
    w.write_some(C, 3);
    w.write_some(A, 60);
    w.expect(SEC, "B and D have all", |w| w.replicates(B, A) && w.replicates(D, A));
    let kept = w.data(B);
    w.power_off(A);
    w.moment(300 * MS);
    w.mend();
    w.ends_with(12 * SEC, kept);
}

#[test]
fn x13_peer_port_cut_for_one_hive_only() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        let syncs = w.checks.full_syncs;
        w.isolate(C, true, false);
        w.always(10 * SEC, "the master stays", |w| {
            w.is_master(A) && !w.is_master(B) && !w.is_master(C)
        });
        w.mend();
        w.ends_whole(6 * SEC);
        assert_eq!((w.checks.full_syncs, w.masters_announced()), (syncs, 1));
        assert!(w.announcements() <= 6, "{} leaderships: it flaps", w.announcements());
    });
}

#[test]
fn x19_two_leaders_whose_facts_change() {
    execution(4, plain, |w| {
        w.settled();
        w.start_writers();
        for (a, b) in [(A, C), (A, D), (B, C), (B, D)] {
            w.part(a, b, true, true);
        }
        w.expect(6 * SEC, "two leaders", |w| w.leaders() == 2);
        w.moment(2 * SEC);
        w.mend();
        w.expect(6 * SEC, "one remains", |w| w.agreed().is_some());
        highest_leads(w);
    });
}

#[test]
fn x19_two_leaders_that_only_a_third_hive_hears() {
    execution(3, plain, |w| {
        w.settled();
        w.isolate(C, true, true);
        w.expect(6 * SEC, "two leaders", |w| w.leaders() == 2);
        w.write_some(A, 5);
        // B hears both; A and C never hear each other.
        w.cut(B, C, true, true, Path::Open);
        w.cut(C, B, true, true, Path::Open);
        w.cut(A, C, false, true, Path::Open);
        w.cut(C, A, false, true, Path::Open);
        w.expect(8 * SEC, "one remains", |w| w.agreed().is_some());
        w.always(3 * SEC, "and stays", |w| w.leaders() == 1);
        highest_leads(w);
    });
}

fn highest_leads(w: &mut World) {
    let leader = w.agreed().expect("they agree");
    let led = w.running(leader).seen.leadership.expect("a leader leads");
    assert_eq!(led.epoch, w.highest_epoch(), "its epoch is the highest");
    w.stop_writers();
    w.expect(4 * SEC, "all are equal", |w| w.agreed().is_some() && w.equal());
}

#[test]
fn x20_a_link_that_works_one_way() {
    execution(2, plain, one_way);
}

/// A hears B, B hears nothing.
pub fn one_way(w: &mut World) {
    w.settled();
    w.cut(A, B, true, false, Path::Dropped);
    w.run_for(6 * SEC);
    w.always(5 * SEC, "one leader", |w| w.leaders() == 1);
    assert_eq!(w.masters_announced(), 1);
    w.mend();
    w.ends_whole(6 * SEC);
}

#[test]
fn x24_a_broken_link_moves_nothing_for_an_hour() {
    execution(
        3,
        |c| c.write_every = 2 * SEC,
        |w| {
            w.settled();
            w.start_writers();
            let (before, held) = (w.announcements(), w.clients.held);
            w.part(B, C, true, false);
            let hour = if w.config.seed == 0 { 3_600 } else { 60 };
            w.run_for(hour * SEC);
            assert_eq!((w.announcements(), w.clients.held), (before, held));
            w.mend();
            w.ends_whole(5 * SEC);
            assert_eq!(w.announcements(), before);
        },
    );
}

#[test]
fn x27_a_promise_in_vain() {
    execution(3, plain, |w| {
        w.settled();
        for b in [B, C] {
            w.part(A, b, true, true);
        }
        w.expect(6 * SEC, "one grants", |w| w.checks.grants_of(B) + w.checks.grants_of(C) > 0);
        let claimer = if w.checks.grants_of(B) > 0 { C } else { B };
        w.crash_both(claimer);
        w.mend();
        let granter = B + C - claimer;
        w.expect(3 * SEC, "it follows again", |w| w.agreed() == Some(A) && w.routes_to(granter, A));
        w.start_both(claimer);
        w.ends_whole(6 * SEC);
    });
}
