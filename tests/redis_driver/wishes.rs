//! Settings that are wished for, and the question who tends a Redis.

use std::time::Duration;

use redis_hive::election::{Id, Input, NodeId, RedisAddr, RedisOrder, RedisView, Target};
use redis_hive::redis::RedisSettings;

use super::support::room::{Room, settings, soon};
use super::support::servers::{BOOT_FLAGS, Server, send};
use super::{is_up, master_of, system};

fn min_replicas(server: &Server) -> String {
    let answer = server.ask(&["CONFIG", "GET", "min-replicas-to-write"]);
    let redis::Value::Array(pair) = answer else { panic!("{answer:?}") };
    redis::from_redis_value(pair.into_iter().nth(1).expect("a value")).expect("text")
}

async fn becomes(server: &Server, number: &str) {
    soon("the number is set", || (min_replicas(server) == number).then_some(())).await;
}

#[tokio::test]
async fn the_number_of_replicas_is_set_on_the_run_that_is_meant() {
    let Some(binary) = system() else { return };
    let (server, watched) = (Server::master(&binary), Server::master(&binary));
    let mut room = Room::at(server.addr);
    let run_id = room.up("the master", |_| true).await.run_id;
    room.redis.min_replicas(Target::Own, run_id, 2);
    becomes(&server, "2").await;
    room.redis.watch(Some(master_of(&watched)));
    room.redis.min_replicas(Target::Watched, watched.passport().run_id, 3);
    becomes(&watched, "3").await;
    assert_eq!(min_replicas(&server), "2");

    room.redis.min_replicas(Target::Own, Id([5; 20]), 7);
    room.clear();
    room.up("the next heartbeat", |_| true).await;
    room.up("and the next", |_| true).await;
    assert_eq!(min_replicas(&server), "2", "another run was meant");
}

#[tokio::test]
async fn a_wish_waits_for_its_run_and_the_newest_counts() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the master", |_| true).await.run_id;
    server.freeze();
    room.view(RedisView::Silent).await;
    room.redis.min_replicas(Target::Own, run_id, 4);
    room.redis.min_replicas(Target::Own, run_id, 5);
    server.thaw();
    becomes(&server, "5").await;
    let set = server.info_of("commandstats", "cmdstat_config|set");
    assert!(set.starts_with("calls=1,"), "only the newest was set, once: {set}");
    // An order goes on while a wish is out.
    room.redis.min_replicas(Target::Own, run_id, 0);
    room.redis.order(1, Target::Own, run_id, RedisOrder::Park);
    assert!(room.done(1).await.expect("it is parked").parked());
    becomes(&server, "0").await;
}

#[tokio::test]
async fn a_refused_number_is_a_warning() {
    let Some(binary) = system() else { return };
    let flags = [&BOOT_FLAGS[..], &["--rename-command", "CONFIG", "NOCONFIG"]].concat();
    let server = Server::start(&binary, &flags);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the server", |_| true).await.run_id;
    room.redis.min_replicas(Target::Own, run_id, 1);
    let facts = room
        .facts("the refusal", |it| it.warnings.iter().any(|it| it.contains("min-replicas-to")))
        .await;
    assert!(
        facts.warnings.iter().any(|it| it.contains("refused CONFIG SET min-replicas-to-write 1"))
    );
}

fn node(port: u16) -> NodeId {
    NodeId::new([10, 0, 0, 1].into(), port)
}

async fn tended(room: &mut Room, addr: RedisAddr, asked: NodeId) -> (Id, bool) {
    room.redis.ask_tended(addr, asked);
    room.expect("who tends it", |input| match input {
        Input::Tended { node, run_id, tended, .. } if *node == asked => Some((*run_id, *tended)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_master_says_whether_a_hive_tends_it() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    let mut room = Room::open(RedisSettings { local: None, ..settings(server.addr) });
    room.redis.watch(Some(master_of(&server)));
    room.watched("the master", is_up).await;
    let run_id = server.passport().run_id;
    let named = |purpose: &str| RedisSettings {
        node_name: format!("{purpose}{}", node(6390)),
        ..settings(server.addr)
    };

    // One that only watches or probes it does not tend it.
    let mut watcher = Room::open(RedisSettings { local: None, ..named("") });
    watcher.redis.watch(Some(master_of(&server)));
    watcher.watched("the master", is_up).await;
    assert_eq!(tended(&mut room, server.addr, node(6390)).await, (run_id, false));

    let mut tender = Room::open(named(""));
    tender.up("its own Redis", |_| true).await;
    assert_eq!(tended(&mut room, server.addr, node(6390)).await, (run_id, true));
    assert_eq!(tended(&mut room, server.addr, node(639)).await, (run_id, false));
    drop(tender);
    soon_untended(&mut room, &server).await;
}

async fn soon_untended(room: &mut Room, server: &Server) {
    for _ in 0..50 {
        if !tended(room, server.addr, node(6390)).await.1 {
            return;
        }
    }
    panic!("it is said to be tended when its hive is gone");
}

/// What is answered has megabytes, and the views of the master go on meanwhile.
#[tokio::test]
async fn a_long_list_of_clients_is_read_to_its_end() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    let mut room = Room::open(RedisSettings { local: None, ..settings(server.addr) });
    room.redis.watch(Some(master_of(&server)));
    room.watched("the master", is_up).await;
    let name = "x".repeat(20_000);
    let mut clients: Vec<redis::Connection> = (0..300).map(|_| server.client()).collect();
    for client in &mut clients {
        send(client, &["CLIENT", "SETNAME", &name]).expect("it takes the name");
    }
    assert!(!tended(&mut room, server.addr, node(6390)).await.1);
    let last = &format!("redis-hive-{}", node(6390));
    send(&mut server.client(), &["CLIENT", "SETNAME", last]).expect("it takes the name");
    let mut own = server.client();
    send(&mut own, &["CLIENT", "SETNAME", last]).expect("it takes the name");
    assert!(tended(&mut room, server.addr, node(6390)).await.1);
    let dialled = server.info_of("clients", "connected_clients");
    room.watched("the same connection", is_up).await;
    assert!(dialled.parse::<u32>().expect("a number") >= 302);

    // No answer from one that is silent, and none about one that is not watched.
    server.freeze();
    room.watched("its silence", |view| *view == RedisView::Silent).await;
    room.clear();
    room.redis.ask_tended(server.addr, node(1));
    room.redis.ask_tended(RedisAddr::PARKED, node(2));
    let quiet = Duration::from_secs(1);
    let answer = tokio::time::timeout(quiet, async {
        room.expect("an answer", |input| matches!(input, Input::Tended { .. }).then_some(())).await;
    });
    answer.await.expect_err("nobody can know");
}
