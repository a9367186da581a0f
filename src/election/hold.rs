//! ELECTION 6.2: a hive holds its clients at its leader's word, for a second at most.

use alloc::vec::Vec;
use core::time::Duration;

use super::Core;
use super::frame::{Held, Hold, Message};
use super::io::Action;
use super::types::{Epoch, Incarnation, Leadership, NodeId, Route, Time};

/// A hold ends by itself after this.
const LONGEST: Duration = Duration::from_secs(1);

/// A hold at a leader's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    leader: NodeId,
    incarnation: Incarnation,
    epoch: Epoch,
    until: Time,
    /// The leader has not been told yet that nothing is forwarded any more.
    owes_answer: bool,
}

impl Core {
    /// Does what leaders said about holding.
    pub(super) fn obey_holds(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        for (from, hold) in core::mem::take(&mut self.holds) {
            self.obey_hold(from, hold, now, out);
        }
        if let Some(holding) = self.holding
            && holding.owes_answer
            && self.routed >= self.route_id
            && self.sessions_are_known(out)
        {
            self.send(holding.leader, Message::Held(Held { epoch: holding.epoch }), out);
            self.holding = Some(Holding { owes_answer: false, ..holding });
        }
        if self.holding.is_some_and(|holding| now >= holding.until) {
            self.end_hold(out);
        }
    }

    fn obey_hold(&mut self, from: NodeId, hold: Hold, now: Time, out: &mut Vec<Action>) {
        let led = self.leadership();
        let Some(led) = led.filter(|led| led.leader == from && led.epoch == hold.epoch) else {
            return;
        };
        if from == self.set.me {
            return;
        }
        if !hold.hold {
            return self.end_hold(out);
        }
        self.holding = Some(Holding {
            leader: from,
            incarnation: led.incarnation,
            epoch: led.epoch,
            until: now + LONGEST,
            owes_answer: true,
        });
        self.open_route(led, out);
    }

    /// Clients go on where the leadership is still the same; where it has ended they wait.
    fn end_hold(&mut self, out: &mut Vec<Action>) {
        if self.holding.take().is_none() {
            return;
        }
        match self.leadership() {
            Some(leadership) => self.open_route(leadership, out),
            None if matches!(self.route, Route::Held { .. }) => self.set_route(Route::Hold, out),
            None => {}
        }
    }

    /// The own change holds too; after its order the hold ends like any other.
    pub(super) fn hold_after_order(&mut self, led: &Leadership, since: Time) {
        self.holding = Some(Holding {
            leader: led.leader,
            incarnation: led.incarnation,
            epoch: led.epoch,
            until: since + LONGEST,
            owes_answer: false,
        });
    }

    /// Whether clients of this leadership are held.
    pub(super) fn holds_for(&self, leadership: &Leadership) -> bool {
        let told = self.holding.is_some_and(|holding| {
            holding.leader == leadership.leader
                && holding.incarnation == leadership.incarnation
                && holding.epoch == leadership.epoch
                && self.now() < holding.until
        });
        told || self.change_began().is_some_and(|began| self.now() < began + LONGEST)
    }

    /// When a hold ends.
    pub(super) fn next_of_hold(&self) -> Option<Time> {
        let own = self.change_began().map(|began| began + LONGEST);
        let told = self.holding.map(|holding| holding.until);
        let asked = self.holding.filter(|holding| holding.owes_answer);
        let asked = asked.and_then(|_| self.next_of_sessions());
        own.into_iter().chain(told).chain(asked).filter(|at| *at > self.now()).min()
    }
}
