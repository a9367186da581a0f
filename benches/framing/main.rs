//! What it costs to find the ends of requests and replies, in nanoseconds each.

mod proxy;

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A round is so short that most are not interrupted: then a busy machine does no harm.
const ROUND: Duration = Duration::from_micros(50);
const ROUNDS: usize = 4000;

fn main() {
    println!("{:<44}{:>10}{:>10}", "requests, pipelines of 64", "ns each", "median");
    for (name, request) in [
        ("*2 GET", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n"),
        ("*3 SET, 3 bytes", "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$3\r\nxxx\r\n"),
        ("inline PING", "PING\r\n"),
        ("*1 PING", "*1\r\n$4\r\nPING\r\n"),
    ] {
        row(name, request.repeat(64).as_bytes(), 64, proxy::requests);
    }
    row("*3 SET, 100 bytes", &set(100).repeat(64), 64, proxy::requests);
    row("*3 SET, 64 KiB, one", &set(64 * 1024), 1, proxy::requests);
    let mset = format!("*201\r\n$4\r\nMSET\r\n{}", "$8\r\nkey:0000\r\n$3\r\nxxx\r\n".repeat(100));
    row("*201 MSET, one", mset.as_bytes(), 1, proxy::requests);
    let mixed = ["*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n", "*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n"];
    let mixed = [&mixed.concat().into_bytes()[..], &set(30), &set(1000)].concat();
    row("GET, INCR, SET 30, SET 1000", &mixed.repeat(16), 64, proxy::requests);

    println!("{:<44}{:>10}{:>10}", "replies, pipelines of 64", "ns each", "median");
    let bulk = format!("$100\r\n{}\r\n", "x".repeat(100));
    for (name, reply) in [
        ("+OK", "+OK\r\n"),
        (":1", ":1\r\n"),
        (":-1", ":-1\r\n"),
        ("$3", "$3\r\nxxx\r\n"),
        ("$100", &bulk),
        ("$-1", "$-1\r\n"),
        ("-ERR of 50 bytes", "-ERR value is not an integer or out of range......\r\n"),
        ("*3 of bulks", "*3\r\n$3\r\nfoo\r\n$3\r\nbar\r\n$3\r\nbaz\r\n"),
        ("_", "_\r\n"),
    ] {
        row(name, reply.repeat(64).as_bytes(), 64, proxy::replies);
    }
    let mixed = ["+OK\r\n", ":12345\r\n", &bulk, "$-1\r\n"].concat();
    row("+OK, :12345, $100, $-1", mixed.repeat(16).as_bytes(), 64, proxy::replies);
    let array = format!("*1000\r\n{}", "$3\r\nfoo\r\n".repeat(1000));
    row("*1000 of $3, one", array.as_bytes(), 1, proxy::replies);
    accounts();
    messages();
}

fn accounts() {
    println!("{:<44}{:>10}{:>10}", "accounts, 64 requests and replies", "ns a pair", "median");
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for (name, request, reply) in [
        ("GET, $3", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n", "$3\r\nxxx\r\n"),
        ("PING, +PONG", "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        ("SCAN, empty", "*2\r\n$4\r\nSCAN\r\n$1\r\n0\r\n", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SELECT, +OK", "*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n", "+OK\r\n"),
        ("EVALSHA, :1", &format!("*3\r\n$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n0\r\n"), ":1\r\n"),
    ] {
        account(name, &request.repeat(64), &reply.repeat(64));
    }
    let requests = ["GET a", "INCR counter", "HGETALL hash", "DEL key:1 key:2"].map(array).concat();
    let replies = "$3\r\nxxx\r\n:12345\r\n*2\r\n$5\r\nfield\r\n$5\r\nvalue\r\n:2\r\n";
    account("GET, INCR, HGETALL, DEL", &requests.repeat(16), &replies.repeat(16));
}

fn account(name: &str, requests: &str, replies: &str) {
    let scan = |input: &[u8]| proxy::accounted(input, replies.as_bytes());
    row(name, requests.as_bytes(), 64, scan);
}

/// The request of these words.
fn array(words: &str) -> String {
    let bulk = |word: &str| format!("${}\r\n{word}\r\n", word.len());
    let bulks: Vec<String> = words.split(' ').map(bulk).collect();
    format!("*{}\r\n{}", bulks.len(), bulks.concat())
}

/// What subscribers get, who have asked for nothing else.
fn messages() {
    println!("{:<44}{:>10}{:>10}", "accounts, 32 messages", "ns each", "median");
    for (name, protocol, kind) in [("RESP2", "2", "*"), ("RESP3", "3", ">")] {
        let words = "$7\r\nmessage\r\n$10\r\nbench:news\r\n$20\r\n0123456789abcdefghij\r\n";
        let input = format!("{kind}3\r\n{words}").repeat(32);
        row(name, input.as_bytes(), 32, proxy::subscriber(protocol));
    }
}

fn set(bytes: usize) -> Vec<u8> {
    let value = "x".repeat(bytes);
    format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n${bytes}\r\n{value}\r\n").into_bytes()
}

/// `scan` says how many frames it found in `input`; there are `frames` of them.
fn row(name: &str, input: &[u8], frames: usize, scan: impl Fn(&[u8]) -> usize) {
    assert_eq!(scan(input), frames, "{name}");
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(input, &scan)).collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<44}{:>10.2}{:>10.2}", rounds[ROUNDS / 20], rounds[ROUNDS / 2]);
}

fn round(input: &[u8], scan: &impl Fn(&[u8]) -> usize) -> f64 {
    let (begun, mut found) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        found += black_box(scan(black_box(input)));
    }
    begun.elapsed().as_nanos() as f64 / found as f64
}
