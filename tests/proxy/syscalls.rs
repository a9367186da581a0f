//! What a small request costs in system calls.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Command;

use crate::support::*;

const ROUND_TRIPS: u32 = 1_000;
/// Calls beside those of the round trips: the beginning and the end of the session, a timer.
const OTHERS: u32 = 40;

/// Two waits, two receives, two sends: no call that finds nothing, none to wake another thread.
#[test]
fn a_small_round_trip_takes_six() {
    if !has_strace() {
        return;
    }
    let server = Server::start(|mut stream| {
        let mut buffer = [0; 64];
        while matches!(stream.read(&mut buffer), Ok(1..)) {
            if stream.write_all(b"+PONG\r\n").is_err() {
                return;
            }
        }
    });
    let trace = std::env::temp_dir().join(format!("hive-trace-{}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(&trace);
    strace.arg(std::env::current_exe().unwrap());
    let mut child = Child::start(&mut strace, "syscalls::child_under_strace", server.addr);
    let mut client = child.client();
    let worker = child.told("worker=") as u32;
    for _ in 0..ROUND_TRIPS {
        client.write_all(b"PING\r\n").unwrap();
        expect(&client, b"+PONG\r\n");
    }
    child.succeeds();
    let text = std::fs::read_to_string(&trace).unwrap();
    let _ = std::fs::remove_file(&trace);

    let calls = calls(&text, worker);
    let count = |name: &str| calls.get(name).copied().unwrap_or_default();
    for name in ["epoll_wait", "recvfrom", "sendto"] {
        let right = 2 * ROUND_TRIPS..=2 * ROUND_TRIPS + OTHERS;
        assert!(right.contains(&count(name)), "{name}: {calls:?}");
    }
    let all: u32 = calls.values().sum();
    assert!(all <= 6 * ROUND_TRIPS + 4 * OTHERS, "{calls:?}");
    assert!(count("futex") <= OTHERS, "{calls:?}");
    let in_vain = text.lines().filter(|line| of(line, worker) && line.contains("EAGAIN")).count();
    assert!(in_vain <= 4, "{in_vain} calls in vain");
}

/// The other side of [`a_small_round_trip_takes_six`]; does nothing by itself.
#[test]
#[ignore = "a part of another test"]
fn child_under_strace() {
    let Ok(master) = std::env::var("HIVE_TEST_MASTER") else { return };
    let hive = Hive::with(|settings| (settings.threads, settings.freshness) = (1, true));
    hive.proxy.touch(std::time::Instant::now() + PATIENCE);
    hive.route(forward(1, master.parse().unwrap()));
    println!("\nport={}", hive.proxy.addresses()[0].port());
    let named = |task: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim() == "hive-proxy-0")
    };
    let mut tasks = std::fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    let worker = tasks.find(named).expect("the worker's thread");
    println!("worker={}", worker.file_name().to_str().unwrap());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(hive);
}

/// How often this thread made each call.
fn calls(trace: &str, thread: u32) -> BTreeMap<&str, u32> {
    let mut calls = BTreeMap::new();
    for line in trace.lines().filter(|line| of(line, thread) && !line.contains(" resumed>")) {
        let call = line.split_whitespace().nth(1).and_then(|rest| rest.split('(').next());
        *calls.entry(call.unwrap_or_default()).or_default() += 1;
    }
    calls
}

fn of(line: &str, thread: u32) -> bool {
    line.split_whitespace().next().is_some_and(|first| first.parse() == Ok(thread))
}
