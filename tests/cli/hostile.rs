//! What strangers can make a hive remember: measured as the growth of its resident memory at its
//! highest, on a real process. The bounds are for a debug build, a few times what was measured.

use std::net::{Ipv4Addr, SocketAddr};

use redis_hive::election::{Frame, Incarnation, Message, NodeId};
use redis_hive::peer::codec::{self, Hello, MINOR};
use tokio::sync::{Mutex, MutexGuard};

use super::files::raise_open_files;
use super::frames;
use super::stop::{Alone, client};
use super::witness::get;
use super::*;

/// One after the other: each opens as many files as a process may.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// As many connections as are opened at once, where the limit on open files allows.
const CROWD: u64 = 10_000;
/// How long those who never stop sending are watched.
const WATCHED: Duration = Duration::from_secs(4);

/// A hive alone with its Redis, and what its memory was before anybody came.
struct Besieged {
    alone: Alone,
    before_kib: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Besieged {
    async fn start(flags: &[&str]) -> Besieged {
        let turn = ONE_AT_A_TIME.lock().await;
        let alone = Alone::start(flags).await;
        let mut besieged = Besieged { alone, before_kib: 0, _turn: turn };
        besieged.serves().await;
        besieged.before_kib = besieged.memory("VmRSS:");
        besieged
    }

    fn memory(&self, name: &str) -> u64 {
        let pid = self.alone.hive.id().expect("it runs");
        let value = process::line(pid, "status", name);
        value.strip_suffix(" kB").and_then(|kib| kib.parse().ok()).expect("a number of kB")
    }

    /// Growth up to now, at its highest, is at most this.
    #[track_caller]
    fn grew_at_most(&self, mib: u64) {
        let grown = self.memory("VmHWM:").saturating_sub(self.before_kib);
        eprintln!("grew by {grown} KiB from {} KiB, {mib} MiB are allowed", self.before_kib);
        assert!(grown <= mib * 1024, "grew by {grown} KiB, {mib} MiB are allowed");
    }

    /// Probes and clients are served.
    async fn serves(&self) {
        let ready = async {
            while get(&self.alone.http, "/readyz").await.0 != 200 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, ready).await.unwrap_or_else(|_| panic!("not ready: {}", self.alone.told()));
        assert_eq!(
            client(&self.alone.proxy, "SET key value\r\n").await,
            "+OK\r\n",
            "{}",
            self.alone.told()
        );
    }

    fn peer_port(&self) -> SocketAddr {
        SocketAddr::new(LOCAL, self.alone.peer)
    }

    /// Connections that have said this and nothing more.
    async fn crowd(&self, addr: SocketAddr, words: &[u8]) -> Vec<TcpStream> {
        let room = raise_open_files().saturating_sub(500);
        if room < CROWD {
            eprintln!("only {room} connections: a process may open no more files");
        }
        let mut crowd = Vec::new();
        for _ in 0..CROWD.min(room) {
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            stream.write_all(words).await.expect("there is room for a few bytes");
            crowd.push(stream);
        }
        crowd
    }
}

/// Waits until the other side has closed all but so many, which it does at once: those that were not
/// accepted yet are still to come.
async fn only_stand(crowd: &[TcpStream], most: usize) {
    let open = |stream: &&TcpStream| {
        let read = stream.try_read(&mut [0; 64]);
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let closed = async {
        while crowd.iter().filter(open).count() > most {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(4), closed).await.expect("the others are closed");
}

#[tokio::test]
async fn ten_thousand_half_open_links() {
    let besieged = Besieged::start(&[]).await;
    let half = &codec::encode_hello(&hello(1))[..7];
    let crowd = besieged.crowd(besieged.peer_port(), half).await;
    only_stand(&crowd, 64).await;
    besieged.serves().await;
    besieged.grew_at_most(16);
}

#[tokio::test]
async fn ten_thousand_idle_http_connections() {
    let besieged = Besieged::start(&[]).await;
    let addr = besieged.alone.http.parse().expect("an address");
    let crowd = besieged.crowd(addr, b"GET /livez HTTP/1.1\r\nX: ").await;
    only_stand(&crowd, 256).await;
    besieged.serves().await;
    besieged.grew_at_most(16);
}

/// Each holds a request that never becomes whole: one long word, or many short ones.
#[tokio::test]
async fn ten_thousand_half_requests_of_sentinel() {
    let [port] = super::free_ports();
    let besieged = Besieged::start(&[&format!("--sentinel-port={port}")]).await;
    let long = [&b"*2\r\n$4\r\nPING\r\n$8000\r\n"[..], &[b'x'; 7_900]].concat();
    let short = |of: usize| format!("*{of}\r\n{}", "$1\r\nx\r\n".repeat(of - 1)).into_bytes();
    for half in [long, short(128), short(1024)] {
        let crowd = besieged.crowd(SocketAddr::new(LOCAL, port), &half).await;
        only_stand(&crowd, 1024).await;
        besieged.serves().await;
        besieged.grew_at_most(24);
    }
}

/// The hello of a hive that exists only here.
fn hello(incarnation: u64) -> Hello {
    let ip = Ipv4Addr::from_bits(0x7f40_0000 + incarnation as u32);
    Hello {
        minor: MINOR,
        abilities: 0,
        // What a hive is called that has neither a name nor a service.
        name: redis_hive::config::defaults::NAME.to_owned(),
        node: NodeId::new(ip.into(), 6390),
        incarnation: Incarnation(incarnation),
        dial: 1,
    }
}

/// A link of such a hive.
async fn linked(addr: SocketAddr, hello: &Hello) -> TcpStream {
    use tokio::io::AsyncReadExt;
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(&codec::encode_hello(hello)).await.expect("written");
    let read = timeout(LONG, stream.read(&mut [0; 1024])).await.expect("in time");
    assert!(read.is_ok_and(|count| count > codec::HEADER_LEN), "it says hello");
    stream
}

/// The largest state there is, of this hive.
fn largest(hello: &Hello, number: u64) -> Frame {
    Frame { node: hello.node, incarnation: hello.incarnation, number, ..frames::largest() }
}

/// Eight hives say all that fits into a frame, as fast as they can.
#[tokio::test]
async fn frames_without_end() {
    let besieged = Besieged::start(&[]).await;
    let mut links = Vec::new();
    for hello in (1..=8).map(hello) {
        links.push((linked(besieged.peer_port(), &hello).await, hello));
    }
    let mut talkers = tokio::task::JoinSet::new();
    for (mut link, hello) in links {
        talkers.spawn(async move {
            for number in 1.. {
                let frame = codec::encode(&largest(&hello, number));
                if link.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
    sleep(WATCHED).await;
    assert!(!talkers.is_empty());
    besieged.grew_at_most(64);
}

/// A thousand hives come, say who they are and all they know, and go.
#[tokio::test]
async fn hives_without_end() {
    let besieged = Besieged::start(&[]).await;
    for n in 1..=1_000 {
        let hello = hello(n);
        let mut link = linked(besieged.peer_port(), &hello).await;
        let mut frame = largest(&hello, 1);
        if let Message::State(state) = &mut frame.message {
            // One that leads would be believed.
            state.follows = None;
        }
        let _ = link.write_all(&codec::encode(&frame)).await;
    }
    besieged.grew_at_most(64);
}

/// As many addresses as a DNS message holds, others every time.
#[tokio::test]
async fn dns_answers_without_end() {
    let dns = dns::Dns::start().await;
    let (name, server) = ("peers.test.", dns.addr.to_string());
    let answer = |round: u32| {
        let ips = (0..3_500).map(|n| Ipv4Addr::from_bits(0x7f10_0000 + round * 3_500 + n).into());
        dns.set(name, dns::Zone::both(dns::Reply::Addresses(ips.collect())));
    };
    // An answer that is too large is no whole one, and a hive waits for one.
    dns.set(name, dns::Zone::of(&["127.0.0.1"]));
    let flags = ["--service", name, "--dns-server", &server, "--name=redis-hive"];
    let besieged = Besieged::start(&flags).await;
    let answered = || dns.asked().iter().filter(|asked| asked.tcp).count();
    let asked = async {
        for round in 0..6 {
            let before = answered();
            answer(round);
            while answered() < before + 2 {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(LONG, asked).await.expect("it asks every second");
    assert_eq!(get(&besieged.alone.http, "/livez").await.0, 200);
    besieged.grew_at_most(16);
}

/// Requests that never end a line, and never ask for anything.
#[tokio::test]
async fn inline_requests_without_end() {
    let besieged = Besieged::start(&[]).await;
    let mut talkers = tokio::task::JoinSet::new();
    let proxy: SocketAddr = besieged.alone.proxy.parse().expect("an address");
    for _ in 0..64 {
        talkers.spawn(async move {
            let line = vec![b'x'; 64 * 1024];
            // Redis closes after 64 KiB of a line: again.
            while let Ok(mut stream) = TcpStream::connect(proxy).await {
                while stream.write_all(&line).await.is_ok() {}
            }
        });
    }
    sleep(WATCHED).await;
    besieged.serves().await;
    besieged.grew_at_most(16);
}

/// What matters to the account of a session is waited for, but not that much of it.
#[tokio::test]
async fn requests_that_never_end() {
    let besieged = Besieged::start(&[]).await;
    let part = [&b"*2\r\n$4\r\nAUTH\r\n$1040000\r\n"[..], &[b'x'; 1_000_000]].concat();
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&besieged.alone.proxy).await.expect("it listens");
        stream.write_all(&part).await.expect("it is read");
        crowd.push(stream);
    }
    besieged.serves().await;
    besieged.grew_at_most(32);
}

/// They ask for more than they ever read.
#[tokio::test]
async fn clients_that_never_read() {
    let besieged = Besieged::start(&[]).await;
    let value = "v".repeat(100_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$100000\r\n{value}\r\n");
    assert_eq!(client(&besieged.alone.proxy, &set).await, "+OK\r\n");
    let mut deaf = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(&besieged.alone.proxy).await.expect("it listens");
        // Redis itself keeps what is not read: 128 MB in all.
        let asking = "GET big\r\n".repeat(40);
        stream.write_all(asking.as_bytes()).await.expect("written");
        deaf.push(stream);
    }
    sleep(WATCHED).await;
    besieged.serves().await;
    besieged.grew_at_most(16);
}
