//! One connection to one Redis: our own socket under the `redis` crate's multiplexer, with the run
//! id read on it. It is never re-dialled behind anybody's back, its end is seen at once, and it is
//! always closed by RST (`SO_LINGER 0`), which takes back what has not arrived yet.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use secrecy::ExposeSecret;
use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Credentials, Used, Who};
use super::stream::{Guarded, Stream};
use super::tls::refusal;
use crate::election::RedisAddr;

/// Longest time a TCP connect may take before the address counts as silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes one answer may have. `INFO` is about 8 KiB; whatever sends more is no Redis, and
/// must not fill this process's memory.
const ANSWER_MAX: usize = 1 << 20;

/// A connection whose bytes stay unacknowledged for so long is aborted by the kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);

/// Where a Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// An IP address, or a name that is resolved at every dial.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl From<RedisAddr> for Endpoint {
    fn from(addr: RedisAddr) -> Endpoint {
        Endpoint { host: addr.ip.to_string(), port: addr.port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How to open a connection.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub endpoint: Endpoint,
    pub access: Access,
    /// Of whom it is told what the server shows and takes; `None`: of nobody.
    pub who: Option<Who>,
    /// For `CLIENT SETNAME`.
    pub client_name: String,
}

/// How a dial failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DialError {
    /// Nothing listens there.
    Refused,
    /// No answer, no way there, or the name does not resolve.
    Unreachable,
    /// The connection ended during the handshake of TLS.
    Broken,
    /// TLS did not come about, and why.
    Untrusted(String),
}

/// Opens a connection to the local Redis, for who looks at it without a driver.
///
/// # Errors
///
/// What the socket says, or why TLS did not come about, which [`refusal`] puts into words.
pub async fn dial(access: &Access, addr: SocketAddr) -> io::Result<Stream> {
    let socket = TcpStream::connect(addr).await?;
    let with = access.newest();
    let Some(tls) = &with.tls else { return Ok(Box::new(socket)) };
    let endpoint = Endpoint { host: addr.ip().to_string(), port: addr.port() };
    let (stream, shown) = tls.wrap(&endpoint.host, socket).await?;
    if let Some(validity) = shown {
        access.shown(Who::Local, &endpoint, validity);
    }
    Ok(Box::new(stream))
}

/// What came back on a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A string: `OK`, or the body of `INFO`.
    Text(String),
    /// A list of strings, as `CONFIG GET` answers.
    List(Vec<String>),
    /// `-BUSY` or `-LOADING`: alive, ask again.
    Busy,
    /// The credentials or their rights do not suffice (`NOAUTH`, `WRONGPASS`, `NOPERM`).
    Denied(String),
    /// TLS was refused, by this hive or by Redis, and why.
    Untrusted(String),
    /// Any other error, as Redis words it.
    Error(String),
    /// Not what a Redis answers.
    Foreign,
    /// The connection ended before the answer.
    Broken,
}

/// An open connection. Dropping the last handle of it closes it.
pub(super) struct Link {
    connection: MultiplexedConnection,
    budget: Arc<AtomicUsize>,
    end: CancellationToken,
    used: Mutex<Used>,
    /// Something was answered: what ends it from now on is no refusal.
    answered: AtomicBool,
    failure: Arc<OnceLock<String>>,
}

impl Dialer {
    /// Opens a connection; nothing is said on it yet. The handshake of TLS has no deadline, as a
    /// question on the connection has none.
    pub async fn connect(&self, with: &Arc<Credentials>) -> Result<Arc<Link>, DialError> {
        let stream = self.stream(with).await?;
        Link::new(stream, with.clone()).await.map_err(|_| DialError::Unreachable)
    }

    /// Opens a connection and logs in.
    pub async fn enter(&self) -> Option<Arc<Link>> {
        for with in self.access.choices() {
            if let Ok(link) = self.connect(&with).await
                && self.log_in(&link).await.is_none()
            {
                return Some(link);
            }
        }
        None
    }

    /// Opens the bytes of a connection.
    pub async fn stream(&self, with: &Credentials) -> Result<Stream, DialError> {
        let socket = self.socket().await?;
        let Some(tls) = &with.tls else { return Ok(Box::new(socket)) };
        let wrapped = tls.wrap(&self.endpoint.host, socket).await;
        let (stream, shown) = wrapped.map_err(|error| match refusal(&error) {
            Some(refusal) => DialError::Untrusted(refusal.to_string()),
            None => DialError::Broken,
        })?;
        if let (Some(who), Some(validity)) = (self.who, shown) {
            self.access.shown(who, &self.endpoint, validity);
        }
        Ok(Box::new(stream))
    }

    /// Opens the socket of a connection.
    async fn socket(&self) -> Result<TcpStream, DialError> {
        let stream = timeout(CONNECT_TIMEOUT, self.tcp()).await;
        let stream = stream.unwrap_or(Err(DialError::Unreachable))?;
        // These only fail on a socket that is dead already, which the first read will tell.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        // What the other kernel does not acknowledge is not delivered later, when a partition heals:
        // an old order, or a fence, must not decide between two masters. A stopped Redis is another
        // thing: its kernel acknowledges, and the order waits for it to wake.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        Ok(stream)
    }

    async fn tcp(&self) -> Result<TcpStream, DialError> {
        let Endpoint { host, port } = &self.endpoint;
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, *port)],
            Err(_) => match lookup_host((host.as_str(), *port)).await {
                Ok(found) => found.take(16).collect(),
                Err(_) => return Err(DialError::Unreachable),
            },
        };
        match TcpStream::connect(addresses.as_slice()).await {
            Ok(stream) => Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(DialError::Refused)
            }
            Err(_) => Err(DialError::Unreachable),
        }
    }

    /// Logs in and asks who is there: the answer to the first `INFO`, or why it did not come to that.
    pub async fn introduce(&self, link: &Link) -> Answer {
        match self.log_in(link).await {
            None => link.info().await,
            Some(refusal) => refusal,
        }
    }

    /// `AUTH` and `CLIENT SETNAME`; `None` when the way is free.
    pub async fn log_in(&self, link: &Link) -> Option<Answer> {
        let with = link.used().with;
        if let Some(refusal) = link.authenticate(&with).await {
            return Some(refusal);
        }
        // Only a name for people: a Redis that is busy or forbids it is no worse for it.
        let name = redis::cmd("CLIENT").arg("SETNAME").arg(&self.client_name).clone();
        match link.ask(&name).await {
            end @ (Answer::Broken | Answer::Foreign | Answer::Untrusted(_)) => Some(end),
            _ => None,
        }
    }
}

impl Link {
    async fn new(stream: Stream, with: Arc<Credentials>) -> redis::RedisResult<Arc<Link>> {
        let budget = Arc::new(AtomicUsize::new(ANSWER_MAX));
        let failure = Arc::default();
        let stream = Guarded { stream, budget: budget.clone(), failure: Arc::clone(&failure) };
        // Nothing is sent by the crate itself: logging in is a question like every other one.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await?;
        let end = CancellationToken::new();
        let ended = end.clone();
        tokio::spawn(async move {
            ended.run_until_cancelled(driver).await;
            ended.cancel();
        });
        let (used, answered) = (Mutex::new(Used { with, line: None }), AtomicBool::new(false));
        Ok(Arc::new(Link { connection, budget, end, used, answered, failure }))
    }

    /// What was shown to Redis, and which of the passwords it took.
    pub fn used(&self) -> Used {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `AUTH`, with one password after the other; `None` when one was taken or none is needed. Where
    /// all are refused the connection stays what it was.
    pub async fn authenticate(&self, with: &Arc<Credentials>) -> Option<Answer> {
        let mut refused = None;
        for (line, password) in with.passwords.iter().enumerate() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(with.username.as_deref()).arg(password.expose_secret());
            match self.ask(&auth).await {
                Answer::Text(_) => {
                    self.adopt(with, Some(line));
                    return None;
                }
                Answer::Error(text) | Answer::Denied(text) => {
                    refused.get_or_insert(Answer::Denied(login_refusal(text)));
                }
                other => return Some(other),
            }
        }
        if refused.is_none() {
            self.adopt(with, None);
        }
        refused
    }

    fn adopt(&self, with: &Arc<Credentials>, line: Option<usize>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = Used { with: with.clone(), line };
    }

    /// Sends one command and waits for its answer, without a deadline. Commands are sent in the
    /// order in which these futures are first polled; dropping one does not take its command back.
    pub async fn ask(&self, command: &Cmd) -> Answer {
        self.budget.store(ANSWER_MAX, Ordering::Relaxed);
        let mut connection = self.connection.clone();
        // When the connection ends, its driver is dropped, and with it every answer still awaited.
        match connection.send_packed_command(command).await {
            Ok(value) => {
                self.answered.store(true, Ordering::Relaxed);
                read(value)
            }
            Err(error) if error.kind() == redis::ErrorKind::Parse => Answer::Foreign,
            // With TLS 1.3 a server refuses a certificate only after the handshake.
            Err(_) => match self.failure.get() {
                Some(reason) if !self.answered.load(Ordering::Relaxed) => {
                    Answer::Untrusted(reason.clone())
                }
                _ => Answer::Broken,
            },
        }
    }

    /// Asks `INFO`.
    pub async fn info(&self) -> Answer {
        self.ask(&redis::cmd("INFO")).await
    }

    /// Completes when the connection has ended.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Whether it has.
    pub fn is_over(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Closes the connection for everybody who holds it.
    pub fn close(&self) {
        self.end.cancel();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// What is told of a text that Redis wrote: its first 200 characters, without control characters.
pub(super) fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The errors that never quote the arguments of the command.
const DENIED: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// What is told of the error that `AUTH` brought. Redis quotes the arguments of a command that it does
/// not know (`rename-command AUTH`), so the words of such an error are kept back.
pub(super) fn login_refusal(error: String) -> String {
    let code = error.split(' ').next().unwrap_or_default();
    if DENIED.contains(&code) {
        return error;
    }
    "AUTH failed with an error that may quote the password and is not shown: is a password set in \
     Redis, and has AUTH its own name there?"
        .to_owned()
}

fn read(value: Value) -> Answer {
    match value {
        Value::Okay => Answer::Text("OK".to_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Answer::Text(text),
        Value::BulkString(bytes) => Answer::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Array(items) => {
            let text = |item| match read(item) {
                Answer::Text(text) => Some(text),
                _ => None,
            };
            items.into_iter().map(text).collect::<Option<_>>().map_or(Answer::Foreign, Answer::List)
        }
        Value::ServerError(error) => {
            let text = match error.details() {
                Some(details) => short(&format!("{} {details}", error.code())),
                None => short(error.code()),
            };
            match error.code() {
                "BUSY" | "LOADING" => Answer::Busy,
                // Alive, and full: no reason to count it as gone.
                "ERR" if text.contains("max number of clients") => Answer::Busy,
                code if DENIED.contains(&code) => Answer::Denied(text),
                _ => Answer::Error(text),
            }
        }
        _ => Answer::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_may_quote_the_password_is_kept_back() {
        for told in ["WRONGPASS invalid username-password pair", "NOAUTH Authentication required."]
        {
            assert_eq!(login_refusal(told.to_owned()), told);
        }
        for quoting in [
            "ERR unknown command 'AUTH', with args beginning with: 'hive' 'sesame' ",
            "ERR unknown command `AUTH`, with args beginning with: `sesame`, ",
            "WRONGPASSWORD sesame",
            "sesame",
        ] {
            assert!(!login_refusal(quoting.to_owned()).contains("sesame"), "{quoting}");
        }
    }
}
