//! Bulk, through pipes and by copying: the same bytes, the same ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use redis_hive::election::Route;

use crate::resp::*;
use crate::support::*;

const BULK: usize = 20_000_000;
/// More than all sockets on the way have room for.
const FLOOD: usize = 60_000_000;
/// What one write moves at most.
const WRITE: u64 = 1 << 20;

/// Runs the test over both paths, with a proxy that forwards to this server.
fn both_paths(server: impl Fn() -> Server, test: impl Fn(&Hive, &Server)) {
    for splice in [true, false] {
        let server = server();
        let hive = Hive::with(|settings| (settings.splice, settings.threads) = (splice, 1));
        hive.route(forward(1, server.addr));
        test(&hive, &server);
        let spliced = hive.proxy.counters().bytes_spliced;
        assert_eq!(spliced > 0, splice, "{spliced} bytes went through pipes");
    }
}

#[test]
fn values_of_all_sizes_arrive_unchanged_both_ways() {
    let sizes = [0, 1, 100, 16_383, 65_536, 70_000, 262_144, 300_001, 1_048_576, 10_000_000, 5];
    both_paths(echo_server, |hive, _| {
        let clients: Vec<_> = (0..4).map(|_| hive.client()).collect();
        std::thread::scope(|scope| {
            for (n, client) in clients.iter().enumerate() {
                let each = move || (0..3).flat_map(move |_| sizes).skip(n);
                scope.spawn(move || {
                    each().for_each(|size| ask(client, size as u64, size).expect("write"));
                    client.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    each().for_each(|size| expect_answer(client, size as u64, size));
                    expect_end(client);
                });
            }
        });
        drop(clients);
        hive.wait_for("all have left", |c| c.clients == 0);
        let counters = hive.proxy.counters();
        assert!(counters.bytes_up > counters.bytes_down && counters.bytes_down > 100_000_000);
    });
}

/// The client ends first: the server gets all, then answers with more than any buffer holds.
#[test]
fn a_client_that_closes_its_half_still_gets_its_reply() {
    let server = || {
        Server::start(|stream| {
            expect_asked(&stream, 1, BULK);
            expect_end(&stream);
            answer(&stream, 2, BULK).unwrap();
        })
    };
    both_paths(server, |hive, _| {
        let client = hive.client();
        ask(&client, 1, BULK).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        expect_answer(&client, 2, BULK);
        expect_end(&client);
        hive.wait_for("the session is over", |c| c.clients == 0);
    });
}

/// The server ends first, with a request outstanding; what the client sends still arrives.
#[test]
fn a_server_that_closes_its_half_still_gets_the_rest() {
    let (tell, told) = mpsc::channel();
    let server = move || {
        let tell = tell.clone();
        Server::start(move |stream| {
            expect_asked(&stream, 3, 10);
            answer(&stream, 3, BULK).unwrap();
            expect_asked(&stream, 4, 10);
            stream.shutdown(Shutdown::Write).unwrap();
            expect_asked(&stream, 5, BULK);
            expect_end(&stream);
            tell.send(()).unwrap();
        })
    };
    both_paths(server, |hive, _| {
        let client = hive.client();
        ask(&client, 3, 10).unwrap();
        expect_answer(&client, 3, BULK);
        ask(&client, 4, 10).unwrap();
        expect_end(&client);
        ask(&client, 5, BULK).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        told.recv_timeout(PATIENCE).expect("the server got the rest");
    });
}

/// What is not read stops the sender, costs nobody else anything, and is all there in the end.
#[test]
fn a_slow_reader_stops_its_own_sender_only() {
    both_paths(echo_server, |hive, _| {
        let (slow, other) = (hive.client(), hive.client());
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| ask(&slow, 7, FLOOD).unwrap());
            stands_still(hive, &other);
            assert!(!sender.is_finished(), "nothing held the sender back");
            expect_answer(&slow, 7, FLOOD);
        });
        round_trip(&slow);
    });
}

/// A server that reads nothing stops its client, and nobody else.
#[test]
fn a_slow_master_connection_stops_its_own_client_only() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let server = move || {
        let wait = wait.clone();
        Server::start(move |stream| {
            let small = |first: &[u8]| first.get(14..17) == Some(b"$8\r");
            let mut first = [0; 17];
            while stream.peek(&mut first).is_ok_and(|read| small(&first[..read])) {
                expect_asked(&stream, 8, 8);
                answer(&stream, 8, 8).unwrap();
                first = [0; 17];
            }
            // Not a question whether it lives.
            if first[0] == b'*' {
                wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                expect_asked(&stream, 9, FLOOD);
                answer(&stream, 9, FLOOD).unwrap();
            }
        })
    };
    both_paths(server, |hive, _| {
        let (stuck, other) = (hive.client(), hive.client());
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| ask(&stuck, 9, FLOOD).unwrap());
            stands_still(hive, &other);
            assert!(!sender.is_finished(), "nothing held the client back");
            release.send(()).unwrap();
            expect_answer(&stuck, 9, FLOOD);
        });
    });
}

/// More often than there are pipes: each comes back, or is closed with what it holds.
#[test]
fn a_reset_of_the_client_in_a_value_ends_the_other_side() {
    let (seen, saw) = mpsc::channel();
    let server = move || {
        let seen = seen.clone();
        Server::start(move |stream: TcpStream| {
            let end = std::io::copy(&mut &stream, &mut std::io::sink());
            seen.send(end.map_err(|error| error.kind())).unwrap();
        })
    };
    both_paths(server, |hive, _| {
        for _ in 0..50 {
            let mut client = hive.client();
            client.write_all(b"*2\r\n$4\r\nECHO\r\n$9999999\r\n").unwrap();
            Pattern::new(1).write(&client, 2_000_000).unwrap();
            reset(client);
            let seen = saw.recv_timeout(PATIENCE).unwrap();
            assert_eq!(seen, Err(std::io::ErrorKind::ConnectionReset));
        }
        hive.wait_for("all sessions are over", |c| c.clients == 0);
        let before = hive.proxy.counters().bytes_spliced;
        let client = hive.client();
        ask(&client, 2, BULK).unwrap();
        drop(client);
        assert_eq!(saw.recv_timeout(PATIENCE).unwrap(), Ok(asked_bytes(BULK)));
        hive.wait_for("pipes are left", |c| c.bytes_spliced > before || before == 0);
    });
}

/// What was received of a reply is delivered; then its end, whichever way the master went.
#[test]
fn a_master_that_goes_in_a_reply_leaves_what_it_said() {
    for resets in [false, true] {
        let server = move || {
            Server::start(move |mut stream: TcpStream| {
                expect_asked(&stream, 1, 3);
                stream.write_all(b"$99999999\r\n").unwrap();
                Pattern::new(4).write(&stream, 5_000_000).unwrap();
                if resets {
                    reset(stream);
                }
            })
        };
        both_paths(server, |hive, _| {
            let mut client = hive.client();
            ask(&client, 1, 3).unwrap();
            expect(&client, b"$99999999\r\n");
            let mut got = Vec::new();
            let end = client.read_to_end(&mut got);
            let mut right = vec![0; got.len()];
            Pattern::new(4).fill(&mut right);
            assert!(got == right, "wrong bytes");
            if !resets {
                end.expect("an end, not an error");
                assert_eq!(got.len(), 5_000_000);
            }
            drop(client);
            hive.wait_for("the session is over", |c| c.clients == 0);
        });
    }
}

/// A closed gate stops a value where it is; an open one lets it go on.
#[test]
fn a_closed_gate_stops_a_value_in_the_middle() {
    for splice in [true, false] {
        let server = echo_server();
        let hive = Hive::with(|settings| {
            (settings.splice, settings.freshness, settings.threads) = (splice, true, 1);
        });
        hive.proxy.touch(Instant::now() + PATIENCE);
        hive.route(forward(1, server.addr));
        let client = hive.client();
        std::thread::scope(|scope| {
            scope.spawn(|| ask(&client, 3, BULK).unwrap());
            let reader = scope.spawn(|| expect_answer(&client, 3, BULK));
            while !reader.is_finished() {
                hive.proxy.touch(Instant::now());
                let before = hive.proxy.counters();
                std::thread::sleep(Duration::from_millis(30));
                // One write may have been under way, and uncounted.
                assert!(passed(&hive) - before.bytes_up - before.bytes_down <= WRITE);
                hive.proxy.touch(Instant::now() + PATIENCE);
                let more = before.bytes_up + before.bytes_down + 5 * WRITE;
                wait_until("it goes on", || reader.is_finished() || passed(&hive) > more);
            }
        });
        assert_eq!(hive.proxy.counters().bytes_spliced > 0, splice);
    }
}

/// Another route ends it there, and not a byte more reaches the old master.
#[test]
fn another_route_cuts_a_value_in_the_middle() {
    let received = Arc::<AtomicU64>::default();
    let count = received.clone();
    let server = move || {
        let count = count.clone();
        Server::start(move |mut stream: TcpStream| {
            let mut buffer = [0; 100_000];
            while let Ok(size @ 1..) = stream.read(&mut buffer) {
                count.fetch_add(size as u64, Ordering::SeqCst);
            }
        })
    };
    both_paths(server, |hive, _| {
        received.store(0, Ordering::SeqCst);
        let client = hive.client();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(ask(&client, 3, 1_000_000_000).is_err()));
            wait_until("it is under way", || received.load(Ordering::SeqCst) > 1_000_000);
            hive.route(Route::Hold);
            let passed = hive.proxy.counters().bytes_up;
            hive.wait_for("it is cut", |c| (c.clients, c.cut_total) == (0, 1));
            // One write may have been under way, and uncounted.
            assert!(hive.proxy.counters().bytes_up <= passed + WRITE);
            assert!(received.load(Ordering::SeqCst) <= passed + WRITE);
        });
    });
}

/// Half a request at the master would bar the change: its rest passes, also when it is long. What
/// comes behind it waits.
#[test]
fn a_hold_stops_behind_the_value() {
    both_paths(echo_server, |hive, server| {
        let client = hive.client();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| expect_answer(&client, 1, BULK));
            let mut client = &client;
            client.write_all(format!("*2\r\n$4\r\nECHO\r\n${BULK}\r\n").as_bytes()).unwrap();
            let mut pattern = Pattern::new(1);
            pattern.write(client, BULK / 2).unwrap();
            hive.wait_for("it is under way", |c| c.bytes_up > 1_000_000);
            hive.route(held(1, server.addr));
            pattern.write(client, BULK - BULK / 2).unwrap();
            client.write_all(b"\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n").unwrap();
            reader.join().unwrap();
        });
        expect_silence(&client, "it is held");
        hive.route(forward(1, server.addr));
        expect(&client, b"$1\r\nx\r\n");
    });
}

/// In the middle of a request, which goes on, a client is noticed at once; else after the hold.
#[test]
fn clients_that_go_while_held_are_forgotten() {
    both_paths(echo_server, |hive, server| {
        let clients: Vec<_> = (0..40).map(|_| hive.client()).collect();
        clients.iter().for_each(round_trip);
        let (midway, between) = clients.split_at(20);
        for mut client in midway {
            client.write_all(b"*2\r\n$4\r\nECHO\r\n$999999\r\n").unwrap();
            Pattern::new(1).write(client, 500_000).unwrap();
        }
        midway.iter().for_each(|client| expect(client, b"$999999\r\n"));
        hive.route(held(1, server.addr));
        between.iter().for_each(|client| ask(client, 1, 100).unwrap());
        clients.into_iter().for_each(reset);
        hive.wait_for("those in a request have left", |c| c.clients == 20);
        hive.route(forward(1, server.addr));
        hive.wait_for("all have left", |c| c.clients == 0);
        assert_eq!(hive.proxy.counters().cut_total, 0);
    });
}

/// Where no pipe is to be had bytes are copied.
#[test]
fn out_of_descriptors_it_copies() {
    let server = echo_server();
    let mut sh = Command::new("sh");
    sh.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let mut child = Child::start(&mut sh, "splice::child_that_splices", server.addr);
    let client = child.client();
    round_trip(&client);
    child.order("fill");
    assert!(child.told("files=") > 0);
    bulk_round_trip(&client);
    child.end_orders();
    assert_eq!(child.told("spliced="), 0);
    child.succeeds();
}

/// Where the kernel does not let a socket be spliced (a sandbox, a policy) bytes are copied. The
/// first call that fails stands for all of a while.
#[test]
fn where_splice_is_refused_it_copies() {
    if !has_strace() {
        return;
    }
    for error in ["EPERM", "EINVAL", "ENOSYS"] {
        let server = echo_server();
        let mut strace = Command::new("strace");
        let inject = format!("inject=splice:error={error}");
        strace.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=splice", "-e", &inject]);
        strace.args(["-o", "/dev/null"]).arg(std::env::current_exe().unwrap());
        let mut child = Child::start(&mut strace, "splice::child_that_splices", server.addr);
        let client = child.client();
        child.order("fill");
        child.told("files=");
        bulk_round_trip(&client);
        bulk_round_trip(&client);
        child.end_orders();
        assert_eq!(child.told("spliced="), 0, "{error}");
        child.succeeds();
    }
}

/// The other side of the two above; does nothing by itself.
#[test]
#[ignore = "a part of another test"]
fn child_that_splices() {
    let Ok(master) = std::env::var("HIVE_TEST_MASTER") else { return };
    let hive = Hive::with(|settings| settings.threads = 1);
    hive.route(forward(1, master.parse().unwrap()));
    println!("\nport={}", hive.proxy.addresses()[0].port());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    // As far as a limit set by the parent goes.
    let files = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok());
    let files: Vec<_> = files.take(64).collect();
    println!("files={}", files.len());
    // Ends with its input.
    std::io::stdin().read_line(&mut line).unwrap();
    println!("spliced={}", hive.proxy.counters().bytes_spliced);
}

/// A large request and its reply.
fn bulk_round_trip(client: &TcpStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| ask(client, 5, BULK).unwrap());
        expect_answer(client, 5, BULK);
    });
}

/// A small request and its reply.
fn round_trip(client: &TcpStream) {
    ask(client, 8, 8).unwrap();
    expect_answer(client, 8, 8);
}

/// Bytes of a round trip.
const ROUND_TRIP: u64 = 28 + 14;

fn passed(hive: &Hive) -> u64 {
    let counters = hive.proxy.counters();
    counters.bytes_up + counters.bytes_down
}

/// Waits until something has moved and nothing does any more, but the round trips of this client.
fn stands_still(hive: &Hive, other: &TcpStream) {
    let mut since = Instant::now();
    wait_until("nothing moves", || {
        let before = passed(hive);
        (0..20).for_each(|_| round_trip(other));
        // Bytes are counted just after they are sent.
        if passed(hive) - before > 21 * ROUND_TRIP || before < WRITE {
            since = Instant::now();
        }
        since.elapsed() > Duration::from_millis(100)
    });
}
