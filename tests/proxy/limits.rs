//! Too many clients, useless clients, a taken port, the end.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use redis_hive::proxy::{self, ProxySettings};

use crate::support::*;

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.max_clients = 3);
    hive.route(forward(1, server.addr));
    let clients: Vec<_> = (0..3).map(|_| hive.client()).collect();
    clients.iter().for_each(ping);
    let mut fourth = hive.client();
    fourth.write_all(b"PING\r\n").unwrap();
    assert_eq!(read_all(&fourth), "-ERR max number of clients reached\r\n");
    clients.iter().for_each(ping);
    drop(clients);
    hive.wait_for("there is room", |c| c.clients == 0);
    ping(&hive.client());
    let counters = hive.proxy.counters();
    assert_eq!((counters.accepted_total, counters.refused_total), (5, 1));
}

/// Held ones count: they cost a connection too.
#[test]
fn held_clients_are_limited() {
    let hive = Hive::with(|settings| settings.max_clients = 2);
    let _held = (hive.client(), hive.client());
    hive.wait_for("both are held", |c| c.held == 2);
    assert_eq!(read_all(&hive.client()), "-ERR max number of clients reached\r\n");
}

#[test]
fn silent_clients_and_random_bytes_disturb_nobody() {
    let server = Server::echo();
    let hive = Hive::start();
    hive.route(forward(1, server.addr));
    let served = hive.client();
    ping(&served);
    let silent: Vec<_> = (0..100).map(|_| hive.client()).collect();
    let noise = hive.client();
    std::thread::scope(|scope| {
        scope.spawn(|| Pattern::new(7).write(&noise, 10_000_000).expect("write"));
        scope.spawn(|| Pattern::new(7).check(&noise, 10_000_000));
        (0..500).for_each(|_| ping(&served));
    });
    silent.iter().for_each(ping);
}

/// Random bytes at a proxy that holds or refuses everybody.
#[test]
fn random_bytes_without_a_master_are_not_read_for_ever() {
    let hive = Hive::start();
    let noise = hive.client();
    hive.wait_for("held", |c| c.held == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Ends when the proxy closes, after an error that may be lost in the noise.
            assert!(Pattern::new(8).write(&noise, 1_000_000_000).is_err());
        });
        hive.route(redis_hive::election::Route::Refuse { reason: "no".into() });
        hive.wait_for("it is closed", |c| c.clients == 0);
    });
}

fn settings(listen: Vec<SocketAddr>) -> ProxySettings {
    ProxySettings { listen, threads: 1, hold_timeout: PATIENCE, max_clients: 10, freshness: false }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = proxy::start(settings(vec![addr]), Arc::new(|_| {})).err().expect("an error");
    let text = error.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("--proxy-port"), "{text}");
}

/// The usual address takes both families.
#[test]
fn a_dual_stack_address_takes_both_families() {
    let hive = Hive::with(|settings| settings.listen = vec![(Ipv6Addr::UNSPECIFIED, 0).into()]);
    let server = Server::echo();
    hive.route(forward(1, server.addr));
    let port = hive.proxy.addresses()[0].port();
    ping(&dial((Ipv4Addr::LOCALHOST, port).into()));
    ping(&dial((Ipv6Addr::LOCALHOST, port).into()));
}

#[test]
fn no_new_clients_while_the_old_ones_go_on() {
    let (hive, server) = (Hive::start(), Server::echo());
    hive.route(forward(1, server.addr));
    let client = hive.client();
    ping(&client);
    hive.proxy.stop_accepting();
    assert!(TcpStream::connect(hive.proxy.addresses()[0]).is_err());
    ping(&client);
}

#[test]
fn the_end_cuts_everybody_and_leaves_the_port() {
    let (hive, server) = (Hive::start(), Server::echo());
    let held = hive.client();
    hive.wait_for("held", |c| c.held == 1);
    hive.route(forward(1, server.addr));
    ping(&held);
    let client = hive.client();
    ping(&client);
    hive.proxy.shutdown();
    expect_reset(&client);
    expect_reset(&held);
    let counters = hive.proxy.counters();
    assert_eq!((counters.clients, counters.held), (0, 0));
    assert!(TcpStream::connect(hive.proxy.addresses()[0]).is_err());
}
