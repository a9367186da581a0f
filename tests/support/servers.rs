//! Starts and stops real Redis and Valkey servers, each on a loopback address of its own, so that an
//! address that refuses stays that way and no test can meet another one's server.

// Every test binary uses its own part of this.
#![allow(dead_code, unused_imports, unused_macros)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The flags every Redis of a hive is started with.
pub use redis_hive::cli::dev::launch::BOOT_FENCE as BOOT_FLAGS;
use redis_hive::election::{Passport, RedisAddr};
use redis_hive::redis::Info;

/// The port of every test server.
pub const PORT: u16 = 6379;
/// The longest that any step of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// [`BOOT_FLAGS`] without `--replica-serve-stale-data no` on 6.2, where it costs replicas of a fenced
/// server their backlog.
pub fn boot_flags(binary: &Path) -> Vec<&'static str> {
    let mut flags = BOOT_FLAGS.to_vec();
    if binary.ends_with("redis-6.2") {
        flags.drain(3..5);
    }
    flags
}

/// The server binary of this name, or `None` after saying loudly that the test is skipped. Where
/// `CI` is `true`, a missing one fails the test.
pub fn binary(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    let dir = std::env::var_os("HIVE_SERVERS_DIR").map_or(target, PathBuf::from);
    let path = match name {
        "redis-system" => PathBuf::from("/usr/bin/redis-server"),
        _ => dir.join(name),
    };
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{name} is missing: run tests/servers");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// Makes one test of each of these functions for each server; they take the path of its binary. This
/// module has to be in scope.
macro_rules! on_every_server {
    ($($claim:ident),* $(,)?) => {
        on_every_server!(@server redis_6_2, "redis-6.2", $($claim),*);
        on_every_server!(@server redis_system, "redis-system", $($claim),*);
        on_every_server!(@server redis_8_2, "redis-8.2", $($claim),*);
        on_every_server!(@server valkey_9_1, "valkey-9.1", $($claim),*);
    };
    (@server $module:ident, $name:literal, $($claim:ident),*) => {
        mod $module {
            $(
                #[test]
                fn $claim() {
                    if let Some(binary) = super::servers::binary($name) {
                        super::$claim(&binary);
                    }
                }
            )*
        }
    };
}
pub(crate) use on_every_server;

/// A running server. Killed, and its folder removed, when dropped.
pub struct Server {
    binary: PathBuf,
    child: Child,
    dir: PathBuf,
    flags: Vec<String>,
    password: Option<String>,
    /// Tests ask one that speaks TLS over this, without it.
    socket: Option<PathBuf>,
    /// Where it listens.
    pub addr: RedisAddr,
}

/// A loopback address that no other server of this machine's tests has.
pub fn unused_address() -> RedisAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let [second, third] = [1 + process % 250, process / 250 % 256].map(|part| part as u8);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < 255, "one test binary has 254 addresses");
        let ip = Ipv4Addr::new(127, second, third, number as u8);
        if TcpListener::bind((ip, PORT)).is_ok() {
            return RedisAddr::new(ip.into(), PORT);
        }
    }
}

impl Server {
    /// Starts a server as every Redis of a hive is started: fenced.
    pub fn fenced(binary: &Path) -> Server {
        Server::start(binary, &boot_flags(binary))
    }

    /// Starts a fenced server and promotes it.
    pub fn master(binary: &Path) -> Server {
        let server = Server::fenced(binary);
        server.ask(&["REPLICAOF", "NO", "ONE"]);
        server
    }

    /// Starts a server with these flags and waits until it answers.
    pub fn start(binary: &Path, flags: &[&str]) -> Server {
        Server::start_with_password(binary, flags, None)
    }

    /// The same, for flags that demand this password of the default user.
    pub fn start_with_password(binary: &Path, flags: &[&str], password: Option<&str>) -> Server {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Server::launch(binary, unused_address(), flags, password.map(str::to_owned), false)
    }

    /// Starts a fenced server that speaks nothing but TLS, which these flags say.
    pub fn with_tls(binary: &Path, flags: &[String]) -> Server {
        let fence = boot_flags(binary).into_iter().map(str::to_owned);
        let all = fence.chain(flags.iter().cloned()).collect();
        Server::launch(binary, unused_address(), all, None, true)
    }

    fn launch(
        binary: &Path,
        addr: RedisAddr,
        mut flags: Vec<String>,
        password: Option<String>,
        tls: bool,
    ) -> Server {
        let dir = std::env::temp_dir().join(format!("redis-hive-test-{}", addr.ip));
        std::fs::create_dir_all(&dir).expect("a folder for the server");
        let socket = tls.then(|| dir.join("socket"));
        if let Some(socket) = &socket {
            flags.extend(["--unixsocket".to_owned(), socket.to_string_lossy().into_owned()]);
        }
        let child = spawn(binary, addr, &dir, &flags);
        let binary = binary.to_owned();
        let server = Server { binary, child, dir, flags, password, socket, addr };
        server.await_answer();
        server
    }

    /// Kills the server and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server is ours to kill");
        self.child.wait().expect("it ended");
    }

    /// Starts it anew, on the same address, with the same flags and without what was on its disk.
    pub fn revive(&mut self) {
        for entry in std::fs::read_dir(&self.dir).expect("its folder").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "rdb") {
                std::fs::remove_file(entry.path()).expect("a file of the server");
            }
        }
        self.child = spawn(&self.binary, self.addr, &self.dir, &self.flags);
        self.await_answer();
    }

    /// Stops the process, as SIGSTOP does, and waits until it stands.
    pub fn freeze(&self) {
        self.freezer().freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }

    /// What can stop this process from another thread.
    pub fn freezer(&self) -> Freezer {
        Freezer(self.child.id())
    }

    /// Opens a connection of its own.
    pub fn client(&self) -> redis::Connection {
        let client = self.way();
        let connection = eventually("the server takes a connection", || {
            client.get_connection_with_timeout(Duration::from_secs(5)).ok()
        });
        connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        connection
    }

    /// Sends one command that must succeed.
    pub fn ask(&self, words: &[&str]) -> redis::Value {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends one command.
    pub fn try_ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        send(&mut self.client(), words)
    }

    /// The word an error begins with.
    pub fn refusal(&self, words: &[&str]) -> String {
        let error = self.try_ask(words).expect_err("it is refused");
        error.code().unwrap_or_default().to_owned()
    }

    /// The text of `INFO`.
    pub fn info(&self) -> String {
        match self.ask(&["INFO"]) {
            redis::Value::BulkString(bytes) => String::from_utf8(bytes).expect("text"),
            other => panic!("INFO answered {other:?}"),
        }
    }

    /// One field of `INFO`; empty if it is not there.
    pub fn field(&self, name: &str) -> String {
        let info = self.info();
        let found = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        found.unwrap_or_default().trim_end().to_owned()
    }

    /// One field of a section of `INFO`; empty if it is not there.
    pub fn info_of(&self, section: &str, name: &str) -> String {
        let info = self.ask(&["INFO", section]);
        let redis::Value::BulkString(bytes) = info else { panic!("INFO answered {info:?}") };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        found.unwrap_or_default().trim_end().to_owned()
    }

    /// The passport.
    pub fn passport(&self) -> Passport {
        Info::parse(&self.info()).expect("INFO of a real server is readable").passport
    }

    /// Points it at a master and waits until the link is up.
    pub fn follow(&self, master: &Server) {
        let (ip, port) = (master.addr.ip.to_string(), master.addr.port.to_string());
        self.ask(&["REPLICAOF", &ip, &port]);
        eventually("the link is up", || self.passport().link_up.then_some(()));
    }

    /// Waits until it has all that `master` has.
    pub fn await_copy_of(&self, master: &Server) {
        eventually("the copy is whole", || {
            (self.passport().offset == master.passport().offset).then_some(())
        });
    }

    /// How tests reach it.
    fn way(&self) -> redis::Client {
        let auth = self.password.as_ref().map_or(String::new(), |it| format!(":{it}@"));
        let url = match &self.socket {
            Some(socket) => format!("redis+unix://{}", socket.display()),
            None => format!("redis://{auth}{}/", self.addr),
        };
        redis::Client::open(url).expect("a valid address")
    }

    fn await_answer(&self) {
        let start = Instant::now();
        loop {
            if let Ok(mut connection) = self.way().get_connection_with_timeout(PATIENCE)
                && send(&mut connection, &["INFO"]).is_ok()
            {
                return;
            }
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "the server does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Gives the master a hundred more keys, which the replica will load for a second or two.
pub fn make_a_copy_slow(master: &Server, replica: &Server) {
    // A server that loads answers once every 2 MiB of the file.
    master.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    let big = "x".repeat(200_000);
    let mut client = master.client();
    for key in 0..100 {
        send(&mut client, &["SET", &format!("big{key}"), &big]).expect("a master takes it");
    }
    // Microseconds a key.
    replica.ask(&["CONFIG", "SET", "key-load-delay", "10000"]);
}

/// Stops one server.
pub struct Freezer(u32);

impl Freezer {
    /// As [`Server::freeze`]. Must not be used after that server was dropped.
    pub fn freeze(&self) {
        signal(self.0, "STOP");
        let stat = format!("/proc/{}/stat", self.0);
        eventually("the server is stopped", || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')).then_some(())
        });
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

fn spawn(binary: &Path, addr: RedisAddr, dir: &Path, flags: &[String]) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    let mut command = Command::new(binary);
    command
        .args(["--bind", &addr.ip.to_string(), "--port", &addr.port.to_string()])
        .args(["--protected-mode", "no", "--dir"])
        .arg(dir)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null());
    command.spawn().expect("the server starts")
}

/// Sends one command on this connection.
pub fn send(
    connection: &mut redis::Connection,
    words: &[&str],
) -> redis::RedisResult<redis::Value> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(connection)
}

/// Waits, within [`PATIENCE`], until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
