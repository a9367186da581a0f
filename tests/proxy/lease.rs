//! A lease: nothing passes after its end, in either direction, until it is renewed.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis_hive::election::Time;
use rustix::time::{ClockId, clock_gettime};

use crate::support::*;

fn boot_time() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    Time(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000)
}

#[test]
fn nothing_passes_in_either_direction_after_its_end() {
    const CLIENTS: u64 = 40;
    let pusher = Pusher::start();
    let hive = Hive::with(|settings| settings.threads = 3);
    hive.route(forward(1, pusher.server.addr));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| hive.client()).collect();
    clients.iter().for_each(ping);
    for round in 0..10 {
        // A chunk is counted just after it is sent.
        hive.wait_for("all is counted", |c| c.bytes_down == CLIENTS * (6 + 11 * round));
        let end = boot_time() + Duration::from_millis(round % 3 * 5);
        hive.proxy.lease(Some(end));
        wait_until("it ends", || boot_time() >= end);
        let before = hive.proxy.counters();
        pusher.push(b"pushed");
        clients.iter_mut().for_each(|client| client.write_all(b"asked").unwrap());
        clients.iter().step_by(13).for_each(|client| expect_silence(client, "the lease is over"));
        assert_eq!(hive.proxy.counters(), before, "round {round}");
        let renewed = boot_time() + PATIENCE;
        hive.proxy.lease((round % 2 == 0).then_some(renewed));
        for client in &mut clients {
            // Two replies in either order.
            let mut both = [0; 11];
            client.read_exact(&mut both).unwrap();
            assert!(&both == b"pushedasked" || &both == b"askedpushed", "round {round}");
        }
    }
    // Cut while it waits: what was read meanwhile is dropped.
    hive.proxy.lease(Some(boot_time()));
    let before = hive.proxy.counters().bytes_up;
    clients.iter_mut().for_each(|client| client.write_all(b"stale").unwrap());
    hive.route(redis_hive::election::Route::Hold);
    clients.iter().for_each(expect_reset);
    assert_eq!(hive.proxy.counters().bytes_up, before);
}

/// A longer lease that was given before does not count any more.
#[test]
fn the_newest_word_counts() {
    let server = Server::echo();
    let hive = Hive::start();
    hive.route(forward(1, server.addr));
    let mut client = hive.client();
    hive.proxy.lease(Some(boot_time() + PATIENCE));
    ping(&client);
    hive.proxy.lease(Some(boot_time() - Duration::from_secs(1)));
    client.write_all(b"asked").unwrap();
    expect_silence(&client, "the lease is over");
    hive.proxy.lease(None);
    expect(&client, b"asked");
}

/// It takes both: a lease is no sign of life, and a sign of life no lease.
#[test]
fn a_lease_and_a_sign_of_life_are_both_needed() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.freshness = true);
    let (lease, touch) = (|time| hive.proxy.lease(Some(time)), |until| hive.proxy.touch(until));
    hive.route(forward(1, server.addr));
    lease(boot_time() + PATIENCE);
    touch(Instant::now() + PATIENCE);
    let mut client = hive.client();
    ping(&client);
    lease(boot_time());
    client.write_all(b"asked").unwrap();
    touch(Instant::now() + PATIENCE);
    expect_silence(&client, "no lease");
    touch(Instant::now());
    lease(boot_time() + PATIENCE);
    expect_silence(&client, "no sign of life");
    touch(Instant::now() + PATIENCE);
    expect(&client, b"asked");
}

#[test]
fn new_clients_are_held_after_its_end() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.hold_timeout = Duration::from_millis(1_500));
    hive.route(forward(1, server.addr));
    hive.proxy.lease(Some(boot_time()));
    let mut clients: Vec<_> = (0..20).map(|_| hive.client()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"early\r\n").unwrap());
    hive.wait_for("all are held", |c| c.held == 20);
    assert_eq!(server.accepted(), 0);
    hive.proxy.lease(Some(boot_time() + PATIENCE));
    clients.iter().for_each(|client| expect(client, b"early\r\n"));
    assert_eq!(hive.proxy.counters().held, 0);
    hive.proxy.lease(Some(boot_time()));
    let text = read_all(&hive.client());
    assert!(text.starts_with("-MASTERDOWN nobody confirms the master since 1.5 s"), "{text}");
}

/// Leases end and come back as fast as they can, while clients come and go: nobody is forgotten.
#[test]
fn no_wake_up_is_lost() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.threads = 3);
    hive.route(forward(1, server.addr));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = Raise(&over);
        for _ in 0..6 {
            let (addr, over) = (hive.proxy.addresses()[0], &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let client = dial(addr);
                    (0..20).for_each(|_| ping(&client));
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(800) {
            hive.proxy.lease(Some(boot_time()));
            std::thread::yield_now();
            hive.proxy.lease(Some(boot_time() + Duration::from_millis(1)));
            std::thread::yield_now();
        }
        hive.proxy.lease(None);
    });
    assert_eq!(hive.proxy.counters().cut_total, 0);
    assert_eq!(hive.proxy.counters().refused_total, 0);
}
