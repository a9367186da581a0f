//! ELECTION 4.2 and 4.4: the question whether there is a leader, and who is best when there is none.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::cause::Cause;
use super::copies::{Standing, rank};
use super::frame::{Promise, State};
use super::io::{Action, ReportKind};
use super::succession::Claiming;
use super::types::{CopyState, Incarnation, NodeId, Route, Time, Wall};
use super::{Core, Role};

/// A load that stands still for so long is not waited for (2.2).
const LOAD_STALLED: Duration = Duration::from_secs(10);

/// A hive without a leader.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its election timestamp: fixed until it has a leader again.
    pub since: Wall,
    /// When that was, in its own time.
    pub began: Time,
    /// The first frame of the campaign: whoever heard it has answered by the next frame.
    pub asked: u64,
    /// The next state frame asks for an answer.
    pub asking: bool,
    /// The answers of Redis servers are in (4.3), or were waited for long enough.
    pub looked: bool,
    /// Since when a better candidate is waited for.
    pub better: Option<(NodeId, Time)>,
    /// Hives that did not answer or did not claim, with the frame number they have to hear first.
    pub left_out: BTreeMap<NodeId, u64>,
    /// Not before.
    pub retry: Option<Time>,
    /// Peers that refused a claim because they have this leader (4.2).
    pub vetoes: Vec<(NodeId, NodeId, Incarnation)>,
    /// The claim that is out.
    pub claim: Option<Claiming>,
    /// Whom the last leader ordered to lead (6): it goes first.
    pub successor: Option<NodeId>,
}

impl Core {
    /// Enters the campaign. Routes and copies stay as they are.
    pub(super) fn become_candidate(&mut self, cause: Cause, why: String, out: &mut Vec<Action>) {
        let now = self.now();
        self.lost_at = now;
        self.leaderless_since = self.clock.wall;
        self.report(ReportKind::Campaign { cause }, self.epoch, why, out);
        self.role = Role::Candidate(Box::new(Candidate {
            since: self.clock.wall,
            began: now,
            asked: self.number + 1,
            asking: true,
            looked: false,
            better: None,
            left_out: BTreeMap::new(),
            retry: None,
            vetoes: Vec::new(),
            claim: None,
            successor: self.named_successor(),
        }));
        self.warned.clear();
        self.answer_due = true;
    }

    /// The hive that was ordered to lead in a planned change: this one was told to hold for it.
    fn named_successor(&self) -> Option<NodeId> {
        let last = self.last?;
        if !self.holds_for(&last) {
            return None;
        }
        let named = self.resignations.iter().rev().map(|(resignation, _)| resignation);
        let mut of_last = named.filter(|resignation| {
            resignation.leader == last.leader
                && resignation.incarnation == last.incarnation
                && resignation.epoch >= last.epoch
        });
        of_last.next()?.successor.filter(|successor| *successor != self.set.me)
    }

    /// 6.4: whoever was ordered to lead gets its time before anybody else claims, or is granted a
    /// claim: the one this hive was told to hold for, or one that says so itself.
    pub(super) fn awaited_successor(&self, now: Time) -> Option<NodeId> {
        let Role::Candidate(candidate) = &self.role else { return None };
        if now.since(candidate.began) >= self.set.election_timeout * 2 {
            return None;
        }
        let says_so = self.peers.reachable(now).find(|(node, _, state)| {
            let itself = state.promise.is_some_and(|promise| promise.to == *node);
            itself && state.role == super::HiveRole::Candidate
        });
        let successor = candidate.successor.or(says_so.map(|(node, _, _)| node))?;
        let state = self.peers.heard(successor, now).and_then(|peer| peer.state.as_ref());
        let able = state.is_some_and(|state| state.redis_answers && !state.failed_promotion);
        able.then_some(successor)
    }

    /// The claim that stands on an order, as it is stated to others.
    pub(super) fn ordered_claim(&self) -> Option<Promise> {
        let Role::Candidate(candidate) = &self.role else { return None };
        let claiming = candidate.claim.as_ref().filter(|claiming| claiming.sent.is_none())?;
        Some(Promise { epoch: claiming.claim.epoch, to: self.set.me })
    }

    /// The frame number that has to be heard for an answer to be one to this campaign.
    pub(super) fn asked_number(&self) -> u64 {
        match &self.role {
            Role::Candidate(candidate) => candidate.asked,
            _ => 0,
        }
    }

    /// Whether the search for a living master has given what it can.
    pub(super) fn look_is_ready(&self) -> bool {
        match &self.role {
            Role::Candidate(candidate) => candidate.looked,
            Role::Starting => {
                self.looked(self.woke, false)
                    || self.now().since(self.woke) >= self.set.election_timeout
            }
            _ => true,
        }
    }

    /// One turn of a candidate.
    pub(super) fn candidate_turn(&mut self, gap: Duration, out: &mut Vec<Action>) {
        if gap >= self.set.peer_timeout {
            self.withdraw(None, out);
            return self.start_anew(out);
        }
        if gap >= self.set.election_timeout && self.own_claim().is_some() {
            let why = String::from("this hive slept while its claim was out");
            self.give_up_claim(why, None, out);
        }
        self.hold_if_replaced(out);
        if self.follow_somebody(out) {
            return;
        }
        let now = self.now();
        self.look_around(now, out);
        let Role::Candidate(candidate) = &self.role else { return };
        if candidate.claim.is_some() {
            return self.pursue_claim(out);
        }
        let waits = candidate.retry.is_some_and(|retry| now < retry);
        if self.promise.is_some() || waits || !candidate.looked {
            return;
        }
        // A leader that is heard and may not be followed yet is a leader all the same; so is one
        // that a peer has and says so.
        if !self.leaders().is_empty() || self.vetoed(now) {
            return;
        }
        self.forgive();
        if self.awaited_successor(now).is_some() || !self.pause_lets_claim(out) {
            return;
        }
        if self.everybody_answered(now) {
            self.choose(now, out);
        }
    }

    /// 2.10: where another run answers at the master's address nobody may be sent there.
    fn hold_if_replaced(&mut self, out: &mut Vec<Action>) {
        let last = self.last.map(|last| last.master);
        let gone = self.watched.as_ref().is_some_and(|watched| {
            watched.gone && last.is_some_and(|last| last.run_id == watched.master.run_id)
        });
        if gone {
            self.set_route(Route::Hold, out);
        }
    }

    /// 4.3: keeps asking the Redis servers in question; the first round is waited for.
    fn look_around(&mut self, now: Time, out: &mut Vec<Action>) {
        let Role::Candidate(candidate) = &self.role else { return };
        let began = candidate.began;
        // In a planned change nobody has to look for a master: everybody is busy enough.
        if self.awaited_successor(now).is_none() && self.ordered_claim().is_none() {
            self.probe_for_campaign(began, out);
        }
        let timeout = self.set.election_timeout;
        let ready = self.looked_for_campaign(began) || now.since(began) >= timeout;
        let late = now.since(self.said_at) >= self.set.heartbeat;
        if let Role::Candidate(candidate) = &mut self.role {
            candidate.looked |= ready;
            // 4.2: asked again at the latest after a heartbeat.
            candidate.asking = self.said.is_none() || late || self.number < candidate.asked;
        }
    }

    /// Whoever was left out takes part again once it has answered a later frame.
    fn forgive(&mut self) {
        let now = self.now();
        let echoes: BTreeMap<NodeId, u64> = self
            .peers
            .reachable(now)
            .filter_map(|(node, _, state)| Some((node, self.peers.echo(state)?)))
            .collect();
        if let Role::Candidate(candidate) = &mut self.role {
            candidate
                .left_out
                .retain(|node, number| echoes.get(node).is_none_or(|echo| *echo <= *number));
        }
    }

    /// 4.4: every reachable peer has answered, or had its time and is left out.
    fn everybody_answered(&mut self, now: Time) -> bool {
        let Role::Candidate(candidate) = &self.role else { return false };
        let late = now.since(candidate.began) >= self.set.election_timeout;
        let missing = self.peers.reachable(now).filter(|(node, peer, state)| {
            // Who lately said that it has no leader, or that it has not heard it for as long, has
            // answered before it was asked.
            let lately = peer.received + self.set.heartbeat * 2 >= candidate.began;
            let without =
                Core::leaderless(state) || self.hears_directly(peer, state, now).is_none();
            let answered = self.peers.echo(state).is_some_and(|echo| echo >= candidate.asked)
                || (lately && without);
            !answered && !candidate.left_out.contains_key(node)
        });
        // Who was heard for the first time a moment ago may not have heard this hive yet.
        let fresh = self.peers.states(now).filter(|(node, peer, _)| {
            now.since(peer.first) < self.set.peer_timeout && !self.peers.reaches(*node, now)
        });
        let missing = missing.chain(fresh.filter(|_| !late));
        let missing: Vec<NodeId> = missing.map(|(node, _, _)| node).collect();
        if !missing.is_empty() && !late {
            return false;
        }
        self.leave_out(missing);
        true
    }

    /// When a candidate has something to do next.
    pub(super) fn next_of_candidate(&self) -> Option<Time> {
        let Role::Candidate(candidate) = &self.role else { return None };
        let now = self.now();
        let timeout = self.set.election_timeout;
        let claim = candidate.claim.as_ref().map(|claiming| claiming.began);
        let better = candidate.better.map(|(_, since)| since + timeout * 2);
        let times = [
            Some(candidate.began + timeout),
            Some(candidate.began + timeout * 2),
            candidate.retry,
            better,
            better.map(|at| at + self.set.peer_timeout),
            claim.map(|at| at + timeout),
            claim.map(|at| at + timeout * 2),
        ];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// 4.7: whether a candidate with a better copy has waited long enough for the leader to give way.
    pub(super) fn waited_to_be_chosen(&self) -> bool {
        match &self.role {
            Role::Candidate(candidate) => {
                self.now().since(candidate.began) >= self.set.election_timeout * 2
            }
            _ => false,
        }
    }

    /// 4.4: these are not asked and not waited for until they answer again.
    pub(super) fn leave_out(&mut self, nodes: Vec<NodeId>) {
        let number = self.number;
        if let Role::Candidate(candidate) = &mut self.role {
            candidate.left_out.extend(nodes.into_iter().map(|node| (node, number)));
        }
    }

    /// 4.4: the best candidate claims; the others wait for it, but not for ever.
    fn choose(&mut self, now: Time, out: &mut Vec<Action>) {
        let own = self.standing();
        if let Some(best) = self.better_than(&own) {
            return self.wait_for(best, now, out);
        }
        if let Role::Candidate(candidate) = &mut self.role {
            candidate.better = None;
        }
        match self.may_claim() {
            Ok(()) => self.claim(out),
            Err(reason) => self.warn(reason, out),
        }
    }

    /// The best of those that rank before this hive and are not left out.
    fn better_than(&self, own: &Standing) -> Option<Standing> {
        let Role::Candidate(candidate) = &self.role else { return None };
        let reach = self.reach();
        let others =
            self.contenders().filter(|other| !candidate.left_out.contains_key(&other.node));
        let above = others
            .filter(|other| rank(&reach, other, own, &self.set.ablation) == Ordering::Greater);
        above.max_by(|a, b| rank(&reach, a, b, &self.set.ablation))
    }

    fn wait_for(&mut self, best: Standing, now: Time, out: &mut Vec<Action>) {
        let patience = self.patience(&best, now);
        let Role::Candidate(candidate) = &mut self.role else { return };
        match candidate.better {
            // As long as its load moves the wait has not begun.
            Some((node, since)) if node == best.node && patience.is_some() => {
                if patience.is_some_and(|patience| now.since(since) >= patience) {
                    candidate.better = None;
                    self.leave_out([best.node].into());
                }
            }
            _ => candidate.better = Some((best.node, now)),
        }
        if patience.is_none() {
            self.warn(format!("waiting for {}: it has the best copy", best.node), out);
        }
    }

    /// How long a better candidate is waited for; `None`: as long as its load moves (2.2).
    fn patience(&self, best: &Standing, now: Time) -> Option<Duration> {
        let coming = best.copy.is_some_and(|copy| copy.state == CopyState::Coming);
        if coming && self.peers.load_moves(best.node, now, LOAD_STALLED) {
            return None;
        }
        let state = self.peers.heard(best.node, now).and_then(|peer| peer.state.as_ref());
        let starting = state.is_some_and(|state| state.role == super::HiveRole::Starting);
        let promised = state.is_some_and(|state| state.promise.is_some());
        let timeout = self.set.election_timeout;
        Some(match (starting, promised) {
            (true, _) => self.set.peer_timeout + timeout,
            // It cannot claim before its promise has ended.
            (_, true) => timeout * 3,
            // It may have to wait an election timeout itself, for answers.
            _ => timeout * 2,
        })
    }

    /// What this hive brings into the election.
    pub(super) fn standing(&self) -> Standing {
        let since = match &self.role {
            Role::Candidate(candidate) => candidate.since,
            _ => self.clock.wall,
        };
        Standing {
            node: self.set.me,
            living: self.living().is_some(),
            last: self.failed_lately()
                || self.set.witness
                || !self.local.answers
                || self.own_load_stalled(),
            stopping: self.stopping,
            copy: self.local.copy(),
            priority: self.set.priority,
            since,
        }
    }

    fn own_load_stalled(&self) -> bool {
        let loading = self.local.copy().is_some_and(|copy| copy.state == CopyState::Coming);
        loading && self.now().since(self.local.load_moved()) >= LOAD_STALLED
    }

    /// The hives in reach that could be elected.
    fn contenders(&self) -> impl Iterator<Item = Standing> {
        let now = self.now();
        self.peers.reachable(now).filter_map(|(node, _, state)| {
            let holds = state.copy.is_some_and(|copy| copy.state != CopyState::Blank);
            let starting = state.role == super::HiveRole::Starting;
            if !Core::leaderless(state) || (starting && !holds) {
                return None;
            }
            Some(standing_of(node, state))
        })
    }
}

/// What a peer brings into the election, by its state.
fn standing_of(node: NodeId, state: &State) -> Standing {
    Standing {
        node,
        living: state.living.is_some(),
        last: state.failed_promotion || state.witness || !state.redis_answers,
        stopping: state.stopping,
        copy: state.copy,
        priority: state.priority,
        since: state.since.unwrap_or_default(),
    }
}
