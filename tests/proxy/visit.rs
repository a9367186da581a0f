//! The read endpoint: at the local Redis while there is a route to it, else at the write endpoint's.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_hive::election::{Keep, Route};
use redis_hive::proxy::{self, Counters, Proxy, ProxySettings};

use crate::support::*;

/// Both endpoints, a master and a local copy; each server says who it is.
struct Pair {
    write: Hive,
    read: Proxy,
    master: Server,
    copy: Server,
}

impl Pair {
    fn start() -> Pair {
        Pair::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ProxySettings)) -> Pair {
        Pair::beside(Hive::with(change), 1000)
    }

    fn beside(write: Hive, max_clients: usize) -> Pair {
        let settings = ProxySettings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            threads: 1,
            hold_timeout: PATIENCE,
            max_clients,
            splice: true,
            move_sessions: true,
            origin: Instant::now(),
            freshness: false,
        };
        let read = proxy::start_reads(settings, Arc::new(|_| {}), &write.proxy).expect("it starts");
        Pair { write, read, master: named(b"+master\r\n"), copy: named(b"+copy\r\n") }
    }

    fn client(&self) -> TcpStream {
        dial(self.read.addresses()[0])
    }

    fn to_copy(&self) {
        self.read.route(0, forward(0, self.copy.addr), Keep::None);
    }

    fn to_nobody(&self) {
        self.read.route(0, Route::Hold, Keep::None);
    }

    fn wait_for(&self, what: &str, done: impl Fn(Counters, Counters) -> bool) {
        wait_until(what, || done(self.write.proxy.counters(), self.read.counters()));
    }
}

/// Answers every request with its name.
fn named(name: &'static [u8]) -> Server {
    Server::start(move |mut stream| {
        let mut buffer = [0; 1024];
        while let Ok(1..) = std::io::Read::read(&mut stream, &mut buffer) {
            if stream.write_all(name).is_err() {
                return;
            }
        }
    })
}

fn ask(mut client: &TcpStream, who: &[u8]) {
    client.write_all(b"who\r\n").expect("write");
    expect(client, who);
}

#[test]
fn it_leads_to_the_copy_while_there_is_a_route_and_else_to_the_master() {
    let pair = Pair::start();
    pair.write.route(forward(1, pair.master.addr));
    let early = pair.client();
    ask(&early, b"+master\r\n");
    pair.to_copy();
    let local = pair.client();
    ask(&local, b"+copy\r\n");
    ask(&early, b"+master\r\n");
    pair.wait_for("one each", |write, read| {
        (write.clients, write.visitors, read.clients) == (1, 1, 1)
    });
    pair.to_nobody();
    expect_reset(&local);
    let again = pair.client();
    ask(&again, b"+master\r\n");
    ask(&early, b"+master\r\n");
    drop((early, again));
    pair.wait_for("all are gone", |write, read| {
        (write.clients, write.visitors, read.clients) == (0, 0, 0)
    });
    assert_eq!(pair.write.proxy.counters().accepted_total, 0, "visitors came by another door");
    assert_eq!(pair.read.counters().accepted_total, 3);
}

/// Nobody waits for a copy that takes no connection: not the first client, and not those after it.
#[test]
fn a_copy_that_refuses_costs_no_time() {
    let pair = Pair::start();
    pair.write.route(forward(1, pair.master.addr));
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    pair.read.route(0, forward(0, nobody), Keep::None);
    let begun = Instant::now();
    let clients: Vec<_> = (0..20).map(|_| pair.client()).collect();
    clients.iter().for_each(|client| ask(client, b"+master\r\n"));
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
    let counters = pair.read.counters();
    assert_eq!((counters.held, counters.refused_total), (0, 0));
}

/// What a client said before anybody could answer is not lost on the way.
#[test]
fn without_any_route_it_is_held_and_then_served() {
    let pair = Pair::start();
    let client = pair.client();
    (&client).write_all(b"early\r\n").unwrap();
    pair.wait_for("it is held there", |write, _| (write.held, write.visitors) == (1, 1));
    assert_eq!(pair.read.counters().held, 0);
    pair.write.route(forward(1, pair.master.addr));
    expect(&client, b"+master\r\n");
    let pair = Pair::with(|settings| settings.hold_timeout = Duration::from_millis(100));
    let text = read_all(&pair.client());
    assert!(text.starts_with("-MASTERDOWN no master is known"), "{text}");
}

/// A route that refuses at the read endpoint is no reason to turn anybody away.
#[test]
fn only_the_write_endpoint_turns_clients_away() {
    let pair = Pair::start();
    pair.read.route(0, Route::Refuse { reason: "here".into() }, Keep::None);
    pair.write.route(Route::Refuse { reason: "there".into() });
    assert_eq!(read_all(&pair.client()), "-MASTERDOWN there\r\n");
}

#[test]
fn visitors_count_as_clients_of_the_write_endpoint() {
    let pair = Pair::with(|settings| settings.max_clients = 2);
    pair.write.route(forward(1, pair.master.addr));
    let (own, visitor) = (pair.write.client(), pair.client());
    ask(&own, b"+master\r\n");
    ask(&visitor, b"+master\r\n");
    assert_eq!(read_all(&pair.client()), "-ERR max number of clients reached\r\n");
    drop(own);
    pair.wait_for("there is room", |write, _| write.clients == 1);
    ask(&pair.client(), b"+master\r\n");
}

/// A client with a seat at either endpoint takes it from both.
#[test]
fn both_endpoints_together_have_so_many_clients() {
    let write = Hive::with(|settings| settings.max_clients = 3);
    let pair = Pair::beside(write, 3);
    pair.write.route(forward(1, pair.master.addr));
    pair.to_copy();
    let local = [pair.client(), pair.client()];
    local.iter().for_each(|client| ask(client, b"+copy\r\n"));
    let own = pair.write.client();
    ask(&own, b"+master\r\n");
    for full in [pair.client(), pair.write.client()] {
        assert_eq!(read_all(&full), "-ERR max number of clients reached\r\n");
    }
    drop(local);
    pair.wait_for("there is room", |_, read| read.clients == 0);
    pair.to_nobody();
    // The last seat is given up before it is taken again.
    let visitors = [pair.client(), pair.client()];
    visitors.iter().for_each(|client| ask(client, b"+master\r\n"));
    assert_eq!(read_all(&pair.client()), "-ERR max number of clients reached\r\n");
}

/// Nothing more comes; looks without waiting.
fn has_ended(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let ended = matches!(std::io::Read::read(&mut (&*client), &mut [0]), Ok(0));
    client.set_nonblocking(false).unwrap();
    ended
}

/// They go by and by, in an orderly way, and nobody else has to.
#[test]
fn visitors_are_sent_home_a_few_at_a_time() {
    const VISITORS: u64 = 60;
    let pair = Pair::start();
    pair.write.route(forward(1, pair.master.addr));
    let own: Vec<_> = (0..20).map(|_| pair.write.client()).collect();
    let visitors: Vec<_> = (0..VISITORS).map(|_| pair.client()).collect();
    own.iter().chain(&visitors).for_each(|client| ask(client, b"+master\r\n"));
    pair.to_copy();
    pair.write.proxy.send_home(u32::MAX);
    visitors.iter().for_each(|client| ask(client, b"+master\r\n"));
    pair.write.proxy.send_home(2);
    pair.wait_for("some have gone", |write, _| write.visitors < VISITORS);
    visitors
        .iter()
        .filter(|client| has_ended(client))
        .for_each(|_| ask(&pair.client(), b"+copy\r\n"));
    assert!(pair.write.proxy.counters().visitors > 0, "2 to the power of -60");
    pair.write.proxy.send_home(1);
    pair.wait_for("all have gone", |write, _| write.visitors == 0);
    visitors.iter().for_each(expect_end);
    own.iter().for_each(|client| ask(client, b"+master\r\n"));
    let counters = pair.write.proxy.counters();
    assert_eq!((counters.cut_total, counters.clients, counters.attached), (0, 20, 20));
}

/// Threads that end hand nobody over any more, and nobody hangs.
#[test]
fn it_may_end_before_and_after_the_write_endpoint() {
    let pair = Pair::start();
    pair.write.route(forward(1, pair.master.addr));
    let visitor = pair.client();
    ask(&visitor, b"+master\r\n");
    pair.read.shutdown();
    ask(&visitor, b"+master\r\n");
    assert!(TcpStream::connect(pair.read.addresses()[0]).is_err());
    let pair = Pair::start();
    pair.write.proxy.shutdown();
    let late = pair.client();
    let end = std::io::Read::read(&mut (&late), &mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}
