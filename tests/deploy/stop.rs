//! The scripts that let the hive go before its Redis.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::support::servers::eventually;
use super::tools::root;

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(
            command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().expect("it can be asked").is_some()
    }

    fn terminate(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    eventually(what, || done().then_some(()));
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}

/// Both tables are read: one port listens on IPv4, one on IPv6 where there is one.
#[test]
fn the_pre_stop_waits_until_no_port_of_the_hive_listens() {
    let script = root().join("deploy/kubernetes/components/old-clusters/wait-for-hive.sh");
    let peer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let http =
        TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
    let ports = format!("{} {}", port_of(&peer), port_of(&http));
    let mut waiting = Running::start(Command::new("sh").arg(&script).env("WATCHED_PORTS", ports));
    let round = Duration::from_millis(500);
    for listener in [peer, http] {
        let looked_until = Instant::now() + round;
        while Instant::now() < looked_until {
            assert!(!waiting.ended(), "port {} listens", port_of(&listener));
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(listener);
    }
    until("it returns", || waiting.ended());
}

#[test]
fn the_pre_stop_returns_at_once_where_no_hive_is() {
    let script = root().join("deploy/kubernetes/components/old-clusters/wait-for-hive.sh");
    let free = port_of(&TcpListener::bind("127.0.0.1:0").expect("a port"));
    let mut waiting =
        Running::start(Command::new("sh").arg(&script).env("WATCHED_PORTS", free.to_string()));
    until("it returns", || waiting.ended());
}

/// A node of one container with two programs that write down what happens to them.
struct Node {
    dir: PathBuf,
    running: Running,
}

impl Node {
    fn start(name: &str) -> Node {
        let dir = std::env::temp_dir().join(format!("redis-hive-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let program = |name: &str, end: &str| {
            let script = format!(
                "#!/bin/sh\ntrap 'echo {name} told >>events; {end}; echo {name} ends >>events; exit 7' TERM\n\
                 echo {name} $$ >>events\nwhile :; do sleep 0.05; done\n"
            );
            std::fs::write(dir.join(name), script).expect("a script");
        };
        program("redis", ":");
        // It lives on for longer than the script looks away.
        program("hive", "sleep 1.5");
        let mode = Command::new("chmod").arg("+x").arg(dir.join("hive")).status();
        assert!(mode.expect("chmod runs").success());
        let running = Running::start(
            Command::new("sh")
                .arg(root().join("deploy/compose/start-node.sh"))
                .current_dir(&dir)
                .env("START_REDIS", dir.join("redis"))
                .env("HIVE", dir.join("hive")),
        );
        let node = Node { dir, running };
        until("both run", || node.pid("redis").is_some() && node.pid("hive").is_some());
        node
    }

    fn events(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Its first line is its name and number.
    fn pid(&self, name: &str) -> Option<String> {
        let events = self.events();
        let mut own = events.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        own.find(|word| word.parse::<u32>().is_ok()).map(str::to_owned)
    }

    fn told_and_ended(&self) -> Vec<String> {
        let numbers = |line: &String| line.chars().any(|c| c.is_ascii_digit());
        self.events().into_iter().filter(|line| !numbers(line)).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).expect("it is there");
    }
}

#[test]
fn a_node_in_one_container_stops_its_hive_first() {
    let mut node = Node::start("told");
    node.running.terminate();
    until("it ends", || node.running.ended());
    assert_eq!(node.told_and_ended(), ["hive told", "hive ends", "redis told", "redis ends"]);
    let code = node.running.0.wait().expect("it ended").code();
    assert_eq!(code, Some(7), "that of the hive");
}

#[test]
fn a_node_in_one_container_ends_with_either_program() {
    for (dies, other) in [("redis", "hive"), ("hive", "redis")] {
        let mut node = Node::start(&format!("{dies}-dies"));
        let pid = node.pid(dies).expect("it runs");
        assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs").success());
        until("it ends", || node.running.ended());
        assert_eq!(node.told_and_ended(), [format!("{other} told"), format!("{other} ends")]);
    }
}
