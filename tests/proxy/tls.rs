//! A Redis that speaks nothing but TLS: the proxy passes it through untouched.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use redis_hive::election::Route;

use crate::support::*;

/// Bytes of a large value.
const LARGE: usize = 100_000_000;

/// Says loudly that nothing is tested, or fails where `CI` is set.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "CI needs {what}");
    eprintln!("SKIPPED, NOTHING WAS TESTED: {what} is missing");
    None
}

/// A Redis without a plain port, and the certificate that it and its clients have.
struct Secure {
    addr: SocketAddr,
    process: Child,
    dir: PathBuf,
}

impl Secure {
    fn start(name: &str) -> Option<Secure> {
        let found = |(program, flag): (&str, &str)| {
            let asked = Command::new(program).arg(flag).stdout(Stdio::null()).status();
            asked.is_ok() || missing::<()>(program).is_some()
        };
        let needed =
            [("openssl", "version"), ("redis-server", "--version"), ("redis-cli", "--version")];
        if !needed.into_iter().all(found) {
            return None;
        }
        let dir = std::env::temp_dir().join(format!("hive-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        certify(&dir);
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &addr.port().to_string()])
            .args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"])
            .args(["--tls-ca-cert-file", "cert.pem", "--save", "", "--appendonly", "no"])
            .current_dir(&dir)
            .stdout(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut secure = Secure { addr, process, dir };
        wait_until("Redis answers", || {
            let ended = secure.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(secure.file("log")).unwrap());
            secure.cli(addr, &["PING"]).wait_with_output().unwrap().stdout == b"PONG\n"
        });
        Some(secure)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Begins `redis-cli --tls` against this address; its input is empty.
    fn cli(&self, addr: SocketAddr, words: &[&str]) -> Child {
        self.cli_reading(addr, words, Stdio::null())
    }

    fn cli_reading(&self, addr: SocketAddr, words: &[&str], input: impl Into<Stdio>) -> Child {
        Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &addr.port().to_string(), "--tls"])
            .args(["--cacert", "cert.pem", "--cert", "cert.pem", "--key", "key.pem"])
            .args(words)
            .current_dir(&self.dir)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Makes `cert.pem`, which vouches for itself, and `key.pem`.
fn certify(dir: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=redis-hive test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", told(&made));
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn redis_cli_speaks_tls_through_the_proxy() {
    let Some(redis) = Secure::start("cli") else { return };
    let hive = Hive::start();
    let addr = hive.proxy.addresses()[0];
    // It has said hello already when there is a master at last.
    let early = redis.cli(addr, &["PING"]);
    hive.wait_for("it is held", |c| c.held == 1);
    hive.route(forward(1, redis.addr));
    let early = early.wait_with_output().unwrap();
    assert_eq!(told(&early), "PONG\n");

    let mut value = vec![0; LARGE];
    Pattern::new(11).fill(&mut value);
    std::fs::write(redis.file("value"), &value).unwrap();
    let input = std::fs::File::open(redis.file("value")).unwrap();
    let set = redis.cli_reading(addr, &["-x", "SET", "big"], input).wait_with_output().unwrap();
    assert_eq!(told(&set), "OK\n");
    let got = redis.cli(addr, &["GET", "big"]).wait_with_output().unwrap();
    assert!(got.status.success() && got.stdout.len() == LARGE + 1, "{}", got.stdout.len());
    assert!(got.stdout[..LARGE] == value, "other bytes came back");
    let counters = hive.proxy.counters();
    assert!(counters.bytes_up > LARGE as u64 && counters.bytes_down > LARGE as u64);
}

#[test]
fn redis_py_speaks_tls_through_the_proxy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = std::env::var_os("HIVE_PYTHON_DIR").map(PathBuf::from);
    let python = dir.unwrap_or_else(|| root.join("target/python")).join("bin/python");
    if !python.exists() {
        return missing("an environment made by tests/python").unwrap_or_default();
    }
    let Some(redis) = Secure::start("py") else { return };
    let hive = Hive::start();
    hive.route(forward(1, redis.addr));
    let ran = Command::new(python)
        .arg(root.join("tests/proxy/tls.py"))
        .arg(hive.proxy.addresses()[0].port().to_string())
        .args([redis.file("cert.pem"), redis.file("key.pem")])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(ran.status.success() && ran.stdout == b"fine\n", "{}", told(&ran));
}

/// Such a session cannot be moved: nobody can read what it has set.
#[test]
fn a_change_of_master_cuts_it() {
    let Some(redis) = Secure::start("cut") else { return };
    let hive = Hive::start();
    hive.route(forward(1, redis.addr));
    let mut session =
        redis.cli_reading(hive.proxy.addresses()[0], &["SUBSCRIBE", "news"], Stdio::null());
    let mut first = [0; 10];
    session.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"subscribe\n");
    hive.route(Route::Hold);
    let mut rest = String::new();
    session.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    session.wait().unwrap();
    hive.wait_for("it has gone", |c| c.cut_total == 1);
}

/// Who talks plainly to a server that does not is told so by that server, and nobody waits.
#[test]
fn a_plain_client_of_a_tls_server_ends() {
    let Some(redis) = Secure::start("plain") else { return };
    let hive = Hive::start();
    hive.route(forward(1, redis.addr));
    let mut client = hive.client();
    client.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    let mut answer = Vec::new();
    // An alert or nothing, and then the end or a reset.
    let _ = client.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+"), "{answer:?}");
    hive.wait_for("it has gone", |c| c.clients == 0);
}
