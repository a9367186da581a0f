//! What people ask of hives, on the command line and over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use redis_hive::cli::dev::nodes::HTTP_PORT;
use serde_json::Value;

use super::harness::{Hive, exe};

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// What a command ended with and wrote.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

/// Runs a command of the binary under test against a node's hive.
#[track_caller]
pub fn cli(hive: &Hive, host: u8, words: &[&str]) -> Said {
    let http = SocketAddr::from((hive.ip(host), HTTP_PORT)).to_string();
    let mut command = Command::new(exe());
    command.args(words).args(["--http", &http]).stdin(Stdio::null());
    let out = command.output().expect("run the command line");
    let text = [out.stdout, out.stderr].concat();
    Said { code: out.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// `POST` to a node's hive: the code, and the verdict and the text of the answer.
#[track_caller]
pub fn post(hive: &Hive, host: u8, path: &str) -> (u16, String, String) {
    post_to(SocketAddr::from((hive.ip(host), HTTP_PORT)), path)
}

/// The same by address.
#[track_caller]
pub fn post_to(addr: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (code, word("verdict"), word("text"))
}
