//! The few bytes of HTTP that it takes to read a sidecar's status.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No answer of a sidecar is longer.
const MAX: u64 = 4 << 20;

/// `GET path`: the status code and the body. `limit` bounds the whole exchange.
///
/// # Errors
///
/// What the socket says; `InvalidData` if the answer is no HTTP; `TimedOut`.
pub fn get(addr: SocketAddr, path: &str, limit: Duration) -> io::Result<(u16, String)> {
    let deadline = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&addr, limit)?;
    stream.set_write_timeout(Some(limit))?;
    // 1.0: no chunks, and the end of the body is the end of the stream.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0_u8; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let len = stream.read(&mut part)?;
        if len == 0 {
            break;
        }
        answer.extend_from_slice(part.get(..len).unwrap_or_default());
        if answer.len() as u64 > MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "endless answer"));
        }
    }
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_body_are_read_and_anything_else_is_refused() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\n{}\r\n\r\n";
        assert_eq!(parse(answer), Some((503, "{}\r\n\r\n".to_owned())));
        assert_eq!(parse("HTTP/1.0 200\r\n\r\n"), Some((200, String::new())));
        assert_eq!(parse("-ERR unknown command\r\n\r\n"), None);
        assert_eq!(parse("HTTP/1.1 \r\n\r\n"), None);
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = silent.local_addr().expect("addr");
        let before = Instant::now();
        assert!(get(addr, "/status", Duration::from_millis(100)).is_err());
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
