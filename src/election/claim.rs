//! ELECTION 4.4: who may claim, the claim, its refusals (4.2) and its withdrawal.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{Claim, Denial, DenialReason, Message, Withdrawal};
use super::io::{Action, ReportKind};
use super::succession::Claiming;
use super::types::{CopyState, Epoch, NodeId, Time};
use super::{Core, Role};

/// More vetoes than hives are not kept.
const VETOES_MAX: usize = 256;
/// A hive whose promotion failed does not claim again before this, even if nobody else can.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

impl Core {
    /// Whether this hive can lead at all: as regent, with a complete copy, or with the first one (2.7).
    pub(super) fn may_claim(&self) -> Result<(), String> {
        if let Some(why) = self.quorum_out_of_reach() {
            return Err(why);
        }
        if self.may_vote_at(self.set.me).is_some() {
            return Err(String::from("an older leader may still have a lease"));
        }
        if self.living().is_some() {
            return Ok(());
        }
        if self.own_lease_runs() {
            return Err(String::from("the lease this hive led by still runs"));
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
    pub(super) fn claim(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        let epoch = self.epoch.max(self.bound).next();
        if epoch >= Epoch::MAX {
            return self.warn(String::from("no epoch is left"), out);
        }
        let living = self.living();
        let Role::Candidate(candidate) = &mut self.role else { return };
        let reachable = self.peers.reachable(now).map(|(node, _, _)| node);
        let asked: BTreeSet<NodeId> =
            reachable.filter(|node| !candidate.left_out.contains_key(node)).collect();
        let claim = Claim { epoch, since: candidate.since, copy: self.local.copy(), living };
        let sent = self.clock.boot;
        candidate.claim = Some(Claiming::new(claim, asked.clone(), now, sent));
        (self.epoch, self.bound) = (epoch, epoch);
        let what = match living {
            Some(living) => format!("claims to lead for the living master {}", living.master.addr),
            None => format!(
                "claims to lead with its own copy; asking {} hives{}",
                asked.len(),
                self.version_note(self.set.me)
            ),
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
        // Who waits for an older lease to end is not asked every few milliseconds.
        let wait = if self.needs_quorum() { self.jitter() * 3 } else { self.jitter() };
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

    /// A better candidate that claims is not one that does not: its time begins anew.
    pub(super) fn note_claim(&mut self, from: NodeId, now: Time) {
        if let Role::Candidate(candidate) = &mut self.role
            && let Some((node, since)) = &mut candidate.better
            && *node == from
        {
            *since = now;
        }
    }

    /// 4.2: whether a peer that refused a claim for its leader's sake still says that it has it.
    pub(super) fn vetoed(&mut self, now: Time) -> bool {
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
}
