//! ELECTION 4.2, 4.4 and 4.9: the question whether there is a leader, and who claims when there is none.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::copies::{Standing, rank};
use super::frame::{Claim, Denial, DenialReason, Message, Resignation, State, Withdrawal};
use super::hearing::Peer;
use super::io::{Action, ReportKind};
use super::succession::Claiming;
use super::types::{CopyState, Incarnation, NodeId, RedisRole, Route, Time, Wall};
use super::{Core, Role};

/// A load that stands still for so long is not waited for (2.2).
const LOAD_STALLED: Duration = Duration::from_secs(10);
/// A hive whose promotion failed does not claim again before this, even if nobody else can.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// More vetoes than hives are not kept.
const VETOES_MAX: usize = 256;

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
    looked: bool,
    /// Since when a better candidate is waited for.
    better: Option<(NodeId, Time)>,
    /// Hives that did not answer or did not claim, with the frame number they have to hear first.
    left_out: BTreeMap<NodeId, u64>,
    /// Not before.
    retry: Option<Time>,
    /// Peers that refused a claim because they have this leader (4.2).
    vetoes: Vec<(NodeId, NodeId, Incarnation)>,
    /// The claim that is out.
    pub claim: Option<Claiming>,
}

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
        let told = self.peers.states(now).any(|(_, peer, state)| {
            self.heard_awake(peer) && state.role != super::HiveRole::Starting
        });
        // Who only slept knew its hive: it waits for DNS, but not for ever.
        let slept = woke > self.started && late;
        if !self.roster.answered && !told && !slept {
            return self.warn(String::from("starting: DNS has not answered yet"), out);
        }
        let named = self.redis_names_are_settled();
        let redis = self.local.passport.is_some() || self.local.gone;
        if self.roster.settled(heard, timeout, now) && (named || late) && (redis || late) {
            self.become_candidate(String::from("started"), out);
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
        self.answer_due = true;
        self.set_route(Route::Hold, out);
        out.push(Action::Resolve);
    }

    /// 4.9: the addresses the own Redis names were heard, refused, or asked for long enough.
    fn redis_names_are_settled(&self) -> bool {
        let upstream = self.local.passport.and_then(|(passport, _)| passport.upstream);
        let named = upstream.filter(|addr| *addr != super::RedisAddr::PARKED);
        named.is_none_or(|addr| {
            let now = self.now();
            let heard = |s: &State| s.redis == Some(addr);
            self.peers.states(now).any(|(_, _, state)| heard(state))
                || self
                    .look
                    .at(addr, now)
                    .is_some_and(|answer| answer.view == super::RedisView::Gone)
        })
    }

    /// Enters the campaign. Routes and copies stay as they are.
    pub(super) fn become_candidate(&mut self, why: String, out: &mut Vec<Action>) {
        let now = self.now();
        self.lost_at = now;
        self.leaderless_since = self.clock.wall;
        self.report(ReportKind::Campaign, self.epoch, why, out);
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
        }));
        self.warned.clear();
        self.answer_due = true;
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
        if self.promise.is_some() || self.stopping || waits || !candidate.looked {
            return;
        }
        // A leader that is heard and may not be followed yet is a leader all the same; so is one
        // that a peer has and says so.
        if !self.leaders().is_empty() || self.vetoed(now) {
            return;
        }
        self.forgive();
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

    /// 4.2: whether a peer that refused a claim for its leader's sake still says that it has it.
    fn vetoed(&mut self, now: Time) -> bool {
        let Role::Candidate(candidate) = &mut self.role else { return false };
        let peers = &self.peers;
        candidate.vetoes.retain(|(denier, leader, incarnation)| {
            let state = peers.heard(*denier, now).and_then(|peer| peer.state.as_ref());
            let follows = state.filter(|_| peers.reaches(*denier, now)).and_then(|s| s.follows);
            follows.is_some_and(|follows| {
                let leadership = follows.leadership;
                leadership.leader == *leader && leadership.incarnation == *incarnation
            })
        });
        let left_out = &candidate.left_out;
        candidate.vetoes.iter().any(|(denier, _, _)| !left_out.contains_key(denier))
    }

    /// 4.3: keeps asking the Redis servers in question; the first round is waited for.
    fn look_around(&mut self, now: Time, out: &mut Vec<Action>) {
        let Role::Candidate(candidate) = &self.role else { return };
        let began = candidate.began;
        self.probe_for_campaign(began, out);
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

    /// A better candidate that claims is not one that does not: its time begins anew.
    pub(super) fn note_claim(&mut self, from: NodeId, now: Time) {
        if let Role::Candidate(candidate) = &mut self.role
            && let Some((node, since)) = &mut candidate.better
            && *node == from
        {
            *since = now;
        }
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
                || self.stopping
                || self.set.witness
                || !self.local.answers
                || self.own_load_stalled(),
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
        self.peers.reachable(now).filter_map(move |(node, peer, state)| {
            let holds = state.copy.is_some_and(|copy| copy.state != CopyState::Blank);
            let starting = state.role == super::HiveRole::Starting;
            if !Core::leaderless(state) || state.stopping || (starting && !holds) {
                return None;
            }
            Some(standing_of(node, state, peer.state.as_ref()?.since.unwrap_or_default()))
        })
    }

    /// Whether this hive can lead at all: as regent, with a complete copy, or with the first one (2.7).
    fn may_claim(&self) -> Result<(), String> {
        if self.living().is_some() {
            return Ok(());
        }
        if self.set.witness {
            return Err(String::from("no hive with a copy is in reach"));
        }
        let failed = self.failed_promotion.is_some_and(|at| self.now().since(at) < FAILED_PAUSE);
        if failed {
            return Err(String::from("the local Redis could not be promoted a moment ago"));
        }
        let Some(copy) = self.local.copy().filter(|_| self.local.answers) else {
            return Err(String::from("the local Redis does not answer and nobody else can lead"));
        };
        match copy.state {
            CopyState::Complete => Ok(()),
            CopyState::Coming => Err(String::from("the local Redis is loading its copy")),
            CopyState::Blank => self.may_bootstrap(),
        }
    }

    /// 4.4: claims the highest epoch seen + 1 from everybody in reach.
    fn claim(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let epoch = self.epoch.max(self.bound).next();
        if epoch >= super::Epoch::MAX {
            return self.warn(String::from("no epoch is left"), out);
        }
        let living = self.living();
        let Role::Candidate(candidate) = &mut self.role else { return };
        let reachable = self.peers.reachable(now).map(|(node, _, _)| node);
        let asked: BTreeSet<NodeId> =
            reachable.filter(|node| !candidate.left_out.contains_key(node)).collect();
        let claim = Claim { epoch, since: candidate.since, copy: self.local.copy(), living };
        candidate.claim = Some(Claiming::new(claim, asked.clone(), now));
        (self.epoch, self.bound) = (epoch, epoch);
        let what = match living {
            Some(living) => format!("claims to lead for the living master {}", living.master.addr),
            None => format!("claims to lead with its own copy; asking {} hives", asked.len()),
        };
        self.report(ReportKind::Claim, epoch, what, out);
        for node in asked {
            self.send(node, Message::Claim(claim), out);
        }
        self.pursue_claim(out);
    }

    /// Takes the running claim back, if there is one.
    pub(super) fn withdraw(&mut self, in_favour: Option<NodeId>, out: &mut Vec<Action>) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        let Some(claiming) = candidate.claim.take() else { return };
        if claiming.may_have_fenced() {
            out.push(Action::LiftFence);
        }
        let epoch = claiming.claim.epoch;
        for node in claiming.asked {
            self.send(node, Message::Withdrawal(Withdrawal { epoch, in_favour }), out);
        }
    }

    /// Takes the claim back for a reason, and tries again a little later.
    pub(super) fn give_up_claim(
        &mut self,
        reason: String,
        in_favour: Option<NodeId>,
        out: &mut Vec<Action>,
    ) {
        let epoch = self.bound;
        self.withdraw(in_favour, out);
        self.report(ReportKind::Withdrawn, epoch, reason, out);
        let wait = self.jitter();
        let now = self.now();
        if let Role::Candidate(candidate) = &mut self.role {
            candidate.retry = Some(now + wait);
            candidate.better = in_favour.map(|node| (node, now));
        }
    }

    /// A claim was refused.
    pub(super) fn record_denial(&mut self, from: NodeId, denial: Denial) {
        match denial.reason {
            DenialReason::Epoch(epoch) => self.see_epoch(epoch),
            DenialReason::HasLeader(leadership) => self.see_epoch(leadership.epoch),
            DenialReason::Living(living) => self.see_epoch(living.epoch),
            DenialReason::Promised(promise) => self.see_epoch(promise.epoch),
            DenialReason::Better(_) | DenialReason::NotReady => {}
        }
        if let Role::Candidate(candidate) = &mut self.role
            && let Some(claiming) = &mut candidate.claim
            && claiming.claim.epoch == denial.epoch
            && claiming.asked.contains(&from)
        {
            claiming.denied = Some((from, denial.reason));
            if let DenialReason::HasLeader(leadership) = denial.reason {
                let veto = (from, leadership.leader, leadership.incarnation);
                if !candidate.vetoes.contains(&veto) && candidate.vetoes.len() < VETOES_MAX {
                    candidate.vetoes.push(veto);
                }
            }
        }
    }

    /// 4.8: gives up a leadership and joins as a candidate.
    pub(super) fn resign(
        &mut self,
        why: String,
        successor: Option<NodeId>,
        hold: bool,
        out: &mut Vec<Action>,
    ) {
        let Some(leadership) = self.leadership() else { return };
        let resignation = Resignation {
            epoch: leadership.epoch,
            leader: leadership.leader,
            incarnation: leadership.incarnation,
            successor,
        };
        let now = self.now();
        self.note_resignation(resignation, now);
        self.report(ReportKind::Resigned, leadership.epoch, why.clone(), out);
        if hold {
            self.set_route(Route::Hold, out);
        }
        out.push(Action::LiftFence);
        self.become_candidate(why, out);
    }

    /// 4.8, 5: gives way to another copy: the own Redis is parked and is nobody's living master.
    pub(super) fn step_down(&mut self, why: String, to: NodeId, out: &mut Vec<Action>) {
        let own = self.leadership().is_some_and(|l| l.master.addr == self.set.redis);
        self.resign(why, Some(to), true, out);
        let master = self.local.passport.is_some_and(|(p, _)| p.role == RedisRole::Master);
        if own && master {
            self.overruled = true;
            self.order_redis(super::RedisOrder::Park, out);
        }
    }
}

/// What a peer brings into the election, by its state.
pub(super) fn standing_of(node: NodeId, state: &State, since: Wall) -> Standing {
    Standing {
        node,
        living: state.living.is_some(),
        last: state.failed_promotion || state.stopping || state.witness || !state.redis_answers,
        copy: state.copy,
        priority: state.priority,
        since,
    }
}
