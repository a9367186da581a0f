//! ELECTION 4.11: the leadership goes to where it is in reach of more; and which Redis ports this
//! hive can use.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::cause::Cause;
use super::change::Asker;
use super::frame::{State, Verdict};
use super::io::{Action, RedisView};
use super::types::{Copy, CopyState, NodeId, RedisAddr, Time};
use super::{Core, Role};

/// For so long somebody has to be ahead.
const AHEAD: Duration = Duration::from_secs(5);
/// The leadership moves for this reason at most so often.
const SELDOM: Duration = Duration::from_secs(60);
/// A follower that was current so lately may take over.
const LATELY: Duration = Duration::from_secs(10);
/// How often the Redis of a peer is tried.
const TRY: Duration = Duration::from_secs(2);
/// An answer older than this says nothing about now.
const VALID: Duration = Duration::from_secs(5);
/// Redis servers that are tried at one time.
const AT_ONCE: usize = 8;

/// What is remembered for it.
#[derive(Debug, Default)]
pub(super) struct ReachTimer {
    /// Who is ahead of this leader, and since when.
    ahead: Option<(NodeId, Time)>,
    /// The offset of that one's copy then.
    offset: u64,
    /// When the leadership last moved for this reason.
    moved: Option<Time>,
    tried: Option<Time>,
    /// Where the next round of tries begins.
    next: usize,
}

impl Core {
    /// Tries, now and then, whether the Redis ports of the others can be used.
    pub(super) fn try_ports(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let settled = self.leadership().is_some();
        if !settled || self.reach_timer.tried.is_some_and(|tried| now.since(tried) < TRY) {
            return;
        }
        self.reach_timer.tried = Some(now);
        let targets = self.targets();
        self.look.keep(&targets);
        let all: Vec<RedisAddr> =
            self.peers.reachable(now).filter_map(|(_, _, s)| s.redis).collect();
        if all.is_empty() {
            return;
        }
        let first = self.reach_timer.next % all.len();
        for addr in all.iter().cycle().skip(first).take(AT_ONCE.min(all.len())) {
            // The watched master is asked often enough.
            if self.watched.as_ref().is_none_or(|watched| watched.master.addr != *addr) {
                self.look.want(*addr, now, now, None, out);
            }
        }
        self.reach_timer.next = first + AT_ONCE;
    }

    /// The hives whose Redis this one can use, itself included.
    pub(super) fn usable(&self) -> Vec<NodeId> {
        let now = self.now();
        let usable = |addr: RedisAddr| match &self.watched {
            Some(watched) if watched.master.addr == addr => {
                let heard = watched.heard.is_some_and(|at| now.since(at) < self.set.heartbeat * 4);
                heard && !watched.gone
            }
            _ => self
                .look
                .heard(addr, now, VALID)
                .is_some_and(|view| matches!(view, RedisView::Up(_) | RedisView::Busy)),
        };
        let others = self
            .peers
            .states(now)
            .filter_map(|(node, _, state)| state.redis.is_some_and(usable).then_some(node));
        // A busy one is used all the same.
        let there = self.local.passport.is_some() && self.local.silent_since.is_none();
        let own = there.then_some(self.set.me);
        own.into_iter().chain(others).collect()
    }

    /// 4.11: hands over to a follower that has been in reach of more for a while.
    pub(super) fn mind_reach(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let rests = self.reach_timer.moved.is_some_and(|moved| now.since(moved) < SELDOM);
        if self.paused() || self.stopping || self.change().is_some() || rests {
            return;
        }
        // A master that does not answer is judged by --redis-timeout, not by its reach.
        let ahead = if self.master_answers() { self.follower_ahead() } else { None };
        let Some((node, why)) = ahead else {
            self.reach_timer.ahead = None;
            return;
        };
        match self.reach_timer.ahead {
            Some((known, since)) if known == node => {
                if now.since(since) < AHEAD || self.change_waits() {
                    return;
                }
            }
            _ => {
                self.reach_timer.ahead = Some((node, now));
                let copy = self.copy_of(node);
                self.reach_timer.offset = copy.map_or(0, |copy| copy.passport.offset);
                return;
            }
        }
        self.reach_timer.moved = Some(now);
        self.reach_timer.ahead = None;
        let text = format!("{node} {why}");
        self.report(super::ReportKind::Change, self.bound, text.clone(), out);
        match self.begin_change(Some(node), Asker::Reach, out) {
            Ok(()) => {}
            Err((Verdict::Conflict, _)) => self.reach_timer.moved = None,
            Err((_, refused)) => self.resign_for_reach(node, format!("{text}; {refused}"), out),
        }
    }

    /// Whether the follower that is or was ahead has got bytes of this master since. That its copy is
    /// current says less: a link whose packets are lost looks well for a while.
    pub(super) fn is_fed(&self, node: NodeId) -> bool {
        let copy = self.copy_of(node).filter(|copy| copy.current);
        copy.is_some_and(|copy| copy.passport.offset > self.reach_timer.offset)
    }

    fn copy_of(&self, node: NodeId) -> Option<Copy> {
        self.peers.heard(node, self.now())?.state.as_ref()?.copy
    }

    /// What is not in reach of others cannot feed them: the copy that can counts. This hive is
    /// passed over for a while although it has more bytes.
    pub(super) fn resign_for_reach(&mut self, to: NodeId, why: String, out: &mut Vec<Action>) {
        self.failed_promotion = Some(self.now());
        let why = format!("in favour of {to}: {why}");
        self.step_down(Cause::Reach, why, to, out);
    }

    /// A fit follower that is ahead by one measure and not behind by the other.
    fn follower_ahead(&self) -> Option<(NodeId, &'static str)> {
        let Role::Leading(leader) = &self.role else { return None };
        let own = leader.leadership.master.addr == self.set.redis;
        if !own {
            return None;
        }
        let now = self.now();
        let mine = (self.own_reach(), self.users_of(self.set.me));
        self.peers.reachable(now).find_map(|(node, peer, state)| {
            let lately = peer.current.is_some_and(|at| now.since(at) < LATELY);
            let complete = state.copy.is_some_and(|copy| copy.state == CopyState::Complete);
            let fit = state.priority > 0
                && !state.witness
                && !state.stopping
                && !state.failed_promotion
                && state.redis_answers
                && complete
                && lately;
            let theirs = (usize::from(state.reach), self.users_of(node));
            let behind = theirs.0 < mine.0 || theirs.1 < mine.1;
            if !fit || behind {
                return None;
            }
            match (theirs.0 > mine.0, theirs.1 > mine.1) {
                (true, _) => Some((node, "is in reach of more hives")),
                (_, true) => Some((node, "has a Redis that more hives can use")),
                _ => None,
            }
        })
    }

    /// How many hives could follow this one: those it reaches, and those that one of these reaches.
    pub(super) fn own_reach(&self) -> usize {
        let mut all = BTreeSet::new();
        for (node, _, state) in self.peers.reachable(self.now()) {
            all.insert(node);
            all.extend(state.hears.iter().map(|heard| heard.node));
        }
        all.remove(&self.set.me);
        all.len()
    }

    /// How many hives can use the Redis of this one.
    fn users_of(&self, node: NodeId) -> usize {
        let uses = |state: &State| state.usable.contains(&node);
        let others = self.peers.states(self.now()).filter(|(_, _, state)| uses(state)).count();
        others + usize::from(self.usable().contains(&node))
    }

    /// When somebody will have been ahead for long enough.
    pub(super) fn next_of_reach(&self) -> Option<Time> {
        let ahead = self.reach_timer.ahead.map(|(_, since)| since + AHEAD);
        ahead.filter(|at| *at > self.now())
    }
}
