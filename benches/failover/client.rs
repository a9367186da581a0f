//! A client as an application has it: writes, reconnects after an error, and notes when every write
//! was acknowledged.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How one goes about it.
#[derive(Clone, Copy)]
pub struct Pace {
    /// After an error, before it connects again.
    pub reconnect: Duration,
    /// Between an acknowledgement and the next write: what a gap is measured with.
    pub write: Duration,
}

/// What a client does that nothing else is said about.
pub const USUAL: Pace =
    Pace { reconnect: Duration::from_millis(10), write: Duration::from_micros(200) };
/// A client that has no answer after this long gives its connection up.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What it saw.
#[derive(Default)]
pub struct Seen {
    /// When each write was acknowledged, and its number.
    pub acked: Vec<(Instant, u64)>,
    /// Every error, and when.
    pub errors: Vec<(Instant, String)>,
}

impl Seen {
    /// The longest time without an acknowledged write that was not over at `fault`: its beginning
    /// and its length.
    pub fn outage(&self, fault: Instant) -> (Instant, Duration) {
        longest_gap(self.times(), fault, None)
    }

    /// When its writes were acknowledged.
    pub fn times(&self) -> impl Iterator<Item = Instant> + Clone {
        self.acked.iter().map(|(at, _)| *at)
    }
}

/// The longest gap between two of these moments, which are in order, that ended after `from` and
/// began before `until`: its beginning and its length.
pub fn longest_gap(
    times: impl Iterator<Item = Instant> + Clone,
    from: Instant,
    until: Option<Instant>,
) -> (Instant, Duration) {
    let counts = |start: Instant, end: Instant| end > from && until.is_none_or(|u| start < u);
    let gaps = times.clone().zip(times.skip(1)).filter(|(start, end)| counts(*start, *end));
    let longest = gaps.max_by_key(|(start, end)| *end - *start);
    longest.map_or((from, Duration::ZERO), |(start, end)| (start, end - start))
}

/// The running client.
pub struct Client {
    prefix: String,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    thread: Option<JoinHandle<Seen>>,
}

impl Client {
    /// Starts it at the first of `addrs`; after an error it goes on to the next one.
    pub fn start(prefix: &str, addrs: Vec<SocketAddr>) -> Client {
        Client::paced(prefix, addrs, USUAL)
    }

    /// The same at another pace.
    pub fn paced(prefix: &str, addrs: Vec<SocketAddr>, pace: Pace) -> Client {
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, counted, name) = (stop.clone(), acked.clone(), prefix.to_owned());
        let thread = std::thread::spawn(move || write(&name, &addrs, pace, &ended, &counted));
        Client { prefix: prefix.to_owned(), stop, acked, thread: Some(thread) }
    }

    /// How many writes were acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// The key of a write.
    pub fn key(&self, number: u64) -> String {
        key(&self.prefix, number)
    }

    /// Ends it and takes what it saw.
    pub fn stop(&mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}

fn key(prefix: &str, number: u64) -> String {
    format!("{prefix}:{number}")
}

fn write(
    prefix: &str,
    addrs: &[SocketAddr],
    pace: Pace,
    stop: &AtomicBool,
    acked: &AtomicU64,
) -> Seen {
    let mut seen = Seen::default();
    let mut connection: Option<TcpStream> = None;
    let mut turn = addrs.iter().cycle();
    // A key is tried once: only so is it known whether it was acknowledged.
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match set(&mut connection, || turn.next().copied(), &key(prefix, number), number) {
            Ok(()) => {
                seen.acked.push((Instant::now(), number));
                acked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(pace.write);
            }
            Err(error) => {
                seen.errors.push((Instant::now(), error.to_string()));
                connection = None;
                std::thread::sleep(pace.reconnect);
            }
        }
    }
    seen
}

fn set(
    connection: &mut Option<TcpStream>,
    next: impl FnOnce() -> Option<SocketAddr>,
    key: &str,
    value: u64,
) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let addr = next().ok_or(io::ErrorKind::InvalidInput)?;
            connection.insert(connect(addr)?)
        }
    };
    let value = value.to_string();
    let request =
        format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
    stream.write_all(request.as_bytes())?;
    let answer = line(stream)?;
    if answer == "+OK" { Ok(()) } else { Err(io::Error::other(answer)) }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One simple answer without its line end.
fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = Vec::new();
    let mut part = [0_u8; 256];
    while !answer.ends_with(b"\r\n") {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => answer.extend_from_slice(&part[..len]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}
