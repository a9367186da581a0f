//! The names of all fields, beside those of a real Sentinel.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redis::Value;
use redis_hive::cli::dev::nodes::find_redis_server;

use super::talk::{Port, eventually, healthy, without_master};

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A master, its replica, and two Sentinels, in a folder of their own.
struct Real {
    _servers: Vec<Server>,
    ports: [u16; 4],
    dir: PathBuf,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Real {
    /// `None`, said loudly, where there is no server.
    fn start() -> Option<Real> {
        let binary = match find_redis_server() {
            Ok(binary) => binary,
            Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{why}"),
            Err(why) => {
                eprintln!("SKIPPED, NOTHING WAS COMPARED: {why}");
                return None;
            }
        };
        let ports = free_ports();
        let [master, replica, ..] = ports;
        let name = format!("redis-hive-sentinel-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a folder");
        let mut servers = vec![
            server(&binary, &dir, &format!("port {master}\n"), &[]),
            server(&binary, &dir, &format!("port {replica}\nreplicaof 127.0.0.1 {master}\n"), &[]),
        ];
        // A Sentinel that asks the master before the replica is there asks again after 10 s.
        eventually("the replica has its copy", || {
            let replication = ask(master, &["INFO", "replication"]);
            let text: String = redis::from_redis_value(replication).unwrap_or_default();
            text.contains("state=online")
        });
        for port in &ports[2..] {
            let config = format!(
                "port {port}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
                 sentinel down-after-milliseconds mymaster 1000\n"
            );
            servers.push(server(&binary, &dir, &config, &["--sentinel"]));
        }
        Some(Real { _servers: servers, ports, dir })
    }

    fn ask(&self, words: &[&str]) -> Value {
        ask(self.ports[2], words)
    }
}

fn server(binary: &Path, dir: &Path, config: &str, flags: &[&str]) -> Server {
    // The port is in its first line.
    let file = dir.join(config.lines().next().expect("a line").replace(' ', "-") + ".conf");
    let config = format!("{config}bind 127.0.0.1\nsave \"\"\ndir {}\n", dir.display());
    let config = if flags.is_empty() { config } else { config.replace("save \"\"\n", "") };
    fs::write(&file, config).expect("a configuration");
    let mut command = Command::new(binary);
    let null = || Stdio::null();
    command.arg(&file).args(flags).stdin(null()).stdout(null()).stderr(null());
    Server(command.spawn().expect("a server"))
}

fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn ask(port: u16, words: &[&str]) -> Value {
    let answer = || -> redis::RedisResult<Value> {
        let client = redis::Client::open(("127.0.0.1", port))?;
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut client.get_connection()?)
    };
    answer().unwrap_or(Value::Nil)
}

/// The names in a flat list of names and values.
fn names(fields: &Value) -> Vec<String> {
    let text = |value: &Value| redis::from_redis_value_ref::<String>(value).unwrap_or_default();
    match fields {
        Value::Array(all) => all.iter().step_by(2).map(text).collect(),
        Value::Map(all) => all.iter().map(|(name, _)| text(name)).collect(),
        _ => Vec::new(),
    }
}

/// The value of a name in such a list.
fn value(fields: &Value, name: &str) -> Option<String> {
    let Value::Array(all) = fields else { return None };
    let at = names(fields).iter().position(|found| found == name)?;
    redis::from_redis_value_ref(&all[2 * at + 1]).ok()
}

fn first(list: Value) -> Value {
    match list {
        Value::Array(mut all) if !all.is_empty() => all.remove(0),
        _ => Value::Nil,
    }
}

/// The sections of `INFO`, each with the names of its lines.
fn info(port: u16) -> Vec<(String, Vec<String>)> {
    let text: String = redis::from_redis_value(ask(port, &["INFO"])).unwrap_or_default();
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix("# ") {
            sections.push((section.to_owned(), Vec::new()));
        } else if let (Some((name, _)), Some(last)) = (line.split_once(':'), sections.last_mut()) {
            last.1.push(name.to_owned());
        }
    }
    sections
}

#[test]
fn the_fields_are_those_of_a_real_sentinel() {
    let Some(real) = Real::start() else { return };
    let port = Port::start();
    port.sentinel.publish(healthy(1));
    let mine = port.sentinel.addr.port();
    eventually("the Sentinels know each other and the replica", || {
        let master = real.ask(&["SENTINEL", "MASTER", "mymaster"]);
        let count = |name| value(&master, name).is_some_and(|count| count == "1");
        let flags = |asked| value(&first(real.ask(&["SENTINEL", asked, "mymaster"])), "flags");
        count("num-slaves")
            && count("num-other-sentinels")
            && flags("REPLICAS").as_deref() == Some("slave")
            && flags("SENTINELS").as_deref() == Some("sentinel")
    });
    for asked in [
        &["SENTINEL", "MASTERS"][..],
        &["SENTINEL", "REPLICAS", "mymaster"],
        &["SENTINEL", "SLAVES", "mymaster"],
        &["SENTINEL", "SENTINELS", "mymaster"],
    ] {
        let (theirs, ours) = (first(real.ask(asked)), first(ask(mine, asked)));
        assert!(names(&theirs).len() > 10, "{asked:?}: {theirs:?}");
        assert_eq!(names(&ours), names(&theirs), "{asked:?}");
        assert_eq!(value(&ours, "flags"), value(&theirs, "flags"), "{asked:?}");
    }
    let hello = |port| names(&ask(port, &["HELLO"]));
    assert_eq!(hello(mine), hello(real.ports[2]));
    for asked in [&["ROLE"][..], &["SENTINEL", "CKQUORUM", "x"], &["SENTINEL", "MASTER", "x"]] {
        assert_eq!(ask(mine, asked), real.ask(asked), "{asked:?}");
    }
    same_info(mine, real.ports[2]);
    same_when_down(&real, &port);
}

/// Every line of ours is one of theirs but our version, and of `# Sentinel` all are there.
#[track_caller]
fn same_info(mine: u16, theirs: u16) {
    let (mine, theirs) = (info(mine), info(theirs));
    assert!(mine.len() >= 4, "{mine:?}");
    for (section, lines) in mine {
        let (_, known) = theirs.iter().find(|(name, _)| *name == section).expect("a section");
        if section == "Sentinel" {
            assert_eq!(lines, *known);
        }
        let strange = |line: &&String| !known.contains(line) && *line != "redis_hive_version";
        assert_eq!(lines.iter().find(strange), None, "{section}");
    }
}

/// A master that is down has more fields.
#[track_caller]
fn same_when_down(real: &Real, port: &Port) {
    // Both Sentinels would be needed for a failover.
    ask(real.ports[3], &["SHUTDOWN", "NOSAVE"]);
    ask(real.ports[0], &["SHUTDOWN", "NOSAVE"]);
    port.sentinel.publish(without_master());
    let asked = ["SENTINEL", "MASTER", "mymaster"];
    eventually("the real one is down", || value(&real.ask(&asked), "o-down-time").is_some());
    let (mut theirs, ours) =
        (names(&real.ask(&asked)), names(&ask(port.sentinel.addr.port(), &asked)));
    // While it tries a failover, which it cannot finish.
    theirs.retain(|name| name != "failover-state");
    assert_eq!(ours, theirs);
}
