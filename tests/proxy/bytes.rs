//! What the relay does with bytes, ends of file and resets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::*;

const BULK: usize = 50_000_000;

/// A proxy that forwards to this server.
fn hive_to(server: &Server) -> Hive {
    let hive = Hive::start();
    hive.route(forward(1, server.addr));
    hive
}

#[test]
fn bytes_arrive_unchanged_both_ways_at_once() {
    let server = Server::echo();
    let hive = hive_to(&server);
    let clients: Vec<_> = (0..4).map(|seed| (seed, hive.client())).collect();
    std::thread::scope(|scope| {
        for (seed, client) in &clients {
            scope.spawn(|| Pattern::new(*seed).write(client, 5_000_000).expect("write"));
            scope.spawn(|| Pattern::new(*seed).check(client, 5_000_000));
        }
    });
    // A chunk is counted just after it was sent: its receiver may be faster.
    hive.wait_for("all is counted", |c| (c.bytes_up, c.bytes_down) == (20_000_000, 20_000_000));
    let counters = hive.proxy.counters();
    assert_eq!((counters.clients, counters.held, counters.accepted_total), (4, 0, 4));
    drop(clients);
    hive.wait_for("all have left", |c| c.clients == 0);
}

#[test]
fn many_small_round_trips() {
    let server = Server::echo();
    let hive = hive_to(&server);
    let client = hive.client();
    (0..2_000).for_each(|_| ping(&client));
}

/// The client ends first: the server gets all, then answers with more than any buffer holds.
#[test]
fn a_client_that_closes_its_half_still_gets_its_reply() {
    let server = Server::start(|stream| {
        Pattern::new(1).check(&stream, BULK);
        expect_end(&stream);
        Pattern::new(2).write(&stream, BULK).unwrap();
    });
    let hive = hive_to(&server);
    let client = hive.client();
    Pattern::new(1).write(&client, BULK).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    Pattern::new(2).check(&client, BULK);
    expect_end(&client);
    hive.wait_for("the session is over", |c| c.clients == 0);
}

/// The server ends first; the client's tail still arrives.
#[test]
fn a_server_that_closes_its_half_still_gets_the_rest() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |stream| {
        Pattern::new(3).write(&stream, BULK).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        Pattern::new(4).check(&stream, BULK);
        expect_end(&stream);
        tell.send(()).unwrap();
    });
    let hive = hive_to(&server);
    let client = hive.client();
    Pattern::new(3).check(&client, BULK);
    expect_end(&client);
    Pattern::new(4).write(&client, BULK).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    told.recv_timeout(PATIENCE).expect("the server got the tail");
}

/// `printf PING | nc`: the end of file is often there before the master is connected.
#[test]
fn a_request_sent_with_its_end_of_file_is_answered() {
    let server = Server::echo();
    let hive = hive_to(&server);
    for _ in 0..200 {
        let mut client = hive.client();
        client.write_all(b"PING\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&client), "PING\r\n");
    }
}

/// What is not read stops the sender, costs nobody else anything, and is all there in the end.
#[test]
fn a_slow_reader_stops_its_own_sender_only() {
    const SIZE: usize = 64_000_000;
    let sent: Arc<AtomicU64> = Arc::default();
    let count = sent.clone();
    let server = Server::start(move |mut stream| {
        let mut first = [0; 6];
        if stream.read_exact(&mut first).is_ok() && first == *b"send\r\n" {
            let mut pattern = Pattern::new(5);
            for _ in 0..SIZE / 100_000 {
                pattern.write(&stream, 100_000).unwrap();
                count.fetch_add(100_000, Ordering::SeqCst);
            }
            return;
        }
        stream.write_all(&first).unwrap();
        echo(stream);
    });
    let hive = Hive::with(|settings| settings.threads = 1);
    hive.route(forward(1, server.addr));
    let (mut slow, other) = (hive.client(), hive.client());
    slow.write_all(b"send\r\n").unwrap();
    let mut last = 0;
    wait_until("the sender stands still", || {
        (0..100).for_each(|_| ping(&other));
        let now = sent.load(Ordering::SeqCst);
        now > 0 && now == std::mem::replace(&mut last, now)
    });
    assert!(last < SIZE as u64, "nothing held the sender back");
    Pattern::new(5).check(&slow, SIZE);
    expect_end(&slow);
}

/// A server that reads nothing stops its client, and nobody else.
#[test]
fn a_stuck_master_connection_blocks_nobody_else() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let server = Server::start(move |mut stream| {
        let mut first = [0; 6];
        if stream.read_exact(&mut first).is_ok() && first == *b"stop\r\n" {
            let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
            Pattern::new(6).check(&stream, 10_000_000);
            stream.write_all(b"done").unwrap();
            return;
        }
        stream.write_all(&first).unwrap();
        echo(stream);
    });
    let hive = Hive::with(|settings| settings.threads = 1);
    hive.route(forward(1, server.addr));
    let (mut stuck, other) = (hive.client(), hive.client());
    stuck.write_all(b"stop\r\n").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Pattern::new(6).write(&stuck, 10_000_000).expect("write"));
        let mut up = 0;
        wait_until("nothing moves any more", || {
            (0..100).for_each(|_| ping(&other));
            let now = hive.proxy.counters().bytes_up - 600;
            let stood = now == up;
            up = hive.proxy.counters().bytes_up;
            stood
        });
        release.send(()).unwrap();
    });
    expect(&stuck, b"done");
}

#[test]
fn a_reset_on_either_side_ends_the_other() {
    let (seen, saw) = mpsc::channel();
    let server = Server::start(move |mut stream: TcpStream| {
        let mut order = [0; 6];
        stream.read_exact(&mut order).unwrap();
        stream.write_all(&order).unwrap();
        if &order == b"kill\r\n" {
            // The byte that follows is unread: the close is a reset.
            let _ = stream.peek(&mut [0]);
            return reset(stream);
        }
        seen.send(stream.read(&mut [0; 16]).map_err(|error| error.kind())).unwrap();
    });
    let hive = hive_to(&server);

    let mut client = hive.client();
    client.write_all(b"stay\r\n").unwrap();
    expect(&client, b"stay\r\n");
    reset(client);
    let seen = saw.recv_timeout(PATIENCE).unwrap();
    assert_eq!(seen, Err(std::io::ErrorKind::ConnectionReset));

    let mut client = hive.client();
    client.write_all(b"kill\r\nx\r\n").unwrap();
    expect(&client, b"kill\r\n");
    assert!(!matches!(client.read(&mut [0; 16]), Ok(1..)), "the client's connection ends too");
    hive.wait_for("both sessions are over", |c| c.clients == 0);
}

/// Redis answers with an error and closes without reading the rest, which makes a reset.
#[test]
fn the_last_words_of_a_master_are_delivered() {
    let server = Server::start(|mut stream: TcpStream| {
        let _ = stream.peek(&mut [0]);
        stream.write_all(b"-ERR max number of clients reached\r\n").unwrap();
    });
    let hive = hive_to(&server);
    for _ in 0..50 {
        let mut client = hive.client();
        client.write_all(b"HELLO 3\r\n").unwrap();
        expect(&client, b"-ERR max number of clients reached\r\n");
    }
}

/// A client that has gone is noticed while the master has nothing to say.
#[test]
fn a_client_that_closes_frees_the_master() {
    let (seen, saw) = mpsc::channel();
    let server = Server::start(move |mut stream: TcpStream| {
        seen.send(stream.read(&mut [0; 16]).ok()).unwrap();
    });
    let hive = hive_to(&server);
    drop(hive.client());
    assert_eq!(saw.recv_timeout(Duration::from_secs(5)), Ok(Some(0)));
    hive.wait_for("the session is over", |c| c.clients == 0);
}
