//! DESIGN 3.4 on real servers: a test for each row, which goes through all columns.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use redis_hive::proxy::Why;

use crate::fake::Client;
use crate::pair::{Column, Death, Pair, cut};
use crate::servers::{self, on_every_server};
use crate::support::*;

on_every_server!(
    at_a_boundary_with_state_that_can_be_set_again,
    not_idle_in_a_crash,
    has_used_wait,
    has_used_a_script_by_its_sha,
    a_sha_that_nobody_has,
    blocked,
    a_reply_outstanding,
    transaction_subscription_monitor_tracking_or_no_replies,
    half_a_request_or_bound_or_no_resp,
    replay_refused,
    what_makes_a_session_movable_again,
    a_moved_session_that_names_a_thing_of_the_old_server,
);

use Column::{Crash, Healed, Planned};

/// What becomes of a session.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It goes on and passes the check.
    Moves,
    /// It is reset without having asked for anything, and counted so.
    Cut(Why),
    /// The same, or as stale: the old master may tell it something until the very end.
    CutOrStale(Why),
}

use Then::{Cut, CutOrStale, Moves};

/// Takes a fresh session through each column (planned, healed, crash): `set` first, and `check` if it
/// moves.
pub fn row(
    pair: &mut Pair,
    name: &str,
    set: &dyn Fn(&Pair, &mut Client),
    check: &dyn Fn(&Pair, &mut Client),
    columns: [Then; 3],
) {
    for (column, then) in [Planned, Healed, Crash].into_iter().zip(columns) {
        let what = format!("{name}, {column:?}");
        let mut session = pair.client();
        set(pair, &mut session);
        let before = pair.counters();
        pair.change(column);
        match then {
            Moves => {
                check(pair, &mut session);
                let after = pair.counters();
                assert_eq!(after.moved_total, before.moved_total + 1, "{what}");
                assert_eq!(after.cut, before.cut, "{what}");
            }
            Cut(why) | CutOrStale(why) => {
                session.expect_cut(&what);
                let after = pair.counters();
                let counted = |why| cut(&after, why) == cut(&before, why) + 1;
                let stale = matches!(then, CutOrStale(_)) && counted(Why::Stale);
                assert!(counted(why) || stale, "{what}: {:?}, {:?}", before.cut, after.cut);
                assert_eq!(after.cut_total, before.cut_total + 1, "{what}");
            }
        }
        drop(session);
        pair.hive.wait_for(&what, |c| c.clients == 0);
    }
}

fn nothing(_: &Pair, _: &mut Client) {}

pub fn ping(_: &Pair, session: &mut Client) {
    assert_eq!(session.call(&["PING"]), "PONG");
}

const ALWAYS: [Then; 3] = [Moves, Cut(Why::Stale), Moves];

/// It goes on in a planned change only.
pub fn planned_only(why: Why) -> [Then; 3] {
    [Moves, Cut(Why::Stale), Cut(why)]
}

fn never(why: Why) -> [Then; 3] {
    [Cut(why), Cut(Why::Stale), Cut(why)]
}

fn at_a_boundary_with_state_that_can_be_set_again(binary: &Path) {
    let mut pair = Pair::start(binary);
    pair.on_both(&["ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all"]);
    let set = |pair: &Pair, session: &mut Client| {
        // It came back empty after the last crash.
        pair.on_both(&["ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all"]);
        session.ok(&["AUTH", "user", "secret"]);
        assert!(session.call(&["HELLO", "3"]).contains("proto 3"));
        session.ok(&["SELECT", "3"]);
        session.ok(&["CLIENT", "SETNAME", "me"]);
        session.call(&["CLIENT", "SETINFO", "LIB-NAME", "library"]);
        session.call(&["CLIENT", "SETINFO", "LIB-VER", "1.2.3"]);
        session.call(&["CLIENT", "NO-EVICT", "on"]);
        session.call(&["CLIENT", "NO-TOUCH", "on"]);
        session.call(&["CLIENT", "MAINT_NOTIFICATIONS", "on"]);
        assert!(session.call(&["SELECT", "99"]).starts_with('-'), "it sets nothing");
        session.call(&["INFO"]);
        session.call(&["DEL", "count"]);
        assert_eq!(session.call(&["INCR", "count"]), "1");
        let seen = state(session);
        session.ok(&["SET", "state", &seen]);
    };
    let check = |_: &Pair, session: &mut Client| {
        assert_eq!(session.call(&["INCR", "count"]), "2", "done once");
        let seen = session.call(&["GET", "state"]);
        assert!(seen.contains("name=me") && seen.contains("db=3"), "{seen}");
        assert_eq!(state(session), seen);
        assert_eq!(session.call(&["ACL", "WHOAMI"]), "user");
    };
    row(&mut pair, "settings", &set, &check, ALWAYS);
    row(&mut pair, "nothing set", &ping, &ping, ALWAYS);
}

/// What a server says of a session that the session itself has set.
fn state(session: &mut Client) -> String {
    let info = session.call(&["CLIENT", "INFO"]);
    let mine = ["name=", "db=", "user=", "flags=", "resp=", "lib-name=", "lib-ver="];
    let fields = info.split(' ').filter(|field| mine.iter().any(|name| field.starts_with(name)));
    fields.map(str::trim_end).collect::<Vec<_>>().join(" ")
}

/// Its last reply may be news to the next master.
fn not_idle_in_a_crash(binary: &Path) {
    let mut pair = Pair::start(binary);
    let mut idle = pair.client();
    idle.ok(&["SET", "key", "value"]);
    let before = pair.hive.now();
    let mut busy = pair.client();
    busy.ok(&["SET", "key", "value"]);
    pair.crash(before, Death::Killed);
    busy.expect_cut("it was not idle");
    assert_eq!(idle.call(&["GET", "key"]), "value");
    assert_eq!(cut(&pair.counters(), Why::Stale), 1);
}

fn has_used_wait(binary: &Path) {
    let set = |_: &Pair, session: &mut Client| {
        session.ok(&["SET", "key", "value"]);
        assert_eq!(session.call(&["WAIT", "1", "5000"]), "1");
    };
    row(&mut Pair::start(binary), "WAIT", &set, &ping, planned_only(Why::Waited));
}

pub const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";

fn has_used_a_script_by_its_sha(binary: &Path) {
    let mut pair = Pair::start(binary);
    let loads = |_: &Pair, session: &mut Client| {
        session.call(&["DEL", "count", "sha"]);
        let sha = session.call(&["SCRIPT", "LOAD", SCRIPT]);
        session.ok(&["SET", "sha", &sha]);
        assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "1");
    };
    let check = |_: &Pair, session: &mut Client| {
        let sha = session.call(&["GET", "sha"]);
        assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "2");
    };
    row(&mut pair, "SCRIPT LOAD", &loads, &check, ALWAYS);
    // Loaded by somebody else, with EVAL.
    let uses = |pair: &Pair, session: &mut Client| {
        pair.on_both(&["SCRIPT", "FLUSH"]);
        session.call(&["DEL", "count"]);
        let mut other = pair.client();
        other.call(&["EVAL", SCRIPT, "1", "other"]);
        let sha = session.call(&["GET", "sha"]);
        assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "1");
        drop(other);
        pair.hive.wait_for("the other has left", |c| c.clients == 1);
    };
    row(&mut pair, "EVAL", &uses, &check, ALWAYS);
}

fn a_sha_that_nobody_has(binary: &Path) {
    let set = |pair: &Pair, session: &mut Client| {
        let redis::Value::BulkString(sha) = pair.master.ask(&["SCRIPT", "LOAD", "return 'x'"])
        else {
            panic!("a SHA")
        };
        let sha = String::from_utf8(sha).unwrap();
        assert_eq!(session.call(&["EVALSHA", &sha, "0"]), "x");
        // 6.2 loads it on replicas too.
        pair.replica.await_copy_of(&pair.master);
        pair.replica.ask(&["SCRIPT", "FLUSH"]);
    };
    let mut pair = Pair::start(binary);
    row(&mut pair, "no text", &set, &nothing, never(Why::Script));
}

fn blocked(binary: &Path) {
    let columns = planned_only(Why::Blocked);
    let mut pair = Pair::start(binary);
    let pops = |pair: &Pair, session: &mut Client| {
        session.send(&["BLPOP", "queue", "30"]);
        await_blocked(pair);
    };
    let popped = |pair: &Pair, session: &mut Client| {
        await_blocked(pair);
        pair.master.ask(&["RPUSH", "queue", "job"]);
        assert_eq!(session.frame().unwrap(), "[queue job]");
        ping(pair, session);
    };
    row(&mut pair, "BLPOP", &pops, &popped, columns);
    let reads = |pair: &Pair, session: &mut Client| {
        session.call(&["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]);
        let words =
            ["XREADGROUP", "GROUP", "group", "me", "BLOCK", "30000", "STREAMS", "stream", ">"];
        session.send(&words);
        await_blocked(pair);
    };
    let read = |pair: &Pair, session: &mut Client| {
        await_blocked(pair);
        pair.master.ask(&["XADD", "stream", "1-1", "field", "value"]);
        assert_eq!(session.frame().unwrap(), "[[stream [[1-1 [field value]]]]]");
        ping(pair, session);
    };
    row(&mut pair, "XREADGROUP", &reads, &read, columns);
}

fn await_blocked(pair: &Pair) {
    wait_until(&format!("it is blocked: {:?}", pair.counters()), || {
        pair.master.info_of("clients", "blocked_clients") == "1"
    });
}

/// The master pauses writes longer than a hold waits.
fn a_reply_outstanding(binary: &Path) {
    let set = |pair: &Pair, session: &mut Client| {
        pair.master.ask(&["CLIENT", "PAUSE", "5000", "WRITE"]);
        session.send(&["SET", "key", "value"]);
        pair.hive.wait_for("it is passed on", |c| c.bytes_up > 0);
        wait_until("it waits there", || pair.master.info_of("clients", "blocked_clients") == "1");
    };
    let mut pair = Pair::start(binary);
    pair.refuses = false;
    row(&mut pair, "outstanding", &set, &nothing, never(Why::Outstanding));
}

fn transaction_subscription_monitor_tracking_or_no_replies(binary: &Path) {
    let mut pair = Pair::start(binary);
    let rows: [(&[&str], &str, Why); 6] = [
        (&["MULTI"], "OK", Why::Transaction),
        (&["WATCH", "key"], "OK", Why::Transaction),
        (&["SUBSCRIBE", "channel"], "[subscribe channel 1]", Why::Subscribed),
        (&["PSUBSCRIBE", "c*"], "[psubscribe c* 1]", Why::Subscribed),
        (&["MONITOR"], "OK", Why::Subscribed),
        (&["CLIENT", "TRACKING", "ON"], "OK", Why::Tracking),
    ];
    for (words, answer, why) in rows {
        let set = move |_: &Pair, session: &mut Client| {
            if why == Why::Tracking {
                session.call(&["HELLO", "3"]);
            }
            assert_eq!(session.call(words), answer);
        };
        let columns = match words[0] {
            // It is told of every request, those too by which the master is changed.
            "MONITOR" => [CutOrStale(why), Cut(Why::Stale), CutOrStale(why)],
            _ => never(why),
        };
        row(&mut pair, words[0], &set, &nothing, columns);
    }
    let mute = |pair: &Pair, session: &mut Client| {
        session.send(&["CLIENT", "REPLY", "OFF"]);
        pair.hive.wait_for("it is passed on", |c| c.bytes_up > 0);
        let key = pair.counters().bytes_up.to_string();
        session.send(&["SET", "muted", &key]);
        wait_until("it is done", || {
            pair.master.ask(&["GET", "muted"]) == redis::Value::BulkString(key.clone().into())
        });
    };
    row(&mut pair, "CLIENT REPLY OFF", &mute, &nothing, never(Why::Bound));
}

fn half_a_request_or_bound_or_no_resp(binary: &Path) {
    let mut pair = Pair::start(binary);
    let half = |pair: &Pair, session: &mut Client| {
        let before = pair.counters().bytes_up;
        session.stream.write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$9000000\r\n").unwrap();
        session.stream.write_all(&vec![b'x'; 1_000_000]).unwrap();
        pair.hive.wait_for("a part of it is passed on", |c| c.bytes_up > before + 900_000);
    };
    row(&mut pair, "half a request", &half, &nothing, never(Why::HalfRequest));
    let replconf = |_: &Pair, session: &mut Client| {
        session.ok(&["REPLCONF", "listening-port", "6379"]);
    };
    row(&mut pair, "REPLCONF", &replconf, &nothing, never(Why::Bound));
    for words in [&["DEBUG", "JMAP"][..], &["DEBUG", "SLEEP", "0"], &["CLIENT", "CAPA", "redirect"]]
    {
        bound_if_answered(&mut pair, words);
    }
    for (words, column) in [(&["SYNC"][..], Planned), (&["PSYNC", "?", "-1"], Healed)] {
        copies_the_master(&mut pair, words, column);
    }
    // The first byte of TLS; a Redis without TLS takes it for a command that it does not know.
    let tls = |_: &Pair, session: &mut Client| {
        session.stream.write_all(b"\x16\x03\x01\r\n").unwrap();
        assert!(session.frame().unwrap().starts_with("-ERR"));
    };
    row(&mut pair, "TLS", &tls, &nothing, never(Why::Tunnel));
}

/// A stream of a replica ends with the change: by the proxy, or by the master, which lets go of its
/// replicas when it becomes one.
fn copies_the_master(pair: &mut Pair, words: &[&str], column: Column) {
    let mut session = pair.client();
    session.send(words);
    session.stream.read_exact(&mut [0; 5]).unwrap();
    let before = pair.counters();
    pair.change(column);
    let end = session.stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{words:?}: {end:?}");
    let after = pair.counters();
    assert_eq!(after.moved_total, before.moved_total, "{words:?}: {:?}", after.cut);
    drop(session);
    pair.hive.wait_for("it is over", |c| c.clients == 0);
}

/// An answer without an error binds the session, whatever it did; an error has set nothing.
fn bound_if_answered(pair: &mut Pair, words: &[&str]) {
    let refused = pair.client().call(words).starts_with('-');
    let set = |_: &Pair, session: &mut Client| {
        session.call(words);
    };
    let columns = if refused { ALWAYS } else { never(Why::Bound) };
    row(pair, &words.join(" "), &set, &ping, columns);
}

/// It is found out when there is something to do, and nothing of that is passed on.
fn replay_refused(binary: &Path) {
    let mut pair = Pair::start(binary);
    let mut session = pair.client();
    pair.master.ask(&["ACL", "SETUSER", "only-here", "on", ">secret", "~*", "+@all"]);
    session.ok(&["AUTH", "only-here", "secret"]);
    session.ok(&["SET", "key", "value"]);
    pair.change(Planned);
    session.send(&["SET", "key", "other"]);
    session.expect_cut("it may not log in");
    assert_eq!(cut(&pair.counters(), Why::Refused), 1);
    assert_eq!(pair.client().call(&["GET", "key"]), "value");
}

fn what_makes_a_session_movable_again(binary: &Path) {
    let mut pair = Pair::start(binary);
    let rows: [&[&[&str]]; 7] = [
        &[&["MULTI"], &["PING"], &["EXEC"]],
        &[&["MULTI"], &["DISCARD"]],
        &[&["WATCH", "key"], &["UNWATCH"]],
        &[&["SUBSCRIBE", "one"], &["UNSUBSCRIBE"]],
        &[&["PSUBSCRIBE", "o*"], &["PUNSUBSCRIBE", "o*"]],
        &[
            &["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "x", "NOLOOP"],
            &["CLIENT", "TRACKING", "OFF"],
        ],
        &[&["SELECT", "5"], &["WATCH", "key"], &["RESET"]],
    ];
    for words in rows {
        let set = move |_: &Pair, session: &mut Client| {
            for words in words {
                session.call(words);
            }
            // A session that was reset is where it began.
            assert!(session.call(&["CLIENT", "INFO"]).contains(" db=0 "));
        };
        row(&mut pair, &format!("{words:?}"), &set, &ping, ALWAYS);
    }
}

fn a_moved_session_that_names_a_thing_of_the_old_server(binary: &Path) {
    let mut pair = Pair::start(binary);
    for key in 0..100 {
        pair.master.ask(&["SET", &format!("key{key}"), "value"]);
    }
    let cursor = |session: &mut Client| {
        let scanned = session.call(&["SCAN", "0"]);
        scanned[1..].split(' ').next().unwrap().to_owned()
    };
    let mut sessions: Vec<_> = (0..5).map(|_| pair.client()).collect();
    let old: Vec<_> = sessions.iter_mut().map(cursor).collect();
    let id = sessions[2].call(&["CLIENT", "ID"]);
    pair.change(Planned);
    sessions[0].send(&["SCAN", &old[0]]);
    sessions[0].expect_cut("a cursor of the old server");
    let new = cursor(&mut sessions[1]);
    assert!(sessions[1].call(&["SCAN", &new]).starts_with('['), "a cursor of this one");
    sessions[2].send(&["CLIENT", "KILL", "ID", &id]);
    sessions[2].expect_cut("a client of the old server");
    sessions[3].send(&["CLIENT", "UNBLOCK", &id]);
    sessions[3].expect_cut("a client of the old server");
    assert_eq!(sessions[4].call(&["PING"]), "PONG");
    let counters = pair.counters();
    assert_eq!((cut(&counters, Why::Foreign), counters.cut_total), (3, 3));
}
