//! DESIGN 3.4 on real servers: what an old master did not do is done by the next one, once.

use std::io::Write;
use std::path::Path;

use redis_hive::election::Keep;
use redis_hive::proxy::Why;

use crate::fake::{Client, planned, request};
use crate::pair::{Pair, cut};
use crate::rows::{SCRIPT, ping, planned_only, row};
use crate::servers::{self, on_every_server};
use crate::support::*;

on_every_server!(
    refused_by_the_old_master,
    refused_by_the_old_master_and_not_to_be_sent_again,
    refused_while_the_hive_stops,
    blocked_for_a_time_that_ends_in_the_hold,
);

/// The master pauses writes, which wait there when it is demoted: it says then that it did nothing.
fn refused_by_the_old_master(binary: &Path) {
    let mut pair = Pair::start(binary);
    let writes = |pair: &Pair, session: &mut Client| {
        session.call(&["DEL", "count", "other"]);
        waits_there(pair, session, &[&["INCR", "count"]]);
    };
    let done_once = |pair: &Pair, session: &mut Client| {
        assert_eq!(session.frame().unwrap(), "1");
        assert_eq!(session.call(&["INCR", "count"]), "2");
        ping(pair, session);
    };
    row(&mut pair, "INCR", &writes, &done_once, planned_only(Why::Outstanding));
    let pipeline = |pair: &Pair, session: &mut Client| {
        session.call(&["DEL", "count", "other"]);
        let words: [&[&str]; 3] =
            [&["INCR", "count"], &["SET", "other", "one"], &["APPEND", "other", "-two"]];
        waits_there(pair, session, &words);
    };
    let all_done_once = |pair: &Pair, session: &mut Client| {
        let replies = [(); 3].map(|()| session.frame().unwrap());
        assert_eq!(replies, ["1", "OK", "7"], "in their order");
        assert_eq!(session.call(&["INCR", "count"]), "2");
        assert_eq!(session.call(&["GET", "other"]), "one-two");
        ping(pair, session);
    };
    row(&mut pair, "pipeline", &pipeline, &all_done_once, planned_only(Why::Outstanding));
}

/// Of a script nobody knows what it did before, and of what is no write the old master has done what
/// it says: the client sees all of it, and is cut then, for that is news of a master that is none.
fn refused_by_the_old_master_and_not_to_be_sent_again(binary: &Path) {
    let mut pair = Pair::start(binary);
    told_and_cut(&mut pair, &[&["EVAL", SCRIPT, "1", "scripted"]], |session| {
        // Which error comes from inside a script is different on every server.
        let said = session.frame().unwrap();
        assert!(said.starts_with('-'), "{said}");
    });
    // As a hive does, so that one without a master answers all that is no write.
    pair.on_both(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    told_and_cut(&mut pair, &[&["INCR", "mixed"], &["PING"]], |session| {
        assert!(session.frame().unwrap().starts_with("-READONLY"));
        assert_eq!(session.frame().unwrap(), "PONG");
    });
    assert_eq!(pair.client().call(&["EXISTS", "scripted", "mixed"]), "0");
}

/// In a planned change the client gets these replies of the old master.
fn told_and_cut(pair: &mut Pair, requests: &[&[&str]], told: impl Fn(&mut Client)) {
    let mut session = pair.client();
    waits_there(pair, &mut session, requests);
    let before = cut(&pair.counters(), Why::Stale);
    let keep = parked(pair);
    told(&mut session);
    pair.move_master(keep);
    session.expect_cut(&format!("{requests:?}"));
    assert_eq!(cut(&pair.counters(), Why::Stale), before + 1, "{requests:?}");
}

/// The master of a planned change is one no more, and there is no other yet.
fn parked(pair: &Pair) -> Keep {
    pair.hold();
    let keep = planned(&pair.hive);
    pair.master.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    pair.master.ask(&["CLIENT", "UNPAUSE"]);
    keep
}

/// Its client is owed a reply, so it is not let go with the others.
fn refused_while_the_hive_stops(binary: &Path) {
    let mut pair = Pair::start(binary);
    let mut session = pair.client();
    waits_there(&pair, &mut session, &[&["INCR", "count"]]);
    pair.hive.proxy.drain();
    let keep = parked(&pair);
    pair.hive.wait_for("it waits for another master", |c| c.held == 1);
    pair.move_master(keep);
    assert_eq!(session.frame().unwrap(), "1", "done once, by the next one");
    session.frame().expect_err("then it is let go");
}

/// Sends these at once to a master that makes writes wait.
fn waits_there(pair: &Pair, session: &mut Client, requests: &[&[&str]]) {
    pair.master.ask(&["CLIENT", "PAUSE", "5000", "WRITE"]);
    let bytes: Vec<u8> = requests.iter().flat_map(|words| request(words)).collect();
    session.stream.write_all(&bytes).unwrap();
    wait_until("it waits there", || pair.master.info_of("clients", "blocked_clients") == "1");
}

/// What the old master says of that is later than what it stated of its copy.
fn blocked_for_a_time_that_ends_in_the_hold(binary: &Path) {
    let mut pair = Pair::start(binary);
    let mut session = pair.client();
    for words in [&["BLPOP", "queue", "0.3"][..], &["XREAD", "BLOCK", "300", "STREAMS", "s", "0"]] {
        session.send(words);
        wait_until("it is blocked", || pair.master.info_of("clients", "blocked_clients") == "1");
        pair.hold();
        let keep = planned(&pair.hive);
        assert_eq!(session.frame().unwrap(), "nil", "{words:?}");
        pair.move_master(keep);
        ping(&pair, &mut session);
    }
    let counters = pair.counters();
    assert_eq!((counters.moved_total, counters.cut_total), (2, 0), "{:?}", counters.cut);
}
