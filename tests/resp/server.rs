//! What a real Redis makes of requests. `HIVE_TEST_REDIS_SERVER` names another server binary than
//! the one in PATH.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::requests::{QUOTED, REFUSED};
use super::resp::{Request, Requests, args};
use super::simple;

/// Everything here takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis on a free port, without persistence; ends with this value.
struct Redis {
    addr: SocketAddr,
    process: Child,
}

impl Redis {
    /// `None`, loudly, where there is no Redis; a failure in CI.
    fn start() -> Option<Redis> {
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let named = std::env::var_os("HIVE_TEST_REDIS_SERVER");
        let known = ["redis-server", "valkey-server"].map(OsString::from);
        let spawn = |program| {
            Command::new(program)
                .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
                .args(["--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn()
                .ok()
        };
        let Some(process) = named.into_iter().chain(known).find_map(spawn) else {
            assert!(std::env::var_os("CI").is_none(), "CI needs redis-server");
            eprintln!("SKIPPED: neither redis-server nor valkey-server is installed");
            return None;
        };
        let redis = Redis { addr, process };
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(begun.elapsed() < PATIENCE, "Redis does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(redis)
    }

    /// What it answers to these bytes: so many replies, or fewer and then it has closed.
    fn answers(&self, bytes: &[u8], replies: usize) -> Vec<Vec<u8>> {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let found = simple::replies(&answer).0;
            let read = if found.len() < replies { stream.read(&mut chunk).unwrap() } else { 0 };
            if read == 0 {
                return found.iter().map(|reply| answer[reply.begin..reply.end].to_vec()).collect();
            }
            answer.extend_from_slice(&chunk[..read]);
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_refuses_what_is_lost_and_skips_what_has_no_words() {
    let Some(redis) = Redis::start() else { return };
    for request in REFUSED {
        let answers = redis.answers(&[request, &b"PING\r\n"[..]].concat(), 2);
        let text = request.escape_ascii();
        assert_eq!(answers.len(), 1, "{text}");
        assert!(answers[0].starts_with(b"-ERR Protocol error"), "{text}");
    }
    let empty = b"\r\n\n \t\x0b\x0c\n*0\r\n*-1\r\n*-9223372036854775808\r\nPING\r\n";
    assert_eq!(redis.answers(empty, 1), [b"+PONG\r\n"]);
}

/// Known and random quotes, escapes and blanks: the words that Redis puts into a list are those of
/// `args`.
#[test]
fn it_reads_the_same_words_in_inline_requests() {
    let Some(redis) = Redis::start() else { return };
    let part = select(
        &["\"", "\"", "'", "\\", " ", "\t", "\r", "\x0b", "x", "41", "n", "a", "\u{e4}"][..],
    );
    let line = vec(part, 0..14).prop_map(|parts| parts.concat());
    let (mut same, mut refused) = (0, 0);
    let mut check = |line: &str| {
        let request = format!("RPUSH list x {line}\n");
        let both = format!("{request}*4\r\n$6\r\nLRANGE\r\n$4\r\nlist\r\n$1\r\n0\r\n$2\r\n-1\r\n");
        let answers = redis.answers(&[b"DEL list\n", both.as_bytes()].concat(), 3);
        match (Requests::default().next(request.as_bytes()), &answers[..]) {
            (Request::Lost, [_, refusal]) => {
                refused += 1;
                assert!(refusal.starts_with(b"-ERR Protocol error"), "{request:?}");
            }
            // More than Redis refuses is lost: what Valkey reads in another way.
            (Request::Lost, [_, _, _]) => {}
            (Request::Whole { end }, [_, _, list]) => {
                same += 1;
                assert_eq!(end, request.len());
                assert!(args(list).eq(args(request.as_bytes()).skip(2)), "{request:?}");
            }
            unexpected => panic!("{request:?}: {unexpected:?}"),
        }
    };
    for (line, _) in QUOTED {
        check(line.trim_end_matches('\n'));
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        check(&line.new_tree(&mut runner).unwrap().current());
    }
    assert!(same > 50 && refused > 50, "{same} the same, {refused} refused");
}
