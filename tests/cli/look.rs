//! `redis-hive status`, asked of a server that says what a hive would.

use std::net::TcpListener as StdListener;
use std::process::Stdio;

use redis_hive::http::Status;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::timeout;

use crate::{LOCAL, LONG, free_ports, hive, serve, serve_at, status, talker};

#[tokio::test]
async fn status_tells_people_and_programs_of_a_healthy_hive() {
    let (http, _keep) = serve(|_| {});
    let addr = http.addr.to_string();
    let table = hive(&["status", "--http", &addr], &[]).await;
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""));
    assert!(table.out.contains("master 10.0.0.1:6379, epoch 7"), "{}", table.out);
    assert!(table.out.contains("12 clients, 0 held, 0 moved, 3 read here"), "{}", table.out);
    assert!(!table.out.contains('\x1b'), "no colour into a pipe");

    let json = hive(&["status", "--json", "--http", &addr], &[]).await;
    assert_eq!(json.code, Some(0));
    let back: Status = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(back, status::follower());
}

#[tokio::test]
async fn status_of_a_hive_in_trouble_says_so_first_and_fails() {
    let (http, _keep) = serve(|status| status.problems = vec!["Redis ran away".to_owned()]);
    let ran = hive(&["status", "--http", &http.addr.to_string()], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("! Redis ran away\n  -> "), "{}", ran.out);
    let ran = hive(&["status", "--json", "--http", &http.addr.to_string()], &[]).await;
    let told = (ran.code, ran.err.as_str());
    assert_eq!(told, (Some(1), "redis-hive: degraded: Redis ran away\n"));
    assert!(ran.out.starts_with('{'), "{}", ran.out);
}

#[tokio::test]
async fn status_of_nobody_fails_with_one_line() {
    let [port] = free_ports();
    let addr = format!("127.0.0.1:{port}");
    let ran = hive(&["status", "--http", &addr], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""));
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains(&addr), "{}", ran.err);
}

/// Something that accepts and never answers, and something that answers otherwise.
#[tokio::test]
async fn status_of_a_stranger_fails_in_time() {
    let silent = StdListener::bind((LOCAL, 0)).expect("a free port");
    let ran =
        hive(&["status", "--http", &silent.local_addr().expect("bound").to_string()], &[]).await;
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("does not answer within"), "{}", ran.err);

    let (addr, _talker) = talker(b"-ERR unknown command\r\n").await;
    let ran = hive(&["status", "--http", &addr], &[]).await;
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("not answer like a hive"), "{}", ran.err);
}

/// Lines up to one that begins so.
async fn until<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    beginning: &str,
) -> String {
    let reading = async {
        let mut told = String::new();
        loop {
            let line = lines.next_line().await.expect("a line").expect("it still runs");
            told += &format!("{line}\n");
            if line.starts_with(beginning) {
                return told;
            }
        }
    };
    timeout(LONG, reading).await.unwrap_or_else(|_| panic!("no line begins with {beginning}"))
}

struct Watching {
    child: tokio::process::Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

/// `status --watch` of this address, into a pipe.
fn watching(addr: &str, more: &[&str]) -> Watching {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"));
    command.args(["status", "--watch", "--http", addr]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let err = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    Watching { child, out, err }
}

#[tokio::test]
async fn a_watch_outlives_the_hive_and_ends_at_ctrl_c() {
    let (http, keep) = serve(|_| {});
    let (addr, port) = (http.addr.to_string(), http.addr.port());
    let mut watching = watching(&addr, &[]);
    let first = until(&mut watching.out, "master 10.0.0.1:6379, epoch 7").await;
    assert!(first.starts_with("-- 20") && !first.contains('\x1b'), "{first}");
    drop((http, keep));
    let away = until(&mut watching.out, "as it was before:").await;
    assert!(away.contains(&format!("! cannot reach {addr}")), "{away}");
    let (_http, _keep) = serve_at(port, |status| status.epoch = 8);
    until(&mut watching.out, "master 10.0.0.1:6379, epoch 8").await;

    let pid = watching.child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
    kill_process(pid, Signal::INT).expect("a signal");
    let ended = timeout(LONG, watching.child.wait()).await.expect("it ends").expect("a status");
    assert_eq!(ended.code(), Some(0));
    assert!(watching.err.next_line().await.expect("text").is_none(), "no complaint");
}

/// Into `head`, or to a program that reads one document after the other.
#[tokio::test]
async fn a_watch_without_a_reader_ends() {
    let (http, _keep) = serve(|_| {});
    let mut watching = watching(&http.addr.to_string(), &["--json"]);
    until(&mut watching.out, "}").await;
    until(&mut watching.out, "{").await;
    let Watching { mut child, out, .. } = watching;
    drop(out);
    let ended = timeout(LONG, child.wait()).await.expect("it ends").expect("a status");
    assert_eq!(ended.code(), Some(0));
}
