//! A proxy to test, servers for it to forward to, and clients.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use redis_hive::election::{Epoch, Id, Keep, RedisAddr, Route, Time};
use redis_hive::proxy::{self, Counters, Proxy, ProxySettings};
use socket2::SockRef;

/// Longest wait for anything in these tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `done`; fails with `what` when patience ends.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// This test binary, running one of its ignored tests as another process. Ends with this value.
pub struct Child {
    process: std::process::Child,
    orders: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts `command`, which ends with this binary's name, at the test of this name with that master.
    pub fn start(command: &mut Command, test: &str, master: SocketAddr) -> Child {
        let mut process = command
            .args(["--ignored", "--exact", test, "--nocapture"])
            .env("HIVE_TEST_MASTER", master.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let orders = process.stdin.take();
        Child { process, orders, lines }
    }

    /// The number it tells behind this word.
    pub fn told(&mut self, what: &str) -> u64 {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        let number = lines.find_map(|line| line.split(what).nth(1)?.parse().ok());
        number.unwrap_or_else(|| panic!("the child does not tell its {what}"))
    }

    /// A client of the port it tells.
    pub fn client(&mut self) -> TcpStream {
        dial(SocketAddr::from((Ipv4Addr::LOCALHOST, self.told("port=") as u16)))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives it a line.
    pub fn order(&mut self, line: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its input: its last order.
    pub fn end_orders(&mut self) {
        self.orders = None;
    }

    /// Waits for it; it must have succeeded.
    pub fn succeeds(mut self) {
        self.end_orders();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether strace is there; says loudly that nothing is tested, or fails in CI, if not.
pub fn has_strace() -> bool {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs strace");
    eprintln!("SKIPPED: strace is not installed");
    false
}

/// A proxy on loopback, which ends with this value.
pub struct Hive {
    pub proxy: Proxy,
    origin: Instant,
    confirmed: mpsc::Receiver<u64>,
    ids: AtomicUsize,
}

impl Hive {
    pub fn start() -> Hive {
        Hive::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ProxySettings)) -> Hive {
        let mut settings = ProxySettings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            threads: 2,
            hold_timeout: PATIENCE,
            max_clients: 10_000,
            splice: true,
            move_sessions: true,
            origin: Instant::now(),
            freshness: false,
        };
        change(&mut settings);
        let origin = settings.origin;
        let (tell, confirmed) = mpsc::channel();
        let routed = Arc::new(move |id| tell.send(id).unwrap_or(()));
        let proxy = proxy::start(settings, routed).expect("the proxy starts");
        Hive { proxy, origin, confirmed, ids: AtomicUsize::new(1) }
    }

    /// The time that `Keep` is stated in.
    pub fn now(&self) -> Time {
        Time(self.origin.elapsed().as_micros() as u64)
    }

    /// Sets a route and waits for its confirmation, which has to be the next one and the only.
    /// Returns how long that took.
    pub fn route(&self, route: Route) -> Duration {
        self.route_keeping(route, Keep::None)
    }

    /// The same, with sessions that live on.
    pub fn route_keeping(&self, route: Route, keep: Keep) -> Duration {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) as u64;
        let begun = Instant::now();
        self.proxy.route(id, route, keep);
        assert_eq!(self.confirmed.recv_timeout(PATIENCE), Ok(id));
        let took = begun.elapsed();
        assert!(self.confirmed.try_recv().is_err(), "confirmed twice");
        took
    }

    /// Sets routes faster than the threads can follow, and waits until all are confirmed.
    pub fn burst(&self, routes: impl IntoIterator<Item = Route>) {
        let begin = |route| {
            let id = self.ids.fetch_add(1, Ordering::Relaxed) as u64;
            self.proxy.route(id, route, Keep::None);
            id
        };
        let ids: Vec<_> = routes.into_iter().map(begin).collect();
        ids.iter().for_each(|id| assert_eq!(self.confirmed.recv_timeout(PATIENCE), Ok(*id)));
    }

    pub fn client(&self) -> TcpStream {
        dial(self.proxy.addresses()[0])
    }

    /// Waits for the counters to become so.
    pub fn wait_for(&self, what: &str, done: impl Fn(&Counters) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.proxy.counters()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.proxy.counters());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A connection whose reads and writes fail rather than hang.
pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connect");
    limit(&stream);
    stream
}

fn limit(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
}

pub fn forward(epoch: u64, to: SocketAddr) -> Route {
    forward_run(epoch, to, 1)
}

pub fn forward_run(epoch: u64, to: SocketAddr, run: u8) -> Route {
    let master = RedisAddr::new(to.ip(), to.port());
    Route::Forward { epoch: Epoch(epoch), master, run_id: Id([run; 20]) }
}

/// The route of [`forward`] while a planned change is under way.
pub fn held(epoch: u64, to: SocketAddr) -> Route {
    held_run(epoch, to, 1)
}

pub fn held_run(epoch: u64, to: SocketAddr, run: u8) -> Route {
    let master = RedisAddr::new(to.ip(), to.port());
    Route::Held { epoch: Epoch(epoch), master, run_id: Id([run; 20]) }
}

/// A server that sends everything back, and what it is told to on top.
pub struct Pusher {
    pub server: Server,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Pusher {
    pub fn start() -> Pusher {
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let list = streams.clone();
        let server = Server::start(move |stream| {
            list.lock().unwrap().push(stream.try_clone().unwrap());
            echo(stream);
        });
        Pusher { server, streams }
    }

    /// Sends these bytes on every connection.
    pub fn push(&self, bytes: &[u8]) {
        for mut stream in self.streams.lock().unwrap().iter() {
            stream.write_all(bytes).unwrap();
        }
    }
}

/// How many clients there is room for, with so many descriptors each, beside what other tests have
/// open.
pub fn crowd(descriptors: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    (soft.unwrap_or(1024_usize).saturating_sub(400) / descriptors).clamp(50, 2_000)
}

/// Raises the flag when it goes, also in a failure: the threads of the test end then.
pub struct Raise<'a>(pub &'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Nothing is there to be read for a while.
pub fn expect_silence(stream: &TcpStream, what: &str) {
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let early = (&*stream).read(&mut [0; 16]).map_err(|error| error.kind());
    assert_eq!(early, Err(io::ErrorKind::WouldBlock), "{what}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// A server with a thread for each connection, which ends with this value.
pub struct Server {
    pub addr: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Server {
        Server::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind"), serve)
    }

    pub fn on(listener: TcpListener, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Server {
        let addr = listener.local_addr().unwrap();
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (ending, counted) = (stop.clone(), accepted.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                limit(&stream);
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Server { addr, accepted, stop, thread: Some(thread) }
    }

    /// Sends everything back, and the end of file after it.
    pub fn echo() -> Server {
        Server::start(echo)
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// The sequence of bytes that belongs to `seed`; any piece of it can be checked.
#[derive(Clone)]
pub struct Pattern(u64);

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        Pattern(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
    }

    /// Writes so many bytes of the sequence.
    pub fn write(&mut self, mut to: &TcpStream, mut bytes: usize) -> io::Result<()> {
        let mut chunk = vec![0; 100_000];
        while bytes > 0 {
            let size = bytes.min(chunk.len());
            self.fill(&mut chunk[..size]);
            to.write_all(&chunk[..size])?;
            bytes -= size;
        }
        Ok(())
    }

    /// Reads so many bytes and checks every one.
    pub fn check(&mut self, mut from: &TcpStream, mut bytes: usize) {
        let (mut chunk, mut expected) = (vec![0; 100_000], vec![0; 100_000]);
        while bytes > 0 {
            let room = bytes.min(chunk.len());
            let size = from.read(&mut chunk[..room]).expect("read");
            assert!(size > 0, "the stream ends {bytes} bytes early");
            self.fill(&mut expected[..size]);
            assert!(chunk[..size] == expected[..size], "wrong bytes");
            bytes -= size;
        }
    }
}

/// Sends a line and reads it back.
pub fn ping(mut stream: &TcpStream) {
    stream.write_all(b"ping\r\n").expect("write");
    expect(stream, b"ping\r\n");
}

pub fn expect(mut stream: &TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).expect("read");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes));
}

pub fn expect_end(mut stream: &TcpStream) {
    assert_eq!(stream.read(&mut [0; 16]).expect("an end, not an error"), 0);
}

/// The connection must have been reset.
pub fn expect_reset(mut stream: &TcpStream) {
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Everything until the end of file.
pub fn read_all(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text and an end");
    text
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}
