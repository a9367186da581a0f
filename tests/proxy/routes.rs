//! Hold, forward, refuse: what becomes of clients when the route changes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis_hive::election::{Keep, Route};

use crate::support::*;

fn refuse(reason: &str) -> Route {
    Route::Refuse { reason: reason.into() }
}

#[test]
fn a_held_client_is_served_when_there_is_a_master() {
    let (hive, server) = (Hive::start(), Server::echo());
    let mut clients: Vec<_> = (0..50).map(|_| hive.client()).collect();
    // Half of them send before they are held, half do not.
    clients.iter_mut().step_by(2).for_each(|client| client.write_all(b"early\r\n").unwrap());
    hive.wait_for("all are held", |c| c.held == 50);
    assert_eq!(hive.proxy.counters().bytes_up, 0);
    clients
        .iter_mut()
        .skip(1)
        .step_by(2)
        .for_each(|client| client.write_all(b"held!\r\n").unwrap());
    hive.route(forward(1, server.addr));
    clients.iter().step_by(2).for_each(|client| expect(client, b"early\r\n"));
    clients.iter().skip(1).step_by(2).for_each(|client| expect(client, b"held!\r\n"));
    clients.iter().for_each(ping);
    assert_eq!(hive.proxy.counters().held, 0);
}

#[test]
fn a_client_held_for_too_long_gets_an_error() {
    let hive = Hive::with(|settings| settings.hold_timeout = Duration::from_millis(300));
    let begun = Instant::now();
    let mut client = hive.client();
    // Unread bytes must not turn the close into a reset that overtakes the error.
    client.write_all(&[b'x'; 10_000]).unwrap();
    let text = read_all(&client);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(text.starts_with("-MASTERDOWN no master is known since "), "{text}");
    assert!(text.ends_with(" (redis-hive)\r\n"), "{text}");
    drop(client);
    hive.wait_for("it has left", |c| (c.clients, c.held, c.refused_total) == (0, 0, 1));
}

#[test]
fn a_refused_client_is_told_why_in_one_line() {
    let hive = Hive::start();
    let held = hive.client();
    hive.wait_for("held", |c| c.held == 1);
    hive.route(refuse("this hive stops\r\n+OK"));
    assert_eq!(read_all(&held), "-MASTERDOWN this hive stops  +OK\r\n");
    assert_eq!(read_all(&hive.client()), "-MASTERDOWN this hive stops  +OK\r\n");
}

#[test]
fn a_held_client_that_goes_is_forgotten() {
    let (hive, server) = (Hive::start(), Server::echo());
    let (closes, resets) = (hive.client(), hive.client());
    hive.wait_for("held", |c| c.held == 2);
    drop(closes);
    hive.wait_for("one has left", |c| (c.clients, c.held) == (1, 1));
    reset(resets);
    hive.wait_for("both have left", |c| (c.clients, c.held) == (0, 0));
    hive.route(forward(1, server.addr));
    ping(&hive.client());
    assert_eq!(server.accepted(), 1);
}

/// They have given up: their requests are never forwarded, also when their ends come with the
/// route, while the worker is busy with others.
#[test]
fn the_request_of_a_held_client_that_closed_is_not_forwarded() {
    let server = Server::echo();
    for round in 0..20 {
        let hive = Hive::with(|settings| settings.threads = 1);
        let mut clients: Vec<_> = (0..50).map(|_| hive.client()).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"SET given up\r\n").unwrap());
        hive.wait_for("held", |c| c.held == 50);
        clients.iter().for_each(|client| client.shutdown(Shutdown::Write).unwrap());
        hive.route(forward(1, server.addr));
        hive.wait_for("they have left", |c| c.clients == 0);
        assert_eq!(hive.proxy.counters().bytes_up, 0, "round {round}");
        for mut client in clients {
            assert!(!matches!(client.read(&mut [0; 16]), Ok(1..)), "round {round}");
        }
    }
}

#[test]
fn a_crowd_is_cut_at_once_and_served_by_the_new_master() {
    let served: Arc<AtomicUsize> = Arc::default();
    let count = served.clone();
    let old = Server::start(move |stream| {
        echo(stream);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let new = Server::echo();
    let hive = Hive::start();
    hive.route(forward(1, old.addr));
    let clients: Vec<_> = (0..crowd(4)).map(|_| hive.client()).collect();
    clients.iter().for_each(ping);
    let took = hive.route(forward(2, new.addr));
    let begun = Instant::now();
    clients.iter().for_each(expect_reset);
    wait_until("the old master sees all of them end", || {
        served.load(Ordering::SeqCst) == old.accepted()
    });
    println!(
        "{} clients: confirmed in {took:?}, cut in {:?}, {} connections",
        clients.len(),
        begun.elapsed(),
        old.accepted()
    );
    assert!(took < Duration::from_millis(500), "confirmed after {took:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "cut after {:?}", begun.elapsed());
    assert_eq!(hive.proxy.counters().cut_total, clients.len() as u64);
    ping(&hive.client());
    assert_eq!(new.accepted(), 1);
}

/// Clients write without a pause; what they write once the new route is confirmed never shows up
/// at the old master.
#[test]
fn nothing_reaches_the_old_master_after_the_confirmation() {
    for (round, next) in
        [Route::Hold, refuse("no"), Route::Hold, refuse("no")].into_iter().enumerate()
    {
        let late: Arc<AtomicUsize> = Arc::default();
        let count = late.clone();
        let old = Server::start(move |mut stream: TcpStream| {
            let mut buffer = vec![0; 64 * 1024];
            stream.write_all(b"ready").unwrap();
            while let Ok(size @ 1..) = stream.read(&mut buffer) {
                let marked = buffer[..size].iter().filter(|byte| **byte == b'L').count();
                count.fetch_add(marked, Ordering::SeqCst);
            }
        });
        let hive = Hive::start();
        hive.route(forward(1, old.addr));
        let confirmed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (mut client, confirmed) = (hive.client(), &confirmed);
                scope.spawn(move || {
                    expect(&client, b"ready");
                    let begun = Instant::now();
                    while begun.elapsed() < PATIENCE {
                        let mark = if confirmed.load(Ordering::SeqCst) { b'L' } else { b'e' };
                        if client.write_all(&[mark; 500]).is_err() {
                            return;
                        }
                    }
                });
            }
            hive.wait_for("all write", |c| c.bytes_down == 40 && c.bytes_up > 1_000_000);
            hive.route(next);
            confirmed.store(true, Ordering::SeqCst);
            hive.wait_for("all are cut", |c| c.cut_total == 8);
        });
        assert_eq!(late.load(Ordering::SeqCst), 0, "round {round}");
    }
}

#[test]
fn the_same_master_in_a_new_epoch_keeps_its_clients() {
    let (hive, server) = (Hive::start(), Server::echo());
    hive.route(forward(1, server.addr));
    let client = hive.client();
    ping(&client);
    hive.route(forward(2, server.addr));
    ping(&client);
    assert_eq!(hive.proxy.counters().cut_total, 0);
    // Another run at the same address is a stranger.
    hive.route(forward_run(3, server.addr, 9));
    expect_reset(&client);
    ping(&hive.client());
}

#[test]
fn a_route_of_an_older_epoch_is_ignored() {
    let (hive, new, old) = (Hive::start(), Server::echo(), Server::echo());
    hive.route(forward(5, new.addr));
    let client = hive.client();
    ping(&client);
    hive.route(forward(4, old.addr));
    ping(&client);
    ping(&hive.client());
    // Also after a hold: the epoch is remembered.
    hive.route(Route::Hold);
    expect_reset(&client);
    hive.route(forward(4, old.addr));
    let held = hive.client();
    hive.wait_for("held", |c| c.held == 1);
    hive.route(forward(5, new.addr));
    ping(&held);
    assert_eq!(old.accepted(), 0);
}

#[test]
fn clients_wait_for_a_master_that_does_not_take_connections_yet() {
    let hive = Hive::start();
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = place.local_addr().unwrap();
    drop(place);
    hive.route(forward(1, addr));
    let mut clients: Vec<_> = (0..20).map(|_| hive.client()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"hello\r\n").unwrap());
    hive.wait_for("all are held", |c| c.held == 20);
    let gone = clients.pop();
    drop(gone);
    hive.wait_for("one has left", |c| c.clients == 19);
    let server = Server::on(TcpListener::bind(addr).expect("the port is still free"), echo);
    clients.iter().for_each(|client| expect(client, b"hello\r\n"));
    assert_eq!(hive.proxy.counters().refused_total, 0);
    // One connection each, and those of the probes.
    assert!(server.accepted() <= 19 + 2, "{}", server.accepted());
}

#[test]
fn a_master_that_never_takes_connections_ends_in_an_error() {
    let hive = Hive::with(|settings| settings.hold_timeout = Duration::from_millis(300));
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = place.local_addr().unwrap();
    drop(place);
    hive.route(forward(1, addr));
    let text = read_all(&hive.client());
    let expected = format!("-MASTERDOWN the master {addr} takes no connections since ");
    assert!(text.starts_with(&expected), "{text}");
}

/// A process that was stopped finds the gate closed: no byte passes until the next touch.
#[test]
fn nothing_passes_in_either_direction_without_a_sign_of_life() {
    let (to_client, orders) = std::sync::mpsc::channel::<&'static [u8]>();
    let orders = Arc::new(std::sync::Mutex::new(orders));
    let server = Server::start(move |stream| {
        let copy = stream.try_clone().unwrap();
        std::thread::spawn(move || echo(copy));
        while let Ok(order) = orders.lock().unwrap().recv() {
            (&stream).write_all(order).unwrap();
        }
    });
    let hive = Hive::with(|settings| settings.freshness = true);
    hive.route(forward(1, server.addr));
    hive.proxy.touch(Instant::now() + PATIENCE);
    let mut client = hive.client();
    ping(&client);
    for round in 0..20 {
        // A chunk is counted just after it is sent.
        hive.wait_for("all is counted", |c| c.bytes_down == 6 + 11 * round);
        hive.proxy.touch(Instant::now());
        let before = hive.proxy.counters();
        to_client.send(b"pushed").unwrap();
        client.write_all(b"asked").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let early = client.read(&mut [0; 16]).map_err(|error| error.kind());
        assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "round {round}");
        assert_eq!(hive.proxy.counters(), before, "round {round}");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        hive.proxy.touch(Instant::now() + PATIENCE);
        // Two replies in either order.
        let mut both = [0; 11];
        client.read_exact(&mut both).unwrap();
        assert!(&both == b"pushedasked" || &both == b"askedpushed", "round {round}");
    }
    // Cut while it waits for the gate: what was read meanwhile is dropped.
    hive.proxy.touch(Instant::now());
    let before = hive.proxy.counters();
    client.write_all(b"stale").unwrap();
    hive.route(Route::Hold);
    expect_reset(&client);
    assert_eq!(hive.proxy.counters().bytes_up, before.bytes_up);
    drop(to_client);
}

/// Every id is confirmed, also those that were superseded before a thread saw them, and in order.
#[test]
fn superseded_routes_are_confirmed_too() {
    let (tell, confirmed) = std::sync::mpsc::channel();
    let settings = redis_hive::proxy::ProxySettings {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        threads: 2,
        hold_timeout: PATIENCE,
        max_clients: 10,
        splice: true,
        move_sessions: true,
        origin: Instant::now(),
        freshness: false,
    };
    let routed = Arc::new(move |id| tell.send(id).unwrap_or(()));
    let proxy = redis_hive::proxy::start(settings, routed).unwrap();
    let server = Server::echo();
    for id in 0..1_000 {
        proxy.route(
            id,
            if id % 2 == 0 { Route::Hold } else { forward(id, server.addr) },
            Keep::None,
        );
    }
    for id in 0..1_000 {
        assert_eq!(confirmed.recv_timeout(PATIENCE), Ok(id));
    }
    proxy.shutdown();
    proxy.route(1_000, Route::Hold, Keep::None);
    assert_eq!(confirmed.recv_timeout(PATIENCE), Ok(1_000));
}
