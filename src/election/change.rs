//! ELECTION 6: the planned change of the master, on the leader's side.
//!
//! Every step before the order has a deadline and a way back; after the order there is none.

mod steps;
mod undo;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{Answer, Message, Verdict};
use super::io::{Action, OrderError, RedisOrder, ReportKind};
use super::types::{Epoch, NodeId, Passport, RedisAddr, RedisRole, RunId, Time};
use super::{Core, Role};
use undo::{AGAIN, Undoing, WAY_BACK};

/// A successor may be behind by so many bytes when the others are told to hold.
const LAG: u64 = 1 << 20;
/// Longest wait for the successor's first answer: nobody is held yet. A busy machine gets more than one
/// question.
const ASK_WAIT: Duration = Duration::from_secs(1);
/// Between two such questions: that nobody is there can be known at once.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Longest wait for the others to hold.
const HOLD_WAIT: Duration = Duration::from_millis(150);
/// The writes of the master wait for so long at most, by themselves.
const PAUSE_MS: u32 = 2_000;
/// Longest wait for the successor to have what the master has.
const CATCH_UP: Duration = Duration::from_millis(300);
/// The whole change since others hold; a hold ends by itself after a second.
const WHOLE: Duration = Duration::from_millis(900);

/// On whose behalf the master is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// This hive has its own reasons.
    Nobody,
    /// A person asked this hive; the answer goes by what becomes of the leadership.
    Person,
    /// A peer passed a request on, with this epoch.
    Peer(NodeId, Epoch),
    /// The successor is in reach of more (4.11): where it cannot be handed the leadership, the leader
    /// resigns in its favour.
    Reach,
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    pub to: NodeId,
    /// The successor's Redis.
    redis: RedisAddr,
    run_id: RunId,
    asker: Asker,
    /// When it was begun, and then when the others were told to hold.
    began: Time,
    step: Step,
    /// Hives that were told to hold.
    told: BTreeSet<NodeId>,
    /// The successor was too far behind to begin.
    behind: bool,
    /// The order to the master that is out.
    order: Option<u64>,
    /// When it was sent.
    pub sent: Time,
    outcome: Option<Result<Passport, OrderError>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The successor's Redis is asked how near it is; nobody holds yet.
    Asking,
    /// Waiting for these to hold, and for the own proxies.
    Holding(BTreeSet<NodeId>),
    /// The master's writes are being paused.
    Pausing,
    /// The successor has to have this offset, since then.
    Nearing(u64, Time),
    /// The master is being parked. It is not pointed at the successor yet: should that one stand
    /// still with a byte missing, the master would take a whole copy of what is older than its own.
    Demoting,
    /// The successor has to have the final offset, since then.
    Catching(u64, Time),
    /// The way back, since then.
    Undoing(Undoing, Time),
}

impl Change {
    /// How far it is, for people.
    pub fn step(&self) -> &'static str {
        match self.step {
            Step::Asking => "looking at its copy",
            Step::Holding(_) => "clients are being held",
            Step::Pausing => "writes are being paused",
            Step::Nearing(..) | Step::Catching(..) => "waiting for its offset",
            Step::Demoting => "the old master is being parked",
            Step::Undoing(..) => "it is undone",
        }
    }
}

impl Core {
    /// Begins a planned change, to this hive or to the best one.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    pub(super) fn begin_change(
        &mut self,
        to: Option<NodeId>,
        asker: Asker,
        out: &mut Vec<Action>,
    ) -> Result<(), (Verdict, String)> {
        let conflict = |text: String| Err((Verdict::Conflict, text));
        if self.paused() {
            return conflict(String::from("pause mode is on: resume first"));
        }
        let Role::Leading(leader) = &self.role else {
            return conflict(format!("{} does not lead", self.set.me));
        };
        if leader.change.is_some() {
            return conflict(String::from("a planned change is under way already"));
        }
        let master = self.master_copy().map(|copy| copy.passport.role);
        if master != Some(RedisRole::Master) || !self.master_answers() {
            return conflict(String::from("the master does not answer, or is busy with a script"));
        }
        let to = self.successor(to, asker).map_err(|why| (Verdict::Unfit, why))?;
        let Some((redis, run_id)) = self.redis_of(to) else {
            return Err((Verdict::Unfit, format!("the Redis of {to} does not answer")));
        };
        let change = Change {
            to,
            redis,
            run_id,
            asker,
            began: self.now(),
            step: Step::Asking,
            told: BTreeSet::new(),
            behind: false,
            order: None,
            sent: self.now(),
            outcome: None,
        };
        if let Role::Leading(leader) = &mut self.role {
            leader.change = Some(change);
        }
        // Its first step is taken by another tick, which nothing else may call for in time.
        self.due = true;
        let what = format!("the master moves to {to}{}", self.version_note(to));
        self.report(ReportKind::Change, self.bound, what, out);
        Ok(())
    }

    /// Whether the master takes orders now.
    pub(super) fn master_answers(&self) -> bool {
        if !self.is_regent() {
            return self.local.answers;
        }
        self.watched.as_ref().is_some_and(|watched| {
            let answered = watched.passport.map(|(_, at)| at);
            !watched.gone && watched.silent_since.is_none() && answered == watched.heard
        })
    }

    fn redis_of(&self, node: NodeId) -> Option<(RedisAddr, RunId)> {
        if node == self.set.me {
            return Some((self.set.redis, self.local.run_id()?));
        }
        let state = self.peers.heard(node, self.now())?.state.as_ref()?;
        Some((state.redis?, state.copy?.passport.run_id))
    }

    /// The change under way.
    pub(super) fn change(&self) -> Option<&Change> {
        match &self.role {
            Role::Leading(leader) => leader.change.as_ref(),
            _ => None,
        }
    }

    fn change_mut(&mut self) -> Option<&mut Change> {
        match &mut self.role {
            Role::Leading(leader) => leader.change.as_mut(),
            _ => None,
        }
    }

    /// When the change under way began to hold clients.
    pub(super) fn change_began(&self) -> Option<Time> {
        self.change().filter(|change| change.step != Step::Asking).map(|change| change.began)
    }

    /// Whether the change has told, or may have told, the master to be no master any more.
    pub(super) fn change_demotes(&self) -> bool {
        self.change().is_some_and(|change| match &change.step {
            Step::Demoting | Step::Catching(..) => true,
            Step::Undoing(undoing, _) => undoing.promote,
            Step::Asking | Step::Holding(_) | Step::Pausing | Step::Nearing(..) => false,
        })
    }

    /// A hive holds.
    pub(super) fn note_held(&mut self, from: NodeId, epoch: Epoch) {
        let bound = self.bound;
        if let Some(Change { step: Step::Holding(missing), .. }) = self.change_mut()
            && epoch == bound
        {
            missing.remove(&from);
        }
    }

    /// An order has ended; `true`: it was one of the change.
    pub(super) fn note_change_done(
        &mut self,
        id: u64,
        outcome: &Result<Passport, OrderError>,
    ) -> bool {
        let Some(change) = self.change_mut().filter(|change| change.order == Some(id)) else {
            return false;
        };
        (change.order, change.outcome) = (None, Some(outcome.clone()));
        true
    }

    /// Takes the change under way as far as it goes. `true`: this hive leads no more.
    pub(super) fn pursue_change(&mut self, out: &mut Vec<Action>) -> bool {
        loop {
            let now = self.now();
            let Some(change) = self.change() else {
                return !matches!(self.role, Role::Leading(_));
            };
            let before = change.step.clone();
            let undoing = matches!(before, Step::Undoing(..));
            if !undoing && let Some(why) = self.change_fails(now) {
                self.undo(why, out);
                continue;
            }
            match before.clone() {
                Step::Asking => self.asked_at(now, out),
                Step::Holding(missing) => self.hold_on(&missing, now, out),
                Step::Pausing => self.paused_at(now, out),
                Step::Nearing(offset, _) if self.successor_has(offset, now, out) => {
                    self.order_master(RedisOrder::Park, out);
                    self.change_to(Step::Demoting);
                }
                Step::Demoting => self.demoted_at(now),
                Step::Catching(offset, _) if self.successor_has(offset, now, out) => {
                    self.hand_over(out);
                    return true;
                }
                Step::Undoing(undoing, since) => {
                    if self.way_back(undoing, since, now, out) {
                        return true;
                    }
                }
                Step::Nearing(..) | Step::Catching(..) => {}
            }
            if self.change().is_some_and(|change| change.step == before) {
                return false;
            }
        }
    }

    fn change_to(&mut self, step: Step) {
        if let Some(change) = self.change_mut() {
            change.step = step;
        }
    }

    /// Why the change cannot go on.
    fn change_fails(&self, now: Time) -> Option<String> {
        let change = self.change()?;
        if change.step != Step::Asking && now.since(change.began) >= WHOLE {
            return Some(String::from("it took too long"));
        }
        let to = change.to;
        if to != self.set.me {
            let state = self.peers.heard(to, now).and_then(|peer| peer.state.as_ref());
            let fit = state.is_some_and(|state| {
                state.copy.is_some_and(|copy| copy.passport.run_id == change.run_id)
            });
            if !fit || !self.peers.reaches(to, now) {
                return Some(format!("{to} is not in reach any more, or its Redis restarted"));
            }
        }
        if let Some(Err(error)) = &change.outcome {
            return Some(format!("the master does not take its orders: {error:?}"));
        }
        let late = |since: Time| now.since(since) >= CATCH_UP;
        match change.step {
            Step::Asking if now.since(change.began) >= ASK_WAIT => {
                Some(format!("the Redis of {to} does not answer"))
            }
            Step::Nearing(_, since) if late(since) => {
                Some(format!("{to} did not catch up in time"))
            }
            Step::Catching(_, since) if late(since) => {
                Some(format!("{to} did not take the last bytes in time"))
            }
            _ => None,
        }
    }

    /// Tells who asked for a change what became of it, where the new leadership does not.
    pub(super) fn answer_asker(
        &mut self,
        asker: Asker,
        verdict: Verdict,
        reason: String,
        out: &mut Vec<Action>,
    ) {
        match asker {
            Asker::Nobody | Asker::Reach => {}
            Asker::Person => self.settle_asks(verdict, &reason),
            Asker::Peer(node, epoch) => {
                let answer = Answer { epoch, verdict, reason };
                self.send(node, Message::Answer(answer), out);
            }
        }
    }

    /// When the change has something to do next.
    pub(super) fn next_of_change(&self) -> Option<Time> {
        let change = self.change()?;
        Some(match &change.step {
            Step::Asking => (self.now() + ASK_AGAIN).min(change.began + ASK_WAIT),
            Step::Holding(_) => change.began + HOLD_WAIT,
            Step::Nearing(_, since) | Step::Catching(_, since) => *since + CATCH_UP,
            Step::Pausing | Step::Demoting => change.began + WHOLE,
            Step::Undoing(undoing, since) => match undoing.tried {
                Some(tried) if change.order.is_none() => tried + AGAIN,
                _ => *since + WAY_BACK,
            },
        })
    }
}
