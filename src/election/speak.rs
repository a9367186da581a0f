//! ELECTION 4, Frames: what this hive says of itself, and when.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{FactSheet, Following, Frame, LeaderNews, Message, Promise, Resignation, State};
use super::io::Action;
use super::trouble::Troubles;
use super::types::{HiveRole, Leadership, NodeId, Time, Wall};
use super::{Core, Role};

/// At most so many items of one kind are passed on.
const NEWS_MAX: usize = 32;
/// A resignation is told for so long.
const TOLD: Duration = Duration::from_secs(5);
/// A failed promotion is remembered for so long (2.6).
pub(super) const FAILED: Duration = Duration::from_secs(30);

impl Core {
    /// Sends the state frame if a heartbeat is due, something changed, or somebody asked.
    pub(super) fn speak(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let state = self.state();
        let steady = steady(&state);
        let changed = self.said.as_ref() != Some(&steady);
        let beat = now.since(self.said_at) >= self.set.heartbeat;
        if changed || self.answer_due || beat || self.lease_is_news() {
            self.lease_spoken();
            (self.said, self.said_at, self.answer_due) = (Some(steady), now, false);
            let frame = self.frame(Message::State(Box::new(state)));
            out.push(Action::Broadcast(frame));
        }
    }

    /// Makes a frame of this hive.
    pub(super) fn frame(&mut self, message: Message) -> Frame {
        self.number += 1;
        self.note_sent(self.number);
        Frame { node: self.set.me, incarnation: self.set.incarnation, number: self.number, message }
    }

    /// Sends a message to one hive.
    pub(super) fn send(&mut self, to: NodeId, message: Message, out: &mut Vec<Action>) {
        let frame = self.frame(message);
        out.push(Action::Send { to, frame });
    }

    fn state(&self) -> State {
        let now = self.now();
        let candidate = match &self.role {
            Role::Candidate(candidate) => Some(candidate),
            _ => None,
        };
        let leaderless = self.leadership().is_none();
        State {
            epoch: self.epoch,
            role: self.hive_role(),
            start_age_ms: now.since(self.started).as_millis() as u64,
            stopping: self.stopping,
            asks: candidate.map_or(self.asks_unprompted(now), |candidate| candidate.asking),
            witness: self.set.witness,
            priority: self.set.priority,
            failed_promotion: self.failed_lately(),
            redis: (!self.set.witness).then_some(self.set.redis),
            copy: self.local.copy(),
            redis_answers: self.local.answers,
            follows: self.follows(now),
            since: candidate.map(|candidate| candidate.since),
            promise: self.stated_promise(),
            living: if leaderless && self.look_is_ready() { self.living() } else { None },
            resignations: self.fresh_resignations(now),
            leaders: self.leaders_heard(now),
            sheets: self.sheets(now),
            hears: self.peers.hears(now),
            usable: self.usable(),
            pause: self.pause,
            reach: u16::try_from(self.own_reach()).unwrap_or(u16::MAX),
            clock: self.clock.wall,
            version: self.set.version,
            troubles: self.troubles,
        }
    }

    /// The claim that is not to be disturbed: another's, or the own one that stands on an order.
    fn stated_promise(&self) -> Option<Promise> {
        let given = self.promise.as_ref().map(|p| Promise { epoch: p.epoch, to: p.to });
        given.or(self.ordered_claim())
    }

    /// A starting hive asks once, and with every heartbeat: an answer to an answer would never end.
    /// So does a leader whose lease stands on the answers.
    fn asks_unprompted(&self, now: Time) -> bool {
        let first = self.number < self.woke_number;
        let beat = now.since(self.said_at) >= self.set.heartbeat;
        match self.role {
            Role::Starting => first || beat,
            Role::Leading(_) => beat && self.needs_quorum(),
            Role::Candidate(_) | Role::Following(_) => false,
        }
    }

    /// Whether this hive could not promote its Redis lately (2.6).
    pub(super) fn failed_lately(&self) -> bool {
        self.failed_promotion.is_some_and(|at| self.now().since(at) < FAILED)
    }

    fn follows(&self, now: Time) -> Option<Following> {
        let leadership = self.leadership()?;
        let heard = if leadership.leader == self.set.me {
            Some(0)
        } else {
            let peer = self.peers.heard(leadership.leader, now);
            let same = peer.filter(|peer| peer.incarnation == leadership.incarnation);
            same.map(|peer| age_ms(now, peer.heard))
        };
        Some(Following { leadership, heard_ms: heard, lease_ms: self.lease_ms() })
    }

    /// Leaders heard directly; news of them goes one hop, so that it cannot outlive them.
    fn leaders_heard(&self, now: Time) -> Vec<LeaderNews> {
        let news = |leadership: Leadership, at| LeaderNews { leadership, age_ms: age_ms(now, at) };
        let own = match &self.role {
            Role::Leading(leader) => Some(news(leader.leadership, now)),
            _ => None,
        };
        let heard = self.peers.all_heard(now).filter_map(|(node, peer)| {
            peer.leads(node).map(|leadership| news(leadership, peer.received))
        });
        own.into_iter().chain(heard).take(NEWS_MAX).collect()
    }

    /// Own fact sheets and those of leaders heard directly, passed on one hop (5).
    fn sheets(&self, now: Time) -> Vec<FactSheet> {
        let own = match &self.role {
            Role::Leading(leader) => leader.sheets.iter().map(|(sheet, _)| *sheet).collect(),
            _ => Vec::new(),
        };
        let heard = self.peers.states(now).flat_map(|(node, _, state)| {
            state.sheets.iter().filter(move |sheet| sheet.leadership.leader == node).copied()
        });
        own.into_iter().chain(heard).take(NEWS_MAX).collect()
    }

    /// Resignations are told for a short time and remembered for a long one, so that they die out.
    fn fresh_resignations(&self, now: Time) -> Vec<Resignation> {
        let fresh = self.resignations.iter().rev().filter(|(_, at)| now.since(*at) < TOLD);
        fresh.take(NEWS_MAX).map(|(resignation, _)| *resignation).collect()
    }

    /// Remembers that a leadership ended.
    pub(super) fn note_resignation(&mut self, resignation: Resignation, now: Time) {
        let known = |(known, _): &(Resignation, Time)| {
            known.epoch == resignation.epoch
                && known.leader == resignation.leader
                && known.incarnation == resignation.incarnation
        };
        // 4.5: who was promised a leadership has led it and given it up.
        let fulfilled = self.promise.as_ref().is_some_and(|promise| {
            promise.to == resignation.leader && promise.epoch <= resignation.epoch
        });
        if fulfilled {
            self.promise = None;
        }
        if !self.resignations.iter().any(known) {
            self.resignations.push((resignation, now));
            if self.resignations.len() > NEWS_MAX * 2 {
                self.resignations.remove(0);
            }
        }
    }

    /// Whether a leadership is known to have ended.
    pub(super) fn resigned(&self, leadership: &Leadership) -> Option<&Resignation> {
        self.resignations.iter().map(|(resignation, _)| resignation).find(|resignation| {
            resignation.leader == leadership.leader
                && resignation.incarnation == leadership.incarnation
                && resignation.epoch >= leadership.epoch
        })
    }
}

/// Milliseconds from `at` to `now`.
pub(super) fn age_ms(now: Time, at: Time) -> u32 {
    u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX)
}

/// A state without what changes all the time: only a change of the rest is news.
fn steady(state: &State) -> State {
    let mut steady = state.clone();
    (steady.start_age_ms, steady.clock) = (0, Wall(0));
    // What is only for people waits for the next heartbeat.
    steady.troubles = Troubles::default();
    steady.asks &= steady.role != HiveRole::Leader;
    steady.hears.iter_mut().for_each(|heard| heard.number = 0);
    steady.leaders.iter_mut().for_each(|news| news.age_ms = 0);
    if let Some(follows) = &mut steady.follows {
        follows.heard_ms = follows.heard_ms.map(|_| 0);
        follows.lease_ms = follows.lease_ms.map(|_| 0);
    }
    if let Some(living) = &mut steady.living {
        (living.offset, living.dataset_bytes, living.keys) = (0, 0, 0);
    }
    if let Some(copy) = &mut steady.copy {
        (copy.offset, copy.passport.offset, copy.passport.keys) = (0, 0, 0);
        (copy.passport.dataset_bytes, copy.passport.loaded_bytes) = (0, 0);
        copy.passport.replicas = 0;
    }
    steady
}
