//! Orders to the watched master, paused writes, and a room without a Redis of its own.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis_hive::election::{
    Id, Input, OrderError, RedisAddr, RedisOrder, RedisRole, RedisView, RunId, Target,
};
use redis_hive::redis::RedisSettings;

use super::support::room::{Relay, Room, settings, soon};
use super::support::servers::{self, Server, send, unused_address};
use super::{PROMOTE, is_up, master_of, system};

/// A room with nothing of its own, as a witness has it.
fn witness() -> Room {
    Room::open(RedisSettings { local: None, ..settings(RedisAddr::PARKED) })
}

#[tokio::test]
async fn orders_reach_the_watched_master_and_no_other_run() {
    let Some(binary) = system() else { return };
    let (mut server, successor) = (Server::master(&binary), Server::fenced(&binary));
    let mut room = witness();
    let run_id = server.passport().run_id;
    let follow = RedisOrder::Follow(successor.addr);

    room.redis.order(1, Target::Watched, run_id, follow);
    assert_eq!(room.done(1).await, Err(OrderError::Gone), "nothing is watched");
    room.redis.watch(Some(master_of(&server)));
    room.redis.order(2, Target::Watched, Id([9; 20]), follow);
    assert_eq!(room.done(2).await, Err(OrderError::OtherRun));
    assert_eq!(server.passport().role, RedisRole::Master);
    room.redis.order(3, Target::Watched, run_id, follow);
    assert_eq!(room.done(3).await.expect("it follows").upstream, Some(successor.addr));
    room.redis.order(4, Target::Watched, run_id, PROMOTE);
    assert_eq!(room.done(4).await.expect("it is back").role, RedisRole::Master);

    server.kill();
    room.redis.order(5, Target::Watched, run_id, PROMOTE);
    assert_eq!(room.done(5).await, Err(OrderError::Gone));
    server.revive();
    room.redis.order(6, Target::Watched, run_id, PROMOTE);
    assert_eq!(room.done(6).await, Err(OrderError::OtherRun));
    assert!(server.passport().parked());
}

#[tokio::test]
async fn an_order_whose_master_is_no_longer_watched_has_failed_and_is_undone() {
    let Some(binary) = system() else { return };
    let server = Server::fenced(&binary);
    let relay = Relay::before(&server);
    let mut room = witness();
    let run_id = server.passport().run_id;
    let mut client = server.client();
    let master = redis_hive::election::Master { addr: relay.addr, ..master_of(&server) };
    room.redis.watch(Some(master));
    room.watched("the server", is_up).await;
    room.redis.order(1, Target::Watched, run_id, PROMOTE);
    relay.stopped(&server).await;
    room.redis.watch(None);
    assert_eq!(room.done(1).await, Err(OrderError::Gone));
    server.thaw();
    soon("the promotion is undone", || {
        let passport = server.passport();
        (passport.parked() && !passport.replid2.is_none()).then_some(())
    })
    .await;
    send(&mut client, &["SET", "key", "value"]).expect_err("it takes no writes");
}

/// A promotion is not left standing because what superseded it leaves the role alone.
#[tokio::test]
async fn a_promotion_superseded_by_a_pause_is_undone() {
    let Some(binary) = system() else { return };
    let server = Server::fenced(&binary);
    let relay = Relay::before(&server);
    let mut room = Room::at(relay.addr);
    let run_id = room.up("the server", |_| true).await.run_id;
    room.redis.order(1, Target::Own, run_id, PROMOTE);
    relay.stopped(&server).await;
    room.redis.order(2, Target::Own, run_id, RedisOrder::PauseWrites { ms: 10 });
    room.view(RedisView::Silent).await;
    server.thaw();
    let back = room.up("the server is back", |_| true).await;
    assert!(back.parked() && !back.replid2.is_none(), "{back:?}");
}

#[tokio::test]
async fn writes_are_paused_and_go_on() {
    for name in ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"] {
        let Some(binary) = servers::binary(name) else { continue };
        let server = Server::master(&binary);
        let mut room = Room::at(server.addr);
        let run_id = room.up("the master", |_| true).await.run_id;
        room.redis.order(1, Target::Own, run_id, RedisOrder::PauseWrites { ms: 60_000 });
        let paused = room.done(1).await.expect("it pauses");
        let mut client = server.client();
        client.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        send(&mut client, &["SET", "held", "value"]).expect_err("it waits");
        assert_eq!(server.passport().keys, paused.keys, "{name}");
        let asked = Instant::now();
        room.redis.order(2, Target::Own, run_id, RedisOrder::ResumeWrites);
        assert_eq!(room.done(2).await.expect("it goes on").run_id, run_id);
        assert!(asked.elapsed() < Duration::from_secs(1), "{name}: {:?}", asked.elapsed());
        server.ask(&["SET", "free", "value"]);
        soon("the changes are known", || (room.redis.facts().borrow().changes > 0).then_some(()))
            .await;
    }
}

/// Parks a master at which somebody waits to write; returns who does.
async fn park_before_a_writer(
    server: &Server,
    room: &mut Room,
    run_id: RunId,
) -> JoinHandle<redis::RedisResult<redis::Value>> {
    room.redis.order(1, Target::Own, run_id, RedisOrder::PauseWrites { ms: 60_000 });
    room.done(1).await.expect("it pauses");
    let mut client = server.client();
    let waiting = std::thread::spawn(move || send(&mut client, &["SET", "held", "value"]));
    soon("it waits", || (server.info_of("clients", "blocked_clients") == "1").then_some(())).await;
    room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
    assert!(room.done(2).await.expect("it is parked").parked());
    waiting
}

/// What waits at a master that is parked hears at once that it is none: the next one may be asked.
#[tokio::test]
async fn writes_that_wait_are_refused_by_what_is_parked() {
    for name in ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"] {
        let Some(binary) = servers::binary(name) else { continue };
        let server = Server::master(&binary);
        let mut room = Room::at(server.addr);
        let run_id = room.up("the master", |_| true).await.run_id;
        let waiting = park_before_a_writer(&server, &mut room, run_id).await;
        let refused = waiting.join().expect("the writer").expect_err("it is no master");
        assert_eq!(refused.code(), Some("READONLY"), "{name}: {refused}");
    }
}

/// A replica that takes writes would do what waits there, and no other copy would have it.
#[tokio::test]
async fn what_waits_at_a_replica_that_takes_writes_goes_on_waiting() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the master", |_| true).await.run_id;
    room.facts("it has been looked at", |facts| facts.run_id == Some(run_id)).await;
    server.ask(&["CONFIG", "SET", "replica-read-only", "no"]);
    let waiting = park_before_a_writer(&server, &mut room, run_id).await;
    assert_eq!(server.info_of("clients", "blocked_clients"), "1", "nothing was done");
    server.ask(&["CONFIG", "SET", "replica-read-only", "yes"]);
    room.redis.order(3, Target::Own, run_id, RedisOrder::ResumeWrites);
    room.done(3).await.expect("it goes on");
    let refused = waiting.join().expect("the writer").expect_err("it is no master");
    assert_eq!(refused.code(), Some("READONLY"), "{refused}");
}

#[tokio::test]
async fn a_sync_that_moves_is_seen_to_move() {
    let Some(binary) = system() else { return };
    let (master, replica) = (Server::master(&binary), Server::fenced(&binary));
    servers::make_a_copy_slow(&master, &replica);
    // Microseconds a key, while the copy is written: the transfer takes a while too.
    master.ask(&["CONFIG", "SET", "rdb-key-save-delay", "10000"]);
    let mut room = Room::at(replica.addr);
    let run_id = room.up("the replica", |_| true).await.run_id;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Follow(master.addr));
    let first = room.up("a sync", |it| it.syncing && !it.loading && it.loaded_bytes > 0).await;
    let more = room.up("it moves", |it| it.loaded_bytes > first.loaded_bytes && !it.loading).await;
    let load = room.up("a load", |it| it.loading && it.loaded_bytes > more.loaded_bytes).await;
    room.up("the load moves", |it| it.loading && it.loaded_bytes > load.loaded_bytes).await;
    assert_eq!(room.up("the end", |it| it.link_up && !it.loading).await.loaded_bytes, 0);
}

#[tokio::test]
async fn a_witness_watches_and_probes_and_has_nothing_of_its_own() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    let mut room = witness();
    room.redis.serve_stale();
    room.redis.probe(server.addr);
    room.redis.order(1, Target::Own, Id([1; 20]), RedisOrder::Park);
    room.redis.watch(Some(master_of(&server)));
    let (mut probed, mut failed, mut watched) = (false, false, 0);
    // Three views of the master take longer than any heartbeat of a Redis of its own would.
    while !(probed && failed && watched > 2) {
        room.expect("all but an own Redis", |input| {
            match input {
                Input::Probed { view, .. } => probed |= is_up(view),
                Input::Done { outcome, .. } => failed |= *outcome == Err(OrderError::Gone),
                Input::Watched { view, .. } => watched += u32::from(is_up(view)),
                other => panic!("it told {other:?}"),
            }
            Some(())
        })
        .await;
    }
    let nobody = unused_address();
    room.redis.probe(nobody);
    assert_eq!(room.probed(nobody).await, RedisView::Gone);
    assert_eq!(room.redis.facts().borrow().run_id, None);
}
