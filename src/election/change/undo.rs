//! ELECTION 6, Ways back: before its order a planned change can be undone, at every step.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::cause::Cause;
use super::super::frame::{Hold, Message, Verdict};
use super::super::io::{Action, RedisOrder, ReportKind};
use super::super::types::Time;
use super::super::{Core, Role};
use super::{Asker, Step};

/// The way back is tried for so long before the leader gives up.
pub(super) const WAY_BACK: Duration = Duration::from_secs(5);
/// Between two tries of one step of the way back.
pub(super) const AGAIN: Duration = Duration::from_millis(50);

/// What of the way back is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undoing {
    /// `REPLICAOF NO ONE`
    pub promote: bool,
    /// `CLIENT UNPAUSE`
    pub resume: bool,
    /// When the last try began.
    pub tried: Option<Time>,
}

impl Core {
    /// Ends the change before the order: everything goes back to where it was.
    pub(super) fn undo(&mut self, why: String, out: &mut Vec<Action>) {
        let demoted = self.change_demotes();
        let now = self.now();
        let epoch = self.bound;
        let Some(change) = self.change_mut() else { return };
        let resume = !matches!(change.step, Step::Asking | Step::Holding(_));
        let verdict = if change.step == Step::Asking { Verdict::Unfit } else { Verdict::Failed };
        let (to, asker, run_id) = (change.to, change.asker, change.run_id);
        let behind = change.behind;
        change.step = Step::Undoing(Undoing { promote: demoted, resume, tried: None }, now);
        (change.order, change.outcome) = (None, None);
        if !demoted {
            // Sent behind whatever is still on its way; should it get lost, the pause ends by itself.
            if resume {
                self.order_master(RedisOrder::ResumeWrites, out);
            }
            self.end_change(out);
        }
        let text = format!("the move to {to} is undone: {why}");
        self.report(ReportKind::Change, epoch, text.clone(), out);
        self.answer_asker(asker, verdict, text, out);
        self.change_retry = Some(now + Duration::from_millis(500));
        // One that has died, or is merely slow, is no reason to give up what this master has.
        let there =
            self.peers.reaches(to, now) && self.redis_of(to).is_some_and(|(_, run)| run == run_id);
        let slow = behind && self.is_fed(to);
        if asker == Asker::Reach && !demoted && there && !slow && !self.paused() {
            self.resign_for_reach(to, String::from("it could not be handed the leadership"), out);
        }
    }

    /// `true`: the way back is barred and this hive leads no more.
    pub(super) fn way_back(
        &mut self,
        undoing: Undoing,
        since: Time,
        now: Time,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(change) = self.change_mut() else { return false };
        let outcome = change.outcome.take();
        let waits = change.order.is_some();
        let mut left = undoing;
        match outcome {
            Some(Ok(_)) if left.promote => (left.promote, left.tried) = (false, None),
            // The pause ends by itself.
            Some(_) if !left.promote => left.resume = false,
            _ => {}
        }
        if !left.promote && !left.resume {
            self.end_change(out);
            return false;
        }
        if !left.promote && now.since(since) >= WAY_BACK {
            self.end_change(out);
            return false;
        }
        if now.since(since) >= WAY_BACK {
            let why = String::from("the master does not take back its demotion");
            self.resign(Cause::Redis, why, None, true, out);
            return true;
        }
        if !waits && left.tried.is_none_or(|tried| now.since(tried) >= AGAIN) {
            left.tried = Some(now);
            let order = match left.promote {
                true => RedisOrder::Promote { first: false },
                false => RedisOrder::ResumeWrites,
            };
            self.order_master(order, out);
        }
        self.change_to(Step::Undoing(left, since));
        false
    }

    /// Releases everybody.
    pub(super) fn end_change(&mut self, out: &mut Vec<Action>) {
        let epoch = self.bound;
        let Role::Leading(leader) = &mut self.role else { return };
        let leadership = leader.leadership;
        if let Some(change) = leader.change.take() {
            let hold = Hold { epoch, hold: false };
            change.told.iter().for_each(|node| self.send(*node, Message::Hold(hold), out));
        }
        self.open_route(leadership, out);
    }
}
