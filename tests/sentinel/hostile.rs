//! Clients that are slow, greedy, or speak nonsense: they are closed, and nobody else notices.

use std::io::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use redis_hive::sentinel::Limits;
use socket2::SockRef;

use super::talk::{PATIENCE, Port, healthy, without_master};

/// Short ones, so that the tests are.
fn hasty() -> Port {
    Port::with(|settings| {
        settings.limits = Limits {
            request: Duration::from_millis(300),
            idle: Duration::from_millis(600),
            write: Duration::from_millis(300),
            ..settings.limits
        };
    })
}

#[track_caller]
fn still_answers(port: &Port) {
    let mut client = port.client();
    client.send(b"PING\r\n");
    assert_eq!(client.read(7), "+PONG\r\n");
}

#[test]
fn what_is_no_request_is_told_and_closed() {
    let port = Port::start();
    let large = [b"*1\r\n$8000\r\n".to_vec(), vec![b'x'; 8_000], b"\r\n".to_vec()].concat();
    for (bytes, told) in [
        (&b"*1\r\n:1\r\n"[..], "-ERR Protocol error: expected '$'\r\n"),
        (b"*99999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$99999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (&[b'x'; 70_000][..], "-ERR Protocol error: too big inline request\r\n"),
        (b"PING\r\n*x\r\nPING\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
    ] {
        let mut client = port.client();
        // It may be closed while bytes are still on their way.
        let _ = client.stream.write_all(bytes);
        let heard = client.until_end();
        assert!(heard.is_empty() || told.starts_with(&heard), "{heard}");
    }
    let mut client = port.client();
    client.send(&large);
    let told = client.first_line();
    assert!(told.starts_with("-ERR unknown command 'xxx") && told.len() < 300, "{told}");
    still_answers(&port);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent, the next client is answered.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), text in "[*$0-9\r\na-zA-Z +?\\[-]{0,200}") {
        static PORT: std::sync::LazyLock<Port> = std::sync::LazyLock::new(|| {
            let port = Port::start();
            port.sentinel.publish(healthy(1));
            port
        });
        let mut client = PORT.client();
        let _ = client.stream.write_all(&[&bytes[..], b"\r\n", text.as_bytes()].concat());
        still_answers(&PORT);
    }
}

#[test]
fn who_never_asks_is_closed_and_who_asks_slowly_too() {
    let port = hasty();
    let mut silent = port.client();
    let started = Instant::now();
    assert!(silent.closes_within(PATIENCE));
    assert!(started.elapsed() >= Duration::from_millis(300));
    let mut slow = port.client();
    slow.send(b"PING\r\n");
    slow.until("+PONG\r\n");
    let started = Instant::now();
    // A byte every 50 ms does not buy time.
    let closed = b"*2\r\n$4\r\nPING\r\n$9\r\nxxxxxxxxxxxxx".iter().any(|byte| {
        slow.stream.write_all(&[*byte]).is_err() || slow.closes_within(Duration::from_millis(50))
    });
    assert!(closed && started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    still_answers(&port);
}

#[test]
fn who_is_idle_is_closed_unless_it_has_subscribed() {
    let port = hasty();
    let (mut idle, mut subscriber) = (port.client(), port.client());
    idle.send(b"PING\r\n");
    subscriber.send(b"SUBSCRIBE +switch-master\r\n");
    assert!(idle.closes_within(PATIENCE));
    assert!(!subscriber.closes_within(Duration::from_millis(1500)));
    // But not in the middle of a request.
    subscriber.send(b"*1\r\n");
    assert!(subscriber.closes_within(PATIENCE));
}

/// Its requests stay unread at the port once its replies fill the kernel's buffers.
#[test]
fn who_reads_no_replies_is_closed() {
    let port = hasty();
    port.sentinel.publish(healthy(1));
    let mut client = port.client();
    let request = b"SENTINEL SENTINELS mymaster\r\n".repeat(100);
    let started = Instant::now();
    while client.stream.write_all(&request).is_ok() {
        assert!(started.elapsed() < PATIENCE, "it goes on for ever");
    }
    still_answers(&port);
}

#[test]
fn a_subscriber_that_does_not_read_is_closed() {
    let port = hasty();
    port.sentinel.publish(healthy(1));
    let (mut deaf, mut hears) = (port.client(), port.client());
    // It is told everything 64 times, so that what the kernel keeps for it is soon full.
    let patterns: String = (1..=64).map(|stars| format!(" {}", "*".repeat(stars))).collect();
    deaf.send(format!("PSUBSCRIBE{patterns}\r\n").as_bytes());
    deaf.until(":64\r\n");
    hears.send(b"PSUBSCRIBE *\r\n");
    hears.until(":1\r\n");
    SockRef::from(&deaf.stream).set_recv_buffer_size(4096).expect("a socket");
    // `hears` sets the pace, so that no event is merged with the next.
    let started = Instant::now();
    for turn in 0_u64.. {
        port.sentinel.publish(without_master());
        hears.until("+odown");
        port.sentinel.publish(healthy(1 + (turn % 2) as u8));
        hears.until(if turn == 0 { "-odown" } else { "+switch-master" });
        // A write to who has been closed fails at last.
        if turn % 16 == 0 && deaf.stream.write_all(b"PING\r\n").is_err() {
            break;
        }
        assert!(started.elapsed() < 3 * PATIENCE, "it is never closed");
    }
    still_answers(&port);
}
