//! Clients as applications have them: they write, reconnect after an error, and remember exactly
//! what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, TlsCertificates};
use redis_hive::cli::dev::nodes::Auth;

use super::harness::{Hive, SOON, wait_until};

// Benches take this file without its neighbours.
#[path = "../support/keys.rs"]
mod keys;

/// A client that has no answer after this long gives its connection up.
const PATIENCE: Duration = Duration::from_secs(3);

/// How clients log in, and what they trust and show where Redis speaks TLS.
#[derive(Clone)]
pub struct Login {
    /// User and password.
    pub auth: Auth,
    /// `None`: plain text.
    pub tls: Option<TlsCertificates>,
}

impl Login {
    /// Connects and logs in.
    pub fn connect(&self, addr: SocketAddr) -> RedisResult<Connection> {
        let login = match &self.auth {
            Auth::None => String::new(),
            Auth::Password(password) => format!(":{password}@"),
            Auth::User { name, password } => format!("{name}:{password}@"),
        };
        let client = match &self.tls {
            None => redis::Client::open(format!("redis://{login}{addr}/"))?,
            Some(tls) => {
                redis::Client::build_with_tls(format!("rediss://{login}{addr}/"), tls.clone())?
            }
        };
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

/// Connects in plain text and logs in.
pub fn connect(addr: SocketAddr, auth: &Auth) -> RedisResult<Connection> {
    Login { auth: auth.clone(), tls: None }.connect(addr)
}

/// One `SET`, on a connection of its own.
pub fn put(hive: &Hive, addr: SocketAddr, key: &str, value: &str) -> RedisResult<()> {
    redis::cmd("SET").arg(key).arg(value).exec(&mut hive.connect(addr)?)
}

/// One `GET`, on a connection of its own.
pub fn get(hive: &Hive, addr: SocketAddr, key: &str) -> RedisResult<Option<String>> {
    redis::cmd("GET").arg(key).query(&mut hive.connect(addr)?)
}

/// Writes through a node's proxy as soon as it is possible.
#[track_caller]
pub fn put_soon(hive: &Hive, host: u8, key: &str, value: &str) {
    let addr = hive.proxy(host);
    wait_until(&format!("a write through {addr}"), SOON, || put(hive, addr, key, value).ok());
}

/// Writes `key:0` to `key:{count - 1}` through a node's proxy, and waits until `copies` replicas
/// have them. Returns the keys.
#[track_caller]
pub fn fill(hive: &Hive, host: u8, key: &str, count: usize, copies: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|n| format!("{key}:{n}")).collect();
    let mut connection = hive.connect(hive.proxy(host)).expect("connect through the proxy");
    for some in keys.chunks(500) {
        let mut pipe = redis::pipe();
        some.iter().for_each(|key| {
            pipe.cmd("SET").arg(key).arg(key).ignore();
        });
        pipe.exec(&mut connection).expect("fill");
    }
    wait_until(&format!("{copies} replicas have {key}"), SOON, || {
        let have = redis::cmd("WAIT").arg(copies).arg(100).query::<usize>(&mut connection).ok()?;
        (have >= copies).then_some(())
    });
    keys
}

/// Which of the keys a server does not have; fails the test if it does not answer.
#[track_caller]
pub fn missing(hive: &Hive, addr: SocketAddr, keys: &[String]) -> Vec<String> {
    wait_until(&format!("{addr} tells its keys"), SOON, || {
        keys::missing(&mut hive.connect(addr).ok()?, keys).ok()
    })
}

/// Fails the test unless the node's proxy and each of these nodes' Redis have all the keys.
#[track_caller]
pub fn assert_kept(hive: &Hive, through: u8, copies: &[u8], keys: &[String]) {
    assert_eq!(missing(hive, hive.proxy(through), keys), [""; 0], "lost, seen through {through}");
    for host in copies {
        // A replica may be a moment behind.
        wait_until(&format!("the Redis of {host} has all {} keys", keys.len()), SOON, || {
            missing(hive, hive.redis(*host), keys).is_empty().then_some(())
        });
    }
}

/// The same for the Redis of every living node.
#[track_caller]
pub fn assert_kept_everywhere(hive: &mut Hive, through: u8, keys: &[String]) {
    let copies = hive.up();
    assert_kept(hive, through, &copies, keys);
}

/// What a [`Writer`] saw.
#[derive(Debug, Default)]
pub struct Written {
    /// The keys whose `SET` was answered with OK, in order.
    pub acked: Vec<String>,
    /// How often its connection broke or a command failed.
    pub errors: u64,
    /// The first error, in words.
    pub first_error: Option<String>,
    /// The longest time between two acknowledgements, and from the last one to its end.
    pub outage: Duration,
}

/// A thread that writes a new key again and again, through the first of its addresses that works.
pub struct Writer {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    thread: Option<JoinHandle<Written>>,
}

impl Writer {
    /// Starts it; its keys are `prefix:N`. It has written once when this returns.
    #[track_caller]
    pub fn start(hive: &Hive, prefix: &str, addrs: &[SocketAddr]) -> Self {
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let job = Job {
            prefix: prefix.to_owned(),
            addrs: addrs.to_vec(),
            login: hive.login(),
            stop: Arc::clone(&stop),
            acked: Arc::clone(&acked),
        };
        let thread = Some(std::thread::spawn(move || job.run()));
        let writer = Self { stop, acked, thread };
        writer.wait_for(1);
        writer
    }

    /// Waits until that many further keys were acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let goal = self.acked.load(Ordering::Relaxed) + more;
        wait_until(&format!("{more} more acknowledged writes"), SOON, || {
            (self.acked.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// How many keys were acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Stops it and takes what it saw.
    #[track_caller]
    pub fn stop(mut self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("the writer")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Several writers, spread over the nodes' proxies; each moves on to the next one after an error.
pub struct Crew(Vec<Writer>);

impl Crew {
    /// Starts `count` of them; their keys are `prefix:WRITER:N`.
    #[track_caller]
    pub fn start(hive: &Hive, prefix: &str, hosts: &[u8], count: usize) -> Self {
        let writer = |id: usize| {
            let mut addrs: Vec<_> = hosts.iter().map(|host| hive.proxy(*host)).collect();
            addrs.rotate_left(id % hosts.len());
            Writer::start(hive, &format!("{prefix}:{id}"), &addrs)
        };
        Self((0..count).map(writer).collect())
    }

    /// Waits until each of them has written that many further keys.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        self.0.iter().for_each(|writer| writer.wait_for(more));
    }

    /// Stops them. All their keys, how often they broke, and the longest pause of each, sorted.
    #[track_caller]
    pub fn stop(self) -> (Vec<String>, u64, Vec<Duration>) {
        let (mut keys, mut errors, mut pauses) = (Vec::new(), 0, Vec::new());
        for writer in self.0 {
            let written = writer.stop();
            keys.extend(written.acked);
            errors += written.errors;
            pauses.push(written.outage);
        }
        pauses.sort_unstable();
        (keys, errors, pauses)
    }
}

struct Job {
    prefix: String,
    addrs: Vec<SocketAddr>,
    login: Login,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
}

impl Job {
    fn run(self) -> Written {
        let mut written = Written::default();
        let mut connection: Option<Connection> = None;
        let mut last = Instant::now();
        let (mut number, mut turn) = (0_u64, 0_usize);
        while !self.stop.load(Ordering::Relaxed) {
            let key = format!("{}:{number}", self.prefix);
            // A key is tried once: only so is it known whether it was acknowledged.
            number += 1;
            match self.write(&mut connection, turn, &key) {
                Ok(()) => {
                    written.outage = written.outage.max(last.elapsed());
                    last = Instant::now();
                    written.acked.push(key);
                    self.acked.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_micros(300));
                }
                Err(error) => {
                    written.errors += 1;
                    written.first_error.get_or_insert_with(|| error.to_string());
                    connection = None;
                    turn += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        written.outage = written.outage.max(last.elapsed());
        written
    }

    fn write(&self, to: &mut Option<Connection>, turn: usize, key: &str) -> RedisResult<()> {
        let mut connection = match to.take() {
            Some(connection) => connection,
            None => self.login.connect(self.addrs[turn % self.addrs.len()])?,
        };
        redis::cmd("SET").arg(key).arg("1").exec(&mut connection)?;
        *to = Some(connection);
        Ok(())
    }
}
