//! ELECTION 6: the planned change of the master, on the leader's side.
//!
//! Every step before the order has a deadline and a way back; after the order there is none.

mod undo;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::cause::Cause;
use super::frame::{Answer, Message, Order, Verdict};
use super::io::{Action, OrderError, RedisOrder, RedisView, ReportKind, Target};
use super::types::{Epoch, Master, NodeId, Passport, RedisAddr, RedisRole, RunId, Time};
use super::{Core, Role};
use undo::{AGAIN, Undoing, WAY_BACK};

/// A successor may be behind by so many bytes when the others are told to hold.
const LAG: u64 = 1 << 20;
/// Longest wait for the successor's first answer: nobody is held yet. A busy machine gets more than one
/// question.
const ASK_WAIT: Duration = Duration::from_secs(1);
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

    /// 1. How near the successor is, by its own word: what its hive stated may be half a second old.
    fn asked_at(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(change) = self.change() else { return };
        let (redis, run_id, began) = (change.redis, change.run_id, change.began);
        let Some(master) = self.master_copy().map(|copy| copy.passport.offset) else { return };
        let own = self.local.passport.filter(|_| redis == self.set.redis);
        let probed = self.look.at(redis, now).filter(|answer| answer.asked >= began);
        let offset = match (own, probed.map(|answer| answer.view)) {
            (Some((passport, _)), _) => passport.offset,
            (None, Some(RedisView::Up(passport))) if passport.run_id == run_id => passport.offset,
            // It took too long: the next answer may come in time.
            (None, Some(RedisView::Silent)) => {
                return self.look.want(redis, now, now, None, out);
            }
            _ => return self.look.want(redis, began, now, None, out),
        };
        let lag = master.saturating_sub(offset);
        if lag > LAG {
            if let Some(change) = self.change_mut() {
                change.behind = true;
            }
            return self.undo(format!("its Redis is {lag} bytes behind"), out);
        }
        self.tell_to_hold(now, out);
    }

    /// 2. Everybody in reach is told to hold, the own proxies too.
    fn tell_to_hold(&mut self, now: Time, out: &mut Vec<Action>) {
        let epoch = self.bound;
        let others: BTreeSet<NodeId> = self.peers.reachable(now).map(|(node, _, _)| node).collect();
        let hold = super::frame::Hold { epoch, hold: true };
        others.iter().for_each(|node| self.send(*node, Message::Hold(hold), out));
        if let Some(change) = self.change_mut() {
            change.began = now;
            change.step = Step::Holding(others.clone());
            change.told = others;
        }
        if let Some(leadership) = self.leadership() {
            self.open_route(leadership, out);
        }
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

    /// 2. All hold, or had their time.
    fn hold_on(&mut self, missing: &BTreeSet<NodeId>, now: Time, out: &mut Vec<Action>) {
        let late = self.change().is_some_and(|change| now.since(change.began) >= HOLD_WAIT);
        if self.routed < self.route_id {
            return;
        }
        self.sessions_settled();
        if missing.is_empty() || late {
            self.order_master(RedisOrder::PauseWrites { ms: PAUSE_MS }, out);
            self.change_to(Step::Pausing);
        }
    }

    /// 3. The writes wait: what the master has now, the successor must have.
    fn paused_at(&mut self, now: Time, out: &mut Vec<Action>) {
        let outcome = self.change_mut().and_then(|change| change.outcome.take());
        if let Some(Ok(passport)) = outcome {
            self.change_to(Step::Nearing(passport.offset, now));
            self.ask_successor(now, out);
        }
    }

    fn demoted_at(&mut self, now: Time) {
        let outcome = self.change_mut().and_then(|change| change.outcome.take());
        if let Some(Ok(passport)) = outcome {
            self.change_to(Step::Catching(passport.offset, now));
        }
    }

    /// Whether the successor's Redis has this offset; asks it again if not.
    fn successor_has(&mut self, offset: u64, now: Time, out: &mut Vec<Action>) -> bool {
        let Some(change) = self.change() else { return false };
        let (redis, run_id) = (change.redis, change.run_id);
        let stream = self.leadership().map(|leadership| leadership.master.replid);
        // Offsets of another stream say nothing: who gave way a moment ago may be further in its own.
        let reached = |passport: &Passport| {
            passport.run_id == run_id
                && Some(passport.replid) == stream
                && passport.offset >= offset
        };
        let probed = self.look.at(redis, now).is_some_and(|answer| match answer.view {
            RedisView::Up(passport) => reached(&passport),
            _ => false,
        });
        let own = redis == self.set.redis
            && self.local.passport.is_some_and(|(passport, _)| reached(&passport));
        if probed || own {
            return true;
        }
        self.ask_successor(now, out);
        false
    }

    fn ask_successor(&mut self, now: Time, out: &mut Vec<Action>) {
        if let Some(redis) = self.change().map(|change| change.redis)
            && redis != self.set.redis
        {
            self.look.want(redis, now, now, None, out);
        }
    }

    /// Gives the master an order of the change.
    fn order_master(&mut self, order: RedisOrder, out: &mut Vec<Action>) {
        let Some(leadership) = self.leadership() else { return };
        self.order_id += 1;
        let id = self.order_id;
        let own = leadership.master.addr == self.set.redis;
        let at = if own { Target::Own } else { Target::Watched };
        let now = self.now();
        if let Some(change) = self.change_mut() {
            (change.order, change.outcome, change.sent) = (Some(id), None, now);
        }
        if own {
            self.order = None;
            self.writes_paused |= matches!(order, RedisOrder::PauseWrites { .. });
            self.writes_paused &= order != RedisOrder::ResumeWrites;
        }
        out.push(Action::Redis { id, at, run_id: leadership.master.run_id, order });
    }

    /// 4. The order, which is the resignation: from here on there is no way back by a timer.
    fn hand_over(&mut self, out: &mut Vec<Action>) {
        let Some(leadership) = self.leadership() else { return };
        let epoch = self.epoch.max(self.bound).next();
        let Some(change) = self.change() else { return };
        let (to, redis, run_id) = (change.to, change.redis, change.run_id);
        if epoch >= Epoch::MAX {
            return self.undo(String::from("no epoch is left"), out);
        }
        let master = Master { addr: redis, run_id, ..leadership.master };
        let order = Order { epoch, from: leadership, master, lease_ms: self.lease_ms() };
        if to != self.set.me {
            self.send(to, Message::Order(order), out);
        }
        if self.is_regent() {
            // Nobody else may be left to point it there. Both have every byte.
            self.order_master(RedisOrder::Follow(redis), out);
        }
        let why = format!("hands the leadership to {to}, which has every byte");
        self.resign(Cause::Planned, why, Some(to), false, out);
        self.see_epoch(epoch);
        self.bound = self.bound.max(epoch);
        if to == self.set.me {
            self.promote_by(order, out);
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
            Step::Asking => change.began + ASK_WAIT,
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
