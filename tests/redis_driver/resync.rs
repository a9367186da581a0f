//! A full resync that can never end: its failing is seen on both sides, and the master's hive mends
//! what makes it fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_hive::redis::Facts;

use super::servers;
use super::support::room::{Room, soon};
use super::support::servers::{Server, send};

/// Ends a writer when dropped, also by a test that fails.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Overwrites a few keys at some 4 MB a second.
    fn at(server: &Server) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut client) = (stop.clone(), server.client());
        let value = "x".repeat(20_000);
        let thread = std::thread::spawn(move || {
            for number in (0..50).cycle() {
                let written = send(&mut client, &["SET", &format!("hot{number}"), &value]);
                if stopped.load(Ordering::Relaxed) || written.is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        Writer { stop, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn full_syncs(server: &Server) -> u32 {
    server.field("sync_full").parse().expect("a number")
}

async fn has_problem(room: &Room, words: &'static str) -> Facts {
    room.facts(words, |it| it.problems.iter().any(|it| it.contains(words))).await
}

// Not on 8.2: its replicas take the stream while they load, so this limit does not end a resync.

#[tokio::test]
async fn redis_6_2_is_mended() {
    a_resync_that_can_never_end_is_explained_and_mended("redis-6.2").await;
}

#[tokio::test]
async fn redis_system_is_mended() {
    a_resync_that_can_never_end_is_explained_and_mended("redis-system").await;
}

#[tokio::test]
async fn valkey_9_1_is_mended() {
    a_resync_that_can_never_end_is_explained_and_mended("valkey-9.1").await;
}

async fn a_resync_that_can_never_end_is_explained_and_mended(name: &str) {
    let Some(binary) = servers::binary(name) else { return };
    let (master, replica) = (Server::master(&binary), Server::fenced(&binary));
    master.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    master.ask(&["CONFIG", "SET", "repl-backlog-size", "16384"]);
    master.ask(&["CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 1mb 1"]);
    let big = "x".repeat(20_000);
    let mut client = master.client();
    for key in 0..500 {
        send(&mut client, &["SET", &format!("key{key}"), &big]).expect("a master takes it");
    }
    // Microseconds a key: a second for all of them.
    replica.ask(&["CONFIG", "SET", "key-load-delay", "2000"]);
    let writer = Writer::at(&master);
    let mut own = Room::at(replica.addr);
    own.up("the replica", |_| true).await;
    replica.ask(&["REPLICAOF", &master.addr.ip.to_string(), "6379"]);

    // Nobody tends the master: it fails again and again.
    let facts = has_problem(&own, "The local Redis began a full resync").await;
    assert!(facts.problems.iter().any(|it| it.contains("its master's client-output")));
    assert!(facts.changed.is_empty(), "{name}: nothing here mends it: {facts:?}");
    let before = full_syncs(&master);
    soon("it goes on failing", || (full_syncs(&master) >= before + 2).then_some(())).await;
    assert!(!replica.passport().link_up);

    let room = Room::at(master.addr);
    let facts = has_problem(&room, "began a full resync 2 times").await;
    let text = facts.problems.join(" ");
    assert!(text.contains("client-output-buffer-limit replica (1048576 1048576 1)"), "{text}");
    let raised = "client-output-buffer-limit replica: 1048576 1048576 1 -> 268435456";
    assert!(facts.changed.iter().any(|it| it.starts_with(raised)), "{name}: {facts:?}");
    soon("the link is up", || replica.passport().link_up.then_some(())).await;
    let synced = full_syncs(&master);
    // Both forget what was wrong once the link has stood for a while.
    own.facts("the end of it", |it| it.problems.is_empty()).await;
    room.facts("the end of it", |it| it.problems.is_empty()).await;
    assert_eq!(full_syncs(&master), synced, "{name}");
    drop(writer);
    replica.await_copy_of(&master);
}

/// A resync that succeeds at the first try changes nothing and is no problem.
#[tokio::test]
async fn a_resync_that_ends_is_no_problem() {
    for name in ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"] {
        let Some(binary) = servers::binary(name) else { continue };
        let (master, replica) = (Server::master(&binary), Server::fenced(&binary));
        servers::make_a_copy_slow(&master, &replica);
        let (mut room, mut own) = (Room::at(master.addr), Room::at(replica.addr));
        own.up("the replica", |_| true).await;
        room.facts("the master", |it| it.run_id.is_some()).await;
        replica.ask(&["REPLICAOF", &master.addr.ip.to_string(), "6379"]);
        own.up("a load", |it| it.loading).await;
        own.up("the link", |it| it.link_up).await;
        room.clear();
        room.up("the replica is fed", |it| it.replicas == 1).await;
        for facts in [room.redis.facts(), own.redis.facts()] {
            let facts = facts.borrow();
            assert_eq!(facts.problems, Vec::<String>::new(), "{name}");
            assert!(!facts.changed.iter().any(|it| it.contains("limit")), "{name}: {facts:?}");
        }
    }
}
