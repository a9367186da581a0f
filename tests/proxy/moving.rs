//! What happens to sessions when the master changes: who waits, who is cut, what the next master sees.

use std::net::Shutdown;
use std::time::Duration;

use redis_hive::election::{Keep, Route};
use redis_hive::proxy::Why;

use crate::fake::*;
use crate::pair::cut;
use crate::support::*;

#[test]
fn what_was_set_is_set_again_and_nothing_else_is_sent() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut client) = served(&old);
    client.call(&["HELLO", "3", "AUTH", "user", "secret"]);
    client.ok(&["SELECT", "2"]);
    client.ok(&["CLIENT", "SETNAME", "me"]);
    client.ok(&["SET", "key", "old"]);
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    assert_eq!(client.call(&["GET", "key"]), "nil");
    let mut asked = new.asked();
    assert_eq!(asked.pop().as_deref(), Some("GET key"));
    asked.sort();
    assert_eq!(asked, ["AUTH user secret", "CLIENT SETNAME me", "HELLO 3", "SELECT 2"]);
    let counters = hive.proxy.counters();
    assert_eq!((counters.moved_total, counters.cut_total, counters.held), (1, 0, 0));
}

/// Nobody connects before there is something to do, and the old master is let go at once.
#[test]
fn a_crowd_moves_one_by_one_as_it_asks() {
    let data = Data::default();
    let (old, new) = (Fake::with(data.clone(), |_| None), Fake::with(data, |_| None));
    let (hive, _first) = served(&old);
    let mut clients: Vec<_> = (0..crowd(10).min(1_000)).map(|_| answered(&hive)).collect();
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    wait_until("the old master is let go", || old.open() == 0);
    assert_eq!(new.server.accepted(), 0, "a stampede");
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.call(&["INCR", "count"]), (n + 1).to_string());
    }
    assert_eq!(new.server.accepted(), clients.len());
    let counters = hive.proxy.counters();
    assert_eq!(counters.moved_total, clients.len() as u64);
    assert_eq!((counters.cut_total, counters.clients), (0, clients.len() as u64 + 1));
}

#[test]
fn a_master_that_refuses_what_was_set_gets_nothing_and_the_client_is_cut() {
    for answer in ["-WRONGPASS no\r\n", "*1\r\n-ERR no\r\n+OK\r\n", "no RESP\r\n", ""] {
        let old = Fake::start();
        let new = Fake::with(Data::default(), move |words| match (words[0].as_str(), answer) {
            ("AUTH", "") => Some(Act::Nothing),
            ("AUTH", answer) => Some(Act::Say(answer.into())),
            _ => None,
        });
        let (hive, mut client) = served(&old);
        client.ok(&["AUTH", "secret"]);
        hive.route_keeping(forward(2, new.server.addr), planned(&hive));
        client.send(&["SET", "key", "value"]);
        let ((), took) = timed(|| client.expect_cut("refused"));
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(cut(&hive.proxy.counters(), Why::Refused), 1, "{answer:?}");
        assert!(new.data.lock().unwrap().is_empty());
        assert_eq!(new.asked(), ["AUTH secret"]);
    }
}

/// Cut at once, not at its next request, by the time of its last reply.
#[test]
fn in_a_crash_only_those_live_on_that_asked_nothing_lately() {
    let data = Data::default();
    let (old, new) = (Fake::with(data.clone(), |_| None), Fake::with(data, |_| None));
    let (hive, mut idle) = served(&old);
    let before = hive.now();
    let mut lately = answered(&hive);
    old.die();
    hive.route_keeping(Route::Hold, Keep::Crash { before });
    lately.expect_cut("its last reply may be unknown to the next master");
    idle.expect_silence("it waits");
    idle.send(&["INCR", "count"]);
    hive.wait_for("it has something to be sent", |c| c.held == 1);
    hive.route_keeping(forward(2, new.server.addr), Keep::Crash { before });
    assert_eq!(idle.frame().unwrap(), "1");
    let counters = hive.proxy.counters();
    assert_eq!((cut(&counters, Why::Stale), counters.cut_total), (1, 1));
    assert_eq!((counters.moved_total, counters.held), (1, 0));
}

/// The route may change while a session waits: every change is judged, at once.
#[test]
fn a_session_that_waits_is_judged_again() {
    let old = Fake::start();
    for wants in [false, true] {
        let (hive, mut client) = served(&old);
        hive.route_keeping(Route::Hold, crash(&hive));
        if wants {
            client.send(&["PING"]);
            hive.wait_for("it waits", |c| c.held == 1);
        }
        hive.route(forward(2, old.server.addr));
        client.expect_cut("the last change keeps nobody");
        assert_eq!(cut(&hive.proxy.counters(), Why::Stale), 1);

        let (hive, mut client) = served(&old);
        hive.route_keeping(Route::Hold, crash(&hive));
        if wants {
            client.send(&["PING"]);
            hive.wait_for("it waits", |c| c.held == 1);
        }
        hive.route_keeping(Route::Refuse { reason: "no".into() }, crash(&hive));
        assert_eq!(client.frame().unwrap(), "-MASTERDOWN no");
        assert_eq!(client.frame().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        hive.wait_for("it has left", |c| (c.clients, c.held, c.refused_total) == (0, 0, 1));
    }
}

/// Through more changes than are remembered, as long as each keeps it.
#[test]
fn an_idle_session_outlives_any_number_of_changes() {
    let (hive, mut client) = served(&Fake::start());
    let masters = [Fake::start(), Fake::start()];
    for epoch in 2..200 {
        let master = &masters[epoch as usize % 2];
        hive.route_keeping(forward(epoch, master.server.addr), crash(&hive));
    }
    assert_eq!(client.call(&["PING"]), "PONG");
    assert_eq!(masters[0].server.accepted() + masters[1].server.accepted(), 1);
}

#[test]
fn only_who_has_something_to_be_sent_is_held_for_so_long() {
    let timeout = Duration::from_millis(300);
    let old = Fake::start();
    let (hive, mut asks) = served_with(&old, |settings| settings.hold_timeout = timeout);
    let mut idle = answered(&hive);
    hive.route_keeping(Route::Hold, crash(&hive));
    asks.send(&["PING"]);
    let (text, took) = timed(|| asks.frame().unwrap());
    assert!(text.starts_with("-MASTERDOWN no master is known since "), "{text}");
    assert!(took >= timeout, "{took:?}");
    std::thread::sleep(timeout);
    idle.expect_silence("it waits for ever");
    drop(asks);
    hive.wait_for("it has left", |c| (c.clients, c.held, c.refused_total) == (1, 0, 1));
    hive.route_keeping(forward(2, old.server.addr), crash(&hive));
    assert_eq!(idle.call(&["PING"]), "PONG");
}

/// A client that goes while it waits has given up: nothing of it is sent.
#[test]
fn who_goes_while_it_waits_is_forgotten() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut asks) = served(&old);
    let (idle, half) = (answered(&hive), answered(&hive));
    hive.route_keeping(Route::Hold, crash(&hive));
    asks.send(&["INCR", "never"]);
    hive.wait_for("it is held", |c| c.held == 1);
    asks.stream.shutdown(Shutdown::Write).unwrap();
    half.stream.shutdown(Shutdown::Write).unwrap();
    drop(idle);
    hive.wait_for("they have left", |c| (c.clients, c.held) == (0, 0));
    hive.route_keeping(forward(2, new.server.addr), crash(&hive));
    assert_eq!(answered(&hive).call(&["PING"]), "PONG");
    assert_eq!(new.asked(), ["PING", "PING"]);
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// Idle between two masters, it asks and says at once that this was all.
#[test]
fn a_last_request_with_its_end_of_file_is_answered() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut client) = served(&old);
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    wait_until("the old master is let go", || old.open() == 0);
    client.send(&["INCR", "count"]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.frame().unwrap(), "1");
    hive.wait_for("it has left", |c| c.clients == 0);
}

/// CLIENT KILL, `timeout`, too many clients: the master meant this client, which has to be closed.
#[test]
fn a_close_by_a_living_master_is_passed_on() {
    let old = Fake::start();
    let (hive, mut client) = served(&old);
    old.close_all();
    let (end, took) = timed(|| client.frame().unwrap_err());
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(took < Duration::from_secs(2), "{took:?}");
    hive.wait_for("it has left", |c| c.clients == 0);
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// That is what a crash looks like before the control plane has said so.
#[test]
fn a_close_by_a_dead_master_is_not_passed_on() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut idle) = served(&old);
    let mut asks = answered(&hive);
    old.die();
    idle.expect_silence("it waits");
    asks.send(&["INCR", "count"]);
    std::thread::sleep(Duration::from_millis(200));
    asks.expect_silence("it waits");
    idle.expect_silence("it waits");
    let keep = crash(&hive);
    hive.route_keeping(Route::Hold, keep);
    hive.route_keeping(forward(2, new.server.addr), keep);
    assert_eq!(asks.frame().unwrap(), "1");
    assert_eq!(idle.call(&["INCR", "count"]), "2");
    assert_eq!(hive.proxy.counters().moved_total, 2);
}

/// The kernel of a killed process may take connections a little longer than it keeps those it has.
#[test]
fn a_master_that_takes_connections_and_says_nothing_is_not_alive() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut client) = served(&old);
    let addr = old.server.addr;
    old.die();
    let place = std::net::TcpListener::bind(addr).expect("the port is still free");
    let dying = Server::on(place, drop);
    wait_until("it is asked", || dying.accepted() > 1);
    client.expect_silence("it waits");
    hive.route_keeping(forward(2, new.server.addr), crash(&hive));
    assert_eq!(client.call(&["PING"]), "PONG");
    assert_eq!(hive.proxy.counters().moved_total, 1);
}

/// With a reply outstanding nobody knows what was done.
#[test]
fn a_close_that_leaves_a_reply_outstanding_is_passed_on() {
    let old = Fake::with(Data::default(), |words| (words[0] == "SET").then_some(Act::Nothing));
    let (_hive, mut client) = served(&old);
    client.send(&["SET", "key", "value"]);
    old.await_asked("SET key value");
    old.die();
    assert!(client.frame().is_err());
}

#[test]
fn nobody_moves_where_that_is_off() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut client) = served_with(&old, |settings| settings.move_sessions = false);
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    client.expect_cut("it is off");
    assert_eq!(cut(&hive.proxy.counters(), Why::Off), 1);
    let mut client = answered(&hive);
    new.die();
    let (end, took) = timed(|| client.frame());
    assert!(end.is_err() && took < Duration::from_millis(40), "a close is passed on: {took:?}");
}

/// Sessions move while the master takes no connections for a while: all wait for one probe.
#[test]
fn a_master_that_takes_no_connections_yet_is_waited_for() {
    let (old, new) = (Fake::start(), Fake::start());
    let (hive, mut client) = served(&old);
    let addr = new.server.addr;
    new.die();
    hive.route_keeping(forward(2, addr), planned(&hive));
    client.send(&["PING"]);
    hive.wait_for("it is held", |c| c.held == 1);
    let place = std::net::TcpListener::bind(addr).expect("the port is still free");
    let server = Server::on(place, |stream| {
        let mut client = Client::new(stream);
        while client.frame().is_ok() {
            std::io::Write::write_all(&mut client.stream, b"+AGAIN\r\n").unwrap();
        }
    });
    assert_eq!(client.frame().unwrap(), "AGAIN");
    assert!(server.accepted() >= 1);
}
