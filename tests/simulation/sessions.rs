//! What the sessions of a hive's proxies have seen, and whether a route that keeps them may (INV-45).

use redis_hive::election::{Keep, Route, RunId};

use crate::history::WriteId;
use crate::world::World;

/// Replies remembered for one hive.
const MOST: usize = 256;

/// The sessions of one hive, each known by its last reply only.
#[derive(Debug)]
pub struct Sessions {
    master: Option<RunId>,
    /// Sessions whose last reply came later, in the hive's own time, are cut.
    alive_before: u64,
    /// When a write was acknowledged to a session, and which.
    seen: Vec<(u64, WriteId)>,
    /// What the last change of master left.
    pub kept: Keep,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { master: None, alive_before: u64::MAX, seen: Vec::new(), kept: Keep::None }
    }
}

impl World {
    /// A write of this master was acknowledged through this hive.
    pub fn session_saw(&mut self, host: usize, run: RunId, write: WriteId) {
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let at = now + hive.origin;
        let sessions = &mut hive.sessions;
        if sessions.master == Some(run) {
            if sessions.seen.len() == MOST {
                sessions.seen.remove(0);
            }
            sessions.seen.push((at, write));
        }
    }

    /// INV-45: a session that goes on with another master has seen nothing that is not there.
    pub fn sessions_kept(&mut self, host: usize, route: &Route, keep: Keep) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let sessions = &mut hive.sessions;
        let before = match keep {
            Keep::None => 0,
            Keep::Crash { before } | Keep::Planned { before } => before.0,
        };
        sessions.alive_before = sessions.alive_before.min(before);
        let (run, alive) = (route.run_id(), sessions.alive_before);
        sessions.seen.retain(|(at, _)| *at < alive);
        let Some(run) = run else { return };
        sessions.alive_before = u64::MAX;
        if sessions.master.replace(run) == Some(run) {
            return;
        }
        sessions.kept = keep;
        let seen: Vec<WriteId> = sessions.seen.iter().map(|(_, write)| *write).collect();
        let Some(there) = self.hosts.iter().find(|there| there.redis.run_id == run) else { return };
        let data = there.redis.data;
        let missing = seen.iter().find(|write| !self.all.is_prefix(self.all.place(**write), data));
        if let Some(write) = missing {
            self.violated("INV-45", host, || {
                format!("a session that saw write {write} goes on with {run:?}, by {keep:?}")
            });
        }
    }
}
