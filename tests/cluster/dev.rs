//! `redis-hive dev` and what it is built on: nothing survives it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{Auth, Part};
use rustix::process::{Pid, Signal, kill_process};

use super::clients::connect;
use super::harness::{Hive, SOON, exe, redis_server, wait_until};

/// A running `redis-hive dev` without a terminal, in a directory for temporary files of its own.
struct Dev {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    port: u16,
    tmp: PathBuf,
}

impl Dev {
    fn start(nodes: u8) -> Self {
        let port = free_pair();
        let tmp = std::env::temp_dir().join(format!("hive-dev-test-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&tmp).expect("directory");
        let mut child = Command::new(exe())
            .args(["dev", "--nodes", &nodes.to_string(), "--base-port", &port.to_string()])
            .env("TMPDIR", &tmp)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let (send, lines) = mpsc::channel();
        let out = child.stdout.take().expect("stdout");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: Vec::new(), port, tmp }
    }

    /// Reads on until a line contains all of this.
    #[track_caller]
    fn expect(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                Err(e) => {
                    let _ = self.child.kill();
                    let mut errors = String::new();
                    let stderr =
                        self.child.stderr.take().map(|mut s| s.read_to_string(&mut errors));
                    panic!("no line with {words:?} ({e}): {:#?} {errors} {stderr:?}", self.said)
                }
            }
        }
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin");
        writeln!(stdin, "{line}").expect("write");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal");
    }

    /// The processes that this `dev` has started and that live.
    fn children(&self) -> Vec<u32> {
        let all = std::fs::read_dir("/proc").expect("/proc").flatten();
        let ids = all.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| parent(*id) == Some(self.child.id())).collect()
    }

    #[track_caller]
    fn wait(&mut self) -> Option<i32> {
        wait_until("dev ends", Duration::from_secs(5), || {
            self.child.try_wait().expect("wait").map(|status| status.code())
        })
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.tmp);
    }
}

/// Two neighbouring ports that nobody has.
fn free_pair() -> u16 {
    let pair = || {
        let first = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", first.checked_add(1)?)).ok()?;
        Some(first)
    };
    wait_until("two free ports", SOON, pair)
}

/// The parent of a living process; `None` if it has ended.
fn parent(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name in parentheses, which may hold anything: state, parent.
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    if rest.next()? == "Z" { None } else { rest.next()?.parse().ok() }
}

#[track_caller]
fn assert_gone(ids: &[u32]) {
    wait_until(&format!("{ids:?} are gone"), Duration::from_secs(5), || {
        ids.iter().all(|id| parent(*id).is_none()).then_some(())
    });
}

fn empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("directory").next().is_none()
}

/// From the endpoints to a failover, as somebody tries it by hand; then Ctrl-C.
#[test]
fn dev_serves_survives_a_kill_and_leaves_nothing_behind() {
    if redis_server().is_none() {
        return;
    }
    let mut dev = Dev::start(3);
    dev.expect(&["write endpoint", &format!("127.0.0.1:{}", dev.port)]);
    dev.expect(&["read endpoint", &format!("127.0.0.1:{}", dev.port + 1)]);
    let write = std::net::SocketAddr::from(([127, 0, 0, 1], dev.port));
    let read = std::net::SocketAddr::from(([127, 0, 0, 1], dev.port + 1));
    let put = |key: &str| {
        let mut connection = connect(write, &Auth::None).ok()?;
        redis::cmd("SET").arg(key).arg("value").exec(&mut connection).ok()
    };
    wait_until("a write", SOON, || put("one"));
    wait_until("a read", SOON, || {
        let mut connection = connect(read, &Auth::None).ok()?;
        let value: Option<String> = redis::cmd("GET").arg("one").query(&mut connection).ok()?;
        (value.as_deref() == Some("value")).then_some(())
    });
    let line = dev.expect(&["hive leader"]);
    let leader = line.split_whitespace().nth(1).expect("a number").to_owned();
    wait_until("three copies", SOON, || {
        let mut connection = connect(write, &Auth::None).ok()?;
        let have: u8 = redis::cmd("WAIT").arg(2).arg(100).query(&mut connection).ok()?;
        (have == 2).then_some(())
    });

    dev.tell(&format!("kill {leader}"));
    dev.expect(&["killed node", &leader]);
    wait_until("a write after the kill", SOON, || put("two"));
    dev.expect(&["hive leader"]);
    wait_until("the first key is still there", SOON, || {
        let mut connection = connect(write, &Auth::None).ok()?;
        let value: Option<String> = redis::cmd("GET").arg("one").query(&mut connection).ok()?;
        (value.as_deref() == Some("value")).then_some(())
    });
    dev.tell(&format!("revive {leader}"));
    dev.expect(&[&format!("node {leader} "), "hive follower", "redis replica,"]);

    let children = dev.children();
    assert_eq!(children.len(), 6);
    dev.signal(Signal::INT);
    assert_eq!(dev.wait(), Some(0));
    assert_gone(&children);
    assert!(empty(&dev.tmp), "files are left in {}", dev.tmp.display());
}

/// SIGKILL gives nobody a chance to clean up: the kernel must end the children.
#[test]
fn no_process_survives_a_killed_dev() {
    if redis_server().is_none() {
        return;
    }
    let mut dev = Dev::start(2);
    dev.expect(&["node 2"]);
    let four = || Some(dev.children()).filter(|ids| ids.len() == 4);
    let children = wait_until("four processes", SOON, four);
    dev.signal(Signal::KILL);
    dev.wait();
    assert_gone(&children);
}

#[test]
fn dev_ends_with_quit_and_with_sigterm() {
    if redis_server().is_none() {
        return;
    }
    let mut told = Dev::start(1);
    told.expect(&["node 1"]);
    told.tell("fly 1");
    told.expect(&["commands:"]);
    told.tell("kill 7");
    told.expect(&["no node 7"]);
    let children = told.children();
    told.tell("quit");
    assert_eq!(told.wait(), Some(0));
    assert_gone(&children);
    assert!(empty(&told.tmp));

    let mut ended = Dev::start(1);
    ended.expect(&["node 1"]);
    let children = ended.children();
    assert_eq!(children.len(), 2);
    ended.signal(Signal::TERM);
    assert_eq!(ended.wait(), Some(0));
    assert_gone(&children);
    assert!(empty(&ended.tmp));
}

#[test]
fn dev_says_what_it_lacks() {
    let run = |args: &[&str], path: &str| {
        let out = Command::new(exe()).args(args).env("PATH", path).output().expect("run");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, said) = run(&["dev"], "/nonexistent");
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("redis-server") && said.contains("apt-get install"), "{said}");
    for nodes in ["0", "10", "-1", "many"] {
        let (code, said) = run(&["dev", &format!("--nodes={nodes}")], "/nonexistent");
        assert!(code.is_some_and(|c| c != 0) && said.contains("--nodes"), "{code:?} {said}");
    }
    if let Some(server) = redis_server() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = taken.local_addr().expect("addr").port().to_string();
        let path = server.parent().expect("directory").display().to_string();
        if server.file_name().is_some_and(|n| n == "redis-server" || n == "valkey-server") {
            let (code, said) = run(&["dev", "--base-port", &port], &path);
            assert_eq!(code, Some(69), "{said}");
            assert!(said.contains(&port) && said.contains("--base-port"), "{said}");
        }
    }
}

/// What tests rely on: a node's parts end, hang and return as they are told.
#[test]
fn nodes_do_as_they_are_told() {
    let Some(mut hive) = Hive::empty(|_| {}) else { return };
    hive.start(1).expect("start");
    assert!(hive.start(1).is_err(), "twice at one address");
    // Not PING: behind the boot fence nearly everything is refused, INFO is not.
    let ping = |hive: &Hive| hive.info(1, "run_id");
    wait_until("Redis answers", SOON, || ping(&hive));
    assert_eq!(hive.info(1, "role").as_deref(), Some("slave"), "the boot fence");
    let first = ping(&hive);
    let pids = hive.node(1).expect("node").pids();
    assert_eq!(pids.len(), 2);
    hive.kill(1, Part::Redis).expect("kill");
    assert!(!hive.node(1).expect("node").alive(Part::Redis));
    assert!(hive.node(1).expect("node").alive(Part::Hive));
    assert!(ping(&hive).is_none());
    hive.revive(1, Part::Redis).expect("revive");
    wait_until("Redis answers again", SOON, || ping(&hive));
    assert_ne!(ping(&hive), first);
    hive.freeze(1, Part::Redis).expect("freeze");
    assert!(hive.node(1).expect("node").frozen(Part::Both));
    hive.thaw(1, Part::Redis).expect("thaw");
    wait_until("Redis woke", SOON, || ping(&hive));
    assert!(hive.stop(1, Part::Redis, SOON).expect("stop"), "Redis stays after SIGTERM");
    let (dir, ip) = (hive.dir().to_owned(), hive.ip(1));
    assert_eq!(hive.dns().listed(), [std::net::IpAddr::V4(ip)]);
    hive.remove(1).expect("remove");
    assert!(hive.dns().listed().is_empty() && hive.node(1).is_err());
    drop(hive);
    assert!(!dir.exists());
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
}
