//! The table from fixed documents.

use super::table::{lines, troubles};
use super::*;
use crate::cli::text::{Style, WIDTH};
use crate::http::status::{PAUSED, PeerStatus, RedisStatus, Role, RouteKind};

/// 10.0.0.2 follows 10.0.0.1, as 10.0.0.3 does.
fn example() -> Status {
    let json = include_str!("../../../tests/support/status.json");
    serde_json::from_str(json).expect("the example is a status")
}

/// The same hive, asked at 10.0.0.3.
fn asked_elsewhere() -> Status {
    let mut status = example();
    let own = PeerStatus {
        addr: "10.0.0.2:6390".parse().expect("an address"),
        role: Some(status.role),
        epoch: Some(status.epoch),
        last_heard_ms: Some(12),
        offset: Some(status.redis.offset),
        reachable: true,
        priority: status.priority,
        troubles: status.troubles.clone(),
        version: Some(status.version.clone()),
        clock_ahead_ms: Some(3),
        redis: Some(status.redis.clone()),
    };
    let at = status.peers.iter().position(|peer| peer.addr.ip() != status.leader.expect("one"));
    let third = status.peers.remove(at.expect("the third hive"));
    status.node = third.addr.ip();
    status.redis = third.redis.expect("its Redis");
    status.peers.push(own);
    status
}

fn page(status: &Status) -> String {
    let page = render(status, false);
    assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
    assert!(!page.contains('\x1b'), "{page}");
    page
}

/// The lines of the hives, the heading included.
fn table(status: &Status) -> String {
    let page = page(status);
    let (_, rest) = page.split_once("\n\n").expect("a table");
    rest.split("\n\n").next().unwrap_or_default().to_owned()
}

#[test]
fn a_healthy_hive_is_told_in_one_look() {
    assert_eq!(
        page(&example()),
        "redis-peers.shop.svc.cluster.local: healthy\n\
         master 10.0.0.1:6379, epoch 7\n\
         \n\
        \x20 HIVE      ROLE       EPOCH  REDIS    COPY            LAG\n\
         * 10.0.0.1  leader         7  master   current           -\n\
        \x20 10.0.0.2  follower       7  replica  current       100 B\n\
        \x20 10.0.0.3  follower       7  replica  current     1.0 KiB\n\
         \n\
         as 10.0.0.2 sees it; ask the others with --http\n\
         since   2026-11-18T11:06:40.000Z: follows\n\
         redis   8.0.2, offset 123456, 12 MiB of 128 MiB in use\n\
         proxy   forwards, 12 clients, 0 held, 0 moved, 3 read here\n\
         dns     complete, 3 addresses, 300 ms ago\n\
         \n\
         2026-11-18T11:06:40.000Z epoch 7 follows, 41 ms: 10.0.0.1 leads\n"
    );
    assert!(troubles(&example()).is_empty());
}

#[test]
fn every_hive_shows_the_same_table() {
    let (here, there) = (page(&example()), page(&asked_elsewhere()));
    let shared = |page: &str| page.split("as 10.0.0.").next().map(str::to_owned);
    assert_eq!(shared(&here), shared(&there));
    assert!(there.contains("\nas 10.0.0.3 sees it"), "{there}");
}

#[test]
fn problems_come_first_each_with_what_to_do() {
    let mut status = example();
    (status.master, status.route, status.redis.up) = (None, RouteKind::Hold, false);
    status.problems = vec![
        "no master is known".to_owned(),
        "a very long sentence ".repeat(20),
        "\x1b[2Jsteers".to_owned(),
        "x".repeat(200),
        PAUSED.to_owned(),
    ];
    let page = page(&status);
    assert!(page.starts_with("! no master is known\n  -> wait for a second"), "{page}");
    assert_eq!(page.matches("no master is known").count(), 1, "said once: {page}");
    assert!(page.contains("! the Redis of 10.0.0.2 does not answer\n  -> look at"), "{page}");
    assert!(page.contains(&format!("! {PAUSED}\n  -> `redis-hive resume`")), "{page}");
    assert!(page.contains(": 7 problems\nmaster none, epoch 7\n"), "{page}");
    assert!(render(&status, true).contains("\x1b[31m! no master is known\x1b[0m"));
}

#[test]
fn a_flood_of_problems_leaves_room_for_the_table() {
    let mut status = example();
    status.problems = (0..40).map(|at| format!("trouble {at}")).collect();
    let page = page(&status);
    assert!(page.contains("! and 28 more: --json has all\n"), "{page}");
    assert!(page.contains(": 40 problems\n"), "{page}");
}

/// The longest addresses and the highest epoch there can be.
#[test]
fn long_addresses_have_a_line_of_their_own() {
    let mut status = example();
    let long = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff";
    status.node = format!("{long}2").parse().expect("an IP");
    for (peer, last) in status.peers.iter_mut().zip([1, 3]) {
        peer.addr = format!("[{long}{last}]:6390").parse().expect("an address");
    }
    status.leader = status.peers.first().map(|peer| peer.addr.ip());
    status.master = status.leader.map(|ip| (ip, 6379).into());
    let rows = table(&status);
    assert!(rows.contains(&format!("\n* {long}1\n{:32}  leader  ", "")), "{rows}");
    assert_eq!(rows.lines().count(), 7, "{rows}");
    for epoch in [1 << 20, 1 << 48, u64::MAX] {
        status.epoch = epoch;
        assert!(table(&status).contains(&epoch.to_string()));
    }
    status.epoch = 7;
    status.node = "fd00:10:244:1::17".parse().expect("an IP");
    assert!(page(&status).contains("\n  fd00:10:244:1::17 "), "short ones have not");
}

#[test]
fn fifty_hives_are_listed_by_address() {
    let mut status = example();
    let peer = status.peers.remove(0);
    status.peers = (0..50_u8)
        .rev()
        .map(|host| PeerStatus { addr: ([10, 0, 1, host], 6390).into(), ..peer.clone() })
        .collect();
    let rows = table(&status);
    let shown: Vec<&str> = rows.lines().skip(1).filter_map(|line| line.get(2..12)).collect();
    assert_eq!(shown.len(), 51);
    assert_eq!((shown[0], shown[1], shown[50]), ("10.0.0.2  ", "10.0.1.0  ", "10.0.1.49 "));
}

#[test]
fn what_is_not_known_is_marked() {
    let mut status = example();
    let [leader, third] = &mut status.peers[..] else { unreachable!("two peers") };
    (leader.role, leader.epoch, leader.redis) = (None, None, None);
    third.last_heard_ms = Some(12_000);
    let rows = table(&status);
    assert!(rows.contains("\n* 10.0.0.1  unknown        -  -        -"), "{rows}");
    assert!(rows.contains("\n  10.0.0.3  silent         7  -        -"), "{rows}");
}

#[test]
fn every_state_of_a_redis_has_its_word() {
    let shown = |bend: fn(&mut RedisStatus)| {
        let mut status = example();
        bend(status.peers[1].redis.as_mut().expect("its Redis"));
        let rows = table(&status);
        let row = rows.lines().nth(3).unwrap_or_default();
        row.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
    };
    let behind = |redis: &mut RedisStatus| redis.current = false;
    assert_eq!(shown(behind), "replica behind 1.0 KiB");
    assert_eq!(shown(|it| (it.current, it.link_up) = (false, false)), "replica no link 1.0 KiB");
    assert_eq!(shown(|it| it.up = false), "down - -");
    assert_eq!(shown(|it| it.lag_bytes = None), "replica current unknown");
    for state in ["coming", "blank"] {
        let mut status = example();
        let redis = status.peers[1].redis.as_mut().expect("its Redis");
        (redis.current, redis.complete, redis.state) = (false, false, Some(state.to_owned()));
        assert!(table(&status).contains(&format!("replica  {state}")));
    }
}

#[test]
fn mixed_versions_are_shown_beside_each_hive() {
    let mut status = example();
    assert!(!table(&status).contains("hive 0.1.0"));
    status.peers[1].version = None;
    let rows = table(&status);
    assert!(rows.contains("\n    hive 0.1.0, Redis 8.0.2\n"), "{rows}");
    assert!(rows.ends_with("\n    hive unknown, Redis 8.0.2"), "{rows}");
}

#[test]
fn quorum_and_change_are_shown() {
    let mut status = example();
    (status.quorum, status.lease_ms) = (2, Some(412));
    status.change = "handing over to 10.0.0.1 ".repeat(5);
    let text = page(&status);
    assert!(text.contains("\nquorum  2, lease 412 ms left\n"), "{text}");
    assert!(text.contains("\nchange  handing over to 10.0.0.1"), "{text}");
    status.lease_ms = None;
    status.problems.push(format!("stopping, and still here: {}", status.change));
    let text = page(&status);
    assert!(text.contains("\nquorum  2, lease none\n"), "{text}");
    assert!(!text.contains("\nchange"), "a problem says it: {text}");
}

#[test]
fn a_leader_and_a_witness_can_be_healthy() {
    let mut leader = example();
    (leader.role, leader.leader) = (Role::Leader, Some(leader.node));
    assert!(troubles(&leader).is_empty());
    let mut witness = example();
    (witness.role, witness.redis) = (Role::Witness, Default::default());
    assert!(troubles(&witness).is_empty());
    assert!(table(&witness).contains("\n  10.0.0.2  witness        7  none     -"));
}

/// One said it before it had these fields.
#[test]
fn a_hive_of_an_older_version_is_shown_as_far_as_it_tells() {
    let mut told: serde_json::Value = serde_json::to_value(example()).expect("JSON");
    for peer in told["peers"].as_array_mut().expect("peers") {
        let peer = peer.as_object_mut().expect("a peer");
        peer.retain(|name, _| !["version", "clock_ahead_ms", "redis"].contains(&name.as_str()));
    }
    let redis = told["redis"].as_object_mut().expect("a Redis");
    redis.retain(|name, _| !["version", "memory"].contains(&name.as_str()));
    let status: Status = serde_json::from_value(told).expect("still a status");
    assert!(page(&status).contains("\n* 10.0.0.1  leader         7  none "));
}

#[test]
fn the_leader_is_green_and_headings_are_not_alike() {
    let styles: Vec<Style> = lines(&example()).into_iter().map(|(style, _)| style).collect();
    assert_eq!(styles[0], Style::Bold);
    assert_eq!(styles[4], Style::Good);
}
