//! ELECTION 4.8: a leadership is given up.

use alloc::string::String;
use alloc::vec::Vec;

use super::Core;
use super::cause::Cause;
use super::frame::Resignation;
use super::io::{Action, RedisOrder, ReportKind};
use super::types::{NodeId, RedisRole, Route};

impl Core {
    /// 4.8: gives up a leadership and joins as a candidate.
    pub(super) fn resign(
        &mut self,
        cause: Cause,
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
        // 8: without a successor it means that nobody has a lease any more; what cannot be said for
        // sure is left unsaid, and the others wait.
        let leased = self.lease_left().is_some_and(|left| !left.is_zero());
        let over = !leased || !self.master_may_write(leadership.master.addr);
        if successor.is_some() || over {
            self.note_resignation(resignation, now);
        }
        // Whoever was ordered to lead, or still answers by the old lease, has this hive's consent.
        if leased && (successor.is_some() || !over) {
            self.note_granted(successor.unwrap_or(self.set.me), leadership.epoch);
        }
        if let Some(began) = self.change_began() {
            self.hold_after_order(&leadership, began);
        }
        self.report(ReportKind::Resigned { cause }, leadership.epoch, why.clone(), out);
        if hold {
            self.set_route(Route::Hold, out);
        }
        out.push(Action::LiftFence);
        self.become_candidate(cause, why, out);
    }

    /// 4.8, 5: gives way to another copy: the own Redis is parked and is nobody's living master.
    pub(super) fn step_down(
        &mut self,
        cause: Cause,
        why: String,
        to: NodeId,
        out: &mut Vec<Action>,
    ) {
        let own = self.leadership().is_some_and(|l| l.master.addr == self.set.redis);
        self.resign(cause, why, Some(to), true, out);
        let master = self.local.passport.is_some_and(|(p, _)| p.role == RedisRole::Master);
        if own && master {
            self.overruled = true;
            // What is given up is saved first, while it can still be copied.
            let order = match self.set.rescue {
                true => RedisOrder::Rescue,
                false => RedisOrder::Park,
            };
            self.order_redis(order, out);
        }
    }
}
