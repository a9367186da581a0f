//! Asks a hive over HTTP: one request on one connection, bounded in time and size.

use std::fmt::Write;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::http::status::Status;

/// Longest time to be told something.
const GET_DEADLINE: Duration = Duration::from_secs(3);
/// Longest time for something to be done: more than a hive takes before it says so itself.
const POST_DEADLINE: Duration = Duration::from_secs(20);
/// A larger answer is none of a hive.
const ANSWER_MAX_BYTES: u64 = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The connection failed.
    #[error("cannot reach {addr}: {source}")]
    Unreachable {
        /// Whom we asked.
        addr: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Connected, and no (whole) answer in time.
    #[error("{addr} does not answer within {n} s", n = deadline.as_secs())]
    Silent {
        /// Whom we asked.
        addr: String,
        /// How long it had.
        deadline: Duration,
    },
    /// Something else listens there.
    #[error("{0} does not answer like a hive")]
    Foreign(String),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: String,
}

/// `GET path` from `addr`, which is `HOST:PORT`, `HOST` (port 6391), or an `http://` URL of it.
///
/// # Errors
///
/// [`FetchError`], as a sentence that names the address.
pub(super) async fn get(addr: &str, path: &str) -> Result<Fetched, FetchError> {
    fetch(addr, "GET", path, None, GET_DEADLINE).await
}

/// What a hive says of itself, if one answers at `addr`.
pub(super) async fn status(addr: &str) -> Option<Status> {
    let fetched = get(addr, "/status").await.ok()?;
    serde_json::from_str(&fetched.body).ok()
}

/// `POST path` without a body, as [`get`] does it, with the secret of the hive if it has one.
///
/// # Errors
///
/// [`FetchError`], as a sentence that names the address.
pub(super) async fn post(
    addr: &str,
    path: &str,
    secret: Option<&SecretString>,
) -> Result<Fetched, FetchError> {
    fetch(addr, "POST", path, secret, POST_DEADLINE).await
}

async fn fetch(
    addr: &str,
    method: &str,
    path: &str,
    secret: Option<&SecretString>,
    deadline: Duration,
) -> Result<Fetched, FetchError> {
    let addr = normal(addr);
    let request = head(&addr, method, path, secret);
    let answer = match tokio::time::timeout(deadline, exchange(&addr, &request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(source)) => return Err(FetchError::Unreachable { addr, source }),
        Err(_) => return Err(FetchError::Silent { addr, deadline }),
    };
    parse(&answer).ok_or(FetchError::Foreign(addr))
}

/// `HOST:PORT` of what a person may type.
fn normal(addr: &str) -> String {
    let addr = addr.trim().strip_prefix("http://").unwrap_or(addr.trim()).trim_end_matches('/');
    match addr.parse::<std::net::IpAddr>() {
        Ok(ip) => std::net::SocketAddr::new(ip, 6391).to_string(),
        Err(_) if addr.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            addr.to_owned()
        }
        Err(_) => format!("{addr}:6391"),
    }
}

/// The request, wiped when it is dropped. There is room for all of it from the start: a text that
/// grows leaves copies behind.
fn head(addr: &str, method: &str, path: &str, secret: Option<&SecretString>) -> Zeroizing<String> {
    let secret = secret.map_or("", |secret| secret.expose_secret());
    let room = 256 + addr.len() + path.len() + secret.len();
    let mut request = Zeroizing::new(String::with_capacity(room));
    request.push_str(method);
    // Writing to a String does not fail.
    let _ = write!(request, " {path} HTTP/1.1\r\nHost: {addr}\r\n");
    if !secret.is_empty() {
        let _ = write!(request, "Authorization: Bearer {secret}\r\n");
    }
    request.push_str("Content-Length: 0\r\nConnection: close\r\n\r\n");
    request
}

async fn exchange(addr: &str, request: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A whole answer with a `Content-Length`, as hives send it.
fn parse(answer: &[u8]) -> Option<Fetched> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let code = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    (body.len() == length).then(|| Fetched { code, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_type_them() {
        assert_eq!(normal("10.0.0.1"), "10.0.0.1:6391");
        assert_eq!(normal("fd00::1"), "[fd00::1]:6391");
        assert_eq!(normal("[fd00::1]:7"), "[fd00::1]:7");
        assert_eq!(normal("http://redis-0:6391/"), "redis-0:6391");
        assert_eq!(normal("redis-0"), "redis-0:6391");
    }

    #[test]
    fn a_request_bears_the_secret_and_never_moves_in_memory() {
        let secret = SecretString::from("x".repeat(1024));
        let request = head("10.0.0.1:6391", "POST", "/pause", Some(&secret));
        assert!(request.contains(&format!("\r\nAuthorization: Bearer {}\r\n", "x".repeat(1024))));
        let room = 256 + "10.0.0.1:6391".len() + "/pause".len() + 1024;
        assert_eq!(request.capacity(), room, "it has grown");
        assert!(!head("10.0.0.1:6391", "POST", "/pause", None).contains("Authorization"));
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        let whole = parse(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").expect("whole");
        assert_eq!((whole.code, whole.body.as_str()), (503, "no"));
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal").is_none());
        assert!(parse(b"-ERR wrong number of arguments\r\n").is_none());
        assert!(parse(b"").is_none());
    }
}
