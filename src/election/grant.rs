//! ELECTION 4.5: consent to a claim, given once an epoch, with the own copy frozen first.

use alloc::format;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::copies::{Standing, rank};
use super::frame::{Claim, Denial, DenialReason, Grant, Living, Message, Promise, Withdrawal};
use super::io::{Action, RedisOrder, ReportKind};
use super::types::{Copy, CopyState, Epoch, HiveRole, Leadership, NodeId, Route, Time};
use super::{Core, Role};

/// A consent that is being given, or was given and holds.
#[derive(Debug)]
pub(super) struct Granting {
    pub epoch: Epoch,
    pub to: NodeId,
    /// The promise ends by itself (4.5).
    until: Time,
    step: Step,
}

/// Cut, park, answer: in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Cutting,
    Parking,
    Given,
}

impl Core {
    /// Answers the claims that came in, those that can be judged now.
    pub(super) fn answer_claims(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        for (from, claim, at) in core::mem::take(&mut self.claims) {
            if now.since(at) >= self.set.election_timeout * 2 {
                continue;
            }
            let undecided = !self.look_is_ready() && now.since(at) < self.set.election_timeout / 2;
            if undecided && self.leadership().is_none() {
                self.claims.push((from, claim, at));
                continue;
            }
            match self.judge_claim(from, &claim) {
                Ok(()) => self.promise(from, &claim, out),
                Err(reason) => {
                    let denial = Denial { epoch: claim.epoch, reason };
                    self.send(from, Message::Denial(denial), out);
                }
            }
        }
    }

    /// 4.5: what stands against a claim.
    fn judge_claim(&self, from: NodeId, claim: &Claim) -> Result<(), DenialReason> {
        let now = self.now();
        if let Some(leadership) = self.leadership() {
            return Err(DenialReason::HasLeader(leadership));
        }
        let heard = self.leaders().into_iter().filter(|heard| heard.leader != from);
        if let Some(leadership) = heard.max_by(Leadership::precedence) {
            return Err(DenialReason::HasLeader(leadership));
        }
        let state = self.peers.heard(from, now).and_then(|peer| peer.state.as_ref());
        let Some(state) = state else { return Err(DenialReason::NotReady) };
        if let Some(successor) = self.awaited_successor(now).filter(|node| *node != from) {
            return Err(DenialReason::Better(successor));
        }
        // 8: somebody may still lead by this hive's consent.
        if self.may_vote_at(from).is_some() {
            return Err(DenialReason::NotReady);
        }
        let own = claim.living.is_some_and(|living| state.redis == Some(living.master.addr));
        if self.paused() && !own {
            return Err(DenialReason::NotReady);
        }
        if let Some(promise) = &self.promise
            && !self.set.ablation.grant_twice
        {
            if promise.to == from && promise.epoch == claim.epoch {
                return Ok(());
            }
            if promise.to != from {
                return Err(DenialReason::Promised(Promise {
                    epoch: promise.epoch,
                    to: promise.to,
                }));
            }
        }
        if claim.epoch <= self.bound && !self.set.ablation.grant_twice {
            let own = self.own_claim().is_some_and(|own| own.epoch == claim.epoch);
            if !own {
                return Err(DenialReason::Epoch(self.bound.max(self.epoch)));
            }
        }
        if let Some(living) = self.living()
            && claim.living.is_none_or(|named| named.epoch < living.epoch)
        {
            return Err(DenialReason::Living(living));
        }
        if claim.living.is_some_and(|named| self.outweighs(&named)) {
            return Err(DenialReason::Better(self.set.me));
        }
        let claimer = Standing {
            node: from,
            living: claim.living.is_some(),
            last: state.failed_promotion,
            stopping: state.stopping,
            copy: claim.copy,
            priority: state.priority,
            since: claim.since,
        };
        self.ranks_better(&claimer)
    }

    /// 2.8: whether the own complete copy is of another history than a living master and has more data.
    fn outweighs(&self, named: &Living) -> bool {
        let Some(own) = self.local.copy().filter(|own| own.state == CopyState::Complete) else {
            return false;
        };
        let kin = own.root == Some(named.master.root)
            || [own.passport.replid, own.passport.replid2].contains(&named.master.replid);
        // Of its history, but of a later stream and further: that master was replaced meanwhile.
        let later = kin && own.passport.replid != named.master.replid && own.offset > named.offset;
        if later {
            return true;
        }
        let weight = (named.dataset_bytes >> 20, named.keys);
        !kin && !self.set.ablation.no_root_guard && self.reach().weight(&own) > weight
    }

    /// A hive that ranks itself better claims itself. A starting one only knows better data.
    fn ranks_better(&self, claimer: &Standing) -> Result<(), DenialReason> {
        let own = self.standing();
        let reach = self.reach();
        let better = match self.hive_role() {
            HiveRole::Candidate => {
                rank(&reach, &own, claimer, &self.set.ablation) == Ordering::Greater
            }
            _ => match (&own.copy, &claimer.copy) {
                _ if own.last || claimer.living || self.set.ablation.ignore_passports => false,
                (Some(own), Some(other)) => reach.by_data(own, other) == Ordering::Greater,
                (Some(own), None) => own.state != CopyState::Blank,
                (None, _) => false,
            },
        };
        let able = own.living
            || own.copy.is_some_and(|copy| copy.state == CopyState::Complete && !own.last);
        let coming = own.copy.is_some_and(|copy| copy.state == CopyState::Coming) && !own.last;
        let bare = |copy: Option<Copy>| copy.is_none_or(|copy| copy.state == CopyState::Blank);
        let equals = bare(own.copy) && bare(claimer.copy) && !claimer.living && !own.last;
        if better && (able || coming || equals) {
            return Err(DenialReason::Better(self.set.me));
        }
        Ok(())
    }

    /// Consents: the own claim is taken back, the route cut, the Redis parked, then it is said.
    fn promise(&mut self, to: NodeId, claim: &Claim, out: &mut Vec<Action>) {
        let repeated = self.promise.as_ref().is_some_and(|p| p.to == to && p.epoch == claim.epoch);
        if repeated {
            if self.promise.as_ref().is_some_and(|promise| promise.step == Step::Given) {
                self.give(out);
            }
            return;
        }
        self.withdraw(Some(to), out);
        let regent = claim.living.is_some();
        self.see_epoch(claim.epoch);
        self.bound = self.bound.max(claim.epoch);
        let freeze = !regent && !self.set.ablation.no_park_before_grant;
        self.promise = Some(Granting {
            epoch: claim.epoch,
            to,
            until: self.now() + self.set.election_timeout * 2,
            step: if freeze { Step::Cutting } else { Step::Given },
        });
        self.report(ReportKind::Granted, claim.epoch, format!("consents to {to}"), out);
        if freeze {
            self.set_route(Route::Hold, out);
        } else {
            self.give(out);
        }
    }

    /// Moves a consent on, and ends it when its time has come.
    pub(super) fn keep_promise(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let Some(promise) = &self.promise else { return };
        let ended = now >= promise.until && !self.set.ablation.no_promise_expiry;
        if ended || self.leadership().is_some() {
            self.promise = None;
            // The election goes on: this hive asks anew.
            self.answer_due = true;
            return;
        }
        match promise.step {
            Step::Cutting if self.routed >= self.route_id => self.park_for_grant(out),
            Step::Parking if self.order.is_none() => self.frozen_or_again(out),
            Step::Cutting | Step::Parking | Step::Given => {}
        }
    }

    /// A loading, hung or absent Redis is parked when it answers: `steer` sees to that.
    fn park_for_grant(&mut self, out: &mut Vec<Action>) {
        let parkable = self.local.answers
            && self.local.passport.is_some_and(|(p, _)| !p.parked() && !p.loading);
        if parkable {
            self.order_redis(RedisOrder::Park, out);
            self.set_step(Step::Parking);
        } else {
            self.give(out);
        }
    }

    fn frozen_or_again(&mut self, out: &mut Vec<Action>) {
        let parked = self.local.passport.is_some_and(|(passport, _)| passport.parked());
        let refused = self.rebuffed.is_some_and(|(order, at)| {
            order == RedisOrder::Park && self.now().since(at) < self.set.election_timeout
        });
        if parked || refused || !self.local.answers {
            self.give(out);
        } else {
            self.park_for_grant(out);
        }
    }

    fn set_step(&mut self, step: Step) {
        if let Some(promise) = &mut self.promise {
            promise.step = step;
        }
    }

    fn give(&mut self, out: &mut Vec<Action>) {
        self.set_step(Step::Given);
        let Some(promise) = &self.promise else { return };
        let (epoch, to) = (promise.epoch, promise.to);
        self.note_granted(to, epoch);
        let copy = self.local.copy().filter(|_| self.local.answers);
        self.send(to, Message::Grant(Grant { epoch, copy }), out);
    }

    /// A withdrawal frees the promise; who is named may claim at once.
    pub(super) fn record_withdrawal(&mut self, from: NodeId, withdrawal: Withdrawal) {
        self.claims.retain(|(node, claim, _)| *node != from || claim.epoch != withdrawal.epoch);
        self.free_grant(from, withdrawal.epoch);
        if self.promise.as_ref().is_some_and(|p| p.to == from && p.epoch == withdrawal.epoch) {
            self.promise = None;
        }
    }

    /// The claim this hive has out.
    pub(super) fn own_claim(&self) -> Option<Claim> {
        match &self.role {
            Role::Candidate(candidate) => candidate.claim.as_ref().map(|claiming| claiming.claim),
            _ => None,
        }
    }
}

impl Granting {
    /// When the promise ends by itself.
    pub fn until(&self) -> Time {
        self.until
    }
}
