//! A held master: replies pass, requests wait, sessions stay.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_hive::election::Route;

use crate::support::*;

#[test]
fn requests_wait_and_replies_pass() {
    let pusher = Pusher::start();
    let addr = pusher.server.addr;
    let hive = Hive::with(|settings| settings.threads = 4);
    hive.route(forward(1, addr));
    let mut clients: Vec<_> = (0..64).map(|_| hive.client()).collect();
    clients.iter().for_each(ping);
    for round in 0..10 {
        hive.route(held(1, addr));
        let before = hive.proxy.counters().bytes_up;
        clients.iter_mut().for_each(|client| client.write_all(b"asked").unwrap());
        pusher.push(b"pushed");
        clients.iter().for_each(|client| expect(client, b"pushed"));
        clients.iter().step_by(20).for_each(|client| expect_silence(client, "it is held"));
        assert_eq!(hive.proxy.counters().bytes_up, before, "round {round}");
        hive.route(forward(1, addr));
        clients.iter().for_each(|client| expect(client, b"asked"));
    }
    let counters = hive.proxy.counters();
    assert_eq!((counters.cut_total, counters.clients, counters.held), (0, 64, 0));
}

/// Clients write without a pause. Once a hold is confirmed not a byte more reaches the master, and
/// when it ends every single one of them goes on where it was.
#[test]
fn nothing_is_forwarded_after_the_confirmation_and_all_go_on() {
    const CLIENTS: usize = 12;
    let received: Arc<Mutex<Vec<Arc<AtomicU64>>>> = Arc::default();
    let list = received.clone();
    let server = Server::start(move |mut stream: TcpStream| {
        let count = Arc::<AtomicU64>::default();
        list.lock().unwrap().push(count.clone());
        let (mut pattern, mut buffer, mut right) = (Pattern::new(1), [0; 10_000], [0; 10_000]);
        while let Ok(size @ 1..) = stream.read(&mut buffer) {
            pattern.fill(&mut right[..size]);
            assert!(buffer[..size] == right[..size], "wrong bytes");
            count.fetch_add(size as u64, Ordering::SeqCst);
        }
    });
    let each = || -> Vec<u64> {
        received.lock().unwrap().iter().map(|count| count.load(Ordering::SeqCst)).collect()
    };
    let hive = Hive::with(|settings| settings.threads = 4);
    hive.route(forward(1, server.addr));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for _ in 0..CLIENTS {
            let (client, over) = (hive.client(), &over);
            scope.spawn(move || {
                let mut pattern = Pattern::new(1);
                while !over.load(Ordering::SeqCst) && pattern.write(&client, 700).is_ok() {}
            });
        }
        wait_until("all write", || each().len() == CLIENTS && each().iter().all(|&n| n > 0));
        for round in 0..40 {
            hive.route(held(1 + round, server.addr));
            let passed = hive.proxy.counters().bytes_up;
            wait_until("what was passed on arrives", || each().iter().sum::<u64>() == passed);
            let at_hold = each();
            std::thread::sleep(Duration::from_millis(round % 4));
            assert_eq!(hive.proxy.counters().bytes_up, passed, "round {round}");
            assert_eq!(each(), at_hold, "round {round}");
            hive.route(forward(1 + round, server.addr));
            wait_until("every one of them goes on", || {
                each().iter().zip(&at_hold).all(|(now, then)| now > then)
            });
        }
    });
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// What was read before the hold and did not fit into the master's window waits as well.
#[test]
fn a_tail_waits_too() {
    const SIZE: usize = 30_000_000;
    let (go, told) = std::sync::mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let received = Arc::<AtomicU64>::default();
    let count = received.clone();
    let server = Server::start(move |stream| {
        told.lock().unwrap().recv().unwrap();
        let mut pattern = Pattern::new(1);
        for _ in 0..SIZE / 10_000 {
            pattern.check(&stream, 10_000);
            count.fetch_add(10_000, Ordering::SeqCst);
        }
    });
    let hive = Hive::start();
    hive.route(forward(1, server.addr));
    let client = hive.client();
    std::thread::scope(|scope| {
        scope.spawn(|| Pattern::new(1).write(&client, SIZE).unwrap());
        let (mut last, mut since) = (0, Instant::now());
        wait_until("nothing more fits", || {
            let now = hive.proxy.counters().bytes_up;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            last > 0 && since.elapsed() > Duration::from_millis(300)
        });
        hive.route(held(1, server.addr));
        let passed = hive.proxy.counters().bytes_up;
        go.send(()).unwrap();
        wait_until("the master takes what it was sent", || {
            received.load(Ordering::SeqCst) >= passed / 10_000 * 10_000
        });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(hive.proxy.counters().bytes_up, passed);
        hive.route(forward(1, server.addr));
        wait_until("the rest follows", || received.load(Ordering::SeqCst) == SIZE as u64);
    });
}

#[test]
fn another_run_master_or_no_route_cuts() {
    let (server, other) = (Server::echo(), Server::echo());
    let ends: [(Route, bool); 5] = [
        (forward_run(1, server.addr, 2), true),
        (held_run(1, server.addr, 2), true),
        (forward(2, other.addr), true),
        (Route::Hold, true),
        (held(2, server.addr), false),
    ];
    for (step, (end, cuts)) in ends.into_iter().enumerate() {
        let hive = Hive::start();
        hive.route(forward(1, server.addr));
        let mut client = hive.client();
        ping(&client);
        hive.route(held(1, server.addr));
        client.write_all(b"never forwarded").unwrap();
        let before = hive.proxy.counters().bytes_up;
        hive.route(end);
        if cuts {
            expect_reset(&client);
        } else {
            expect_silence(&client, "it is held");
        }
        assert_eq!(hive.proxy.counters().bytes_up, before, "step {step}");
        assert_eq!(hive.proxy.counters().cut_total, u64::from(cuts), "step {step}");
    }
}

#[test]
fn new_clients_wait_and_are_served_by_whoever_comes_next() {
    let (old, new) = (Server::echo(), Server::echo());
    for (epoch, next) in [(1, &old), (2, &new)] {
        let hive = Hive::start();
        hive.route(forward(1, old.addr));
        ping(&hive.client());
        let before = (old.accepted(), new.accepted());
        hive.route(held(1, old.addr));
        let mut clients: Vec<_> = (0..20).map(|_| hive.client()).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"early\r\n").unwrap());
        hive.wait_for("all are held", |c| c.held == 20);
        assert_eq!((old.accepted(), new.accepted()), before);
        hive.route(forward(epoch, next.addr));
        clients.iter().for_each(|client| expect(client, b"early\r\n"));
    }
}

#[test]
fn a_new_client_held_for_too_long_gets_an_error() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.hold_timeout = Duration::from_millis(300));
    hive.route(held(1, server.addr));
    let text = read_all(&hive.client());
    let expected = format!("-MASTERDOWN the master {} is being replaced since 0.", server.addr);
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(server.accepted(), 0);
}

/// Its request was passed on: the reply and the end that follows it pass while held. One that asks
/// and closes its half while held is answered afterwards.
#[test]
fn half_closed_clients_get_their_replies() {
    let (go, told) = std::sync::mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let server = Server::start(move |mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request).unwrap();
        if request == "slow" {
            told.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"reply").unwrap();
    });
    let hive = Hive::start();
    hive.route(forward(1, server.addr));
    let (mut asked, mut asks) = (hive.client(), hive.client());
    asked.write_all(b"slow").unwrap();
    asked.shutdown(Shutdown::Write).unwrap();
    hive.wait_for("it is passed on", |c| c.bytes_up == 4);
    wait_until("both are connected", || server.accepted() == 2);
    hive.route(held(1, server.addr));
    asks.write_all(b"late").unwrap();
    asks.shutdown(Shutdown::Write).unwrap();
    go.send(()).unwrap();
    assert_eq!(read_all(&asked), "reply");
    hive.wait_for("its session is over", |c| c.clients == 1);
    expect_silence(&asks, "it is held");
    hive.route(forward(1, server.addr));
    assert_eq!(read_all(&asks), "reply");
    hive.wait_for("both are over", |c| c.clients == 0);
    assert_eq!(hive.proxy.counters().cut_total, 0);
}

/// Clients come and go while the route changes as fast as it can: nobody is forgotten.
#[test]
fn no_wake_up_is_lost() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.threads = 3);
    hive.route(forward(1, server.addr));
    let over = AtomicBool::new(false);
    let served: [AtomicU64; 6] = Default::default();
    let each = || served.each_ref().map(|count| count.load(Ordering::SeqCst));
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for (requests, count) in served.iter().enumerate() {
            let (addr, over) = (hive.proxy.addresses()[0], &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let client = dial(addr);
                    (0..=requests).for_each(|_| ping(&client));
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..150 {
            let before = each();
            let steps = (0..10 + round % 2).map(|step| step % 2 == 0);
            let route = |hold| if hold { held(1, server.addr) } else { forward(1, server.addr) };
            hive.burst(steps.map(route).chain([forward(1, server.addr)]));
            wait_until("every one of them goes on", || {
                each().iter().zip(&before).all(|(now, then)| *now > then + 1)
            });
        }
    });
    assert_eq!(hive.proxy.counters().cut_total, 0);
    assert_eq!(hive.proxy.counters().refused_total, 0);
}
