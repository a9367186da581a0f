//! ELECTION 6, pause mode: observe, do not fail over. Kept as long as any one hive lives.

use alloc::string::String;
use alloc::vec::Vec;

use super::Core;
use super::frame::{Pause, Verdict};
use super::io::{Action, ReportKind};

/// A counter above this is none of a hive.
const COUNTER_MAX: u64 = 1 << 48;

impl Core {
    /// Whether pause mode is on.
    pub(super) fn paused(&self) -> bool {
        self.pause.is_some_and(|pause| pause.paused)
    }

    /// A peer states what it knows: the higher counter, then the higher address, counts.
    pub(super) fn learn_pause(&mut self, heard: Option<Pause>) {
        // Nobody counts so far: a later change could not be counted higher.
        let heard = heard.filter(|pause| pause.counter <= COUNTER_MAX);
        let key = |pause: Option<Pause>| pause.map(|pause| (pause.counter, pause.node));
        if key(heard) > key(self.pause) {
            self.pause = heard;
        }
    }

    /// Begins or ends it, at a person's word.
    pub(super) fn set_pause(&mut self, token: u64, paused: bool, out: &mut Vec<Action>) {
        let text = match (paused, self.paused() == paused) {
            (true, true) => "pause mode was on already",
            (true, false) => "pause mode is on: nobody fails over until it is ended by resume",
            (false, true) => "pause mode was off already",
            (false, false) => "pause mode is off",
        };
        if self.paused() != paused {
            let counter = self.pause.map_or(0, |pause| pause.counter).saturating_add(1);
            self.pause = Some(Pause { counter, node: self.set.me, paused });
        }
        out.push(Action::Answer { token, verdict: Verdict::Done, text: String::from(text) });
    }

    /// Tells once when it began or ended, whoever said so.
    pub(super) fn tell_pause(&mut self, out: &mut Vec<Action>) {
        let paused = self.paused();
        if paused != self.pause_told {
            self.pause_told = paused;
            self.answer_due = true;
            let text = if paused { "pause mode is on" } else { "pause mode is off" };
            self.report(ReportKind::Paused, self.epoch, String::from(text), out);
            if !paused {
                self.warn(String::new(), out);
            }
        }
    }

    /// Whether a candidate may claim: in pause mode only the hive beside a living master claims
    /// back what it led. Says what would have been done otherwise.
    pub(super) fn pause_lets_claim(&mut self, out: &mut Vec<Action>) -> bool {
        if !self.paused() {
            return true;
        }
        let beside = self.living().is_some_and(|living| living.master.addr == self.set.redis);
        if !beside {
            let text = "pause mode is on: without it this hive would take part in an election now";
            self.warn(String::from(text), out);
        }
        beside
    }
}
