//! What must hold at every moment: the invariants of `docs/invariants.md`, by their numbers.

use std::collections::BTreeMap;

use redis_hive::election::{
    Epoch, Frame, HiveRole, Incarnation, Message, NodeId, RedisAddr, RedisOrder, Route,
};

use crate::hive::Seen;
use crate::network::MAX_HOSTS;
use crate::redis::{Sync, dataset_bytes};
use crate::story::name;
use crate::world::{Event, MS, Micros, SEC, World};

/// Two hives between which all went well for this long know each other.
pub const CALM: Micros = 1_500 * MS;
/// How long two masters may take clients in a group whose members all reach each other.
const TWO_MASTERS: Micros = 3 * SEC;
/// How long a leader may take to notice that its master is none.
const NOTICE: Micros = 1_500 * MS;
const MIB: u64 = 1 << 20;

#[derive(Debug, Default)]
pub struct Checks {
    /// What was violated: number and circumstances.
    pub violations: Vec<String>,
    /// A Redis without a hive has copied a stranger: nothing can be demanded of this run any more.
    pub spoiled: bool,
    /// Full syncs begun.
    pub full_syncs: u64,
    /// How often each host has asked each Redis who it is.
    pub probes: BTreeMap<(usize, RedisAddr), u64>,
    /// Questions of people, by token - 1.
    pub asks: Vec<crate::checks_planned::Asked>,
    /// Orders to lead that were sent.
    pub orders: Vec<crate::checks_planned::Ordered>,
    pub newest: crate::checks_planned::Newest,
    /// Every hive there ever was: host, life, node, incarnation.
    born: Vec<(usize, u32, NodeId, Incarnation)>,
    /// Every leadership announced: epoch, host, life, when, run of the master.
    pub announced: Vec<(Epoch, usize, u32, Micros, redis_hive::election::Id)>,
    /// Every grant sent: host, life, epoch, to whom.
    grants: Vec<(usize, u32, Epoch, NodeId)>,
    /// When two leaders that could hear of each other were last seen.
    two_leaders: Micros,
    two_masters_since: Option<Micros>,
    false_leader_since: [Option<Micros>; MAX_HOSTS],
    rounds: u64,
}

impl Checks {
    pub fn broken(&self) -> bool {
        !self.violations.is_empty()
    }

    pub fn identity(&self, host: usize, life: u32) -> Option<(NodeId, Incarnation)> {
        let found = self.born.iter().rev().find(|born| (born.0, born.1) == (host, life));
        found.map(|born| (born.2, born.3))
    }

    /// The grants a host has sent.
    pub fn grants_of(&self, host: usize) -> usize {
        self.grants.iter().filter(|grant| grant.0 == host).count()
    }

    pub fn is_born(&mut self, host: usize, life: u32, node: NodeId, incarnation: Incarnation) {
        self.born.push((host, life, node, incarnation));
    }
}

impl World {
    pub fn violated(&mut self, what: &str, host: usize, how: impl FnOnce() -> String) {
        if self.checks.spoiled {
            return;
        }
        let text = format!("{what} at {}: {}", name(host), how());
        self.tell(host, || format!("VIOLATED {text}"));
        self.checks.violations.push(text);
    }

    /// Looks at the core after its turn (INV-21).
    pub fn observe(&mut self, host: usize) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let view = hive.core.view();
        let seen = Seen { role: view.role, epoch: view.epoch, leadership: view.leadership };
        if seen == hive.seen {
            return;
        }
        let (before, life) = (std::mem::replace(&mut hive.seen, seen), hive.life);
        self.tell(host, || match seen.leadership {
            None => format!("is {:?} [{}], no leader", seen.role, seen.epoch),
            Some(led) => format!(
                "is {:?} [{}] under {} [{}], master {}",
                seen.role, seen.epoch, led.leader, led.epoch, led.master.addr
            ),
        });
        let Some(leadership) = seen.leadership.filter(|_| seen.role == HiveRole::Leader) else {
            return;
        };
        let leads_on = before.role == HiveRole::Leader
            && before.leadership.is_some_and(|old| old.epoch == leadership.epoch);
        if leads_on
            && before.leadership.map(|old| old.master.run_id) == Some(leadership.master.run_id)
        {
            return;
        }
        self.check_announcement(host, life, leadership.epoch, leadership.master.run_id);
    }

    fn check_announcement(
        &mut self,
        host: usize,
        life: u32,
        epoch: Epoch,
        run: redis_hive::election::Id,
    ) {
        let now = self.now;
        let other = self.checks.announced.iter().rev().find(|one| {
            let same = (one.1, one.2) == (host, life);
            let knew = !same && self.net.calm(now, one.1, host, (now - one.3) + CALM);
            one.0 == epoch && (knew || (same && one.4 != run))
        });
        if let Some(other) = other.copied() {
            let who = name(other.1);
            self.violated("INV-21", host, || format!("epoch {epoch} was already led by {who}"));
        }
        self.checks.announced.push((epoch, host, life, now, run));
    }

    /// INV-23: a route never goes back to an older epoch.
    pub fn check_route(&mut self, host: usize, route: &Route) {
        let Route::Forward { epoch, .. } = route else { return };
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let before = hive.routed_epoch;
        hive.routed_epoch = before.max(*epoch);
        if *epoch < before {
            self.violated("INV-23", host, || format!("route {before} -> {epoch}"));
        }
    }

    /// INV-22: the highest epoch a hive says it has seen never falls.
    pub fn check_state(&mut self, host: usize, frame: &Frame) {
        let Some(said) = frame.state().map(|state| state.epoch) else { return };
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let before = std::mem::replace(&mut hive.said_epoch, said);
        hive.said_number = frame.number;
        if said < before {
            self.violated("INV-22", host, || format!("epoch {before} -> {said}"));
        }
    }

    /// INV-36: an epoch is granted once.
    pub fn check_grant(&mut self, host: usize, to: NodeId, frame: &Frame) {
        let Message::Grant(grant) = &frame.message else { return };
        let Some(life) = self.hosts[host].hive.as_ref().map(|hive| hive.life) else { return };
        let epoch = grant.epoch;
        let mine = self.checks.grants.iter().rev().filter(|one| (one.0, one.1) == (host, life));
        let twice = mine.clone().any(|one| one.2 == epoch && one.3 != to);
        if twice {
            self.violated("INV-36", host, || format!("epoch {epoch} granted twice"));
        }
        self.checks.grants.push((host, life, epoch, to));
    }

    /// Before a Redis executes an order (INV-25, INV-27, INV-28, INV-31).
    pub fn check_order(&mut self, host: usize, order: RedisOrder) {
        if self.hosts[host].stranger.is_some() {
            self.violated("INV-27", host, || format!("a stranger was told {order:?}"));
        }
        let redis = &self.hosts[host].redis;
        let able = redis.upstream.is_some() && !self.hosts[host].cannot_promote;
        if able && matches!(order, RedisOrder::Promote { .. }) {
            let old = self.predecessor(host);
            (0..self.hosts.len())
                .for_each(|other| self.check_promotion(host, other, old.is_some()));
            if let Some(old) = old {
                self.check_handed_over(host, old);
            }
        }
    }

    fn check_promotion(&mut self, host: usize, other: usize, planned: bool) {
        let (winner, there) = (&self.hosts[host].redis, &self.hosts[other]);
        let calm = self.net.calm(self.now, host, other, CALM);
        if other == host || there.stranger.is_some() || !there.powered || !calm {
            return;
        }
        let awake = there.hive.as_ref().is_some_and(|hive| !hive.frozen) && !there.throttled;
        let asked = awake && !there.never_grants && !self.hosts[host].throttled;
        let redis = &there.redis;
        let holds = redis.alive && !redis.frozen && (redis.complete() || redis.loading());
        let who = name(other);
        if !winner.complete() && holds && (awake || there.listed) {
            return self
                .violated("INV-25", host, || format!("a blank made master, {who} has a copy"));
        }
        let fit = redis.serves(self.now) && redis.complete() && !there.cannot_promote;
        let same = self.all.root(winner.data) == self.all.root(redis.data);
        let ahead = same && redis.offset > winner.offset;
        if asked && fit && ahead && self.all.acked_beyond(redis.data, winner.data) > 0 {
            return self.violated("INV-28", host, || format!("made master, {who} has more"));
        }
        let route = there.hive.as_ref().map(|hive| &hive.route);
        let open = matches!(route, Some(Route::Forward { .. }));
        // In a planned change the old master takes no writes any more, whoever still forwards to it.
        if asked && open && !planned {
            self.violated("INV-31", host, || format!("made master, {who} has its route open"));
        }
    }

    /// INV-29: a partial resync continues the very data the replica has.
    pub fn check_partial(&mut self, host: usize, at: usize) {
        let (mine, theirs) = (self.hosts[host].redis.data, self.hosts[at].redis.data);
        if !self.all.is_prefix(mine, theirs) {
            let who = name(at);
            self.violated("INV-29", host, || format!("partial resync from {who} over other data"));
        }
    }

    /// Before a replica flushes what it has for a file (INV-26, INV-27, INV-30).
    pub fn check_flush(&mut self, host: usize, sync: Sync) {
        let at = sync.from.0;
        if self.hosts[at].stranger.is_some() {
            // A Redis whose hive is dead or frozen, or was a moment ago, goes on by itself to wherever
            // it was pointed.
            let awake = self.hosts[host].hive.as_ref().is_some_and(|hive| !hive.frozen);
            if awake && !self.net.troubled(self.now, host, host, CALM) {
                self.violated("INV-27", host, || "copies a stranger's data".into());
            }
            // From then on the stranger's data are data of this hive, for all anybody can tell.
            self.checks.spoiled = true;
            return;
        }
        let redis = &self.hosts[host].redis;
        let lost = self.all.acked_beyond(redis.data, sync.data);
        if !redis.complete() || lost == 0 {
            return;
        }
        let (mine, theirs) = (redis.data, sync.data);
        let (offset, who) = (redis.offset, name(at));
        if self.all.root(mine) != self.all.root(theirs) {
            let measure = |data| (dataset_bytes(data) / MIB, data.keys());
            if measure(theirs) < measure(mine) {
                self.violated("INV-26", host, || format!("{lost} writes wiped by {who}"));
            }
            return;
        }
        let settled = self.now - self.checks.two_leaders > 5 * SEC;
        let calm = self.net.calm(self.now, host, at, CALM) && self.hosts[host].hive.is_some();
        if offset > sync.offset && settled && calm {
            self.violated("INV-30", host, || format!("{lost} writes given up for {who}"));
        }
    }

    /// Five times a second: what may hold for a while only (INV-24, INV-32).
    pub fn check_regularly(&mut self) {
        self.after(200 * MS, Event::Check);
        self.checks.rounds += 1;
        if self.checks.rounds.is_multiple_of(5) {
            self.links_of_dead_masters();
        }
        self.note_two_leaders();
        self.check_two_masters();
        self.check_planned();
        (0..self.hosts.len()).for_each(|host| self.check_leader(host));
    }

    fn note_two_leaders(&mut self) {
        let open = |a: usize, b: usize| self.net.open(a, b, crate::network::Port::Peer);
        let leads = |host: &usize| {
            let hive = self.hosts[*host].hive.as_ref();
            hive.is_some_and(|hive| hive.seen.role == HiveRole::Leader)
        };
        let leaders: Vec<usize> = (0..self.hosts.len()).filter(leads).collect();
        let meet = leaders.iter().any(|a| {
            leaders.iter().any(|b| {
                let through = |c| open(*a, c) && open(c, *b) && self.hosts[c].hive.is_some();
                a < b && (open(*a, *b) || (0..self.hosts.len()).any(through))
            })
        });
        if meet {
            self.checks.two_leaders = self.now;
        }
    }

    fn check_two_masters(&mut self) {
        let masters = |world: &World| {
            let mut routes: Vec<(usize, redis_hive::election::Id)> = Vec::new();
            for (host, there) in world.hosts.iter().enumerate() {
                let Some(hive) = there.hive.as_ref().filter(|hive| !hive.frozen) else { continue };
                if let Route::Forward { run_id, .. } = hive.route {
                    routes.push((host, run_id));
                }
            }
            routes
        };
        let routes = masters(self);
        let apart = routes.iter().any(|(a, run)| {
            routes.iter().any(|(b, other)| a < b && run != other && self.one_group(*a, *b))
        });
        if !apart {
            self.checks.two_masters_since = None;
            return;
        }
        let since = *self.checks.two_masters_since.get_or_insert(self.now);
        if self.now - since > TWO_MASTERS {
            let text = format!("{routes:?}");
            self.violated("INV-24", routes[0].0, || format!("two masters take clients: {text}"));
        }
    }

    /// Whether two hives and everybody either of them reaches all reach each other, undisturbed.
    fn one_group(&self, a: usize, b: usize) -> bool {
        let span = 200 * MS;
        self.net.calm(self.now, a, b, span)
            && (0..self.hosts.len()).filter(|c| self.hosts[*c].hive.is_some()).all(|c| {
                c == a
                    || c == b
                    || (self.net.calm(self.now, a, c, span) && self.net.calm(self.now, b, c, span))
            })
    }

    /// INV-32: a leader's own master is the run it announced, and a master.
    fn check_leader(&mut self, host: usize) {
        let there = &self.hosts[host];
        let addr = self.redis_addr(host);
        let wrong = there.hive.as_ref().is_some_and(|hive| {
            let led = hive.seen.leadership.filter(|_| hive.seen.role == HiveRole::Leader);
            let redis = &there.redis;
            !hive.frozen
                && !redis.frozen
                && led.is_some_and(|led| {
                    led.master.addr == addr
                        && (!redis.is_master() || redis.run_id != led.master.run_id)
                })
        });
        let since = &mut self.checks.false_leader_since[host];
        if !wrong {
            *since = None;
        } else if self.now - *since.get_or_insert(self.now) > NOTICE {
            self.violated("INV-32", host, || "leads with a Redis that is not its master".into());
        }
    }
}
