//! Large values in RESP, sent and checked byte by byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::*;

/// Sends a request with one word of so many bytes, of the sequence that belongs to `seed`.
pub fn ask(mut to: &TcpStream, seed: u64, size: usize) -> io::Result<()> {
    to.write_all(format!("*2\r\n$4\r\nECHO\r\n${size}\r\n").as_bytes())?;
    Pattern::new(seed).write(to, size)?;
    to.write_all(b"\r\n")
}

/// How many bytes [`ask`] sends.
pub fn asked_bytes(size: usize) -> u64 {
    (14 + format!("${size}\r\n").len() + size + 2) as u64
}

/// Sends such a value as a reply.
pub fn answer(mut to: &TcpStream, seed: u64, size: usize) -> io::Result<()> {
    to.write_all(format!("${size}\r\n").as_bytes())?;
    Pattern::new(seed).write(to, size)?;
    to.write_all(b"\r\n")
}

/// Reads a request and checks every byte of it.
pub fn expect_asked(from: &TcpStream, seed: u64, size: usize) {
    expect(from, b"*2\r\n$4\r\nECHO\r\n");
    expect_answer(from, seed, size);
}

/// Reads a reply and checks every byte of it.
pub fn expect_answer(from: &TcpStream, seed: u64, size: usize) {
    expect(from, format!("${size}\r\n").as_bytes());
    Pattern::new(seed).check(from, size);
    expect(from, b"\r\n");
}

/// A server that answers each [`ask`] with its word, while it still reads it.
pub fn echo_server() -> Server {
    Server::start(|mut stream| {
        let Ok(mut from) = stream.try_clone().map(io::BufReader::new) else { return };
        while let Some(size) = asked(&mut from) {
            let head = stream.write_all(format!("${size}\r\n").as_bytes());
            let body = head.and_then(|()| io::copy(&mut (&mut from).take(size + 2), &mut stream));
            if body.is_err() {
                return;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// The size of the word of the next request; `None` at the end.
fn asked(from: &mut impl io::BufRead) -> Option<u64> {
    let mut lines = [const { String::new() }; 4];
    for line in &mut lines {
        from.read_line(line).ok().filter(|&read| read > 0)?;
    }
    assert_eq!(lines[..3], ["*2\r\n", "$4\r\n", "ECHO\r\n"], "framing is lost");
    lines[3].trim_end().strip_prefix('$')?.parse().ok()
}
