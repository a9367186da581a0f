//! ELECTION 4.6: from the grants to the announcement.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::cause::Cause;
use super::copies::{same_history, state_of};
use super::frame::{Claim, DenialReason, Grant, Order};
use super::io::{Action, OrderError, RedisOrder, Target};
use super::types::{Copy, CopyState, Master, NodeId, Passport, RedisRole, Route, Time, Wall};
use super::{Core, Role};

/// A claim that is out.
#[derive(Debug)]
pub(super) struct Claiming {
    pub claim: Claim,
    /// Those whose grants count.
    pub asked: BTreeSet<NodeId>,
    /// Their copies, frozen.
    grants: BTreeMap<NodeId, Option<Copy>>,
    /// The first refusal.
    pub denied: Option<(NodeId, DenialReason)>,
    pub began: Time,
    /// The same on the boot-time clock: a lease begins with it (8). `None`: it stands on an order.
    pub sent: Option<Time>,
    step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Waiting for all grants.
    Gathering,
    /// a. The route is being cut.
    Cutting,
    /// b. The own Redis is being parked.
    Parking,
    /// c. Looking once more, since then.
    Looking(Time),
    /// c. The own Redis is being promoted; this was its frozen passport.
    Promoting(Passport),
    /// It is promoted: this is its passport.
    Promoted(Passport),
    /// It could not be promoted.
    Failed(String),
}

impl Claiming {
    pub fn new(claim: Claim, asked: BTreeSet<NodeId>, began: Time, sent: Time) -> Claiming {
        let step = Step::Gathering;
        Claiming {
            claim,
            asked,
            grants: BTreeMap::new(),
            denied: None,
            began,
            sent: Some(sent),
            step,
        }
    }

    /// An order stands for all grants: the own copy is promoted as it is (6).
    pub fn ordered(order: &Order, frozen: Passport, since: Wall, began: Time) -> Claiming {
        let claim = Claim { epoch: order.epoch, since, copy: None, living: None };
        let step = Step::Promoting(frozen);
        let (asked, grants) = (BTreeSet::new(), BTreeMap::new());
        Claiming { claim, asked, grants, denied: None, began, sent: None, step }
    }

    /// Whether it came so far that a fence may stand somewhere.
    pub fn may_have_fenced(&self) -> bool {
        self.step != Step::Gathering
    }

    /// Whether its promotion is under way.
    pub fn promotes(&self) -> bool {
        matches!(self.step, Step::Promoting(_))
    }
}

impl Core {
    /// Takes the running claim one or more steps further.
    pub(super) fn pursue_claim(&mut self, out: &mut Vec<Action>) {
        loop {
            let Role::Candidate(candidate) = &self.role else { return };
            let Some(claiming) = &candidate.claim else { return };
            if let Some((from, reason)) = claiming.denied {
                return self.claim_denied(from, reason, out);
            }
            // Every step is taken only while the claim is younger than two election timeouts.
            if self.now().since(claiming.began) >= self.set.election_timeout * 2 {
                return self.claim_expired(out);
            }
            let before = claiming.step.clone();
            match before.clone() {
                Step::Gathering => self.gather(out),
                Step::Cutting if self.routed >= self.route_id => self.freeze(out),
                Step::Parking if self.order.is_none() => self.compare(out),
                Step::Looking(since) => self.look_once_more(since, out),
                Step::Promoted(passport) => return self.announce(passport, out),
                Step::Failed(reason) => {
                    self.failed_promotion = Some(self.now());
                    return self.give_up_claim(reason, None, out);
                }
                Step::Cutting | Step::Parking | Step::Promoting(_) => {}
            }
            match &self.role {
                Role::Candidate(c) if c.claim.as_ref().is_some_and(|c| c.step != before) => {}
                _ => return,
            }
        }
    }

    fn step_to(&mut self, step: Step) {
        if let Role::Candidate(candidate) = &mut self.role
            && let Some(claiming) = &mut candidate.claim
        {
            claiming.step = step;
        }
    }

    fn claim_expired(&mut self, out: &mut Vec<Action>) {
        self.give_up_claim(String::from("the claim took too long"), None, out);
    }

    fn claim_denied(&mut self, from: NodeId, reason: DenialReason, out: &mut Vec<Action>) {
        let best = match reason {
            DenialReason::Better(node) => Some(node),
            _ => None,
        };
        self.give_up_claim(format!("{from} {reason}"), best, out);
    }

    /// A grant came in.
    pub(super) fn record_grant(&mut self, from: NodeId, grant: Grant) {
        if let Role::Candidate(candidate) = &mut self.role
            && let Some(claiming) = &mut candidate.claim
            && claiming.claim.epoch == grant.epoch
            && claiming.asked.contains(&from)
        {
            claiming.grants.insert(from, grant.copy);
        }
    }

    /// 4.6: the grants of all reachable peers. Who does not answer within the election timeout is left out.
    fn gather(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let Role::Candidate(candidate) = &mut self.role else { return };
        let Some(claiming) = &mut candidate.claim else { return };
        let late = now.since(claiming.began) >= self.set.election_timeout;
        let peers = &self.peers;
        let missing: Vec<NodeId> = claiming
            .asked
            .iter()
            .filter(|node| !claiming.grants.contains_key(node))
            .copied()
            .collect();
        let (waiting, gone): (Vec<NodeId>, Vec<NodeId>) =
            missing.into_iter().partition(|node| !late && peers.reaches(*node, now));
        for node in &gone {
            claiming.asked.remove(node);
        }
        let early = self.set.ablation.promote_before_grants;
        if !waiting.is_empty() && !early {
            return self.leave_out(gone);
        }
        let living = claiming.claim.living;
        let granters: Vec<NodeId> = claiming.grants.keys().copied().collect();
        self.leave_out(gone);
        if !self.is_quorum(granters.into_iter()) {
            let why = format!("fewer than {} hives consent", self.set.quorum);
            return self.give_up_claim(why, None, out);
        }
        match living {
            Some(living) => {
                let epoch = self.bound;
                self.announce_regent(epoch, living.master, out);
            }
            None => self.cut(out),
        }
    }

    /// a. The route is cut, and a frozen old master gets a fence that stands while this hive leads.
    fn cut(&mut self, out: &mut Vec<Action>) {
        self.set_route(Route::Hold, out);
        self.fence(out);
        self.step_to(Step::Cutting);
    }

    fn fence(&mut self, out: &mut Vec<Action>) {
        let Some(watched) = &self.watched else { return };
        let now = self.now();
        let addr = watched.master.addr;
        let silent = watched.silent_since.is_some()
            || self.look.at(addr, now).is_some_and(|a| a.view == super::RedisView::Silent);
        let complete = self.local.copy().is_some_and(|copy| copy.state == CopyState::Complete);
        // 2.8: a blank winner fences nobody, and nobody is pointed at a smaller copy of another root.
        let guarded = match (self.local.copy(), watched.passport) {
            (Some(own), Some((passport, _))) => {
                let master = Copy { passport, state: state_of(&passport), ..own };
                !same_history(&own, &Copy { root: Some(watched.master.root), ..master })
            }
            _ => false,
        };
        if silent && !watched.gone && complete && !guarded && addr != self.set.redis {
            out.push(Action::Fence { master: watched.master, to: self.set.redis });
        }
    }

    /// b. The own copy is frozen too.
    fn freeze(&mut self, out: &mut Vec<Action>) {
        let parked = self.local.passport.is_some_and(|(passport, _)| passport.parked());
        if !parked {
            self.order_redis(RedisOrder::Park, out);
        }
        self.step_to(Step::Parking);
        let now = self.now();
        self.probe_all(now, out);
    }

    /// b. If a frozen passport ranks above the own one by data, that hive shall lead.
    fn compare(&mut self, out: &mut Vec<Action>) {
        let frozen = self.local.copy().filter(|copy| copy.passport.parked() && self.local.answers);
        let Some(own) = frozen else {
            return self.step_to(Step::Failed(String::from("the local Redis cannot be parked")));
        };
        if let Some(best) = self.better_grant(&own) {
            let why = format!("the frozen copy of {best} is better");
            return self.give_up_claim(why, Some(best), out);
        }
        self.step_to(Step::Looking(self.now()));
    }

    fn better_grant(&self, own: &Copy) -> Option<NodeId> {
        let Role::Candidate(candidate) = &self.role else { return None };
        let claiming = candidate.claim.as_ref()?;
        if self.set.ablation.no_frozen_passports || self.set.ablation.ignore_passports {
            return None;
        }
        let reach = self.reach();
        let failed = |node: NodeId| {
            let state = self.peers.heard(node, self.now()).and_then(|peer| peer.state.as_ref());
            state.is_some_and(|state| state.failed_promotion)
        };
        let copies = claiming.grants.iter().filter_map(|(node, copy)| Some((*node, (*copy)?)));
        let better = copies
            .filter(|(node, copy)| reach.by_data(copy, own) == Ordering::Greater && !failed(*node));
        better.max_by(|(_, a), (_, b)| reach.by_data(a, b)).map(|(node, _)| node)
    }

    /// c. One more look for a living master, and for a copy if this one is blank; then the promotion.
    fn look_once_more(&mut self, since: Time, out: &mut Vec<Action>) {
        self.probe_all(since, out);
        // What was silent a moment ago is not waited for a second time; its answer counts if it comes.
        if !self.looked(since, true) {
            return;
        }
        if let Some(living) = self.living() {
            let why = format!("the master {} lives after all", living.master.addr);
            return self.give_up_claim(why, None, out);
        }
        let Some(copy) = self.local.copy().filter(|copy| copy.passport.parked()) else {
            return self.step_to(Step::Failed(String::from("the local Redis is no longer parked")));
        };
        let first = copy.state == CopyState::Blank;
        if first && let Err(reason) = self.may_bootstrap() {
            return self.give_up_claim(reason, None, out);
        }
        if copy.state == CopyState::Coming {
            let why = String::from("the local Redis began to load");
            return self.give_up_claim(why, None, out);
        }
        self.step_to(Step::Promoting(copy.passport));
        self.order_redis(RedisOrder::Promote { first }, out);
    }

    /// c. Checks what the promotion made: the same run, a master, and the continuation of its copy.
    pub(super) fn record_promotion(&mut self, outcome: Result<Passport, OrderError>) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        let Some(claiming) = &mut candidate.claim else { return };
        let Step::Promoting(frozen) = &claiming.step else { return };
        let blank = state_of(frozen) == CopyState::Blank;
        claiming.step = match outcome {
            Ok(passport) => {
                let continues =
                    passport.replid2 == frozen.replid || passport.replid == frozen.replid;
                if passport.run_id != frozen.run_id {
                    Step::Failed(String::from("the local Redis restarted before its promotion"))
                } else if passport.role != RedisRole::Master {
                    Step::Failed(String::from("the local Redis is no master after its promotion"))
                } else if !continues && !blank {
                    Step::Failed(String::from("the promoted Redis does not continue its copy"))
                } else {
                    Step::Promoted(passport)
                }
            }
            Err(error) => Step::Failed(format!("the local Redis could not be promoted: {error:?}")),
        };
    }

    /// d. Followers attach, routes open.
    fn announce(&mut self, passport: Passport, out: &mut Vec<Action>) {
        let epoch = self.bound;
        if self.local.unsure_of_root() || self.local.copy().is_some_and(|c| c.root.is_none()) {
            self.local.take_root(self.local.copy().and_then(|c| c.root).unwrap_or(passport.replid));
        }
        let root = self.local.copy().and_then(|copy| copy.root).unwrap_or(passport.replid);
        let master =
            Master { addr: self.set.redis, run_id: passport.run_id, replid: passport.replid, root };
        self.finish_claim(epoch, master, "with its own copy", out);
    }

    /// 6.4: promotes the own Redis at the word of the leader, whose every byte it has.
    pub(super) fn promote_by(&mut self, order: Order, out: &mut Vec<Action>) {
        let Some((frozen, _)) = self.local.passport else { return };
        let now = self.now();
        if !matches!(self.role, Role::Candidate(_)) {
            let why = format!("ordered to lead by {}", order.from.leader);
            self.become_candidate(Cause::Planned, why, out);
        }
        self.withdraw(None, out);
        self.promise = None;
        self.see_epoch(order.epoch);
        self.bound = self.bound.max(order.epoch);
        let since = self.clock.wall;
        if let Role::Candidate(candidate) = &mut self.role {
            candidate.claim = Some(Claiming::ordered(&order, frozen, since, now));
        }
        self.order_redis(RedisOrder::Promote { first: false }, out);
    }

    fn announce_regent(&mut self, epoch: super::Epoch, master: Master, out: &mut Vec<Action>) {
        let how =
            if master.addr == self.set.redis { "its Redis is master already" } else { "as regent" };
        self.finish_claim(epoch, master, how, out);
        self.resume_writes(&master, out);
    }

    /// The hive that led may have died in the middle of a planned change: what it paused goes on.
    fn resume_writes(&mut self, master: &Master, out: &mut Vec<Action>) {
        if self.leadership().is_none_or(|led| led.master.run_id != master.run_id) {
            return;
        }
        if master.addr == self.set.redis {
            self.writes_paused = true;
            return;
        }
        self.order_id += 1;
        let order = RedisOrder::ResumeWrites;
        out.push(Action::Redis {
            id: self.order_id,
            at: Target::Watched,
            run_id: master.run_id,
            order,
        });
    }

    fn finish_claim(
        &mut self,
        epoch: super::Epoch,
        master: Master,
        how: &str,
        out: &mut Vec<Action>,
    ) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        let since = candidate.since;
        let Some(claiming) = candidate.claim.take() else { return };
        // An order carries the rest of the old lease.
        if let Some(sent) = claiming.sent {
            self.lease_from_claim(sent);
        }
        self.lead(epoch, master, since, how, None, out);
    }
}
