//! The Redis room against real servers: what it sees, what its orders do, what it leaves behind.

#[path = "redis_driver/planned.rs"]
mod planned;
#[path = "redis_driver/rescue.rs"]
mod rescue;
#[path = "redis_driver/resync.rs"]
mod resync;
mod support;
#[path = "redis_driver/wishes.rs"]
mod wishes;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis_hive::election::Input;
use redis_hive::election::{
    Id, Master, OrderError, Passport, RedisOrder, RedisRole, RedisView, Target,
};
use redis_hive::redis::{Access, BootFence, RedisSettings};
use secrecy::SecretString;
use support::room::{Relay, Room, Stranger, settings, soon};
use support::servers::{self, BOOT_FLAGS, PATIENCE, Server, send, unused_address};

const PROMOTE: RedisOrder = RedisOrder::Promote { first: false };

fn system() -> Option<PathBuf> {
    servers::binary("redis-system")
}

fn master_of(server: &Server) -> Master {
    let passport = server.passport();
    let (run_id, replid) = (passport.run_id, passport.replid);
    Master { addr: server.addr, run_id, replid, root: replid }
}

fn is_up(view: &RedisView) -> bool {
    matches!(view, RedisView::Up(_))
}

#[tokio::test]
async fn sees_a_server_go_and_another_run_come() {
    let Some(binary) = system() else { return };
    let mut server = Server::fenced(&binary);
    let mut room = Room::at(server.addr);
    let first = room.up("the first run", |_| true).await;
    room.clear();
    let killed = Instant::now();
    server.kill();
    room.view(RedisView::Gone).await;
    assert!(killed.elapsed() < Duration::from_millis(150), "{:?}", killed.elapsed());
    server.revive();
    room.up("the second run", |it| it.run_id != first.run_id).await;
}

#[tokio::test]
async fn sees_a_role_changed_by_hand_within_a_heartbeat() {
    let Some(binary) = system() else { return };
    let server = Server::fenced(&binary);
    let mut room = Room::at(server.addr);
    room.up("a parked replica", Passport::parked).await;
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    room.up("a master", |it| it.role == RedisRole::Master).await;
}

#[tokio::test]
async fn sees_a_load_a_link_and_its_loss() {
    let Some(binary) = system() else { return };
    let mut master = Server::master(&binary);
    let replica = Server::fenced(&binary);
    servers::make_a_copy_slow(&master, &replica);
    let mut room = Room::at(replica.addr);
    let run_id = room.up("the replica", |_| true).await.run_id;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Follow(master.addr));
    assert_eq!(room.done(1).await.expect("it follows").upstream, Some(master.addr));
    room.up("a load", |it| it.loading).await;
    // An order to a loading Redis is repeated until it is taken.
    room.redis.order(2, Target::Own, run_id, RedisOrder::Follow(master.addr));
    assert!(!room.done(2).await.expect("it follows").loading);
    room.up("the link", |it| it.link_up && it.keys == 100 && it.backlog).await;
    master.kill();
    room.up("the link's loss", |it| !it.link_up && it.keys == 100).await;
}

#[tokio::test]
async fn a_stopped_server_is_silent_and_not_gone() {
    let Some(binary) = system() else { return };
    let mut server = Server::fenced(&binary);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the server", |_| true).await.run_id;
    server.freeze();
    room.view(RedisView::Silent).await;
    room.redis.order(1, Target::Own, run_id, PROMOTE);
    assert_eq!(room.done(1).await, Err(OrderError::Silent));
    room.view(RedisView::Silent).await;
    server.thaw();
    let back = room.up("the same run", |_| true).await;
    assert_eq!((back.run_id, back.role), (run_id, RedisRole::Replica), "the order was never sent");
    server.freeze();
    room.view(RedisView::Silent).await;
    server.kill();
    room.view(RedisView::Gone).await;
}

#[tokio::test]
async fn a_busy_server_is_busy_and_takes_its_order_when_it_can() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    server.ask(&["CONFIG", "SET", "lua-time-limit", "50"]);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the server", |_| true).await.run_id;
    let mut client = server.client();
    let script = std::thread::spawn(move || {
        let _ = send(&mut client, &["EVAL", "while true do end", "0"]);
    });
    room.view(RedisView::Busy).await;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Follow(unused_address()));
    room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
    for _ in 0..3 {
        room.view(RedisView::Busy).await;
    }
    server.ask(&["SCRIPT", "KILL"]);
    assert!(room.done(2).await.expect("it is parked").parked());
    script.join().expect("the script ended");
}

#[tokio::test]
async fn killed_connections_are_no_death() {
    let Some(binary) = system() else { return };
    let server = Server::fenced(&binary);
    let mut room = Room::at(server.addr);
    room.redis.watch(Some(master_of(&server)));
    room.watched("the watched one", is_up).await;
    let run_id = room.up("the server", |_| true).await.run_id;
    for _ in 0..5 {
        room.clear();
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        for _ in 0..4 {
            let view = room
                .expect("a view", |input| match input {
                    Input::Redis(view) | Input::Watched { view, .. } => Some(*view),
                    _ => None,
                })
                .await;
            let RedisView::Up(passport) = view else { panic!("it said {view:?}") };
            assert_eq!(passport.run_id, run_id);
        }
    }
    let list = format!("{:?}", server.ask(&["CLIENT", "LIST"]));
    assert!(list.contains("name=redis-hive-test ") && list.contains("name=redis-hive-watch-test "));
}

#[tokio::test]
async fn orders_go_to_the_run_that_is_meant() {
    let Some(binary) = system() else { return };
    let mut server = Server::fenced(&binary);
    let mut room = Room::at(server.addr);
    let old = room.up("the server", |_| true).await.run_id;
    room.redis.order(1, Target::Own, Id([9; 20]), PROMOTE);
    assert_eq!(room.done(1).await, Err(OrderError::OtherRun));
    server.kill();
    room.view(RedisView::Gone).await;
    room.redis.order(2, Target::Own, old, PROMOTE);
    assert_eq!(room.done(2).await, Err(OrderError::Gone));
    server.revive();
    room.redis.order(3, Target::Own, old, PROMOTE);
    assert_eq!(room.done(3).await, Err(OrderError::OtherRun));
    assert!(server.passport().parked(), "nothing was done");
}

#[tokio::test]
async fn a_blank_server_is_promoted_so_that_its_writes_count() {
    for name in ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"] {
        let Some(binary) = servers::binary(name) else { continue };
        let server = Server::fenced(&binary);
        let mut room = Room::at(server.addr);
        let run_id = room.up("the server", |_| true).await.run_id;
        let asked = Instant::now();
        room.redis.order(1, Target::Own, run_id, RedisOrder::Promote { first: true });
        let passport = room.done(1).await.expect("it is promoted");
        assert!(asked.elapsed() < Duration::from_millis(400), "{name}: {:?}", asked.elapsed());
        assert_eq!((passport.role, passport.backlog), (RedisRole::Master, true), "{name}");
        server.ask(&["SET", "key", "value"]);
        let counted = server.passport();
        assert!(counted.offset > passport.offset, "{name}");
        assert_eq!(counted.replid, passport.replid, "{name}: the replid was final");

        room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
        let parked = room.done(2).await.expect("it is parked");
        assert!(parked.parked() && parked.backlog && parked.keys == 1, "{name}");
        room.redis.order(3, Target::Own, run_id, PROMOTE);
        let again = room.done(3).await.expect("it is promoted again");
        assert_eq!(again.replid2, parked.replid, "{name}");
    }
}

#[tokio::test]
async fn a_master_with_keys_and_no_backlog_is_parked_with_a_backlog() {
    let Some(binary) = system() else { return };
    let server = Server::master(&binary);
    server.ask(&["SET", "key", "value"]);
    let mut room = Room::at(server.addr);
    let run_id = room.up("the master", |it| it.keys == 1 && !it.backlog).await.run_id;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Park);
    let parked = room.done(1).await.expect("it is parked");
    assert!(parked.parked() && parked.backlog);
}

/// The order left before the server stopped answering: the window is made wide by a server that
/// answers questions and holds back orders.
#[tokio::test]
async fn a_superseded_or_unanswered_promotion_never_has_effect() {
    let Some(binary) = system() else { return };
    for superseded in [true, false] {
        let server = Server::fenced(&binary);
        let relay = Relay::before(&server);
        let mut room = Room::at(relay.addr);
        let run_id = room.up("the server", |_| true).await.run_id;
        let mut client = server.client();
        room.redis.order(1, Target::Own, run_id, PROMOTE);
        // The relay has let the question through and stopped the server before the order.
        relay.stopped(&server).await;
        if superseded {
            room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
            assert_eq!(room.done(2).await, Err(OrderError::Silent));
        } else {
            assert_eq!(room.done(1).await, Err(OrderError::Silent));
        }
        server.thaw();
        let back = room.up("the server is back", |_| true).await;
        assert!(back.parked(), "{back:?}");
        assert!(!back.replid2.is_none(), "the promotion was executed, and undone at once");
        send(&mut client, &["SET", "key", "value"]).expect_err("it takes no writes");
    }
}

#[tokio::test]
async fn a_fence_stands_on_a_stopped_master_and_works_when_it_wakes() {
    let Some(binary) = system() else { return };
    let (server, own) = (Server::master(&binary), Server::fenced(&binary));
    let winner = unused_address();
    let mut room = Room::at(own.addr);
    let master = master_of(&server);
    room.redis.watch(Some(master));
    room.watched("the master", is_up).await;
    server.freeze();
    room.watched("its silence", |view| *view == RedisView::Silent).await;
    room.redis.fence(master, winner);
    room.redis.watch(None);
    // Whoever dials it now is served after the fence.
    let addr = server.addr;
    let late = std::thread::spawn(move || {
        let mut late =
            std::net::TcpStream::connect((addr.ip, addr.port)).expect("the kernel takes it");
        late.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        late.write_all(b"SET key value\r\n").expect("the kernel takes it");
        let mut answer = [0; 9];
        late.read_exact(&mut answer).expect("an answer");
        answer
    });
    room.up("own views go on", |_| true).await;
    server.thaw();
    soon("the fence works", || (server.passport().upstream == Some(winner)).then_some(())).await;
    assert_eq!(&late.join().expect("a late client"), b"-READONLY");

    // Lifted, nothing holds it any more; standing, its connection is kept.
    let watchers =
        || format!("{:?}", server.ask(&["CLIENT", "LIST"])).contains("redis-hive-watch-");
    assert!(watchers());
    room.redis.lift_fence();
    soon("the fence's connection is closed", || (!watchers()).then_some(())).await;
}

#[tokio::test]
async fn no_fence_reaches_another_run() {
    let Some(binary) = system() else { return };
    let (server, own) = (Server::master(&binary), Server::fenced(&binary));
    let mut room = Room::at(own.addr);
    room.redis.watch(Some(master_of(&server)));
    let RedisView::Up(up) = room.watched("the master", is_up).await else { panic!() };
    room.redis.fence(Master { run_id: Id([7; 20]), ..master_of(&server) }, unused_address());
    for _ in 0..3 {
        let RedisView::Up(now) = room.watched("it goes on", |_| true).await else { panic!() };
        assert_eq!((now.run_id, now.role), (up.run_id, RedisRole::Master));
    }
    // And with its own run id it does.
    room.redis.fence(master_of(&server), unused_address());
    let replica = |view: &RedisView| matches!(view, RedisView::Up(it) if it.upstream.is_some());
    room.watched("the fence", replica).await;
}

#[tokio::test]
async fn watches_a_master_through_death_and_rebirth() {
    let Some(binary) = system() else { return };
    let (mut server, own) = (Server::master(&binary), Server::fenced(&binary));
    let mut room = Room::at(own.addr);
    let master = master_of(&server);
    room.redis.watch(Some(master));
    room.watched("the master", is_up).await;
    let dialled = server.field("total_connections_received");
    room.redis.watch(Some(Master { root: Id([1; 20]), ..master }));
    room.watched("the same master", is_up).await;
    let again: u32 = server.field("total_connections_received").parse().expect("a number");
    assert_eq!(again, dialled.parse::<u32>().expect("a number") + 1, "only this test's question");
    room.clear();
    let killed = Instant::now();
    server.kill();
    room.watched("its death", |view| *view == RedisView::Gone).await;
    assert!(killed.elapsed() < Duration::from_millis(150), "{:?}", killed.elapsed());
    server.revive();
    let back = room.watched("another run", is_up).await;
    assert!(matches!(back, RedisView::Up(it) if it.run_id != master.run_id));
}

#[tokio::test]
async fn probes_tell_what_is_at_an_address() {
    let Some(binary) = system() else { return };
    let own = Server::fenced(&binary);
    let mut room = Room::at(own.addr);
    room.up("the server", |_| true).await;

    room.redis.probe(own.addr);
    assert!(is_up(&room.probed(own.addr).await));

    let nobody = unused_address();
    room.redis.probe(nobody);
    assert_eq!(room.probed(nobody).await, RedisView::Gone);

    let locked = locked_server(&binary);
    room.redis.probe(locked.addr);
    assert_eq!(room.probed(locked.addr).await, RedisView::Unfit);

    let frozen = Server::fenced(&binary);
    frozen.freeze();
    let asked = Instant::now();
    room.redis.probe(frozen.addr);
    assert_eq!(room.probed(frozen.addr).await, RedisView::Silent);
    assert!(asked.elapsed() < Duration::from_millis(400), "{:?}", asked.elapsed());

    let stranger = Stranger::speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    room.redis.probe(stranger);
    assert_eq!(room.probed(stranger).await, RedisView::Unfit);

    // One that is watched is asked over the connection that is there.
    let watched = Server::master(&binary);
    room.redis.watch(Some(master_of(&watched)));
    room.watched("the master", is_up).await;
    let asked = Instant::now();
    room.redis.probe(watched.addr);
    assert!(is_up(&room.probed(watched.addr).await));
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    watched.freeze();
    room.redis.probe(watched.addr);
    assert_eq!(room.probed(watched.addr).await, RedisView::Silent);
}

fn locked_server(binary: &std::path::Path) -> Server {
    let flags = [&BOOT_FLAGS[..], &["--requirepass", "sesame"]].concat();
    Server::start_with_password(binary, &flags, Some("sesame"))
}

#[tokio::test]
async fn a_wrong_password_is_told_and_the_right_one_is_used_for_replication() {
    let Some(binary) = system() else { return };
    let server = locked_server(&binary);
    for password in [None, Some("wrong-password")] {
        let password = password.map(|it| SecretString::from(it.to_owned()));
        let mut room = Room::open(RedisSettings {
            access: Access::fixed(None, password),
            ..settings(server.addr)
        });
        room.view(RedisView::Unfit).await;
        let facts = room.facts("the reason", |it| !it.problems.is_empty()).await;
        assert!(facts.problems[0].contains("credentials"), "{facts:?}");
        assert!(!format!("{facts:?}").contains("wrong-password"));
    }
    let password = Some(SecretString::from("sesame".to_owned()));
    let settings = RedisSettings { access: Access::fixed(None, password), ..settings(server.addr) };
    assert!(!format!("{settings:?}").contains("sesame"));
    let mut room = Room::open(settings);
    let run_id = room.up("the server", |_| true).await.run_id;
    let facts = room.facts("the run", |it| it.run_id == Some(run_id)).await;
    assert!(facts.changed.contains(&"masterauth: set".to_owned()), "{facts:?}");
    assert!(!format!("{facts:?}").contains("sesame"));
    room.redis.order(1, Target::Own, run_id, RedisOrder::Promote { first: true });
    assert!(room.done(1).await.expect("it is promoted").backlog);
    let replica = locked_server(&binary);
    replica.ask(&["CONFIG", "SET", "masterauth", "sesame"]);
    replica.follow(&server);
}

/// As Redis answers where `rename-command` has taken `AUTH` away.
#[tokio::test]
async fn what_quotes_the_password_is_not_told() {
    let stranger = Stranger::speaking(
        b"-ERR unknown command 'AUTH', with args beginning with: 'hive' 'sesame' \r\n",
    );
    let password = Some(SecretString::from("sesame".to_owned()));
    let access = Access::fixed(Some("hive".to_owned()), password);
    let mut room = Room::open(RedisSettings { access, ..settings(stranger) });
    room.view(RedisView::Unfit).await;
    let facts = room.facts("the reason", |it| !it.problems.is_empty()).await;
    assert!(facts.problems[0].contains("AUTH failed with an error"), "{facts:?}");
    assert!(!format!("{facts:?}").contains("sesame"), "{facts:?}");
}

#[tokio::test]
async fn an_acl_user_with_few_rights_suffices_and_refusals_are_told() {
    let Some(binary) = system() else { return };
    let server = Server::fenced(&binary);
    let rights =
        "ACL SETUSER hive on >sesame -@all +info +replicaof +psync +replconf +client|setname";
    server.ask(&rights.split(' ').collect::<Vec<_>>());
    let password = Some(SecretString::from("sesame".to_owned()));
    let username = Some("hive".to_owned());
    let mut room = Room::open(RedisSettings {
        access: Access::fixed(username, password),
        ..settings(server.addr)
    });
    let run_id = room.up("the server", |_| true).await.run_id;
    let facts = room.facts("the run", |it| it.run_id == Some(run_id)).await;
    assert!(facts.changed.is_empty() && facts.warnings.iter().any(|it| it.contains("NOPERM")));
    room.redis.order(1, Target::Own, run_id, RedisOrder::Promote { first: true });
    assert!(room.done(1).await.expect("it is promoted").backlog);
    server.ask(&["ACL", "SETUSER", "hive", "-replicaof"]);
    room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
    let refused = room.done(2).await.expect_err("no right to it");
    assert!(
        matches!(&refused, OrderError::Refused(text) if text.contains("NOPERM")),
        "{refused:?}"
    );
    server.ask(&["ACL", "SETUSER", "hive", "-info"]);
    room.view(RedisView::Unfit).await;
}

#[tokio::test]
async fn settings_are_put_right_and_missing_flags_are_told() {
    let Some(binary) = system() else { return };
    let bare = Server::start(&binary, &[]);
    let mut room = Room::at(bare.addr);
    room.up("the server", |_| true).await;
    let facts = room.facts("the run", |it| it.run_id.is_some()).await;
    assert_eq!(facts.boot_fence, BootFence::Missing);
    for flag in ["--replicaof 127.0.0.1 1", "--repl-backlog-ttl 0", "--save \"\""] {
        assert!(facts.missing_flags.contains(&flag.to_owned()), "{flag}: {facts:?}");
    }
    assert!(facts.changed.contains(&"repl-backlog-ttl: 3600 -> 0".to_owned()), "{facts:?}");
    let ttl = format!("{:?}", bare.ask(&["CONFIG", "GET", "repl-backlog-ttl"]));
    assert!(ttl.contains("'0'") || ttl.contains("\"0\""), "{ttl}");

    for name in ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"] {
        let Some(binary) = servers::binary(name) else { continue };
        let fenced = Server::fenced(&binary);
        let mut room = Room::at(fenced.addr);
        room.up("the server", |_| true).await;
        let facts = room.facts("the run", |it| it.run_id.is_some()).await;
        assert_eq!(facts.boot_fence, BootFence::Present, "{name}");
        let nothing: (&[String], &[String]) = (&[], &[]);
        assert_eq!((&facts.changed[..], &facts.missing_flags[..]), nothing, "{name}");
        assert_eq!(facts.warnings, Vec::<String>::new(), "{name}");
        assert_eq!(facts.busy_threshold, Some(Duration::from_secs(5)), "{name}");
        room.redis.serve_stale();
        soon("stale data are served", || {
            (fenced.try_ask(&["GET", "key"]) == Ok(redis::Value::Nil)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_no_usable_redis_is_unfit_with_a_reason() {
    let Some(binary) = system() else { return };
    let node = Server::start(&binary, &["--cluster-enabled", "yes", "--save", ""]);
    let http = Stranger::speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let old = Stranger::speaking(b"$22\r\nredis_version:6.0.16\r\n\r\n");
    let endless = Stranger::speaking(&[b'$'; 1]);
    for (addr, word) in [(node.addr, "Cluster"), (http, "no Redis"), (old, "too old")] {
        let mut room = Room::at(addr);
        room.view(RedisView::Unfit).await;
        let facts = room.facts(word, |it| !it.problems.is_empty()).await;
        assert!(facts.problems[0].contains(word), "{facts:?}");
    }
    let mut room = Room::at(endless);
    room.view(RedisView::Silent).await;
}
