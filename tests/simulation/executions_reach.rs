//! Executions of ELECTION 9 about reach: who is better placed leads.

use redis_hive::election::HiveRole;

use crate::network::Path;
use crate::scenario::{A, B, C, D, execution, plain};
use crate::world::{SEC, World};

fn shut_port_of_the_master(w: &mut World, path: Path) {
    w.settled();
    w.start_writers();
    w.moment(SEC);
    [B, C].into_iter().for_each(|client| w.shut_door(client, A, path));
    w.stop_writers();
    w.run_for(100_000);
    let kept = w.data(B);
    w.expect(7 * SEC, "another one leads", |w| {
        let leader = w.agreed();
        leader == Some(B) || leader == Some(C)
    });
    w.start_writers();
    w.always(5 * SEC, "and stays", |w| w.role(A) != Some(HiveRole::Leader));
    w.ends_with(2 * SEC, kept);
}

#[test]
fn x25_the_masters_redis_port_drops_what_comes() {
    execution(3, plain, |w| shut_port_of_the_master(w, Path::Dropped));
}

#[test]
fn x25_the_masters_redis_port_refuses_what_comes() {
    execution(3, plain, |w| shut_port_of_the_master(w, Path::Refused));
}

#[test]
fn x35_in_a_chain_one_in_the_middle_leads() {
    execution(4, plain, |w| {
        w.settled();
        w.start_writers();
        for (a, b) in [(A, C), (A, D), (B, D)] {
            w.part(a, b, true, false);
        }
        w.run_for(15 * SEC);
        // Where the first try came to nothing the next one is a minute later.
        w.expect(75 * SEC, "B or C leads", |w| {
            w.leaders() == 1
                && [B, C].into_iter().any(|host| w.role(host) == Some(HiveRole::Leader))
        });
        w.run_for(2 * SEC);
        let before = w.announcements();
        w.run_for(60 * SEC);
        assert_eq!(w.announcements(), before, "it stays there");
        w.mend();
        w.ends_whole(6 * SEC);
    });
}

#[test]
fn x24_the_leader_behind_a_broken_link_is_replaced_once() {
    execution(3, plain, |w| {
        w.settled();
        w.start_writers();
        let before = w.announcements();
        w.part(A, B, true, false);
        w.run_for(120 * SEC);
        assert!(w.announcements() <= before + 1, "the master is passed to and fro");
        w.mend();
        w.ends_whole(5 * SEC);
    });
}

#[test]
fn x36_two_nodes_without_peer_ports_do_not_pass_the_master_to_and_fro() {
    execution(2, plain, |w| {
        w.settled();
        w.start_writers();
        w.cut(A, B, true, false, Path::Refused);
        w.cut(B, A, true, false, Path::Refused);
        w.always(150 * SEC, "the master stays", |w| w.is_master(A) && !w.is_master(B));
        w.mend();
        w.ends_whole(6 * SEC);
        assert_eq!(w.masters_announced(), 1);
    });
}
