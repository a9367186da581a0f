//! A stopping hive closes its clients at request boundaries.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use redis_hive::election::Route;

use crate::fake::*;
use crate::support::*;

fn expect_close(client: &mut Client, what: &str) {
    assert_eq!(client.frame().expect_err(what).kind(), ErrorKind::UnexpectedEof, "{what}");
}

fn slow() -> Fake {
    Fake::with(Data::default(), |words| match words[0].as_str() {
        "SLOW" => Some(Act::Late(Duration::from_millis(200))),
        "BLPOP" => Some(Act::Nothing),
        "SUBSCRIBE" => Some(Act::Say("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n".into())),
        _ => None,
    })
}

#[test]
fn idle_clients_are_closed_at_once_and_the_others_after_their_reply() {
    let master = slow();
    let hive = Hive::start();
    hive.route(forward(1, master.server.addr));
    let mut idle: Vec<_> = (0..50).map(|_| Client::new(hive.client())).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.call(&["PING"]), "PONG"));
    let mut silent = Client::new(hive.client());
    let mut asked = Client::new(hive.client());
    asked.send(&["SLOW", "1"]);
    master.await_asked("SLOW 1");
    // Three requests in one piece, of which the master has begun the first.
    let mut pipelined = Client::new(hive.client());
    let three = [request(&["SLOW", "2"]), request(&["INCR", "a"]), request(&["INCR", "a"])];
    pipelined.stream.write_all(&three.concat()).unwrap();
    master.await_asked("SLOW 2");
    hive.proxy.drain();
    idle.iter_mut().for_each(|client| expect_close(client, "it is idle"));
    expect_close(&mut silent, "it never asked");
    assert_eq!(asked.frame().unwrap(), "OK");
    expect_close(&mut asked, "it was answered");
    for reply in ["OK", "1", "2"] {
        assert_eq!(pipelined.frame().unwrap(), reply);
    }
    expect_close(&mut pipelined, "it was answered");
    drop((idle, silent, asked, pipelined));
    hive.wait_for("all have left", |c| c.clients == 0);
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// They stay until the end of the drain, unless what they wait for comes.
#[test]
fn subscribers_and_blocked_clients_stay() {
    let master = slow();
    let hive = Hive::start();
    hive.route(forward(1, master.server.addr));
    let mut subscriber = Client::new(hive.client());
    assert_eq!(subscriber.call(&["SUBSCRIBE", "c"]), "[subscribe c 1]");
    let mut blocked = Client::new(hive.client());
    blocked.send(&["BLPOP", "queue", "0"]);
    master.await_asked("BLPOP queue 0");
    let mut transaction = Client::new(hive.client());
    transaction.ok(&["MULTI"]);
    hive.proxy.drain();
    for client in [&mut subscriber, &mut blocked, &mut transaction] {
        client.expect_silence("it stays");
    }
    transaction.ok(&["EXEC"]);
    expect_close(&mut transaction, "its transaction is over");
    master.push("*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n");
    assert_eq!(blocked.frame().unwrap(), "[queue job]");
    expect_close(&mut blocked, "it was answered");
    assert_eq!(subscriber.frame().unwrap(), "[queue job]");
    hive.proxy.shutdown();
    assert!(subscriber.frame().is_err());
}

/// Clients without a master are closed too: nothing of theirs was sent.
#[test]
fn who_waits_for_a_master_is_closed() {
    let hive = Hive::start();
    let mut held = Client::new(hive.client());
    held.send(&["PING"]);
    hive.wait_for("it is held", |c| c.held == 1);
    hive.proxy.drain();
    expect_close(&mut held, "it is held");
    // So are those that come now.
    expect_close(&mut Client::new(hive.client()), "it would be held");

    let master = slow();
    let hive = Hive::start();
    hive.route(forward(1, master.server.addr));
    let mut detached: Vec<_> = (0..2).map(|_| Client::new(hive.client())).collect();
    detached.iter_mut().for_each(|client| assert_eq!(client.call(&["PING"]), "PONG"));
    let before = hive.now();
    hive.route_keeping(Route::Hold, redis_hive::election::Keep::Crash { before });
    detached[0].send(&["PING"]);
    hive.wait_for("it is held", |c| c.held == 1);
    hive.proxy.drain();
    detached.iter_mut().for_each(|client| expect_close(client, "it has no master"));
}
