//! The rights in docs/security.md are all that is needed, and each of them is.

use std::path::Path;
use std::time::Duration;

use redis::Value;
use redis_hive::election::{Input, NodeId, OrderError, RedisOrder, RedisView, Target};
use redis_hive::redis::{Access, RedisSettings, Rescue};
use secrecy::SecretString;

use crate::master_of;
use crate::support::mount::Mount;
use crate::support::room::{Room, settings, soon};
use crate::support::servers::{self, Server};

/// How often the servers are asked what they have denied.
const LOOK: Duration = Duration::from_millis(20);

/// What follows `ACL SETUSER hive on >PASSWORD` in the documentation.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(path).expect("the page");
    let begin = "ACL SETUSER hive on >PASSWORD ";
    let line = text.lines().find_map(|line| line.trim().strip_prefix(begin)).expect("the rule");
    line.split(' ').map(str::to_owned).collect()
}

async fn every_right_is_needed_and_no_other(name: &str) {
    let Some(binary) = servers::binary(name) else { return };
    let all = documented();
    assert_eq!(all[0], "-@all");
    let nothing: [String; 0] = [];
    assert_eq!(denied_with(&binary, &all).await, nothing, "{name}: more is needed");
    for right in &all[1..] {
        let fewer: Vec<String> = all.iter().filter(|it| *it != right).cloned().collect();
        let denied = denied_with(&binary, &fewer).await;
        let command = right.trim_start_matches('+');
        // Before 7.0 a denied subcommand is told without its name.
        let container = command.split('|').next().expect("a word");
        let seen = denied.iter().any(|it| it == command || it == container);
        assert!(seen, "{name}: {right} is needed for nothing: {denied:?}");
    }
}

/// Lets a hive with these rights do all it ever does, up to the first thing that is denied; what was.
async fn denied_with(binary: &Path, rights: &[String]) -> Vec<String> {
    let (own, other) = (Server::fenced(binary), Server::master(binary));
    for server in [&own, &other] {
        let rule = ["ACL", "SETUSER", "hive", "on", ">sesame"];
        let rights = rights.iter().map(String::as_str);
        server.ask(&rule.into_iter().chain(rights).collect::<Vec<_>>());
    }
    let outcome = tokio::select! {
        outcome = everything(&own, &other) => outcome,
        () = something_denied(&own, &other) => Ok(()),
    };
    let denied = denied(&[&own, &other]);
    assert!(!denied.is_empty() || outcome.is_ok(), "{outcome:?}");
    denied
}

async fn something_denied(own: &Server, other: &Server) {
    while denied(&[own, other]).is_empty() {
        tokio::time::sleep(LOOK).await;
    }
}

/// All commands that any hive sends: at first contact, in an election, in a planned change, before a
/// copy is given up; and what its Redis sends as a replica.
async fn everything(own: &Server, other: &Server) -> Result<(), OrderError> {
    let folder = Mount::new(&[]);
    let password = SecretString::from("sesame".to_owned());
    let mut room = Room::open(RedisSettings {
        access: Access::fixed(Some("hive".to_owned()), Some(password)),
        rescue: Some(Rescue { dir: folder.dir().to_owned(), max_bytes: 1 << 30 }),
        ..settings(own.addr)
    });
    let run_id = room.up("the local Redis", |_| true).await.run_id;
    room.facts("the run", |it| it.run_id.is_some()).await;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Promote { first: true });
    room.done(1).await?;
    room.redis.order(2, Target::Own, run_id, RedisOrder::PauseWrites { ms: 100 });
    room.done(2).await?;
    room.redis.order(3, Target::Own, run_id, RedisOrder::ResumeWrites);
    room.done(3).await?;
    room.redis.min_replicas(Target::Own, run_id, 0);
    room.redis.serve_stale();

    room.redis.watch(Some(master_of(other)));
    room.watched("the master", |view| matches!(view, RedisView::Up(_))).await;
    let node = NodeId::new(own.addr.ip, 6390);
    room.redis.ask_tended(other.addr, node);
    let tended = |input: &Input| matches!(input, Input::Tended { .. }).then_some(());
    room.expect("who tends the master", tended).await;
    room.redis.order(4, Target::Own, run_id, RedisOrder::Follow(other.addr));
    room.done(4).await?;
    room.up("the link is up", |it| it.link_up).await;
    soon("the replica acknowledges what it has", || {
        other.info().contains("state=online").then_some(())
    })
    .await;
    room.redis.order(5, Target::Own, run_id, RedisOrder::Rescue);
    room.done(5).await?;
    Ok(())
}

/// The commands that these servers have denied.
fn denied(servers: &[&Server]) -> Vec<String> {
    let mut found = Vec::new();
    for server in servers {
        let Value::Array(entries) = server.ask(&["ACL", "LOG"]) else { panic!("no log") };
        for entry in entries {
            let entry: Vec<(String, Value)> = redis::from_redis_value(entry).expect("pairs");
            let text = |key: &str| {
                let value = entry.iter().find(|(name, _)| name == key).map(|(_, value)| value);
                redis::from_redis_value::<String>(value.expect(key).clone()).expect("text")
            };
            assert_eq!(text("username"), "hive");
            found.push(text("object"));
        }
    }
    found
}

#[tokio::test]
async fn redis_6_2_every_right_is_needed_and_no_other() {
    every_right_is_needed_and_no_other("redis-6.2").await;
}

#[tokio::test]
async fn redis_7_0_every_right_is_needed_and_no_other() {
    every_right_is_needed_and_no_other("redis-system").await;
}

#[tokio::test]
async fn redis_8_2_every_right_is_needed_and_no_other() {
    every_right_is_needed_and_no_other("redis-8.2").await;
}

#[tokio::test]
async fn valkey_8_1_every_right_is_needed_and_no_other() {
    every_right_is_needed_and_no_other("valkey-8.1").await;
}

#[tokio::test]
async fn valkey_9_1_every_right_is_needed_and_no_other() {
    every_right_is_needed_and_no_other("valkey-9.1").await;
}
