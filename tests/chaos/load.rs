//! The clients: they write, count, read, publish and wait, reconnect after every error, and
//! remember what was acknowledged, when, through which hive and by which Redis.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};
use redis_hive::cli::dev::launch::PROXY_PORT;

use super::history::{Ack, Backstep, History, now};
use super::hive::connect;
use super::lab;

/// A client that has no answer after this long gives its connection up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many counters there are.
const COUNTERS: u64 = 3;
/// Big values, and how many keys they go round.
const BIG: usize = 1 << 20;
const BIG_KEYS: u64 = 8;

/// After so many writes a client goes back to its first hive: otherwise all would gather at the
/// one that broke least.
const HOME_AGAIN: u32 = 400;

/// The hives that clients may use, as the write Service lists them.
#[derive(Clone, Default)]
pub struct Service(Arc<Mutex<Vec<u8>>>);

impl Service {
    /// Clients may use this hive from now on.
    pub fn add(&self, host: u8) {
        self.remove(host);
        self.lock().push(host);
    }

    /// They should not any more; connections stay.
    pub fn remove(&self, host: u8) {
        self.lock().retain(|h| *h != host);
    }

    fn pick(&self, turn: usize) -> Option<u8> {
        let hosts = self.lock();
        if hosts.is_empty() { None } else { hosts.get(turn % hosts.len()).copied() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of what there is.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub writers: u8,
    /// Between two writes of one writer.
    pub pause: Duration,
    /// Between two values of 1 MiB; `None`: no such values.
    pub big_every: Option<Duration>,
    /// Seconds that a writer's slow script runs before it writes; 0: no slow scripts.
    pub slow: u32,
}

/// All clients; they stop with the value.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    pub history: Arc<History>,
}

impl Load {
    /// Starts them.
    pub fn start(service: &Service, amount: Amount) -> Self {
        let history = Arc::new(History::new(amount.writers + 1));
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop, threads: Vec::new(), history };
        for id in 0..amount.writers {
            load.spawn(service, id.into(), move |client| write(client, id, amount.pause));
        }
        if amount.slow > 0 {
            let id = amount.writers;
            load.spawn(service, id.into(), move |client| write_slowly(client, id, amount.slow));
        }
        let confirmed: Arc<[AtomicU64]> = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        for id in 0..2 {
            let confirmed = Arc::clone(&confirmed);
            load.spawn(service, id, move |client| count(client, &confirmed, true));
        }
        for id in 0..2 {
            let confirmed = Arc::clone(&confirmed);
            load.spawn(service, id + 1, move |client| count(client, &confirmed, false));
        }
        load.spawn(service, 0, publish);
        load.spawn(service, 1, subscribe);
        load.spawn(service, 2, push);
        load.spawn(service, 0, pop);
        if let Some(every) = amount.big_every {
            load.spawn(service, 1, move |client| write_big(client, every));
        }
        load
    }

    fn spawn(
        &mut self,
        service: &Service,
        turn: usize,
        job: impl FnOnce(&mut Client) + Send + 'static,
    ) {
        let mut client = Client {
            service: service.clone(),
            stop: Arc::clone(&self.stop),
            history: Arc::clone(&self.history),
            turn,
            connection: None,
        };
        self.threads.push(std::thread::spawn(move || job(&mut client)));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One client with at most one connection.
struct Client {
    service: Service,
    stop: Arc<AtomicBool>,
    history: Arc<History>,
    turn: usize,
    connection: Option<(u8, Connection)>,
}

impl Client {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Does something on the connection; after an error the next one goes to another hive. Tells
    /// through which hive it went.
    fn with<T>(&mut self, act: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Option<(u8, T)> {
        let (via, mut connection) = match self.connection.take() {
            Some(open) => open,
            None => {
                let via = self.service.pick(self.turn)?;
                match connect(SocketAddr::from((lab::ip(via), PROXY_PORT)), PATIENCE) {
                    Ok(connection) => (via, connection),
                    Err(error) => return self.failed(via, &error),
                }
            }
        };
        match act(&mut connection) {
            Ok(done) => {
                self.connection = Some((via, connection));
                Some((via, done))
            }
            Err(error) => self.failed(via, &error),
        }
    }

    fn failed<T>(&mut self, via: u8, error: &redis::RedisError) -> Option<T> {
        self.history.failed(via, error);
        self.turn += 1;
        std::thread::sleep(Duration::from_millis(5));
        None
    }

    /// Does a write and remembers whether it was acknowledged.
    fn acked(&mut self, writer: u8, number: u32, sent: u64, write: &redis::Cmd) -> bool {
        let done = self.with(|c| write_and_ask(c, write));
        if let Some((via, (by, reign))) = done {
            self.history.acked(writer, Ack { number, sent, at: now(), via, by, reign });
        }
        done.is_some()
    }

    /// Sleeps, but not past the end.
    fn sleep(&self, span: Duration) {
        let end = Instant::now() + span;
        while self.goes_on() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Does a write, and asks in the same breath who executed it: the last byte of its address, and its
/// replication id, which every promotion makes anew.
fn write_and_ask(c: &mut Connection, write: &redis::Cmd) -> RedisResult<(u8, Option<u64>)> {
    let mut pipe = redis::pipe();
    pipe.add_command(write.clone()).ignore();
    pipe.cmd("CONFIG").arg("GET").arg("replica-announce-ip");
    pipe.cmd("INFO").arg("replication");
    let (address, info) = pipe.query::<(Vec<String>, String)>(c)?;
    let last = address.get(1).and_then(|ip| ip.rsplit('.').next());
    let by = last.and_then(|last| last.parse().ok()).unwrap_or(0);
    // It may have been demoted between the two; then the id is not that of the write.
    let master = info.lines().any(|l| l.trim_end() == "role:master");
    let replid = info.lines().find_map(|l| l.strip_prefix("master_replid:"));
    let reign = replid.and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok());
    Ok((by, reign.filter(|_| master)))
}

/// The key of a write.
pub fn key(writer: u8, number: u32) -> String {
    format!("w{writer}:{number}")
}

/// Writes a new key again and again. Each is tried once: only so is it known whether it was
/// acknowledged.
fn write(client: &mut Client, id: u8, pause: Duration) {
    let mut number = 0;
    while client.goes_on() {
        if number % HOME_AGAIN == 0 {
            client.connection = None;
            client.turn = id.into();
        }
        let sent = now();
        let mut set = redis::cmd("SET");
        set.arg(key(id, number)).arg(number);
        client.acked(id, number, sent, &set);
        number += 1;
        std::thread::sleep(pause);
    }
}

/// Keeps Redis busy for a random part of `most` seconds, then writes.
fn write_slowly(client: &mut Client, id: u8, most: u32) {
    const SCRIPT: &str = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i end \
                          return redis.call('SET', KEYS[1], ARGV[1])";
    // How often a server counts in a second is learnt: builds and machines differ by ten times.
    let mut rate: u64 = 2_000_000;
    let mut number = 0;
    while client.goes_on() {
        let sent = now();
        let eighths = 1 + sent % (8 * u64::from(most));
        let turns = rate / 8 * eighths;
        let mut script = redis::cmd("EVAL");
        script.arg(SCRIPT).arg(1).arg(key(id, number)).arg(turns);
        if client.acked(id, number, sent, &script) {
            let measured = turns * 1_000_000 / (now() - sent).max(1);
            rate = ((rate + measured) / 2).clamp(500_000, 2 * rate);
        }
        number += 1;
        client.sleep(Duration::from_millis(200));
    }
}

/// Increments or reads counters. What was confirmed before a request was sent must be seen by it.
fn count(client: &mut Client, confirmed: &[AtomicU64], increment: bool) {
    let mut turn = 0;
    while client.goes_on() {
        turn += 1;
        let which = turn % confirmed.len();
        let Some(counter) = confirmed.get(which) else { return };
        let floor = counter.load(Ordering::SeqCst);
        let command = if increment { "INCR" } else { "GET" };
        let ask = |c: &mut Connection| {
            redis::cmd(command).arg(format!("counter:{which}")).query::<Option<u64>>(c)
        };
        if let Some((via, value)) = client.with(ask) {
            let value = value.unwrap_or(0);
            if value < floor || (increment && value == floor) {
                let step = Backstep { at: now(), via, floor, value, read: !increment };
                client.history.stepped_back(step);
                counter.store(value, Ordering::SeqCst);
            } else {
                counter.fetch_max(value, Ordering::SeqCst);
            }
        }
        // Readers go round, so that every hive is asked.
        if !increment && turn % 50 == 0 {
            client.connection = None;
            client.turn += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn publish(client: &mut Client) {
    let mut number: u64 = 0;
    while client.goes_on() {
        number += 1;
        client.with(|c| redis::cmd("PUBLISH").arg("news").arg(number).exec(c));
        client.sleep(Duration::from_millis(50));
    }
}

/// Receives what was published, in order and at most once.
fn subscribe(client: &mut Client) {
    let mut last = 0;
    while client.goes_on() {
        let (history, stop) = (Arc::clone(&client.history), Arc::clone(&client.stop));
        client.with(|c| {
            let mut news = c.as_pubsub();
            news.subscribe("news")?;
            loop {
                let number: u64 = news.get_message()?.get_payload()?;
                history.heard(number, number > last);
                last = number.max(last);
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        });
    }
}

fn push(client: &mut Client) {
    let mut number: u64 = 0;
    while client.goes_on() {
        number += 1;
        client.with(|c| redis::cmd("RPUSH").arg("queue").arg(number).exec(c));
        client.sleep(Duration::from_millis(300));
    }
}

/// Is blocked most of its time.
fn pop(client: &mut Client) {
    while client.goes_on() {
        let popped = client
            .with(|c| redis::cmd("BLPOP").arg("queue").arg(1).query::<Option<(String, u64)>>(c));
        if let Some((_, Some((_, number)))) = popped {
            client.history.popped(number);
        }
    }
}

/// Writes 1 MiB, and reads it again.
fn write_big(client: &mut Client, every: Duration) {
    let mut number: u64 = 0;
    while client.goes_on() {
        number += 1;
        let key = format!("big:{}", number % BIG_KEYS);
        let letter = b'a' + (number % 26) as u8;
        let written = client.with(|c| redis::cmd("SET").arg(&key).arg(vec![letter; BIG]).exec(c));
        if written.is_some()
            && let Some((_, value)) =
                client.with(|c| redis::cmd("GET").arg(&key).query::<Option<Vec<u8>>>(c))
        {
            // It may be lost, never damaged: one letter, whole.
            let whole =
                value.as_ref().is_none_or(|v| v.len() == BIG && v.iter().all(|b| b == &v[0]));
            client.history.big(whole);
        }
        client.sleep(every);
    }
}
