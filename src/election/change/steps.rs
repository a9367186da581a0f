//! ELECTION 6: the steps of a planned change, from the first question to the order.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::Core;
use super::super::cause::Cause;
use super::super::frame::{Hold, Message, Order};
use super::super::io::{Action, RedisOrder, RedisView, Target};
use super::super::types::{Epoch, Master, NodeId, Passport, Time};
use super::{ASK_AGAIN, HOLD_WAIT, LAG, PAUSE_MS, Step};

impl Core {
    /// 1. How near the successor is, by its own word: what its hive stated may be half a second old.
    pub(super) fn asked_at(&mut self, now: Time, out: &mut Vec<Action>) {
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
                return self.look.want(redis, now - ASK_AGAIN, now, None, out);
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
        let hold = Hold { epoch, hold: true };
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

    /// 2. All hold, or had their time.
    pub(super) fn hold_on(&mut self, missing: &BTreeSet<NodeId>, now: Time, out: &mut Vec<Action>) {
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
    pub(super) fn paused_at(&mut self, now: Time, out: &mut Vec<Action>) {
        let outcome = self.change_mut().and_then(|change| change.outcome.take());
        if let Some(Ok(passport)) = outcome {
            self.change_to(Step::Nearing(passport.offset, now));
            self.ask_successor(now, out);
        }
    }

    pub(super) fn demoted_at(&mut self, now: Time) {
        let outcome = self.change_mut().and_then(|change| change.outcome.take());
        if let Some(Ok(passport)) = outcome {
            self.change_to(Step::Catching(passport.offset, now));
        }
    }

    /// Whether the successor's Redis has this offset; asks it again if not.
    pub(super) fn successor_has(&mut self, offset: u64, now: Time, out: &mut Vec<Action>) -> bool {
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
    pub(super) fn order_master(&mut self, order: RedisOrder, out: &mut Vec<Action>) {
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
    pub(super) fn hand_over(&mut self, out: &mut Vec<Action>) {
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
}
