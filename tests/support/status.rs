//! A status as a healthy follower would have it, for tests to bend.

#![allow(dead_code)] // Every test crate uses another part.

use redis_hive::http::status::{
    DnsStatus, PeerStatus, ProxyStatus, Readiness, RedisStatus, Role, RouteKind, Status,
    Transition, timestamp,
};

/// A follower of 10.0.0.1 with a current copy.
pub fn follower() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        node: "10.0.0.2".parse().expect("an IP"),
        name: "redis-peers.shop.svc.cluster.local.".to_owned(),
        incarnation: "00000000000000ab".to_owned(),
        role: Role::Follower,
        epoch: 7,
        leader: Some("10.0.0.1".parse().expect("an IP")),
        master: Some("10.0.0.1:6379".parse().expect("an address")),
        paused: false,
        route: RouteKind::Forward,
        redis: RedisStatus {
            up: true,
            role: Some("replica".to_owned()),
            state: Some("complete".to_owned()),
            run_id: Some("a".repeat(40)),
            replid: Some("b".repeat(40)),
            offset: 123_456,
            link_up: true,
            lag_bytes: Some(100),
            complete: true,
            current: true,
        },
        peers: vec![PeerStatus {
            addr: "10.0.0.1:6390".parse().expect("an address"),
            role: Some(Role::Leader),
            epoch: Some(7),
            last_heard_ms: Some(87),
            offset: Some(123_556),
        }],
        proxy: ProxyStatus { clients: 12, held: 0, migrated: 0 },
        dns: Some(DnsStatus {
            outcome: "complete".to_owned(),
            age_ms: 300,
            addresses: vec!["10.0.0.1".parse().expect("an IP")],
        }),
        problems: Vec::new(),
        transitions: vec![Transition {
            at: timestamp(1_795_000_000_000),
            epoch: 7,
            from: None,
            to: Some("10.0.0.1:6379".parse().expect("an address")),
            kind: "follows".to_owned(),
            reason: "10.0.0.1 leads".to_owned(),
            took_ms: Some(41),
        }],
        readiness: Readiness { routeless_ms: Some(0), was_current: true, draining: false },
    }
}
