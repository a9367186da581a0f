//! The facts about Redis on which ELECTION 2, 6 and 7 rest, on every server of the matrix: a version that
//! breaks one is noticed here.

#[path = "redis_facts/planned.rs"]
mod planned;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use planned::{
    a_master_pointed_at_a_successor_that_is_behind_loses_its_writes,
    a_parked_master_feeds_its_replicas_from_7_0_on,
    a_pause_ends_by_itself_and_waiting_writers_learn_of_the_demotion,
    a_pause_holds_writes_and_neither_info_nor_replication,
    a_planned_change_loses_nothing_and_every_resync_is_partial,
    a_shorter_pause_does_not_shorten_a_longer_one,
    the_way_back_from_a_demotion_costs_nobody_anything,
};
use redis_hive::election::{Passport, RedisRole};
use socket2::SockRef;
use support::servers::{self, Server, eventually, on_every_server, send};

on_every_server!(
    a_blank_replica_shows_an_offset_that_means_nothing,
    a_fenced_server_gives_no_copy,
    a_restarted_fenced_master_costs_its_replicas_nothing,
    a_fenced_empty_server_answers_no_read,
    a_complete_replica_has_a_backlog,
    parking_keeps_the_copy_and_the_way_back_is_partial,
    promotion_carries_the_offset_and_names_the_old_stream,
    a_promoted_blank_server_counts_writes_only_with_a_backlog,
    a_flushed_copy_is_complete_with_no_keys,
    a_loading_server_answers_info_and_says_so,
    a_busy_server_refuses_orders_and_info,
    a_reset_does_not_take_back_what_a_stopped_server_has_received,
    orders_sent_together_are_executed_with_nobody_in_between,
    a_restart_is_another_run_with_another_stream,
    a_pause_holds_writes_and_neither_info_nor_replication,
    a_planned_change_loses_nothing_and_every_resync_is_partial,
    the_way_back_from_a_demotion_costs_nobody_anything,
    a_pause_ends_by_itself_and_waiting_writers_learn_of_the_demotion,
    a_parked_master_feeds_its_replicas_from_7_0_on,
    a_master_pointed_at_a_successor_that_is_behind_loses_its_writes,
    a_shorter_pause_does_not_shorten_a_longer_one,
);

fn write_keys(master: &Server, count: u32) {
    let mut client = master.client();
    for key in 0..count {
        send(&mut client, &["SET", &format!("key{key}"), "value"]).expect("a master takes it");
    }
}

/// A master whose writes count, with keys.
fn full_master(binary: &Path) -> Server {
    let master = Server::master(binary);
    begin_backlog(&master);
    write_keys(&master, 100);
    master
}

/// A raw connection to a server, for what no client library does.
fn raw(server: &Server) -> TcpStream {
    let stream = TcpStream::connect((server.addr.ip, server.addr.port)).expect("it listens");
    stream.set_read_timeout(Some(servers::PATIENCE)).expect("a timeout");
    // What is written has arrived when the call returns.
    stream.set_nodelay(true).expect("a live socket");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a live socket");
    stream
}

fn first_answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 512];
    let count = stream.read(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

fn begin_backlog(master: &Server) {
    let mut copier = raw(master);
    copier.write_all(b"REPLCONF capa eof capa psync2\r\n").expect("it is sent");
    // PSYNC is refused while an answer is still to be sent.
    assert_eq!(first_answer(&mut copier), "+OK\r\n");
    copier.write_all(b"PSYNC ? -1\r\n").expect("it is sent");
    eventually("there is a backlog", || master.passport().backlog.then_some(()));
}

fn a_blank_replica_shows_an_offset_that_means_nothing(binary: &Path) {
    let server = Server::fenced(binary);
    assert_eq!(server.field("slave_repl_offset"), "1");
    let passport = server.passport();
    assert_eq!(passport.role, RedisRole::Replica);
    assert!(passport.parked() && !passport.link_up);
    assert_eq!((passport.offset, passport.backlog, passport.keys), (0, false, 0));
}

fn a_fenced_server_gives_no_copy(binary: &Path) {
    let server = Server::fenced(binary);
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    let answer = psync(&server);
    assert!(answer.starts_with("-MASTERDOWN"), "while stale data are refused: {answer}");
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    let answer = psync(&server);
    assert!(answer.starts_with("-NOMASTERLINK"), "{answer}");

    // The same question to a master is answered with a copy.
    assert!(psync(&full_master(binary)).starts_with("+FULLRESYNC"));
}

fn psync(server: &Server) -> String {
    let mut copier = raw(server);
    copier.write_all(b"PSYNC ? -1\r\n").expect("it is sent");
    first_answer(&mut copier)
}

/// The boot fence at work: what Redis 6.2 and 7.0 lose without it.
fn a_restarted_fenced_master_costs_its_replicas_nothing(binary: &Path) {
    let mut master = full_master(binary);
    let replicas = [Server::fenced(binary), Server::fenced(binary)];
    for replica in &replicas {
        replica.follow(&master);
        replica.await_copy_of(&master);
    }
    let kept = |it: Passport| (it.run_id, it.replid, it.offset, it.keys, it.backlog);
    let before = replicas.each_ref().map(|it| kept(it.passport()));
    master.kill();
    master.revive();
    eventually("both have tried again", || (refusals(&master) >= 4).then_some(()));
    assert_eq!(replicas.each_ref().map(|it| kept(it.passport())), before);

    let [next, other] = &replicas;
    next.ask(&["REPLICAOF", "NO", "ONE"]);
    other.follow(next);
    other.await_copy_of(next);
    assert_eq!((next.field("sync_full"), next.field("sync_partial_ok")), ("0".into(), "1".into()));
}

/// How often a server refused to be replicated from because it is fenced.
fn refusals(server: &Server) -> u32 {
    let info = server.ask(&["INFO", "everything"]);
    let redis::Value::BulkString(bytes) = info else { panic!("INFO answered {info:?}") };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let count = |prefix| {
        let found = text.lines().find_map(|line| line.strip_prefix(prefix));
        found.map_or(0, |count| count.trim_end().parse::<u32>().expect("a number"))
    };
    count("errorstat_MASTERDOWN:count=") + count("errorstat_NOMASTERLINK:count=")
}

/// Why 6.2 is started without `replica-serve-stale-data no`: it answers PING all the same, the replica
/// goes on to PSYNC, and gives up its backlog over the answer. Its copy is not known as complete then.
#[test]
fn a_fenced_redis_6_2_that_refuses_stale_data_costs_replicas_their_backlog() {
    let Some(binary) = servers::binary("redis-6.2") else { return };
    let master = full_master(&binary);
    let replica = Server::fenced(&binary);
    replica.follow(&master);
    replica.await_copy_of(&master);
    let fenced = Server::fenced(&binary);
    fenced.ask(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    replica.ask(&["REPLICAOF", &fenced.addr.ip.to_string(), &fenced.addr.port.to_string()]);
    eventually("the backlog is gone", || (!replica.passport().backlog).then_some(()));
    assert_eq!(replica.passport().keys, 100);
}

fn a_fenced_empty_server_answers_no_read(binary: &Path) {
    let server = Server::fenced(binary);
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    assert_eq!(server.refusal(&["GET", "key"]), "MASTERDOWN");
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    assert_eq!(server.ask(&["GET", "key"]), redis::Value::Nil);
}

fn a_complete_replica_has_a_backlog(binary: &Path) {
    let master = full_master(binary);
    let replica = Server::fenced(binary);
    assert!(!replica.passport().backlog);
    replica.follow(&master);
    replica.await_copy_of(&master);
    let passport = replica.passport();
    assert!(passport.backlog && !passport.loading && !passport.syncing);
    assert_eq!((passport.keys, passport.replid), (100, master.passport().replid));
    assert!(passport.dataset_bytes > 0);
}

fn parking_keeps_the_copy_and_the_way_back_is_partial(binary: &Path) {
    let master = full_master(binary);
    let replica = Server::fenced(binary);
    replica.follow(&master);
    replica.await_copy_of(&master);
    let before = replica.passport();
    let syncs = |name: &str| master.field(name).parse::<u32>().expect("a number");
    let (full, partial) = (syncs("sync_full"), syncs("sync_partial_ok"));

    replica.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    eventually("the link is down", || (!replica.passport().link_up).then_some(()));
    let parked = replica.passport();
    let kept = |it: Passport| (it.run_id, it.replid, it.offset, it.keys, it.backlog);
    assert_eq!(kept(parked), kept(before));
    assert!(parked.parked());

    write_keys(&master, 20);
    assert_eq!(replica.passport().offset, before.offset, "a parked one receives nothing");
    replica.follow(&master);
    replica.await_copy_of(&master);
    assert_eq!((syncs("sync_full"), syncs("sync_partial_ok")), (full, partial + 1));
}

fn promotion_carries_the_offset_and_names_the_old_stream(binary: &Path) {
    let master = full_master(binary);
    let replica = Server::fenced(binary);
    replica.follow(&master);
    replica.await_copy_of(&master);
    replica.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let before = replica.passport();

    replica.ask(&["REPLICAOF", "NO", "ONE"]);

    let after = replica.passport();
    assert_eq!(after.role, RedisRole::Master);
    assert_eq!((after.run_id, after.offset, after.keys), (before.run_id, before.offset, 100));
    assert_eq!(after.replid2, before.replid);
    assert_ne!(after.replid, before.replid);
    assert_eq!(after.second_offset, before.offset + 1);
    write_keys(&replica, 1);
    assert!(replica.passport().offset > before.offset, "writes count at once");
}

fn a_promoted_blank_server_counts_writes_only_with_a_backlog(binary: &Path) {
    let server = Server::master(binary);
    write_keys(&server, 10);
    let uncounted = server.passport();
    assert_eq!((uncounted.offset, uncounted.backlog, uncounted.keys), (0, false, 10));

    begin_backlog(&server);

    let begun = server.passport();
    assert_ne!(begun.replid, uncounted.replid, "a replid that changes is news");
    assert_eq!(begun.run_id, uncounted.run_id);
    write_keys(&server, 10);
    let counted = server.passport();
    assert!(counted.offset > begun.offset);
    assert_eq!(counted.replid, begun.replid);
    eventually("the copier is forgotten", || (server.passport().replicas == 0).then_some(()));
    assert!(server.passport().backlog, "and the backlog stays");
}

fn a_flushed_copy_is_complete_with_no_keys(binary: &Path) {
    let master = full_master(binary);
    let replica = Server::fenced(binary);
    replica.follow(&master);
    master.ask(&["FLUSHALL"]);
    replica.await_copy_of(&master);
    let passport = replica.passport();
    assert_eq!((passport.keys, passport.backlog), (0, true));
    assert!(passport.offset > 0);
}

fn a_loading_server_answers_info_and_says_so(binary: &Path) {
    let master = full_master(binary);
    let replica = Server::fenced(binary);
    servers::make_a_copy_slow(&master, &replica);
    let (ip, port) = (master.addr.ip.to_string(), master.addr.port.to_string());
    replica.ask(&["REPLICAOF", &ip, &port]);

    let loading = eventually("it loads", || Some(replica.passport()).filter(|it| it.loading));
    assert!(!loading.link_up);
    assert_eq!(replica.refusal(&["REPLICAOF", "127.0.0.1", "1"]), "LOADING");
    let moved = |it: &Passport| it.loading && it.loaded_bytes > loading.loaded_bytes;
    eventually("the load moves", || Some(replica.passport()).filter(moved));

    // The whole file is there: it becomes complete though the master is gone.
    drop(master);
    let loaded = eventually("it is loaded", || Some(replica.passport()).filter(|it| !it.loading));
    assert_eq!((loaded.backlog, loaded.keys), (true, 200));
}

/// Keeps a server busy with a script until it is killed.
fn keep_busy(server: &Server) -> std::thread::JoinHandle<()> {
    // The name before 7.0, which later versions still know.
    server.ask(&["CONFIG", "SET", "lua-time-limit", "50"]);
    let mut client = server.client();
    let script = std::thread::spawn(move || {
        let _ = send(&mut client, &["EVAL", "while true do end", "0"]);
    });
    eventually("it is busy", || {
        server.try_ask(&["INFO"]).is_err_and(|error| error.code() == Some("BUSY")).then_some(())
    });
    script
}

fn a_busy_server_refuses_orders_and_info(binary: &Path) {
    let server = Server::master(binary);
    let script = keep_busy(&server);
    assert_eq!(server.refusal(&["REPLICAOF", "127.0.0.1", "1"]), "BUSY");
    assert_eq!(server.refusal(&["INFO"]), "BUSY");
    server.ask(&["SCRIPT", "KILL"]);
    script.join().expect("the script ended");
    assert_eq!(server.passport().role, RedisRole::Master, "the refused order did nothing");
}

fn a_reset_does_not_take_back_what_a_stopped_server_has_received(binary: &Path) {
    let server = Server::master(binary);
    let mut connection = raw(&server);
    connection.write_all(b"PING\r\n").expect("it is sent");
    first_answer(&mut connection);
    server.freeze();
    connection.write_all(b"REPLICAOF 127.0.0.1 9\r\n").expect("it is sent");
    connection.write_all(b"REPLICAOF 127.0.0.1 1\r\n").expect("it is sent");
    drop(connection);
    server.thaw();
    eventually("both orders are executed", || server.passport().parked().then_some(()));
}

fn orders_sent_together_are_executed_with_nobody_in_between(binary: &Path) {
    let server = Server::fenced(binary);
    let mut orders = raw(&server);
    let mut clients: Vec<TcpStream> = (0..20).map(|_| raw(&server)).collect();
    for stream in clients.iter_mut().chain([&mut orders]) {
        stream.write_all(b"PING\r\n").expect("it is sent");
        first_answer(stream);
    }
    server.freeze();
    let (early, late) = clients.split_at_mut(10);
    early.iter_mut().for_each(|it| it.write_all(b"SET key value\r\n").expect("it is sent"));
    orders.write_all(b"REPLICAOF NO ONE\r\n").expect("it is sent");
    orders.write_all(b"REPLICAOF 127.0.0.1 1\r\n").expect("it is sent");
    late.iter_mut().for_each(|it| it.write_all(b"SET key value\r\n").expect("it is sent"));
    server.thaw();
    for client in &mut clients {
        let answer = first_answer(client);
        assert!(answer.starts_with('-'), "a write came between the two orders: {answer}");
    }
    let passport = server.passport();
    assert!(passport.parked());
    assert!(!passport.replid2.is_none(), "and yet it was promoted");
}

fn a_restart_is_another_run_with_another_stream(binary: &Path) {
    let mut server = full_master(binary);
    let before = server.passport();
    server.kill();
    server.revive();
    let after = server.passport();
    assert_ne!((after.run_id, after.replid), (before.run_id, before.replid));
    assert_eq!((after.keys, after.backlog, after.offset), (0, false, 0));
    assert!(after.parked());
}
