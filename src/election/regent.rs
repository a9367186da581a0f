//! ELECTION 4.3: what a regent does about the hive beside its master: hand the leadership back, or
//! move the master when that hive is dead.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::cause::Cause;
use super::change::Asker;
use super::frame::{Message, Order};
use super::io::Action;
use super::types::{Epoch, NodeId, RedisAddr, RedisRole, RunId, Time};
use super::{Core, Role};

/// A hive that is dead for so long does not come back soon.
const DEAD: Duration = Duration::from_secs(2);
/// Deaths are counted within this time.
const COUNTED: Duration = Duration::from_secs(60);
/// So many deaths in that time are too many.
const DEATHS: usize = 3;
/// How often the master is asked whether its hive is there.
const ASK: Duration = Duration::from_millis(500);

/// What the master says about its hive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tended {
    asked: Option<Time>,
    /// Since when the hive is known to have no connection to the master.
    dead: Option<Time>,
}

impl Core {
    /// One turn of a leader whose master is another hive's Redis. `true`: it leads no more.
    pub(super) fn regent_turn(&mut self, out: &mut Vec<Action>) -> bool {
        if !self.is_regent() || self.paused() || self.change().is_some() {
            return false;
        }
        if self.hand_back(out) {
            return true;
        }
        self.tend(out);
        false
    }

    /// A regent hands the leadership to the hive beside the master as soon as that one follows it.
    fn hand_back(&mut self, out: &mut Vec<Action>) -> bool {
        let Role::Leading(leader) = &self.role else { return false };
        let leadership = leader.leadership;
        let beside = self.peers.reachable(self.now()).find(|(_, _, state)| {
            let follows = state.follows.is_some_and(|follows| {
                follows.leadership.leader == self.set.me
                    && follows.leadership.epoch == leadership.epoch
            });
            let master = state.copy.is_some_and(|copy| {
                copy.passport.run_id == leadership.master.run_id
                    && copy.passport.role == RedisRole::Master
            });
            state.redis == Some(leadership.master.addr)
                && follows
                && master
                && state.redis_answers
                && !state.stopping
        });
        let Some((to, _, _)) = beside else { return false };
        let epoch = self.epoch.max(self.bound).next();
        if epoch >= Epoch::MAX || self.dies_too_often(to) {
            return false;
        }
        let lease_ms = self.lease_ms();
        let order = Order { epoch, from: leadership, master: leadership.master, lease_ms };
        self.send(to, Message::Order(order), out);
        self.resign(
            Cause::Regent,
            format!("hands the leadership to {to}, beside the master"),
            Some(to),
            false,
            out,
        );
        self.see_epoch(epoch);
        self.bound = self.bound.max(epoch);
        true
    }

    /// Moves the master away from a hive that is dead, or dies again and again.
    fn tend(&mut self, out: &mut Vec<Action>) {
        let Role::Leading(leader) = &self.role else { return };
        let (now, addr, tended) = (self.now(), leader.leadership.master.addr, leader.tended);
        let node = self.hive_beside(addr);
        let beside = self.peers.heard(node, now);
        let stops = beside.and_then(|peer| peer.state.as_ref()).is_some_and(|state| state.stopping);
        if beside.is_some() && !stops && !self.dies_too_often(node) {
            return self.set_tended(Tended::default());
        }
        if tended.asked.is_none_or(|asked| now.since(asked) >= ASK) {
            self.set_tended(Tended { asked: Some(now), ..tended });
            out.push(Action::AskTended { addr, node });
        }
        let dead = tended.dead.is_some_and(|since| now.since(since) >= DEAD);
        if (dead || stops || self.dies_too_often(node))
            && !self.change_waits()
            && self.begin_change(None, Asker::Nobody, out).is_err()
        {
            self.retry_change_later();
        }
    }

    fn set_tended(&mut self, tended: Tended) {
        if let Role::Leading(leader) = &mut self.role {
            leader.tended = tended;
        }
    }

    /// The master says whether its hive has a connection to it.
    pub(super) fn note_tended(&mut self, addr: RedisAddr, run_id: RunId, tended: bool) {
        let now = self.now();
        if let Role::Leading(leader) = &mut self.role
            && leader.leadership.master.addr == addr
            && leader.leadership.master.run_id == run_id
        {
            let since = leader.tended.dead;
            leader.tended.dead = (!tended).then(|| since.unwrap_or(now));
        }
    }

    /// The hive whose Redis is at this address.
    fn hive_beside(&self, addr: RedisAddr) -> NodeId {
        let known = self
            .peers
            .every()
            .find(|(_, peer)| peer.state.as_ref().is_some_and(|state| state.redis == Some(addr)));
        known.map_or(NodeId::new(addr.ip, self.set.me.port), |(node, _)| node)
    }

    fn dies_too_often(&self, node: NodeId) -> bool {
        self.peers.deaths(node, self.now(), COUNTED) >= DEATHS
    }

    /// What is to be told about the hive beside the master.
    pub(super) fn next_of_regent(&self) -> Option<Time> {
        let Role::Leading(leader) = &self.role else { return None };
        if !self.is_regent() {
            return None;
        }
        leader.tended.asked.map(|asked| asked + ASK)
    }

    /// Why this hive leads with another one's Redis, for people.
    pub(super) fn regent_text(&self) -> String {
        match self.leadership() {
            Some(led) if self.is_regent() => format!("regent of {}", led.master.addr),
            _ => String::new(),
        }
    }
}
