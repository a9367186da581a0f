//! `deploy/compose/compose.yaml`, started, robbed of a node, upgraded, and ended by podman-compose.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::super::markdown::blocks;
use super::super::support::servers::{eventually, send};
use super::super::tools::{root, run, stdout, tool};
use super::clients::{Clients, connect, missing};
use super::engine::{self, Engine};
use super::images;
use super::site::Endpoints;

const REDIS: &str = "localhost/redis:compose";
const NEXT_REDIS: &str = "localhost/redis:next";
const HIVE: &str = "localhost/redis-hive:compose";

/// The nodes of a copy of the project's files, in their own network.
struct Compose<'a> {
    engine: &'a Engine,
    program: PathBuf,
    dir: PathBuf,
}

impl Compose<'_> {
    fn run<W: AsRef<OsStr>>(&self, redis: &str, words: &[W]) {
        let mut command = self.engine.command(&self.program);
        command.current_dir(&self.dir).env("REDIS_IMAGE", redis).env("HIVE_IMAGE", HIVE);
        stdout(command.args(words), b"");
    }

    /// Gives a node a new image, by the commands of the README.
    fn upgrade(&self, node: u16) {
        let readme = std::fs::read_to_string(self.dir.join("README.md")).expect("a README");
        let blocks = blocks(&readme);
        let block = blocks.iter().find(|block| block.text.contains("node=1")).expect("a block");
        let commands = block.text.lines().filter_map(|line| line.strip_prefix("docker compose "));
        // What it shows at the end is asked for by `status`.
        for command in commands.filter(|command| !command.starts_with("exec")) {
            let command = command.replace('"', "").replace("$node", &node.to_string());
            self.run(NEXT_REDIS, &command.split(' ').collect::<Vec<_>>());
        }
    }

    fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join("secret").join(name)).expect("a secret")
    }

    /// What the hive of a node says of itself, by its own command.
    fn status(&self, node: u16) -> Option<Value> {
        let container = format!("redis-hive_hive-{node}_1");
        let mut command = self.engine.command("podman");
        command.args(["exec", &container, "/redis-hive", "status", "--json"]);
        let output = run(&mut command, b"");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The node that all of these nodes follow.
    fn leader(&self, nodes: &[u16]) -> u16 {
        eventually("they agree on a leader, and hold a copy", || {
            let all: Vec<Value> =
                nodes.iter().map(|node| self.status(*node)).collect::<Option<_>>()?;
            let leader = &all[0]["leader"];
            let agree = all.iter().all(|one| one["leader"] == *leader);
            let current = all.iter().all(|one| one["redis"]["current"] == true);
            let index = all.iter().position(|one| one["node"] == *leader)?;
            (agree && current).then(|| nodes[index])
        })
    }

    fn kill(&self, node: u16) {
        for part in ["hive", "redis", "pod"] {
            self.engine.podman(&["kill", &format!("redis-hive_{part}-{node}_1")]);
        }
    }
}

/// Copies the files that compose reads, and makes the secrets.
fn copy_files(engine: &Engine) -> PathBuf {
    let deploy = engine.dir().join("deploy");
    let dir = deploy.join("compose");
    let config = deploy.join("kubernetes/base");
    std::fs::create_dir_all(&config).expect("a folder");
    for (from, to) in [("deploy/compose", &deploy), ("deploy/kubernetes/base/config", &config)] {
        stdout(Command::new("cp").arg("-r").arg(root().join(from)).arg(to), b"");
    }
    stdout(Command::new("sh").arg(dir.join("secrets")), b"");
    dir
}

#[test]
fn compose_starts_three_nodes_that_fail_over() {
    let Some(program) = tool("podman-compose") else { return };
    let test = "real::compose::compose_starts_three_nodes_that_fail_over";
    let Some(engine) = engine::inside(test) else { return };
    images::redis(&engine, REDIS);
    images::hive(&engine, HIVE, images::FOLDER);
    let compose = Compose { engine: &engine, program, dir: copy_files(&engine) };
    compose.run(REDIS, &["up", "-d"]);
    let lost = compose.leader(&[1, 2, 3]);

    // The published ports of the other nodes.
    let others: Vec<u16> = (1..=3).filter(|node| *node != lost).collect();
    let password = compose.secret("redis-password");
    let at = |port: u16| (std::net::Ipv4Addr::LOCALHOST, port).into();
    let mut first = connect(at(7000 + others[0]), &password).expect("a connection");
    send(&mut first, &["SET", "before", "1"]).expect("it is written");
    let copies = send(&mut first, &["WAIT", "2", "5000"]).expect("an answer");
    assert_eq!(redis::from_redis_value::<u8>(copies).expect("a number"), 2);

    let service = Endpoints::default();
    service.add(std::net::Ipv4Addr::LOCALHOST);
    let clients = Clients::start(2, "compose", &service, 7000 + others[0], &password);
    clients.wait_for(50);
    compose.kill(lost);
    assert_ne!(compose.leader(&others), lost);
    clients.wait_for(50);
    let seen = clients.stop();
    println!("{} writes, the longest took {:?}", seen.acked.len(), seen.longest);
    assert_eq!(seen.failed, Vec::<String>::new());
    let kept = ["before".to_owned(), seen.acked.last().expect("a write").key.clone()];
    for node in &others {
        for port in [7000 + *node, 7100 + *node] {
            assert_eq!(missing(at(port), &password, &kept), [""; 0], "port {port}");
        }
    }
    // The lost node comes back by an upgrade, and the others follow: all copies are replaced.
    engine.podman(&["tag", REDIS, NEXT_REDIS]);
    for node in [lost, others[0], others[1]] {
        compose.upgrade(node);
        compose.leader(&[1, 2, 3]);
    }
    for node in 1..=3 {
        let image =
            ["inspect", "--format", "{{.ImageName}}", &format!("redis-hive_redis-{node}_1")];
        assert_eq!(engine.podman(&image), NEXT_REDIS, "node {node}");
        assert_eq!(missing(at(7000 + node), &password, &kept), [""; 0], "node {node}");
    }
    compose.run(NEXT_REDIS, &["down"]);
    assert_eq!(engine.podman(&["ps", "--all", "--quiet"]), "");
}
