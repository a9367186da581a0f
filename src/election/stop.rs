//! ELECTION 6, Stopping: a leader hands over first, and the holder of the only copy stays.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::change::Asker;
use super::io::{Action, ReportKind};
use super::types::{CopyState, Time};
use super::{Core, Role};

/// What a stopping hive waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopping {
    /// When it was told, in its own time.
    since: Option<Time>,
    /// When somebody's copy last came on.
    progress: Option<Time>,
    /// What the others' copies amounted to then.
    seen: u64,
    /// Why it stays; empty when it does not.
    pub why: String,
}

impl Core {
    /// One turn of a hive that was told to stop.
    pub(super) fn stop(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        if self.stop.since.is_none() {
            (self.stop.since, self.answer_due) = (Some(now), true);
            self.report(ReportKind::Change, self.epoch, String::from("told to stop"), out);
        }
        self.note_progress(now);
        if self.change().is_some() {
            return;
        }
        let leads = matches!(self.role, Role::Leading(_));
        if leads && !self.change_waits() {
            match self.begin_change(None, Asker::Nobody, out) {
                Ok(()) => return,
                Err((_, why)) => {
                    self.stop.why = why;
                    self.retry_change_later();
                }
            }
        }
        if self.exited {
            return;
        }
        // After an undone change the next try comes first, as long as somebody may take over.
        let hopes = leads && !self.paused() && self.holder_elsewhere(true);
        match self.needed(leads) {
            Some(why) if self.stays(now) => self.stop.why = why,
            None if hopes && self.stays(now) => {}
            needed => {
                let why = needed.unwrap_or_default();
                self.leave(why, out);
            }
        }
    }

    /// From now on the process may end as soon as its clients are gone.
    fn leave(&mut self, why: String, out: &mut Vec<Action>) {
        self.stop.why.clear();
        self.exited = true;
        self.answer_due = true;
        if !why.is_empty() {
            let text = format!("stops all the same: {why}");
            self.report(ReportKind::Warning, self.epoch, text, out);
        }
        out.push(Action::Exit);
    }

    /// Why the others need this hive's copy, if they do.
    fn needed(&self, leads: bool) -> Option<String> {
        let own = self.local.copy().filter(|copy| copy.state == CopyState::Complete)?;
        // What was written a moment ago is in no passport yet. One that hangs keeps what it has.
        let read = self.local.passport.map(|(_, read)| read);
        if self.local.answers && read <= self.stop.since {
            return Some(String::new());
        }
        if self.local.answers && own.passport.keys == 0 {
            return None;
        }
        let master = self.leadership().filter(|_| !leads).map(|led| led.master.run_id);
        if master == Some(own.passport.run_id) {
            return Some(String::from("the Redis here is still the master of another leader"));
        }
        // Where several stop at a time the leader is the one that stays.
        if self.holder_elsewhere(leads) {
            return None;
        }
        Some(String::from("no other hive holds a current copy yet: this one stays"))
    }

    /// Whether another hive in reach holds a current copy; for the leader only those count that stay.
    fn holder_elsewhere(&self, leads: bool) -> bool {
        self.peers.reachable(self.now()).any(|(_, peer, state)| {
            // Who has been silent since may be gone.
            let heard = self.stop.since.is_some_and(|since| peer.received > since);
            let current = state.copy.is_some_and(|copy| copy.current);
            let stays = !state.stopping || (!leads && state.role == super::HiveRole::Leader);
            heard && current && stays && state.redis_answers
        })
    }

    /// Whether there is still reason to wait: a copy may yet begin, or comes on.
    fn stays(&self, now: Time) -> bool {
        let last = self.stop.progress.max(self.stop.since).unwrap_or(now);
        now.since(last) < self.set.last_copy_timeout
    }

    fn note_progress(&mut self, now: Time) {
        let coming = self.peers.states(now).filter_map(|(_, _, state)| {
            let copy = state.copy.filter(|copy| !copy.current && !state.stopping)?;
            let at = copy.passport.loaded_bytes;
            let moves = copy.passport.syncing || copy.passport.loading;
            moves.then_some(at.max(1))
        });
        let sum = coming.fold(0u64, u64::saturating_add);
        if sum != self.stop.seen {
            self.stop.seen = sum;
            if sum > 0 {
                self.stop.progress = Some(now);
            }
        }
    }
}
