//! Notices full resyncs that begin again and again and never end, from the side of the replica and
//! from that of the master. Knows no time but what it is given, and asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::info::{Attached, Info};
use crate::election::{RedisAddr, RedisRole, RunId};

/// A link that has been up for so long is settled: what went before is forgotten.
const SETTLED: Duration = Duration::from_secs(5);
/// A replica that stays away for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Replicas that are followed at once.
const REPLICAS: usize = 64;
/// The number of failed tries from which on something is wrong.
const TRIES: u32 = 2;

/// A try that failed, and was not the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The replica as its master names it; `None`: this Redis is the replica.
    pub replica: Option<String>,
    /// How many tries have failed.
    pub tries: u32,
    /// How long this one lasted.
    pub lasted: Duration,
}

/// What is remembered of tries that have not succeeded for good.
#[derive(Default)]
pub(super) struct Resync {
    run: Option<RunId>,
    own: Own,
    replicas: BTreeMap<String, Replica>,
}

impl Resync {
    /// Takes what one `INFO` says. Returns the tries that it shows to have failed.
    pub fn see(&mut self, info: &Info, now: Instant) -> Vec<Failure> {
        if self.run != Some(info.passport.run_id) {
            *self = Resync { run: Some(info.passport.run_id), ..Resync::default() };
        }
        match info.passport.role {
            RedisRole::Replica => {
                self.replicas.clear();
                self.own.see(info, now).into_iter().collect()
            }
            RedisRole::Master => {
                self.own = Own::default();
                self.see_replicas(&info.attached, now)
            }
        }
    }

    /// Whether something has failed more than once and is not settled yet.
    pub fn troubled(&self) -> bool {
        self.own.failed >= TRIES || self.replicas.values().any(|it| it.failed >= TRIES)
    }

    fn see_replicas(&mut self, attached: &[Attached], now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        self.replicas.retain(|name, replica| {
            let seen = attached.iter().filter(|it| it.name == *name);
            // With one name for several the one that is furthest behind counts.
            let state = seen.map(Attached::state).min();
            if let Some(lasted) = replica.see(state, now)
                && replica.failed >= TRIES
            {
                let (replica, tries) = (Some(name.clone()), replica.failed);
                failures.push(Failure { replica, tries, lasted });
            }
            !replica.forgotten(now)
        });
        for new in attached.iter().filter(|it| it.state() != State::Fed) {
            if self.replicas.len() < REPLICAS && !self.replicas.contains_key(&new.name) {
                let phase = Phase::Syncing { since: now, state: new.state() };
                self.replicas.insert(new.name.clone(), Replica { failed: 0, phase });
            }
        }
        failures
    }
}

/// How far a replica is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The copy is made or sent.
    Copied,
    /// The copy is sent, and the replica has not said yet that it has it.
    Loading,
    /// It acknowledges the stream.
    Fed,
}

impl Attached {
    fn state(&self) -> State {
        match (self.online, self.acknowledged) {
            (false, _) => State::Copied,
            (true, 0) => State::Loading,
            (true, _) => State::Fed,
        }
    }
}

/// A replica, seen by its master.
struct Replica {
    failed: u32,
    phase: Phase,
}

enum Phase {
    Syncing { since: Instant, state: State },
    Fed { since: Instant },
    Away { since: Instant, counted: bool },
}

impl Replica {
    /// How long the try lasted that has failed.
    fn see(&mut self, seen: Option<State>, now: Instant) -> Option<Duration> {
        let (failed, next) = match (&self.phase, seen) {
            (Phase::Syncing { since, .. }, None) => {
                (Some(now - *since), Phase::Away { since: now, counted: true })
            }
            (Phase::Syncing { .. }, Some(State::Fed)) => (None, Phase::Fed { since: now }),
            (Phase::Syncing { since, state: before }, Some(state)) if state < *before => {
                (Some(now - *since), Phase::Syncing { since: now, state })
            }
            (Phase::Syncing { since, .. }, Some(state)) => {
                (None, Phase::Syncing { since: *since, state })
            }
            (Phase::Fed { since }, Some(State::Fed)) => (None, Phase::Fed { since: *since }),
            // It was up for a moment, and needs a whole copy again.
            (Phase::Fed { since } | Phase::Away { since, counted: false }, Some(state))
                if state != State::Fed =>
            {
                (Some(now - *since), Phase::Syncing { since: now, state })
            }
            (Phase::Fed { .. }, _) => (None, Phase::Away { since: now, counted: false }),
            (Phase::Away { .. }, Some(State::Fed)) => (None, Phase::Fed { since: now }),
            (Phase::Away { .. }, Some(state)) => (None, Phase::Syncing { since: now, state }),
            (Phase::Away { since, counted }, None) => {
                (None, Phase::Away { since: *since, counted: *counted })
            }
        };
        self.phase = next;
        self.failed += u32::from(failed.is_some());
        failed
    }

    fn forgotten(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Syncing { .. } => false,
            Phase::Fed { since } => now - since >= SETTLED,
            Phase::Away { since, .. } => now - since >= FORGOTTEN,
        }
    }
}

/// This Redis as a replica.
#[derive(Default)]
struct Own {
    upstream: Option<RedisAddr>,
    failed: u32,
    /// Since when, and what was seen of it last.
    syncing: Option<(Instant, Coming)>,
    up: Option<Instant>,
}

/// How far a copy has come in.
#[derive(Clone, Copy)]
struct Coming {
    bytes: u64,
    loading: bool,
}

impl Coming {
    /// Whether this belongs to a later copy: one whose load has ended is not read from any more. What
    /// was read counts no more in Valkey when it loads, so the bytes may be fewer then.
    fn begins_anew(self, before: Coming) -> bool {
        match (before.loading, self.loading) {
            (true, false) => true,
            (false, true) => false,
            _ => self.bytes < before.bytes,
        }
    }
}

impl Own {
    fn see(&mut self, info: &Info, now: Instant) -> Option<Failure> {
        let it = &info.passport;
        if self.upstream != it.upstream || it.parked() {
            *self = Own { upstream: it.upstream, ..Own::default() };
        }
        let coming = Coming { bytes: it.loaded_bytes, loading: it.loading };
        let lasted = match (self.syncing, it.syncing) {
            (None, true) => {
                self.syncing = Some((now, coming));
                // It was up for a moment, and takes a whole copy again.
                self.up.take().map(|since| now - since)
            }
            (Some((since, before)), true) => {
                let again = coming.begins_anew(before);
                self.syncing = Some((if again { now } else { since }, coming));
                again.then(|| now - since)
            }
            (Some((since, _)), false) => {
                self.syncing = None;
                self.up = it.link_up.then_some(now);
                (!it.link_up).then(|| now - since)
            }
            (None, false) => {
                if self.up.is_some_and(|since| now - since >= SETTLED) {
                    self.failed = 0;
                    self.up = None;
                }
                None
            }
        };
        self.failed += u32::from(lasted.is_some());
        let lasted = lasted.filter(|_| self.failed >= TRIES)?;
        Some(Failure { replica: None, tries: self.failed, lasted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(steps: &[(u64, Option<State>)]) -> (u32, bool) {
        let start = Instant::now();
        let phase = Phase::Syncing { since: start, state: State::Copied };
        let mut replica = Replica { failed: 0, phase };
        let mut now = start;
        for (seconds, state) in steps {
            now += Duration::from_secs(*seconds);
            replica.see(*state, now);
        }
        (replica.failed, replica.forgotten(now))
    }

    #[test]
    fn a_later_copy_is_told_from_the_load_of_the_same() {
        let coming = |bytes, loading| Coming { bytes, loading };
        assert!(!coming(20, false).begins_anew(coming(10, false)));
        assert!(!coming(2, true).begins_anew(coming(10, false)));
        assert!(coming(2, true).begins_anew(coming(10, true)));
        assert!(coming(2, false).begins_anew(coming(10, false)));
        assert!(coming(20, false).begins_anew(coming(10, true)));
    }

    #[test]
    fn a_replica_that_comes_and_goes_has_failed_and_one_that_stays_is_forgotten() {
        let (copied, loading, fed) = (Some(State::Copied), Some(State::Loading), Some(State::Fed));
        assert_eq!(states(&[(1, loading), (1, fed), (6, fed)]), (0, true));
        assert_eq!(states(&[(1, None), (1, copied), (1, loading), (1, None)]), (2, false));
        assert_eq!(states(&[(1, loading), (1, copied), (1, loading), (1, copied)]), (2, false));
        assert_eq!(states(&[(1, fed), (1, None), (1, copied), (1, fed), (1, loading)]), (2, false));
        // A short break of the link that needs no copy is none.
        assert_eq!(states(&[(1, fed), (1, None), (1, fed), (6, fed)]), (0, true));
        assert_eq!(states(&[(1, None), (61, None)]), (1, true));
    }
}
