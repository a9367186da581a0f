//! A port of one's own, and clients that speak and read bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use redis_hive::election::RedisAddr;
use redis_hive::secrets::{Keyring, Secrets};
use redis_hive::sentinel::{self, Limits, Master, Node, Replica, Sentinel, Settings, Topology};

/// The longest that any answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running port of a hive of three with `--quorum 2`.
pub struct Port {
    pub sentinel: Sentinel,
}

impl Port {
    pub fn start() -> Port {
        Port::with(|_| {})
    }

    /// The same with other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Port {
        let mut settings = Settings {
            name: "mymaster".to_owned(),
            id: "1".repeat(40),
            run_id: "2".repeat(40),
            quorum: 2,
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(10),
            keyring: Keyring::fixed(Secrets::default()),
            limits: Limits::default(),
        };
        change(&mut settings);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Port { sentinel: sentinel::start(listener, settings).expect("it starts") }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.sentinel.addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, read: Vec::new() }
    }
}

/// A connection, and what was read from it and not looked at.
pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it reads");
    }

    /// The next so many bytes.
    #[track_caller]
    pub fn read(&mut self, len: usize) -> String {
        while self.read.len() < len && self.more() {}
        let len = len.min(self.read.len());
        String::from_utf8_lossy(&self.read.drain(..len).collect::<Vec<_>>()).into_owned()
    }

    /// All up to and with this text.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let seen = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = seen.find(text) {
                return self.read(at + text.len());
            }
            assert!(self.more(), "closed without {text:?}, after {seen:?}");
        }
    }

    /// Sends, and reads up to and with this text.
    #[track_caller]
    pub fn lines(&mut self, bytes: &[u8], text: &str) -> String {
        self.send(bytes);
        self.until(text)
    }

    /// The next line without its end; what there is of it if that is all.
    #[track_caller]
    pub fn first_line(&mut self) -> String {
        while !self.read.contains(&b'\n') && self.more() {}
        let seen = String::from_utf8_lossy(&self.read).into_owned();
        seen.lines().next().unwrap_or_default().to_owned()
    }

    /// All until the other side closes.
    #[track_caller]
    pub fn until_end(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Whether the other side closes within this time, whatever it says before.
    pub fn closes_within(&mut self, span: Duration) -> bool {
        let until = Instant::now() + span;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("timeout");
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !is_timeout(&error),
            }
        }
        false
    }

    /// Reads something; `false`: the other side has closed.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(len) => {
                self.read.extend_from_slice(&bytes[..len]);
                len > 0
            }
            Err(error) if is_timeout(&error) => {
                panic!("nothing more after {:?}", String::from_utf8_lossy(&self.read))
            }
            // Closed while bytes of ours were unread.
            Err(_) => false,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// Waits until this holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A hive of 10.0.0.1 to 3, whose master is the Redis of `leader`.
pub fn healthy(leader: u8) -> Topology {
    let master = Master { node: node(leader, 6379), redis: redis(leader), epoch: 3 };
    Topology { master: Some(master), ..without_master() }
}

/// The same three while they have no master.
pub fn without_master() -> Topology {
    Topology {
        master: None,
        replicas: (1..=3).map(replica).collect(),
        hives: (2..=3).map(|host| node(host, 26379)).collect(),
    }
}

fn replica(host: u8) -> Replica {
    let node = node(host, 6379);
    Replica {
        redis: redis(host),
        connected: true,
        link_up: true,
        link_since: node.since,
        node,
        upstream: Some(redis(1)),
        priority: 100,
        offset: 1_000,
    }
}

fn redis(host: u8) -> RedisAddr {
    RedisAddr::new([10, 0, 0, host].into(), 6379)
}

fn node(host: u8, port: u16) -> Node {
    let now = Instant::now();
    let addr = SocketAddr::from(([10, 0, 0, host], port));
    Node { addr, id: format!("{host:040x}"), up: true, heard: now, since: now }
}
