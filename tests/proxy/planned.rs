//! Planned changes: a hold that waits for replies, requests that the old master did not do, and
//! clients that notice nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_hive::proxy::Why;

use crate::fake::*;
use crate::pair::cut;
use crate::support::*;

/// Who has something to be sent does not wait until all others have let go of the old master.
#[test]
fn who_waits_goes_first() {
    let old = Fake::start();
    let left = old.gauge();
    let seen = Arc::new(AtomicUsize::new(0));
    let record = seen.clone();
    let new = Fake::with(Data::default(), move |words| {
        if words[0] == "INCR" {
            record.store(left.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        None
    });
    let (hive, mut client) = served_with(&old, |settings| settings.threads = 1);
    let crowd: Vec<_> = (0..crowd(10).min(1_000)).map(|_| answered(&hive)).collect();
    hive.route(held(1, old.server.addr));
    client.send(&["INCR", "count"]);
    // It is seen by the worker, which keeps it.
    std::thread::sleep(Duration::from_millis(20));
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    assert_eq!(client.frame().unwrap(), "1");
    let seen = seen.load(Ordering::SeqCst);
    println!("{seen} of {} had not let go yet", crowd.len());
    assert!(seen > 0, "it went last");
}

/// A hold is confirmed when the replies are out.
#[test]
fn a_hold_waits_for_replies_but_not_for_long() {
    let slow = |by| {
        Fake::with(Data::default(), move |words| {
            (words[0] == "SET").then_some(Act::Late(Duration::from_millis(by)))
        })
    };
    let (quick, late, next) = (slow(20), slow(400), Fake::start());
    for (master, settles) in [(&quick, true), (&late, false)] {
        let (hive, mut client) = served(master);
        client.send(&["SET", "key", "value"]);
        master.await_asked("SET key value");
        let took = hive.route(held(1, master.server.addr));
        if settles {
            assert!(took < Duration::from_millis(300), "{took:?}");
            client.stream.set_nonblocking(true).unwrap();
            assert_eq!(client.frame().unwrap(), "OK", "it came before the confirmation");
            client.stream.set_nonblocking(false).unwrap();
        } else {
            assert!(took >= Duration::from_millis(45), "{took:?}");
            assert!(took < Duration::from_millis(300), "{took:?}");
        }
        hive.route_keeping(forward(2, next.server.addr), planned(&hive));
        if settles {
            assert_eq!(client.call(&["PING"]), "PONG");
        } else {
            client.expect_cut("nobody knows what was done");
            assert_eq!(cut(&hive.proxy.counters(), Why::Outstanding), 1);
        }
    }
}

#[test]
fn a_hold_that_ends_is_confirmed_with_what_ends_it() {
    let master = Fake::with(Data::default(), |words| (words[0] == "SET").then_some(Act::Nothing));
    let (hive, mut client) = served(&master);
    client.send(&["SET", "key", "value"]);
    master.await_asked("SET key value");
    let (held, forward) = (held(1, master.server.addr), forward(1, master.server.addr));
    let rounds = (0..20).flat_map(|_| [held.clone(), forward.clone()]);
    let ((), took) = timed(|| hive.burst(rounds));
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// What a demoted Redis says to blocked clients, which it closes then.
const UNBLOCKED: &str = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";

#[test]
fn a_blocked_request_is_sent_again_with_what_is_left_of_its_time() {
    let blocks = |words: &[String]| (words[0] == "BLPOP").then_some(Act::Nothing);
    let (old, new) = (Fake::with(Data::default(), blocks), Fake::with(Data::default(), blocks));
    let (hive, mut client) = served(&old);
    client.send(&["BLPOP", "queue", "30"]);
    old.await_asked("BLPOP queue 30");
    std::thread::sleep(Duration::from_millis(300));
    let took = hive.route(held(1, old.server.addr));
    assert!(took < Duration::from_millis(40), "it is not waited for: {took:?}");
    old.push(UNBLOCKED);
    old.close_all();
    client.expect_silence("it does not learn of it");
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    wait_until("it is sent again", || new.asked().len() == 1);
    let asked = new.asked().remove(0);
    let left: f64 = asked.strip_prefix("BLPOP queue ").unwrap().parse().unwrap();
    assert!((25.0..29.8).contains(&left), "{asked}");
    new.push("*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n");
    assert_eq!(client.frame().unwrap(), "[queue job]");
    assert_eq!(client.call(&["PING"]), "PONG");
    assert_eq!(hive.proxy.counters().moved_total, 1);
}

/// A client is blocked in a pop; what the old master says to it and the change of route are seen at
/// the same time.
fn blocked_in_a_hurry(said: &str) -> (Hive, Client, [Fake; 2]) {
    in_a_hurry(&["BLPOP", "queue", "0"], said)
}

/// The same with any request that the old master does not answer.
fn in_a_hurry(request: &[&str], said: &str) -> (Hive, Client, [Fake; 2]) {
    let waits = |words: &[String]| ["BLPOP", "SET"].contains(&&*words[0]).then_some(Act::Nothing);
    let blocks = |words: &[String]| (words[0] == "BLPOP").then_some(Act::Nothing);
    let (old, new) = (Fake::with(Data::default(), waits), Fake::with(Data::default(), blocks));
    let (hive, mut client) = served_with(&old, |settings| {
        settings.threads = 1;
        settings.freshness = true;
    });
    client.send(request);
    old.await_asked(&request.join(" "));
    hive.route(held(1, old.server.addr));
    // Nothing is read while the gate is closed and somebody waits for it.
    hive.proxy.touch(Instant::now());
    let mut other = Client::new(hive.client());
    other.send(&["PING"]);
    old.push(said);
    std::thread::sleep(Duration::from_millis(20));
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    hive.proxy.touch(Instant::now() + PATIENCE);
    (hive, client, [old, new])
}

#[test]
fn a_blocked_request_that_was_refused_is_not_lost_in_a_hurry() {
    let (hive, _client, [_old, new]) = blocked_in_a_hurry(UNBLOCKED);
    wait_until("it is sent again", || new.asked().contains(&"BLPOP queue 0".to_owned()));
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

#[test]
fn a_blocked_request_that_was_answered_is_not_as_if_nothing_had_been() {
    for said in ["*0\r\n", "*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n", "*2\r\n$5\r\nqu", "*-1"] {
        let (hive, mut client, [_old, new]) = blocked_in_a_hurry(said);
        client.expect_cut("its reply is lost");
        assert_eq!(cut(&hive.proxy.counters(), Why::Blocked), 1);
        assert!(!new.asked().contains(&"BLPOP queue 0".to_owned()));
    }
}

/// The old master's word comes with the change of route, or in the hold and thus later than what it
/// stated of its copy.
#[test]
fn a_blocked_request_whose_time_ended_in_the_hold_is_answered() {
    let (hive, mut client, [_old, new]) = in_a_hurry(&["BLPOP", "queue", "0"], "*-1\r\n");
    assert_eq!(client.frame().unwrap(), "nil");
    assert_eq!(client.call(&["GET", "key"]), "nil");
    assert!(!new.asked().contains(&"BLPOP queue 0".to_owned()));
    assert_eq!(hive.proxy.counters().cut_total, 0);
    for crashes in [false, true] {
        let blocks = |words: &[String]| (words[0] == "BLPOP").then_some(Act::Nothing);
        let (old, new) = (Fake::with(Data::default(), blocks), Fake::start());
        let (hive, mut client) = served(&old);
        client.send(&["BLPOP", "queue", "0"]);
        old.await_asked("BLPOP queue 0");
        hive.route(held(1, old.server.addr));
        let keep = if crashes { crash(&hive) } else { planned(&hive) };
        old.push("*-1\r\n");
        assert_eq!(client.frame().unwrap(), "nil");
        hive.route_keeping(forward(2, new.server.addr), keep);
        if crashes {
            client.expect_cut("the next master may not know that there was nothing");
            assert_eq!(cut(&hive.proxy.counters(), Why::Stale), 1);
        } else {
            assert_eq!(client.call(&["PING"]), "PONG");
            assert_eq!(hive.proxy.counters().moved_total, 1);
        }
    }
}

const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

/// A master that answers no SET, a client that has sent these requests to it, and a hold.
fn unanswered(requests: &[&[&str]]) -> (Hive, Client, Fake) {
    let old = Fake::with(Data::default(), |words| (words[0] == "SET").then_some(Act::Nothing));
    let (hive, mut client) = served(&old);
    let bytes: Vec<u8> = requests.iter().flat_map(|words| request(words)).collect();
    std::io::Write::write_all(&mut client.stream, &bytes).unwrap();
    old.await_asked(&requests[requests.len() - 1].join(" "));
    hive.route(held(1, old.server.addr));
    (hive, client, old)
}

#[test]
fn a_request_that_was_refused_is_sent_to_the_next_master_once() {
    let new = Fake::start();
    let (hive, mut client, old) = unanswered(&[&["SET", "a", "1"], &["SET", "b", "2"]]);
    client.send(&["GET", "a"]);
    old.push(READONLY);
    client.expect_silence("nobody knows of the second one yet");
    old.push(READONLY);
    hive.wait_for("it waits", |c| c.held == 1);
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    assert_eq!([(); 3].map(|()| client.frame().unwrap()), ["OK", "OK", "1"]);
    assert_eq!(new.asked(), ["SET a 1", "SET b 2", "GET a"]);
    assert_eq!(old.asked(), ["PING", "SET a 1", "SET b 2"]);
    let counters = hive.proxy.counters();
    assert_eq!((counters.moved_total, counters.cut_total), (1, 0));
}

/// What is held back goes to the client when the planned change is given up; what is undone goes back.
#[test]
fn refusals_without_a_change_of_master() {
    let (hive, mut client, old) = unanswered(&[&["SET", "a", "1"], &["SET", "b", "2"]]);
    old.push(READONLY);
    client.expect_silence("nobody knows of the second one yet");
    hive.route(forward(1, old.server.addr));
    assert!(client.frame().unwrap().starts_with("-READONLY"));
    old.push("+OK\r\n");
    assert_eq!(client.frame().unwrap(), "OK");
    assert_eq!(client.call(&["PING"]), "PONG");

    let (hive, mut client, old) = unanswered(&[&["SET", "a", "1"]]);
    old.push(READONLY);
    hive.wait_for("it waits", |c| c.held == 1);
    hive.route(forward(1, old.server.addr));
    wait_until("it is sent again", || old.asked().len() == 3);
    old.push("+OK\r\n");
    assert_eq!(client.frame().unwrap(), "OK");
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// Too long to be remembered, or pushed out by what others sent since.
#[test]
fn a_refused_request_that_nobody_knows_any_more_is_the_clients() {
    let long = "x".repeat(5_000);
    let (_hive, mut client, old) = unanswered(&[&["SET", "a", &long]]);
    old.push(READONLY);
    assert!(client.frame().unwrap().starts_with("-READONLY"));

    let old = Fake::with(Data::default(), |words| (words[0] == "SET").then_some(Act::Nothing));
    let (hive, mut client) = served_with(&old, |settings| settings.threads = 1);
    client.send(&["SET", "a", "1"]);
    old.await_asked("SET a 1");
    let mut other = answered(&hive);
    let key = "x".repeat(4_000);
    (0..70).for_each(|_| assert_eq!(other.call(&["GET", &key]), "nil"));
    hive.route(held(1, old.server.addr));
    old.push(READONLY);
    assert!(client.frame().unwrap().starts_with("-READONLY"));
}

/// The refusal and the change of route are seen at the same time.
#[test]
fn a_request_that_was_refused_is_not_lost_in_a_hurry() {
    for (said, undone) in [(READONLY, true), ("+OK\r\n", false), ("", false)] {
        let (hive, mut client, [_old, new]) = in_a_hurry(&["SET", "key", "value"], said);
        if undone {
            assert_eq!(client.frame().unwrap(), "OK");
        } else {
            client.expect_cut("nobody knows what was done, or the reply is lost");
            assert_eq!(cut(&hive.proxy.counters(), Why::Outstanding), 1);
        }
        let sent = new.asked().contains(&"SET key value".to_owned());
        assert_eq!(sent, undone, "{said:?}");
    }
}

/// The planned change was given up: the same master goes on.
#[test]
fn a_blocked_request_goes_back_to_its_master_if_that_stays() {
    let old = Fake::with(Data::default(), |words| (words[0] == "BLPOP").then_some(Act::Nothing));
    let (hive, mut client) = served(&old);
    client.send(&["BLPOP", "queue", "0"]);
    old.await_asked("BLPOP queue 0");
    hive.route(held(1, old.server.addr));
    old.push(UNBLOCKED);
    old.close_all();
    hive.wait_for("it waits", |c| c.held == 1);
    hive.route(forward(1, old.server.addr));
    wait_until("it is sent again", || old.asked().len() == 3);
    old.push("*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n");
    assert_eq!(client.frame().unwrap(), "[queue job]");
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

#[test]
fn a_blocked_request_whose_time_is_over_is_answered() {
    let old = Fake::with(Data::default(), |words| (words[0] == "BLPOP").then_some(Act::Nothing));
    let new = Fake::start();
    let (hive, mut client) = served(&old);
    client.send(&["BLPOP", "queue", "0.2"]);
    old.await_asked("BLPOP queue 0.2");
    hive.route(held(1, old.server.addr));
    old.push(UNBLOCKED);
    old.close_all();
    std::thread::sleep(Duration::from_millis(250));
    hive.route_keeping(forward(2, new.server.addr), planned(&hive));
    assert_eq!(client.frame().unwrap(), "nil");
    assert_eq!(client.call(&["PING"]), "PONG");
    assert_eq!(new.asked(), ["PING"]);
}

/// Clients ask as fast as they can while the master changes, planned, all the time: none of them
/// ever notices, and nothing is done twice.
#[test]
fn ordinary_clients_notice_nothing_of_planned_changes() {
    const CLIENTS: usize = 8;
    let data = Data::default();
    let masters = [(); 3].map(|()| Fake::with(data.clone(), |_| None));
    let hive = Hive::with(|settings| settings.threads = 2);
    hive.route(forward(1, masters[0].server.addr));
    let over = AtomicBool::new(false);
    let acked: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for n in 0..CLIENTS {
            let (mut client, over, acked) = (answered(&hive), &over, &acked);
            let proxy = &hive.proxy;
            scope.spawn(move || {
                let (key, mut count) = (format!("count{n}"), 0);
                while !over.load(Ordering::SeqCst) {
                    count += 1;
                    client.send(&["INCR", &key]);
                    match client.frame() {
                        Ok(answer) => assert_eq!(answer, count.to_string()),
                        Err(error) => panic!("{error}: {:?}", proxy.counters()),
                    }
                }
                acked.lock().unwrap().push(count);
            });
        }
        let begun = Instant::now();
        let mut epoch = 1;
        while begun.elapsed() < Duration::from_secs(3) {
            let took = hive.route(held(epoch, masters[(epoch as usize - 1) % 3].server.addr));
            if took >= Duration::from_millis(45) {
                // Somebody was not answered in time, on a machine that has no time to spare.
                hive.route(forward(epoch, masters[(epoch as usize - 1) % 3].server.addr));
                continue;
            }
            epoch += 1;
            let next = masters[(epoch as usize - 1) % 3].server.addr;
            hive.route_keeping(forward(epoch, next), planned(&hive));
            std::thread::sleep(Duration::from_millis(epoch % 7));
        }
        println!("{} changes", epoch - 1);
    });
    println!("{:?}: {:?}", acked.lock().unwrap(), hive.proxy.counters());
    assert_eq!(acked.lock().unwrap().len(), CLIENTS);
}
