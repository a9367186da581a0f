//! What `/status` shows: put together from the core and the rooms.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::journal::story::word;
use super::journal::{Journal, socket};
use super::problems::problems;
use super::troubles;
use crate::config::Config;
use crate::discovery::{Outcome, ServiceState};
use crate::election::{
    Copy, CopyState, HiveRole, Incarnation, NodeId, PeerView, RedisRole, Route, RunId, Troubles,
    View,
};
use crate::http::status::{
    DnsStatus, MemoryStatus, PeerStatus, ProxyStatus, ReadStatus, Readiness, RedisStatus, Role,
    RouteKind, Status, timestamp,
};
use crate::proxy::Counters;
use crate::redis::{Facts, Memory};

/// So many transitions are in a status, which stays small.
const TRANSITIONS: usize = 32;

/// What stays the same, and since when there is no route.
pub(super) struct Shown {
    pub(super) me: NodeId,
    incarnation: Incarnation,
    name: String,
    service: bool,
    pub(super) quorum: u32,
    priority: u32,
    /// Where others find the local Redis; `None` for a witness.
    redis: Option<SocketAddr>,
    /// `--redis-memory-limit`, bytes; 0: none is known.
    memory_limit: u64,
    /// Others reach the peer port, and need no secret.
    pub(super) open: bool,
    routeless_since: Option<Instant>,
    routed_once: bool,
}

/// What a status is made of.
pub(super) struct Sources<'a> {
    pub view: View,
    pub facts: &'a Facts,
    /// What is wrong with passwords and certificates of Redis.
    pub access: Vec<String>,
    pub proxy: Counters,
    /// Of the read endpoint, and whether new clients go to the local Redis.
    pub reads: Option<(Counters, bool)>,
    pub dns: Vec<ServiceState>,
    pub journal: &'a Journal,
    /// Why the secret file's present content is not in force.
    pub secret: Option<String>,
    pub current_run: Option<RunId>,
}

impl Shown {
    pub fn new(me: NodeId, incarnation: Incarnation, name: String, config: &Config) -> Shown {
        let service = !config.services.is_empty();
        let routeless_since = Some(Instant::now());
        Shown {
            me,
            incarnation,
            name,
            service,
            quorum: config.quorum,
            priority: config.priority,
            redis: (!config.witness).then(|| SocketAddr::new(me.ip, config.redis.port())),
            memory_limit: config.redis_memory_limit,
            open: config.is_open(),
            routeless_since,
            routed_once: false,
        }
    }

    /// A route was set.
    pub fn routed(&mut self, route: &Route) {
        if super::is_open(route) {
            (self.routeless_since, self.routed_once) = (None, true);
        } else {
            self.routeless_since.get_or_insert_with(Instant::now);
        }
    }

    /// Before the first turn.
    pub fn first(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now(),
            node: self.me.ip,
            name: self.name.clone(),
            incarnation: format!("{:016x}", self.incarnation.0),
            role: Role::Starting,
            epoch: 0,
            election_timestamp: 0,
            leader: None,
            master: None,
            priority: self.priority,
            paused: false,
            change: String::new(),
            quorum: self.quorum,
            lease_ms: None,
            route: RouteKind::Hold,
            redis: RedisStatus { addr: self.redis, ..RedisStatus::default() },
            peers: Vec::new(),
            proxy: ProxyStatus::default(),
            dns: None,
            problems: Vec::new(),
            troubles: Vec::new(),
            transitions: Vec::new(),
            readiness: Readiness { routeless_ms: None, was_current: false, draining: false },
        }
    }

    /// What this hive complains about, for the others.
    pub fn troubles(&self, from: &Sources<'_>) -> Troubles {
        troubles::own(from, self.open, self.memory_limit)
    }

    /// The present status; `troubles` are those of this hive.
    pub fn status(&self, from: Sources<'_>, troubles: Troubles) -> Status {
        let view = &from.view;
        let leadership = view.leadership;
        let memory = memory(from.facts, self.memory_limit);
        let redis = RedisStatus { addr: self.redis, memory, ..own_redis(view) };
        let run = view.copy.map(|copy| copy.passport.run_id);
        let routeless_ms = match self.routeless_since {
            None => Some(0),
            Some(since) if self.routed_once => Some(since.elapsed().as_millis() as u64),
            Some(_) => None,
        };
        Status {
            role: match view.role {
                _ if view.stopping => Role::Draining,
                _ if view.witness => Role::Witness,
                other => role(other),
            },
            epoch: view.epoch.0,
            election_timestamp: view.election_timestamp.0,
            leader: leadership.map(|leadership| leadership.leader.ip),
            master: leadership.map(|leadership| socket(leadership.master.addr)),
            paused: view.paused,
            change: view.change.clone(),
            lease_ms: view.lease.map(|left| left.as_millis() as u64),
            route: match view.route {
                Route::Hold => RouteKind::Hold,
                Route::Forward { .. } | Route::Held { .. } => RouteKind::Forward,
                Route::Refuse { .. } => RouteKind::Refuse,
            },
            problems: problems(&from, self, troubles),
            troubles: words(troubles),
            redis,
            peers: view.peers.iter().map(|peer| peer_status(view, peer)).collect(),
            proxy: proxy_status(&from.proxy, from.reads),
            dns: self.service.then(|| dns_status(&from.dns)),
            transitions: from.journal.last(TRANSITIONS),
            readiness: Readiness {
                routeless_ms,
                was_current: view.witness || (run.is_some() && run == from.current_run),
                draining: view.stopping,
            },
            ..self.first()
        }
    }
}

fn now() -> String {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(wall.as_millis() as u64)
}

fn role(role: HiveRole) -> Role {
    match role {
        HiveRole::Starting => Role::Starting,
        HiveRole::Follower => Role::Follower,
        HiveRole::Candidate => Role::Candidate,
        HiveRole::Leader => Role::Leader,
    }
}

/// Clients of the read endpoint are no clients of the write endpoint, wherever they are served.
fn proxy_status(write: &Counters, reads: Option<(Counters, bool)>) -> ProxyStatus {
    let visitors = write.visitors;
    let both = |of: fn(&Counters) -> u64| of(write) + reads.as_ref().map_or(0, |it| of(&it.0));
    ProxyStatus {
        bytes_up: both(|counters| counters.bytes_up),
        bytes_down: both(|counters| counters.bytes_down),
        clients: write.clients.saturating_sub(visitors),
        held: write.held,
        migrated: write.moved_total,
        read: reads.map(|(here, local)| ReadStatus { clients: here.clients + visitors, local }),
    }
}

fn own_redis(view: &View) -> RedisStatus {
    view.copy
        .map_or_else(RedisStatus::default, |copy| redis_status(view, &copy, view.redis_answers))
}

/// A Redis as its hive tells of it.
fn redis_status(view: &View, copy: &Copy, up: bool) -> RedisStatus {
    let passport = copy.passport;
    let master = passport.role == RedisRole::Master;
    let lag = view.master_offset.map(|offset| offset.saturating_sub(passport.offset));
    RedisStatus {
        addr: None,
        up,
        role: Some(if master { "master" } else { "replica" }.to_owned()),
        state: Some(word(copy.state).to_owned()),
        version: Some(passport.version.to_string()),
        run_id: Some(passport.run_id.to_string()),
        replid: Some(passport.replid.to_string()),
        offset: passport.offset,
        link_up: passport.link_up,
        lag_bytes: if master { Some(0) } else { lag },
        complete: copy.state == CopyState::Complete,
        current: copy.current,
        memory: None,
    }
}

fn memory(facts: &Facts, limit: u64) -> Option<MemoryStatus> {
    facts.run_id?;
    let Memory { used, resident, max, system } = facts.memory;
    Some(MemoryStatus { used, resident, max, system, limit })
}

fn peer_status(view: &View, peer: &PeerView) -> PeerStatus {
    PeerStatus {
        addr: SocketAddr::new(peer.node.ip, peer.node.port),
        role: Some(match peer.role {
            _ if peer.stopping => Role::Draining,
            _ if peer.witness => Role::Witness,
            other => role(other),
        }),
        epoch: Some(peer.epoch.0),
        last_heard_ms: Some(peer.silent_for.as_millis() as u64),
        offset: peer.copy.map(|copy| copy.offset),
        version: peer.version.map(|version| version.to_string()),
        clock_ahead_ms: peer.clock_ahead_ms,
        reachable: peer.reachable,
        priority: peer.priority,
        troubles: words(peer.troubles),
        redis: peer.copy.map(|copy| RedisStatus {
            addr: peer.redis.map(socket),
            ..redis_status(view, &copy, peer.redis_answers)
        }),
    }
}

fn words(troubles: Troubles) -> Vec<String> {
    troubles.known().map(|trouble| trouble.word().to_owned()).collect()
}

fn dns_status(services: &[ServiceState]) -> DnsStatus {
    let worst = services.iter().map(|service| match service.outcome {
        None => (3, "pending"),
        Some(Outcome::Failed(_)) => (2, "failed"),
        Some(Outcome::Partly(_)) => (1, "partly"),
        Some(Outcome::Complete) => (0, "complete"),
    });
    let age = services.iter().map(|service| service.at.elapsed().as_millis() as u64).max();
    DnsStatus {
        outcome: worst.max().map_or("pending", |(_, word)| word).to_owned(),
        age_ms: age.unwrap_or_default(),
        addresses: services.iter().flat_map(|service| service.addresses.clone()).collect(),
    }
}
