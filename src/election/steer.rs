//! ELECTION 2.8, 2.10 and 7: what the own Redis, the routes and the watched connection should be,
//! and the orders that bring them there.

use alloc::vec::Vec;
use core::time::Duration;

use super::copies::{given_up, state_of};
use super::io::{Action, RedisOrder, Target};
use super::types::{CopyState, Master, Passport, RedisRole, Route, Time};
use super::{Core, OrderOut, Role, Watched};

/// An order that was refused or failed is not repeated before this.
const AGAIN: Duration = Duration::from_millis(200);
/// An order that the driver never ended is given up after this.
const ORDER_LOST: Duration = Duration::from_secs(15);
/// A save takes as long as it comes on; the driver sees to that.
const SAVE_LOST: Duration = Duration::from_secs(3600);

fn lost_after(order: RedisOrder) -> Duration {
    if order == RedisOrder::Rescue { SAVE_LOST } else { ORDER_LOST }
}

impl Core {
    /// Brings the own Redis and the watched connection to where the role wants them.
    pub(super) fn steer(&mut self, out: &mut Vec<Action>) {
        self.steer_watch(out);
        self.steer_min_replicas(out);
        let now = self.now();
        if self.order.is_some_and(|order| now.since(order.since) >= lost_after(order.order)) {
            self.order = None;
        }
        let Some(order) = self.wanted_order() else { return };
        let rebuffed =
            self.rebuffed.is_some_and(|(failed, at)| failed == order && now.since(at) < AGAIN);
        // What is being saved is not to be disturbed.
        let saving = self.order.is_some_and(|out| out.order == RedisOrder::Rescue);
        if !rebuffed && !saving && self.order.is_none_or(|out| out.order != order) {
            self.order_redis(order, out);
        }
    }

    /// What the own Redis should be told, if anything.
    fn wanted_order(&self) -> Option<RedisOrder> {
        let (passport, _) =
            self.local.passport.filter(|(p, _)| self.local.answers && !p.loading)?;
        if self.change().is_some() || self.paused() {
            return None;
        }
        // A pause holds the writes of clients, and at a replica the stream of its master.
        let leads = self.leadership().is_some_and(|led| led.master.addr == self.set.redis);
        let stream = passport.role == RedisRole::Replica && self.leadership().is_some();
        if self.writes_paused && (leads || stream) {
            return Some(RedisOrder::ResumeWrites);
        }
        match &self.role {
            // 4.9: a starting hive leaves its Redis as it is.
            Role::Starting => None,
            Role::Candidate(candidate) if candidate.claim.is_some() => None,
            Role::Candidate(_) => {
                let overruled = self.overruled && passport.role == RedisRole::Master;
                (overruled || self.orphaned()).then_some(RedisOrder::Park)
            }
            Role::Leading(leader) => self.order_towards(&leader.leadership.master),
            Role::Following(follower) => self.order_towards(&follower.leadership.master),
        }
    }

    /// 2.10: a replica whose link is down and whose leader is not heard is parked: its master's
    /// address may be reused by a stranger. Where one answers there already, the link is dead, only
    /// the replica has not noticed; it is parked as soon as it has applied what it had received.
    fn orphaned(&self) -> bool {
        let Some((passport, _)) = self.local.passport else { return false };
        let replaced = self.watched.as_ref().is_some_and(|watched| {
            passport.upstream == Some(watched.master.addr)
                && watched.replaced.is_some_and(|at| self.local.drained_since(at))
        });
        passport.role == RedisRole::Replica
            && !passport.parked()
            && (!passport.link_up || replaced)
            && self.look_is_ready()
            && self.living().is_none_or(|living| passport.upstream != Some(living.master.addr))
            // What follows the successor of a planned change will be fed by it in a moment.
            && self.holding.is_none()
    }

    /// The order that makes the own Redis replicate this master, unless it does, is it, or must not.
    fn order_towards(&self, master: &Master) -> Option<RedisOrder> {
        let (passport, _) = self.local.passport?;
        if master.addr == self.set.redis || passport.run_id == master.run_id {
            return None;
        }
        if self.local.replicates(master.addr) {
            return None;
        }
        if self.guarded_from(master) || !self.is_met(master) {
            return None;
        }
        // 2.5: a master that has keys and no backlog must not lose its count: parking makes one.
        let uncounted =
            passport.role == RedisRole::Master && passport.keys > 0 && !passport.backlog;
        if uncounted {
            return Some(RedisOrder::Park);
        }
        if self.set.rescue && self.rescued != Some((passport.run_id, passport.offset)) {
            let given_up = self.watched_run(master).map_or(0, |far| given_up(&passport, &far));
            let complete = state_of(&passport) == CopyState::Complete;
            if complete && given_up > 0 {
                return Some(RedisOrder::Rescue);
            }
        }
        Some(RedisOrder::Follow(master.addr))
    }

    /// What the watched connection shows of this master.
    fn watched_run(&self, master: &Master) -> Option<Passport> {
        let watched = self.watched.as_ref().filter(|w| w.master.run_id == master.run_id)?;
        watched.passport.map(|(passport, _)| passport)
    }

    /// 2.10: whether that very run answers at the master's address. An announcement may be older than
    /// the stranger who has the address by now.
    fn is_met(&self, master: &Master) -> bool {
        self.watched.as_ref().is_some_and(|watched| {
            watched.master.run_id == master.run_id && watched.passport.is_some() && !watched.gone
        })
    }

    /// 2.8: no complete copy is pointed at a copy of another root that has less data.
    fn guarded_from(&self, master: &Master) -> bool {
        if self.set.ablation.no_root_guard {
            return false;
        }
        let own = self.local.copy().filter(|copy| copy.state == CopyState::Complete);
        let (Some(own), Some(leadership)) = (own, self.leadership()) else { return false };
        if own.root == Some(master.root) {
            return false;
        }
        match self.copy_of_master(&leadership) {
            Some(copy) => self.reach().guarded(&own, &copy),
            // Not known yet what is there: a copy that could be lost waits.
            None => true,
        }
    }

    /// Gives the own Redis an order.
    pub(super) fn order_redis(&mut self, order: RedisOrder, out: &mut Vec<Action>) {
        let Some(run_id) = self.local.run_id() else { return };
        self.order_id += 1;
        let (id, since) = (self.order_id, self.now());
        self.order = Some(OrderOut { id, order, since });
        if let RedisOrder::Follow(_) = order {
            self.note_sync();
        }
        out.push(Action::Redis { id, at: Target::Own, run_id, order });
    }

    /// Sets the route of all proxies, if it is another one.
    pub(super) fn set_route(&mut self, route: Route, out: &mut Vec<Action>) {
        if self.route != route || self.route_id == 0 {
            self.route_id += 1;
            if route.run_id() != self.route.run_id() {
                // The lease of one master is none for the clients of another: it begins when the
                // last thread has this route.
                self.lease_after(self.route_id);
            }
            let keep = self.keep_under(&route);
            self.route = route.clone();
            self.renew_lease(out);
            out.push(Action::Route { id: self.route_id, route, keep });
        }
    }

    /// Every hive keeps an identified connection to the master last known, unless it is its own.
    fn steer_watch(&mut self, out: &mut Vec<Action>) {
        let wanted = self.last.map(|last| last.master).filter(|m| m.addr != self.set.redis);
        let now = self.watched.as_ref().map(|watched| watched.master);
        let same = match (wanted, now) {
            (Some(a), Some(b)) => a.addr == b.addr && a.run_id == b.run_id,
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.watched = wanted.map(|master| Watched {
            master,
            passport: None,
            heard: None,
            silent_since: None,
            gone: false,
            replaced: None,
        });
        out.push(Action::Watch(wanted));
    }

    /// When the leader will have been silent for long enough to look ahead.
    fn next_look_ahead(&self) -> Option<Time> {
        let Role::Following(follower) = &self.role else { return None };
        let peer = self.peers.heard(follower.leadership.leader, self.now())?;
        Some(peer.heard + self.early_silence())
    }

    /// When a tick is wanted next, in time awake.
    pub(super) fn next_turn(&self) -> Time {
        let now = self.now();
        if self.due {
            return now;
        }
        let heartbeat = self.said_at + self.set.heartbeat;
        let candidate = self.next_of_candidate();
        let promise = self.promise.as_ref().map(super::Granting::until);
        let silence = self.peers.next_silence(now);
        let starting =
            matches!(self.role, Role::Starting).then_some(self.woke + self.set.peer_timeout);
        let waiting = self.claims.first().map(|(_, _, at)| *at + self.set.election_timeout / 2);
        let early = self.next_look_ahead();
        let all = [
            candidate,
            promise,
            silence,
            starting,
            waiting,
            early,
            self.next_settling(),
            self.next_of_change(),
            self.next_of_hold(),
            self.next_of_asks(),
            self.next_of_lease(),
            self.next_of_regent(),
            self.next_of_reach(),
            self.change_retry,
        ];
        let next = all.into_iter().flatten().filter(|at| *at > now).min();
        next.unwrap_or(heartbeat).min(heartbeat).max(now)
    }
}
