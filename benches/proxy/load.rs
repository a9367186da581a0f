//! The load: connections that each send, wait for the whole reply and send again, all served by
//! the calling thread through one epoll.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::talk::Exchange;

/// Silence after which a system counts as broken.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Large enough that the reads of bulk replies are few.
const BUFFER_BYTES: usize = 256 * 1024;
/// Events of one wait.
const EVENTS: usize = 256;
/// How much of each end of a received piece is compared with what is expected there: enough to
/// notice lost, doubled or swapped bytes, little enough to cost nothing beside the read.
const COMPARED_BYTES: usize = 64;

/// Open connections.
pub struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    began: Instant,
    sent: usize,
    received: usize,
    busy: bool,
}

/// What a run came to.
#[derive(Default)]
pub struct Took {
    /// Whole exchanges.
    pub exchanges: u64,
    /// From the first byte sent to the last one received.
    pub seconds: f64,
    /// Of each exchange, in nanoseconds.
    pub latencies: Vec<u32>,
}

impl Took {
    /// The latency that this share of all exchanges did not exceed, in microseconds.
    pub fn quantile(&mut self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = ((self.latencies.len() as f64 * share).ceil() as usize).saturating_sub(1);
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let (_, found, _) = self.latencies.select_nth_unstable(at.min(last));
        f64::from(*found) / 1e3
    }
}

impl Load {
    /// Opens so many connections.
    pub fn connect(addr: SocketAddr, count: usize) -> io::Result<Load> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut load =
            Load { epoll, connections: Vec::with_capacity(count), buffer: vec![0; BUFFER_BYTES] };
        (0..count).try_for_each(|_| load.open(addr))?;
        Ok(load)
    }

    /// Opens one more.
    pub fn open(&mut self, addr: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = EventData::new_u64(self.connections.len() as u64);
        epoll::add(&self.epoll, &stream, data, EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
        let began = Instant::now();
        self.connections.push(Connection { stream, began, sent: 0, received: 0, busy: false });
        Ok(())
    }

    /// Begins one exchange on every connection, and another one after each that ended while
    /// `more` says so; returns when all have ended. `more` gets the number of those that were
    /// begun, and the time.
    ///
    /// # Errors
    ///
    /// A connection ends, a reply is not the expected one, or nothing comes for [`PATIENCE`].
    pub fn run(
        &mut self,
        exchange: &Exchange,
        mut more: impl FnMut(u64, Instant) -> bool,
    ) -> io::Result<Took> {
        let start = Instant::now();
        let mut took = Took::default();
        let mut begun = self.connections.len() as u64;
        for connection in &mut self.connections {
            connection.begin(exchange, Instant::now())?;
        }
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while took.exchanges < begun {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            if epoll::wait(&self.epoll, spare, Some(&patience))? == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no reply"));
            }
            for event in &events {
                let connection = &mut self.connections[event.data.u64() as usize];
                if !connection.busy || !connection.go_on(exchange, &mut self.buffer)? {
                    continue;
                }
                let now = Instant::now();
                let latency = (now - connection.began).as_nanos();
                took.latencies.push(u32::try_from(latency).unwrap_or(u32::MAX));
                took.exchanges += 1;
                if more(begun, now) {
                    connection.begin(exchange, now)?;
                    begun += 1;
                }
            }
        }
        took.seconds = start.elapsed().as_secs_f64();
        Ok(took)
    }

    /// As [`Load::run`], for a span.
    pub fn run_for(&mut self, exchange: &Exchange, span: Duration) -> io::Result<Took> {
        let end = Instant::now() + span;
        self.run(exchange, |_, now| now < end)
    }

    /// As [`Load::run`], so many times; at least once on every connection.
    pub fn run_times(&mut self, exchange: &Exchange, times: u64) -> io::Result<Took> {
        self.run(exchange, |begun, _| begun < times)
    }
}

impl Connection {
    fn begin(&mut self, exchange: &Exchange, now: Instant) -> io::Result<()> {
        (self.began, self.sent, self.received, self.busy) = (now, 0, 0, true);
        self.send(exchange)
    }

    /// Whether the exchange has ended with this.
    fn go_on(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> io::Result<bool> {
        self.send(exchange)?;
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            check(&buffer[..len], &exchange.reply, self.received)?;
            self.received += len;
            if self.received == exchange.reply.len() {
                self.busy = false;
                return Ok(true);
            }
            // A short read means that nothing is left; with edges, what comes next is told anew.
            if len < buffer.len() {
                return Ok(false);
            }
        }
    }

    fn send(&mut self, exchange: &Exchange) -> io::Result<()> {
        while self.sent < exchange.request.len() {
            match self.stream.write(&exchange.request[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Compares both ends of a piece that was received at this place of the reply.
pub fn check(piece: &[u8], reply: &[u8], at: usize) -> io::Result<()> {
    let wrong = || {
        let shown = String::from_utf8_lossy(&piece[..piece.len().min(COMPARED_BYTES)]);
        io::Error::other(format!("not the expected reply at byte {at}: {shown:?}"))
    };
    let expected = reply.get(at..at + piece.len()).ok_or_else(wrong)?;
    let part = piece.len().min(COMPARED_BYTES);
    let end = piece.len() - part;
    let same = piece[..part] == expected[..part] && piece[end..] == expected[end..];
    if same { Ok(()) } else { Err(wrong()) }
}
