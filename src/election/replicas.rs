//! `--min-replicas-to-write` (DESIGN 2.2): set on the master once so many followers are current,
//! and lowered to what follows.

use alloc::format;
use alloc::vec::Vec;

use super::Core;
use super::io::{Action, Target};
use super::types::RunId;

impl Core {
    /// Tells the master how many replicas a write needs now, when that changes.
    pub(super) fn steer_min_replicas(&mut self, out: &mut Vec<Action>) {
        if self.set.min_replicas == 0 {
            return;
        }
        let Some(led) = self.leadership().filter(|led| led.leader == self.set.me) else {
            self.min_replicas_said = None;
            return;
        };
        let followers = self.peers.reachable(self.now()).filter(|(_, _, state)| {
            let follows = state.follows.is_some_and(|f| f.leadership.leader == led.leader);
            let there =
                |copy: super::Copy| copy.current && copy.passport.run_id != led.master.run_id;
            follows && state.copy.is_some_and(there)
        });
        let own =
            led.master.addr != self.set.redis && self.local.copy().is_some_and(|copy| copy.current);
        let current = followers.count() as u32 + u32::from(own);
        let wanted = self.set.min_replicas;
        let floor = wanted.min(self.set.quorum.saturating_sub(1));
        let replicas = wanted.min(current).max(floor);
        let said: Option<(RunId, u32)> = self.min_replicas_said;
        if said == Some((led.master.run_id, replicas)) {
            return;
        }
        self.min_replicas_said = Some((led.master.run_id, replicas));
        if replicas < wanted {
            let text = format!(
                "a write needs {replicas} replicas for now, not {wanted}: only {current} are current"
            );
            self.report(super::ReportKind::Warning, led.epoch, text, out);
        }
        let at = if led.master.addr == self.set.redis { Target::Own } else { Target::Watched };
        out.push(Action::MinReplicas { at, run_id: led.master.run_id, replicas });
    }
}
