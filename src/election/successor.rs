//! ELECTION 6.1: who may take over in a planned change, and why not.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::change::Asker;
use super::frame::State;
use super::io::Action;
use super::types::{CopyState, NodeId, Version};
use super::{Core, Role};

/// A hive that could take over.
struct Fit {
    node: NodeId,
    version: Version,
    caretaker: bool,
    start_age_ms: u64,
    priority: u32,
}

impl Core {
    /// The hive that takes over: the one asked for, else of those whose Redis is the oldest version
    /// (everybody can replicate from it) the youngest hive, then by priority and address.
    ///
    /// # Errors
    ///
    /// Why nobody, or not the one asked for.
    pub(super) fn successor(&self, to: Option<NodeId>, asker: Asker) -> Result<NodeId, String> {
        if let Some(to) = to {
            return self.fitness(to).map(|fit| (fit.node, fit.caretaker)).and_then(
                |(node, caretaker)| {
                    // An own reason has weighed the priority already.
                    if caretaker && matches!(asker, Asker::Person | Asker::Peer(..)) {
                        return Err(format!("{node} is a standby (priority 0)"));
                    }
                    Ok(node)
                },
            );
        }
        let now = self.now();
        let mut why = Vec::new();
        let mut fit = Vec::new();
        let me = [self.set.me];
        let others = self.peers.states(now).map(|(node, _, _)| node);
        for node in others.chain(me.into_iter().filter(|_| self.is_regent())) {
            match self.fitness(node) {
                Ok(found) if found.caretaker && !self.stopping => {
                    why.push(format!("{node} is a standby (priority 0)"));
                }
                Ok(found) => fit.push(found),
                Err(reason) => why.push(reason),
            }
        }
        let key = |fit: &Fit| {
            (fit.caretaker, fit.version, fit.start_age_ms, fit.priority, Reverse(fit.node))
        };
        match fit.iter().min_by_key(|fit| key(fit)) {
            Some(best) => Ok(best.node),
            None if why.is_empty() => Err(String::from("no other hive is in reach")),
            None => Err(format!("no successor is fit: {}", why.join("; "))),
        }
    }

    /// What this hive brings as a successor.
    fn fitness(&self, node: NodeId) -> Result<Fit, String> {
        if node == self.set.me {
            return self.own_fitness();
        }
        let now = self.now();
        let Some(state) = self.peers.heard(node, now).and_then(|peer| peer.state.as_ref()) else {
            return Err(format!("{node} is not heard"));
        };
        if !self.peers.reaches(node, now) {
            return Err(format!("{node} does not hear this hive"));
        }
        if let Some(why) = unfit(state) {
            return Err(format!("{node} {why}"));
        }
        let master = self.leadership().map(|leadership| leadership.master.addr);
        if state.redis.is_some() && state.redis == master {
            return Err(format!("the Redis of {node} is the master already"));
        }
        let led = self.leadership().map(|leadership| (leadership.leader, leadership.epoch));
        if state.follows.map(|f| (f.leadership.leader, f.leadership.epoch)) != led {
            return Err(format!("{node} does not follow this leader"));
        }
        let Some(copy) = state.copy.filter(|copy| copy.state == CopyState::Complete) else {
            return Err(format!("{node} holds no complete copy"));
        };
        if !copy.current {
            return Err(format!("the copy of {node} is not current"));
        }
        Ok(Fit {
            node,
            version: copy.passport.version,
            caretaker: state.priority == 0,
            start_age_ms: state.start_age_ms,
            priority: state.priority,
        })
    }

    /// A regent may move the master to its own Redis.
    fn own_fitness(&self) -> Result<Fit, String> {
        let me = self.set.me;
        if !self.is_regent() {
            return Err(format!("{me} leads already"));
        }
        let copy = self.local.copy().filter(|copy| copy.current && self.local.answers);
        match copy {
            Some(copy) if !self.set.witness && !self.stopping && !self.failed_lately() => Ok(Fit {
                node: me,
                version: copy.passport.version,
                caretaker: self.set.priority == 0,
                start_age_ms: self.now().since(self.started).as_millis() as u64,
                priority: self.set.priority,
            }),
            _ => Err(format!("the copy of {me} is not current")),
        }
    }

    /// What is to be said of the version of a master that is chosen; nothing where all are the same.
    pub(super) fn version_note(&self, chosen: NodeId) -> String {
        let own = self.local.copy().map(|copy| (self.set.me, copy));
        let states = self.peers.states(self.now());
        let told = states.filter_map(|(node, _, state)| Some((node, state.copy?)));
        let copies: Vec<_> = own.into_iter().chain(told).collect();
        let version = |node| {
            let of_node = copies.iter().find(|(other, _)| *other == node);
            of_node.map(|(_, copy)| copy.passport.version)
        };
        let Some(version) = version(chosen) else { return String::new() };
        let complete = copies.iter().filter(|(_, copy)| copy.state == CopyState::Complete);
        let mut others = complete.map(|(_, copy)| copy.passport.version);
        match others.clone().min() {
            Some(oldest) if oldest < version => {
                format!("; Redis {oldest} may not be able to replicate from its {version}")
            }
            _ if others.any(|other| other > version) => {
                format!("; its Redis {version} is the oldest, from which all can replicate")
            }
            _ => String::new(),
        }
    }

    /// Whether this hive leads with another one's Redis.
    pub(super) fn is_regent(&self) -> bool {
        matches!(&self.role, Role::Leading(leader)
            if leader.leadership.master.addr != self.set.redis)
    }

    /// 2.6: a standby that leads hands over as soon as another fit one is current.
    pub(super) fn relieve_caretaker(&mut self, out: &mut Vec<Action>) {
        let own = self.leadership().is_some_and(|led| led.master.addr == self.set.redis);
        if self.set.priority != 0 || !own || self.change_waits() {
            return;
        }
        if let Ok(to) = self.successor(None, Asker::Nobody)
            && self.begin_change(Some(to), Asker::Nobody, out).is_err()
        {
            self.retry_change_later();
        }
    }

    /// Whether a change that this hive wants has to wait after the last one was undone.
    pub(super) fn change_waits(&self) -> bool {
        self.paused()
            || self.change().is_some()
            || self.change_retry.is_some_and(|at| self.now() < at)
    }

    /// Not again at once.
    pub(super) fn retry_change_later(&mut self) {
        self.change_retry = Some(self.now() + core::time::Duration::from_millis(500));
    }
}

/// What stands against a peer, whatever its copy is.
fn unfit(state: &State) -> Option<&'static str> {
    if state.witness {
        return Some("is a witness");
    }
    if state.stopping {
        return Some("is stopping");
    }
    if state.failed_promotion {
        return Some("could not be promoted lately");
    }
    (!state.redis_answers).then_some("has a Redis that does not answer")
}
