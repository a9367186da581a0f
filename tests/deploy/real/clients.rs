//! Applications: they write through the Service, and try again when that fails.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};

use super::super::support::keys;
use super::super::support::servers::eventually;
use super::site::Endpoints;

/// For how long a client tries again before its user hears of it.
const RETRIES: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two writes: four writers make some thousand keys a minute.
const THINK: Duration = Duration::from_millis(2);

/// Connects with this password.
pub fn connect(at: SocketAddr, password: &str) -> RedisResult<Connection> {
    let client = redis::Client::open(format!("redis://:{password}@{at}/"))?;
    let connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
    connection.set_read_timeout(Some(RETRIES))?;
    connection.set_write_timeout(Some(RETRIES))?;
    Ok(connection)
}

/// Which of these keys a server does not have; waits until it answers.
pub fn missing(at: SocketAddr, password: &str, keys: &[String]) -> Vec<String> {
    eventually(&format!("{at} tells its keys"), || {
        keys::missing(&mut connect(at, password).ok()?, keys).ok()
    })
}

/// A write that was answered with OK.
pub struct Acked {
    pub key: String,
    pub at: Instant,
}

/// What clients saw.
#[derive(Default)]
pub struct Seen {
    pub acked: Vec<Acked>,
    /// Writes that their users heard of: all attempts failed.
    pub failed: Vec<String>,
    pub retries: u64,
    /// The longest write, all its attempts together.
    pub longest: Duration,
}

/// Clients that write until they are stopped.
pub struct Clients {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Clients {
    /// Starts so many, which write keys that begin with `prefix` through this Service.
    pub fn start(
        count: usize,
        prefix: &str,
        service: &Endpoints,
        port: u16,
        password: &str,
    ) -> Self {
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: usize| Client {
            prefix: format!("{prefix}:{number}"),
            service: service.clone(),
            port,
            password: password.to_owned(),
            turn: number,
            connection: None,
        };
        let thread = |number: usize| {
            let (client, stop, acked) = (client(number), Arc::clone(&stop), Arc::clone(&acked));
            std::thread::spawn(move || client.run(&stop, &acked))
        };
        let threads = (0..count).map(thread).collect();
        Clients { stop, acked, threads }
    }

    /// Waits for so many further writes of all together.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let goal = self.acked.load(Ordering::Relaxed) + more;
        eventually(&format!("{more} more writes"), || {
            (self.acked.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Stops them all.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("a client");
            all.acked.extend(seen.acked);
            all.failed.extend(seen.failed);
            all.retries += seen.retries;
            all.longest = all.longest.max(seen.longest);
        }
        let keys: BTreeSet<&String> = all.acked.iter().map(|acked| &acked.key).collect();
        assert_eq!(keys.len(), all.acked.len(), "every write has its own key");
        all
    }
}

struct Client {
    prefix: String,
    service: Endpoints,
    port: u16,
    password: String,
    turn: usize,
    connection: Option<Connection>,
}

impl Client {
    fn run(mut self, stop: &AtomicBool, acked: &AtomicU64) -> Seen {
        let mut seen = Seen::default();
        for number in 0_u64.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if self.write(format!("{}:{number}", self.prefix), &mut seen) {
                acked.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(THINK);
        }
        seen
    }

    /// One write with its retries; whether it was acknowledged.
    fn write(&mut self, key: String, seen: &mut Seen) -> bool {
        let begin = Instant::now();
        loop {
            let error = match self.attempt(&key) {
                Ok(()) => {
                    seen.longest = seen.longest.max(begin.elapsed());
                    seen.acked.push(Acked { key, at: Instant::now() });
                    return true;
                }
                Err(error) => error,
            };
            self.turn += 1;
            if begin.elapsed() >= RETRIES {
                seen.failed.push(format!("{key}: {error}"));
                return false;
            }
            seen.retries += 1;
            std::thread::sleep(PAUSE);
        }
    }

    fn attempt(&mut self, key: &str) -> Result<(), String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let at = self.service.pick(self.turn, self.port).ok_or("no pod is ready")?;
                connect(at, &self.password).map_err(|error| format!("{at}: {error}"))?
            }
        };
        let done = redis::cmd("SET").arg(key).arg(key).exec(&mut connection);
        done.map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        Ok(())
    }
}
