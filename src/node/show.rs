//! What `/status` shows: put together from the core and the rooms.

use std::net::SocketAddr;
use std::time::Instant;

use super::journal::story::word;
use super::journal::{Journal, socket};
use crate::config::Config;
use crate::discovery::{Outcome, ServiceState};
use crate::election::{
    CopyState, HiveRole, Incarnation, NodeId, PeerView, RedisRole, Route, RunId, View,
};
use crate::http::status::{
    DnsStatus, PAUSED, PeerStatus, ProxyStatus, ReadStatus, Readiness, RedisStatus, Role,
    RouteKind, Status,
};
use crate::proxy::Counters;
use crate::redis::{BootFence, Facts};

/// A peer silent for longer than this is a problem worth a line.
const QUIET_MS: u64 = 5_000;

/// So many transitions are in a status, which stays small.
const TRANSITIONS: usize = 32;
/// What it means that there is no secret.
pub(super) const OPEN: &str = "no secret (--secret-file): whoever reaches the peer port can read the state and make itself \
     the leader";

/// What stays the same, and since when there is no route.
pub(super) struct Shown {
    me: NodeId,
    incarnation: Incarnation,
    name: String,
    service: bool,
    quorum: u32,
    /// Others reach the peer port, and need no secret.
    open: bool,
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
            node: self.me.ip,
            name: self.name.clone(),
            incarnation: format!("{:016x}", self.incarnation.0),
            role: Role::Starting,
            epoch: 0,
            election_timestamp: 0,
            leader: None,
            master: None,
            paused: false,
            change: String::new(),
            quorum: self.quorum,
            lease_ms: None,
            route: RouteKind::Hold,
            redis: RedisStatus::default(),
            peers: Vec::new(),
            proxy: ProxyStatus::default(),
            dns: None,
            problems: Vec::new(),
            transitions: Vec::new(),
            readiness: Readiness { routeless_ms: None, was_current: false, draining: false },
        }
    }

    /// The present status.
    pub fn status(&self, from: Sources<'_>) -> Status {
        let view = &from.view;
        let leadership = view.leadership;
        let redis = redis_status(view);
        let run = view.copy.map(|copy| copy.passport.run_id);
        let routeless_ms = match self.routeless_since {
            None => Some(0),
            Some(since) if self.routed_once => Some(since.elapsed().as_millis() as u64),
            Some(_) => None,
        };
        let dns = self.service.then(|| dns_status(&from.dns));
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
            problems: problems(&from, self, &redis, dns.as_ref()),
            redis,
            peers: view.peers.iter().map(peer_status).collect(),
            proxy: proxy_status(&from.proxy, from.reads),
            dns,
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
    ProxyStatus {
        clients: write.clients.saturating_sub(visitors),
        held: write.held,
        migrated: write.moved_total,
        read: reads.map(|(here, local)| ReadStatus { clients: here.clients + visitors, local }),
    }
}

fn redis_status(view: &View) -> RedisStatus {
    let Some(copy) = view.copy else { return RedisStatus::default() };
    let passport = copy.passport;
    let master = passport.role == RedisRole::Master;
    let lag = view.master_offset.map(|offset| offset.saturating_sub(passport.offset));
    RedisStatus {
        up: view.redis_answers,
        role: Some(if master { "master" } else { "replica" }.to_owned()),
        state: Some(word(copy.state).to_owned()),
        run_id: Some(passport.run_id.to_string()),
        replid: Some(passport.replid.to_string()),
        offset: passport.offset,
        link_up: passport.link_up,
        lag_bytes: if master { Some(0) } else { lag },
        complete: copy.state == CopyState::Complete,
        current: copy.current,
    }
}

fn peer_status(peer: &PeerView) -> PeerStatus {
    PeerStatus {
        addr: SocketAddr::new(peer.node.ip, peer.node.port),
        role: Some(role(peer.role)),
        epoch: Some(peer.epoch.0),
        last_heard_ms: Some(peer.silent_for.as_millis() as u64),
        offset: peer.copy.map(|copy| copy.offset),
    }
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

fn problems(
    from: &Sources<'_>,
    shown: &Shown,
    redis: &RedisStatus,
    dns: Option<&DnsStatus>,
) -> Vec<String> {
    let view = &from.view;
    let mut problems = Vec::new();
    if !view.waiting.is_empty() {
        problems.push(view.waiting.clone());
    }
    if view.leadership.is_none() {
        problems.push("no leader is known".to_owned());
    }
    if view.stopping && !view.change.is_empty() {
        problems.push(format!("stopping, and still here: {}", view.change));
    }
    let quorum = shown.quorum;
    if quorum > 1 && view.leadership.is_some() && view.lease.is_none() {
        problems.push(format!("no lease: fewer hives than --quorum {quorum} follow"));
    }
    if view.paused {
        problems.push(PAUSED.to_owned());
    }
    if !view.witness {
        local_problems(from, redis, &mut problems);
    }
    problems.extend(from.access.iter().cloned());
    for peer in view.peers.iter().filter(|peer| !peer.reachable) {
        if peer.silent_for.as_millis() as u64 > QUIET_MS {
            let seconds = peer.silent_for.as_secs();
            problems.push(format!("{} has been silent for {seconds} s", peer.node));
        }
    }
    if let Some(dns) = dns.filter(|dns| dns.outcome == "failed" || dns.outcome == "partly") {
        problems.push(format!("DNS: the last answer was {}", dns.outcome));
    }
    problems.extend(from.secret.clone());
    if shown.open {
        problems.push(OPEN.to_owned());
    }
    problems
}

/// What is wrong with the local Redis.
fn local_problems(from: &Sources<'_>, redis: &RedisStatus, problems: &mut Vec<String>) {
    problems.extend(from.facts.problems.iter().cloned());
    if !redis.up {
        problems.push("the local Redis does not answer".to_owned());
    } else if from.view.leadership.is_some() && !redis.current {
        problems.push("the local copy is not current".to_owned());
    }
    if from.facts.boot_fence == BootFence::Missing {
        problems.push(
            "the local Redis has no boot fence (--replicaof 127.0.0.1 1): a quick restart of it \
             as master could wipe its replicas"
                .to_owned(),
        );
    }
    let flags = &from.facts.missing_flags;
    problems.extend(flags.iter().map(|flag| format!("the local Redis was started without {flag}")));
    problems.extend(from.facts.warnings.iter().cloned());
}
