//! Settings that cannot be and servers that are not what they should be: one clear line each, no
//! crash, no hang, and service for others goes on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{LocalHive, PROXY_PORT, Part, REDIS_PORT, sidecar_args};
use redis_hive::cli::dev::process::Process;

use super::clients::{Writer, missing};
use super::harness::{Hive, SOON, exe, http_code, wait_until};

/// Runs the binary to its end: the exit code and all it said.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(exe())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut said).expect("read");
    child.stderr.take().expect("stderr").read_to_string(&mut said).expect("read");
    (status.code(), said)
}

#[test]
fn an_unknown_flag() {
    let (code, said) = run(&["run", "--service", "x.", "--no-such-flag"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--no-such-flag"), "{said}");
}

/// All errors at once, each naming its flag.
#[test]
fn impossible_timings() {
    let args = ["--heartbeat", "2s", "--peer-timeout", "1s", "--proxy-port", "6391"];
    let (code, said) =
        run(&[&["run", "--service", "x.", "--advertise", "127.0.0.1"][..], &args].concat());
    assert_eq!(code, Some(64), "{said}");
    for word in ["--heartbeat", "--peer-timeout", "--proxy-port", "--http-port"] {
        assert!(said.contains(word), "{word} is not named: {said}");
    }
}

#[test]
fn a_port_that_is_taken() {
    let Some(mut hive) = Hive::of(1) else { return };
    let ip = hive.ip(2);
    let _taken = TcpListener::bind((ip, PROXY_PORT)).expect("take the port");
    let args = sidecar_args(ip, hive.dns().addr());
    let args: Vec<&str> = args.iter().map(|a| a.to_str().expect("text")).collect();
    let (code, said) = run(&args);
    assert!(code.is_some_and(|c| c != 0), "{code:?}");
    assert!(said.contains(&PROXY_PORT.to_string()), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    hive.settle();
}

/// A sidecar that has nobody: it lives, says why it does not serve, and is not ready.
#[test]
fn a_service_name_that_never_resolves() {
    let Some(hive) = Hive::empty(|_| {}) else { return };
    let ip = hive.ip(1);
    let mut args = sidecar_args(ip, hive.dns().addr());
    args.extend(["--service", "nowhere.example."].map(Into::into));
    // The last of two names counts as well as the first: neither has an address.
    let log = hive.dir().join("lonely.log");
    let mut lonely = Process::start(&exe(), &exe(), args, log.clone()).expect("start");
    wait_until("it names the name", SOON, || said(&log).contains("nowhere.example").then_some(()));
    assert_eq!(http_code(ip, "/livez"), 200);
    assert_ne!(http_code(ip, "/readyz"), 200);
    assert_quiet(&log, "nowhere.example");
    assert!(lonely.ended().is_none(), "{}", said(&log));
}

#[test]
fn a_redis_that_is_not_there() {
    beside_a_bad_redis("6379", |_, _| Bad::Nothing);
}

#[test]
fn a_redis_that_is_another_program() {
    beside_a_bad_redis("6379", |_, ip| {
        Bad::Fake(Fake::start(ip, |_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()))
    });
}

#[test]
fn a_redis_that_demands_another_password() {
    beside_a_bad_redis("credentials", |hive, ip| {
        Bad::Server(server(hive, ip, &["--requirepass", "unknown"]))
    });
}

#[test]
fn a_redis_that_is_a_cluster_node() {
    beside_a_bad_redis("luster", |hive, ip| {
        Bad::Server(server(hive, ip, &["--cluster-enabled", "yes"]))
    });
}

#[test]
fn a_redis_that_is_too_old() {
    beside_a_bad_redis("6.2", |_, ip| Bad::Fake(Fake::start(ip, old_redis)));
}

/// What stands where Redis should.
enum Bad {
    Nothing,
    #[expect(dead_code, reason = "lives as long as the test")]
    Server(Process),
    #[expect(dead_code, reason = "lives as long as the test")]
    Fake(Fake),
}

/// Starts a hive of three, then a fourth sidecar beside something bad. It must name `word` in its
/// log, once and not for ever, live, be unready, and disturb nobody.
#[track_caller]
fn beside_a_bad_redis(word: &str, bad: impl FnOnce(&LocalHive, Ipv4Addr) -> Bad) {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let writer = Writer::start(&hive, "meanwhile", &[hive.proxy(1)]);
    let ip = hive.ip(4);
    let _bad = bad(&hive, ip);
    hive.dns().list(ip);
    let log = hive.dir().join("bad.log");
    let args = sidecar_args(ip, hive.dns().addr());
    let mut sidecar = Process::start(&exe(), &exe(), args, log.clone()).expect("start");
    wait_until(&format!("{word} in its log"), SOON, || {
        let complains = |l: &str| l.contains("WARN") || l.contains("ERROR");
        let said = said(&log);
        said.lines().any(|l| complains(l) && l.contains(word)).then_some(())
    });
    assert_quiet(&log, word);
    assert_eq!(http_code(ip, "/livez"), 200, "{}", said(&log));
    assert_ne!(http_code(ip, "/readyz/read"), 200, "{}", said(&log));
    assert!(sidecar.ended().is_none(), "{}", said(&log));
    // It still takes clients for the others.
    let through = std::net::SocketAddr::from((ip, PROXY_PORT));
    wait_until("its proxy reaches the master", SOON, || {
        super::clients::put(&hive, through, "through:4", "yes").ok()
    });
    assert_eq!(hive.agreed(&[1, 2, 3]), Some(before));
    let written = writer.stop();
    assert_eq!(written.errors, 0, "{:?}", written.first_error);
    assert_eq!(missing(&hive, hive.proxy(2), &written.acked), [""; 0]);
    // And a failover does not care.
    hive.kill(before.leader, Part::Both).expect("kill");
    let after = hive.settle();
    assert_ne!(after.master, before.master);
}

/// Says it at most once a second or so, not in a loop.
#[track_caller]
fn assert_quiet(log: &PathBuf, word: &str) {
    let count = || said(log).lines().filter(|l| l.contains(word)).count();
    let before = count();
    std::thread::sleep(Duration::from_secs(3));
    let more = count() - before;
    assert!(more <= 4, "{more} lines in 3 s:\n{}", said(log));
}

fn said(log: &PathBuf) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// A real server without the boot fence.
fn server(hive: &LocalHive, ip: Ipv4Addr, args: &[&str]) -> Process {
    let dir = hive.dir().join("bad-redis");
    std::fs::create_dir_all(&dir).expect("dir");
    let (ip, dir) = (ip.to_string(), dir.to_string_lossy().into_owned());
    let port = REDIS_PORT.to_string();
    let base =
        ["--bind", &ip, "--port", &port, "--dir", &dir, "--save", "", "--protected-mode", "no"];
    let all: Vec<&str> = base.iter().chain(args).copied().collect();
    let log = hive.dir().join("bad-redis.log");
    Process::start(&exe(), &hive.options().redis_server, all, log).expect("start")
}

/// A server that answers every line with what a function says; its threads end with the test
/// process at the latest, its port with the value.
struct Fake {
    addr: std::net::SocketAddr,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Fake {
    fn start(ip: Ipv4Addr, answer: fn(&[String]) -> Vec<u8>) -> Self {
        let listener = TcpListener::bind((ip, REDIS_PORT)).expect("bind");
        let addr = listener.local_addr().expect("addr");
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || {
                    let _ = converse(&stream, answer);
                });
            }
        });
        Self { addr, stop }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

/// Reads commands as arrays of bulk strings, or as plain lines, and answers each.
fn converse(stream: &TcpStream, answer: fn(&[String]) -> Vec<u8>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut next = |line: &mut String| {
        line.clear();
        reader.read_line(line).map(|len| len > 0)
    };
    while next(&mut line)? {
        let mut words = Vec::new();
        match line.trim().strip_prefix('*').and_then(|n| n.parse::<usize>().ok()) {
            Some(count) => {
                for _ in 0..count {
                    next(&mut line)?;
                    next(&mut line)?;
                    words.push(line.trim_end().to_owned());
                }
            }
            None => words.extend(line.split_whitespace().map(String::from)),
        }
        let mut out = stream;
        out.write_all(&answer(&words))?;
    }
    Ok(())
}

/// As much of a Redis 6.0 as it takes to be recognised.
fn old_redis(words: &[String]) -> Vec<u8> {
    let first = words.first().map(|w| w.to_ascii_uppercase()).unwrap_or_default();
    match first.as_str() {
        "INFO" => {
            let info = "# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n\
                        run_id:0123456789abcdef0123456789abcdef01234567\r\n# Persistence\r\n\
                        loading:0\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\
                        master_replid:89abcdef0123456789abcdef0123456789abcdef\r\n\
                        master_replid2:0000000000000000000000000000000000000000\r\n\
                        master_repl_offset:0\r\nsecond_repl_offset:-1\r\n\
                        repl_backlog_active:0\r\n# Memory\r\nused_memory_dataset:1000\r\n";
            format!("${}\r\n{info}\r\n", info.len()).into_bytes()
        }
        "PING" => b"+PONG\r\n".to_vec(),
        "CONFIG" => b"*0\r\n".to_vec(),
        "HELLO" => b"-ERR unknown command `HELLO`\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}
