//! What a hive of fifty has to tell: every peer with a copy, a full journal, both endpoints in use.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use redis_hive::election::{Cause, RedisAddr};
use redis_hive::http::Journal;
use redis_hive::http::figures::{Change, Figures, KINDS, ProxyFigures, Told};
use redis_hive::http::journal::{Offer, Transition, Vote};
use redis_hive::http::status::{PeerStatus, Status};
use redis_hive::sentinel::{Master, Node, Replica, Topology};

const PEERS: u8 = 50;
/// The run of its journal.
pub const RUN: &str = "run";
/// So many are kept.
pub const TRANSITIONS: u64 = 256;

fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, host])
}

/// For `/status`.
pub fn status() -> anyhow::Result<Status> {
    let mut status: Status = serde_json::from_str(include_str!("../../tests/support/status.json"))?;
    let peer = status.peers[0].clone();
    let peers = (1..=PEERS).map(|host| SocketAddr::new(ip(host), 6390));
    status.peers = peers.map(|addr| PeerStatus { addr, ..peer.clone() }).collect();
    status.transitions = vec![status.transitions[0].clone(); 32];
    Ok(status)
}

/// For `/metrics`.
pub fn figures() -> Figures {
    let all = KINDS
        .into_iter()
        .flat_map(|kind| Cause::ALL.map(|cause| Change { kind, cause: cause.word(), count: 1 }));
    let cut: Vec<(&str, u64)> = (0..14).map(|_| ("outstanding", 1)).collect();
    let endpoint = ProxyFigures { cut, ..ProxyFigures::default() };
    let mut figures = Figures {
        told: Told { changes: all.collect(), ..Told::default() },
        write: endpoint.clone(),
        read: Some(endpoint),
        master_offset: Some(1 << 40),
        ..Figures::default()
    };
    let replica = |host| (SocketAddr::new(ip(host), 6379).to_string(), Duration::ZERO);
    figures.redis.acknowledged = (1..=PEERS).map(replica).collect();
    figures
}

/// One that everybody had a part in.
pub fn transition(epoch: u64) -> Transition {
    let state = Some("complete".to_owned());
    let offer = |host| Offer {
        node: ip(host),
        state: state.clone(),
        offset: 1 << 40,
        keys: 1 << 20,
        priority: 100,
    };
    let vote = |host| Vote { by: ip(host), to: ip(0), epoch, granted: true, why: String::new() };
    Transition {
        epoch,
        kind: "failover".to_owned(),
        reason: "following 10.0.1.1:6390 with master 10.0.1.1:6379".to_owned(),
        offers: (1..=PEERS).map(offer).collect(),
        votes: (1..=PEERS).map(vote).collect(),
        ..Transition::default()
    }
}

/// For `/transitions` and `/events`: as much as is kept.
pub fn journal() -> Journal {
    let journal = Journal::new(RUN.to_owned());
    (1..=TRANSITIONS).for_each(|epoch| _ = journal.push(transition(epoch)));
    journal
}

/// For the Sentinel port: the master beside host 1.
pub fn topology() -> Topology {
    let now = Instant::now();
    let node = |host, port| Node {
        addr: SocketAddr::new(ip(host), port),
        id: format!("{host:040x}"),
        up: true,
        heard: now,
        since: now,
    };
    let redis = |host| RedisAddr::new(ip(host), 6379);
    let replica = |host| Replica {
        node: node(host, 6379),
        redis: redis(host),
        connected: true,
        link_up: true,
        link_since: now,
        upstream: Some(redis(1)),
        priority: 100,
        offset: 1 << 40,
    };
    Topology {
        master: Some(Master { node: node(1, 6379), redis: redis(1), epoch: 7 }),
        replicas: (2..=PEERS).map(replica).collect(),
        hives: (1..=PEERS).map(|host| node(host, 26379)).collect(),
    }
}
