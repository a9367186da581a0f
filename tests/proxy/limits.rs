//! Too many clients, useless clients, a taken port, the end.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis_hive::election::Route;
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

/// A limit that changes: who is there already stays, and the lower one counts.
#[test]
fn another_limit_can_be_set_at_any_time() {
    let server = Server::echo();
    let hive = Hive::with(|settings| settings.max_clients = 3);
    hive.route(forward(1, server.addr));
    let clients = [hive.client(), hive.client()];
    clients.iter().for_each(ping);
    let too_many =
        || assert_eq!(read_all(&hive.client()), "-ERR max number of clients reached\r\n");
    hive.proxy.limit(Some(1));
    too_many();
    clients.iter().for_each(ping);
    hive.proxy.limit(Some(10));
    ping(&hive.client());
    hive.wait_for("it has gone", |c| c.clients == 2);
    hive.proxy.limit(None);
    let third = hive.client();
    ping(&third);
    too_many();
    assert_eq!(hive.proxy.counters().attached, 3);
    drop((clients, third));
    hive.wait_for("all are gone", |c| (c.clients, c.attached) == (0, 0));
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
        hive.route(Route::Refuse { reason: "no".into() });
        hive.wait_for("it is closed", |c| c.clients == 0);
    });
}

fn settings(listen: Vec<SocketAddr>) -> ProxySettings {
    ProxySettings {
        listen,
        threads: 1,
        hold_timeout: PATIENCE,
        max_clients: 10,
        splice: true,
        move_sessions: true,
        origin: Instant::now(),
        freshness: false,
    }
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

/// A proxy in a process of its own with few descriptors; killed with this value.
struct Few {
    child: Child,
    addr: SocketAddr,
}

impl Few {
    fn start() -> Few {
        let mut sh = Command::new("sh");
        sh.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let mut child = Child::start(&mut sh, "limits::child_with_few", nobody);
        let port = child.told("port=") as u16;
        Few { child, addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// CPU time used, in clock ticks (usually 100 a second).
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// Nothing comes in for half a second, and nearly no CPU is used meanwhile.
    fn expect_rest(&self, client: &TcpStream) {
        let (begun, before) = (Instant::now(), self.ticks());
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!((&*client).read(&mut [0]).is_err(), "nobody is answered yet");
        let (wall, ticks) = (begun.elapsed(), self.ticks() - before);
        assert!(ticks < 15, "{ticks} ticks of CPU in {wall:?}: it spins");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

/// Out of descriptors, the proxy waits instead of spinning, and goes on when there are some again.
#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_it_waits() {
    let mut few = Few::start();
    let mut clients: Vec<_> = (0..100).map(|_| dial(few.addr)).collect();
    // The last one is beyond the limit: the error it is to get in the end is all that it gets.
    few.expect_rest(clients.last().unwrap());
    drop(clients.drain(..70));
    few.child.order("refuse");
    for client in &clients {
        assert_eq!(read_all(client), "-MASTERDOWN told to\r\n");
    }
}

/// Clients that are served do not notice the shortage, whoever else wants a descriptor: for a client
/// or for its connection to the master. Who waits is served when there are some again.
#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_it_serves_whom_it_has() {
    const ROUNDS: usize = 5;
    let server = Server::echo();
    let mut few = Few::start();
    few.child.order(&format!("forward {}", server.addr));
    let served: Vec<_> = (0..10).map(|_| dial(few.addr)).collect();
    served.iter().for_each(ping);
    for round in 0..ROUNDS {
        let mut crowd: Vec<_> = (0..60).map(|_| dial(few.addr)).collect();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _end = Raise(&over);
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    served.iter().for_each(ping);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            few.expect_rest(crowd.last().unwrap());
        });
        drop(crowd.drain(..55));
        for client in &crowd {
            ping(client);
        }
        assert!(server.accepted() >= 10 + 5 * (round + 1), "{} served", server.accepted());
    }
    served.iter().for_each(ping);
}

/// The other side of the tests above; does nothing by itself.
#[test]
#[ignore = "a part of other tests"]
fn child_with_few() {
    if std::env::var_os("HIVE_TEST_MASTER").is_none() {
        return;
    }
    let hive = Hive::start();
    println!("\nport={}", hive.proxy.addresses()[0].port());
    // Ends with its input, or with the one who kills it.
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.strip_prefix("forward ") {
            Some(addr) => drop(hive.route(forward(1, addr.parse().unwrap()))),
            None => drop(hive.route(Route::Refuse { reason: "told to".into() })),
        }
    }
}
