//! A real Redis behind the proxy, with the `redis` crate in front.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::*;

/// A Redis on a free port, without persistence; ends with this value and leaves nothing.
struct Redis {
    addr: SocketAddr,
    process: Child,
    dir: PathBuf,
}

impl Redis {
    /// `None`, loudly, where there is no Redis; a failure in CI.
    fn start(name: &str) -> Option<Redis> {
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let dir = std::env::temp_dir().join(format!("hive-proxy-{}-{name}", std::process::id()));
        let found = ["redis-server", "valkey-server"].into_iter().find(|program| {
            Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
        });
        let Some(program) = found else {
            assert!(std::env::var_os("CI").is_none(), "CI needs redis-server");
            eprintln!("SKIPPED: neither redis-server nor valkey-server is installed");
            return None;
        };
        std::fs::create_dir_all(&dir).unwrap();
        let process = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Redis { addr, process, dir };
        let client = client(addr);
        wait_until("Redis answers", || client.get_connection().is_ok());
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn client(addr: SocketAddr) -> redis::Client {
    redis::Client::open(format!("redis://{addr}/")).unwrap()
}

fn run(to: &mut redis::Connection, words: &[&str]) -> redis::RedisResult<String> {
    redis::cmd(words[0]).arg(&words[1..]).query(to)
}

#[test]
fn an_ordinary_client_works_through_a_change_of_master() {
    let Some((first, second)) = Redis::start("first").zip(Redis::start("second")) else { return };
    let hive = Hive::start();
    let ready = client(hive.proxy.addresses()[0]);
    hive.route(forward(1, first.addr));
    let mut connection = ready.get_connection().unwrap();
    assert_eq!(run(&mut connection, &["SET", "key", "first"]).unwrap(), "OK");

    let value = "x".repeat(1_000_000);
    let mut pipeline = redis::pipe();
    for n in 0..50 {
        pipeline.set(format!("big{n}"), &value).ignore().get(format!("big{n}"));
    }
    let values: Vec<String> = pipeline.query(&mut connection).unwrap();
    assert!(values.len() == 50 && values.iter().all(|got| *got == value));

    hive.route(forward(2, second.addr));
    assert!(run(&mut connection, &["GET", "key"]).is_err(), "the old session is cut");
    let mut connection = ready.get_connection().unwrap();
    assert_eq!(run(&mut connection, &["SET", "key", "second"]).unwrap(), "OK");
    let mut direct = client(first.addr).get_connection().unwrap();
    assert_eq!(run(&mut direct, &["GET", "key"]).unwrap(), "first");
    let mut direct = client(second.addr).get_connection().unwrap();
    assert_eq!(run(&mut direct, &["GET", "key"]).unwrap(), "second");

    // Its master dies: the session ends, the next client waits, and is told in the end.
    drop(second);
    assert!(run(&mut connection, &["GET", "key"]).is_err());
    let _waits = hive.client();
    hive.wait_for("held", |c| c.held == 1);
}
