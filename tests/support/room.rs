//! A Redis room under test, and what may stand between it and a server.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use redis_hive::election::{Input, OrderError, Passport, RedisAddr, RedisView};
use redis_hive::redis::{Access, Endpoint, Facts, Redis, RedisSettings, start};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::servers::{self, PATIENCE, Server, unused_address};

/// A room under test with what comes out of it.
pub struct Room {
    /// The handle.
    pub redis: Redis,
    /// What it tells.
    pub inputs: mpsc::Receiver<Input>,
}

pub fn settings(addr: RedisAddr) -> RedisSettings {
    RedisSettings {
        local: Some(Endpoint::from(addr)),
        access: Access::none(),
        redis_timeout: Duration::from_secs(7),
        election_timeout: Duration::from_millis(250),
        heartbeat: Duration::from_millis(200),
        node_name: "test".to_owned(),
        rescue: None,
    }
}

impl Room {
    pub fn open(settings: RedisSettings) -> Room {
        let (sender, inputs) = mpsc::channel(1024);
        Room { redis: start(settings, sender), inputs }
    }

    pub fn at(addr: RedisAddr) -> Room {
        Room::open(settings(addr))
    }

    /// Waits for the first input of this kind.
    pub async fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Input) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let input = self.inputs.recv().await.expect("the room is open");
                if let Some(found) = pick(&input) {
                    return found;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("it never told: {what}"))
    }

    pub async fn view(&mut self, expected: RedisView) {
        let what = format!("{expected:?}");
        self.expect(&what, |input| (*input == Input::Redis(expected)).then_some(())).await;
    }

    pub async fn up(&mut self, what: &str, mut fits: impl FnMut(&Passport) -> bool) -> Passport {
        self.expect(what, |input| match input {
            Input::Redis(RedisView::Up(passport)) if fits(passport) => Some(*passport),
            _ => None,
        })
        .await
    }

    pub async fn watched(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&RedisView) -> bool,
    ) -> RedisView {
        self.expect(what, |input| match input {
            Input::Watched { view, .. } if fits(view) => Some(*view),
            _ => None,
        })
        .await
    }

    pub async fn done(&mut self, id: u64) -> Result<Passport, OrderError> {
        self.expect("the order's end", |input| match input {
            Input::Done { id: ended, outcome } if *ended == id => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    pub async fn probed(&mut self, asked: RedisAddr) -> RedisView {
        self.expect("the probe's end", |input| match input {
            Input::Probed { addr, view } if *addr == asked => Some(*view),
            _ => None,
        })
        .await
    }

    pub async fn facts(&self, what: &str, fits: impl FnMut(&Facts) -> bool) -> Facts {
        let mut facts = self.redis.facts();
        let found = timeout(PATIENCE, facts.wait_for(fits)).await;
        found.unwrap_or_else(|_| panic!("it never knew: {what}")).expect("open").clone()
    }

    /// Forgets what was told until now.
    pub fn clear(&mut self) {
        while self.inputs.try_recv().is_ok() {}
    }
}

/// Waits until `look` finds something, letting the room work meanwhile.
pub async fn soon(what: &str, mut look: impl FnMut() -> Option<()>) {
    let found = timeout(PATIENCE, async {
        while look().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}

/// Something on a port that says the same to everybody who says anything.
pub struct Stranger;

impl Stranger {
    pub fn speaking(words: &'static [u8]) -> RedisAddr {
        let addr = unused_address();
        let listener = TcpListener::bind((addr.ip, addr.port)).expect("a free address");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut heard = [0; 512];
                    while stream.read(&mut heard).is_ok_and(|count| count > 0) {
                        if stream.write_all(words).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        addr
    }
}

/// A relay before a server that stops the server right before it passes on the first order.
pub struct Relay {
    /// Where it listens.
    pub addr: RedisAddr,
    seen: std::sync::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
}

impl Relay {
    pub fn before(server: &Server) -> Relay {
        let addr = unused_address();
        let listener = TcpListener::bind((addr.ip, addr.port)).expect("a free address");
        let (target, freezer) = (server.addr, server.freezer());
        let (sender, seen) = tokio::sync::oneshot::channel();
        let trap = std::sync::Arc::new(std::sync::Mutex::new(Some((freezer, sender))));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = std::net::TcpStream::connect((target.ip, target.port));
                let Ok(server) = server else { continue };
                client.set_nodelay(true).expect("a live socket");
                server.set_nodelay(true).expect("a live socket");
                let (mut back, mut client_back) =
                    (server.try_clone().expect("a clone"), client.try_clone().expect("a clone"));
                std::thread::spawn(move || std::io::copy(&mut back, &mut client_back));
                let trap = trap.clone();
                std::thread::spawn(move || forward(client, server, &trap));
            }
        });
        Relay { addr, seen: std::sync::Mutex::new(Some(seen)) }
    }

    pub async fn stopped(&self, _server: &Server) {
        let seen = self.seen.lock().expect("one test").take().expect("asked once");
        timeout(PATIENCE, seen).await.expect("in time").expect("the relay saw an order");
    }
}

type Trap = std::sync::Mutex<Option<(servers::Freezer, tokio::sync::oneshot::Sender<()>)>>;

pub fn forward(mut client: std::net::TcpStream, mut server: std::net::TcpStream, trap: &Trap) {
    let mut bytes = [0; 4096];
    loop {
        let Ok(count) = client.read(&mut bytes) else { return };
        if count == 0 {
            return;
        }
        let heard = &bytes[..count];
        let order = heard.windows(9).any(|word| word == b"REPLICAOF");
        let sprung = if order { trap.lock().expect("no panic").take() } else { None };
        if let Some((freezer, _)) = &sprung {
            freezer.freeze();
        }
        if server.write_all(heard).is_err() {
            return;
        }
        if let Some((_, seen)) = sprung {
            let _ = seen.send(());
        }
    }
}
