//! ELECTION 4.9: a hive that has just started, or slept for long (3), and what it waits for.

use alloc::string::String;
use alloc::vec::Vec;

use super::cause::Cause;
use super::frame::State;
use super::hearing::Peer;
use super::io::{Action, RedisView};
use super::types::{HiveRole, RedisAddr, Route};
use super::{Core, Role};

impl Core {
    /// 4.9: a starting hive leaves its Redis as it is and holds, until it knows where the others are.
    pub(super) fn starting_turn(&mut self, out: &mut Vec<Action>) {
        if self.follow_somebody(out) {
            return;
        }
        self.probe_all(self.woke.max(self.now() - self.set.heartbeat * 2), out);
        let (now, woke) = (self.now(), self.woke);
        let heard = |node| self.peers.heard(node, now).is_some_and(|peer| self.heard_awake(peer));
        let timeout = self.set.peer_timeout;
        let late = now.since(woke) >= timeout;
        let told = self
            .peers
            .states(now)
            .any(|(_, peer, state)| self.heard_awake(peer) && state.role != HiveRole::Starting);
        // Who only slept knew its hive: it waits for DNS, but not for ever.
        let slept = woke > self.started && late;
        if !self.roster.answered && !told && !slept {
            return self.warn(String::from("starting: DNS has not answered yet"), out);
        }
        let named = self.redis_names_are_settled();
        let redis = self.local.passport.is_some() || self.local.gone || self.set.witness;
        if self.roster.settled(heard, timeout, now) && (named || late) && (redis || late) {
            self.become_candidate(Cause::Started, String::from("started"), out);
        }
    }

    /// Whether a peer was heard since the end of the last sleep: not by what had piled up meanwhile,
    /// but by a frame that answers, or by one that came a while later.
    pub(super) fn heard_awake(&self, peer: &Peer) -> bool {
        let Some(state) = &peer.state else { return false };
        let answers = self.peers.echo(state).is_some_and(|echo| echo >= self.woke_number);
        let slept = self.woke > self.started;
        peer.received >= self.woke
            && (!slept || answers || peer.received >= self.woke + self.set.heartbeat)
    }

    /// 3, 4.9: who slept longer than the peer timeout knows as little as who has just started.
    pub(super) fn start_anew(&mut self, out: &mut Vec<Action>) {
        self.woke = self.now();
        self.woke_number = self.number + 1;
        self.lost_at = self.woke;
        self.roster.woke(self.woke);
        self.role = Role::Starting;
        // What was ordered before the sleep ended is for somebody who was awake.
        self.orders.clear();
        self.answer_due = true;
        self.set_route(Route::Hold, out);
        out.push(Action::Resolve);
    }

    /// 4.9: the addresses the own Redis names were heard, refused, or asked for long enough.
    fn redis_names_are_settled(&self) -> bool {
        let upstream = self.local.passport.and_then(|(passport, _)| passport.upstream);
        let named = upstream.filter(|addr| *addr != RedisAddr::PARKED);
        named.is_none_or(|addr| {
            let now = self.now();
            let heard = |s: &State| s.redis == Some(addr);
            self.peers.states(now).any(|(_, _, state)| heard(state))
                || self.look.at(addr, now).is_some_and(|answer| answer.view == RedisView::Gone)
        })
    }
}
