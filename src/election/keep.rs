//! DESIGN 3.4: which sessions of a master may go on with the next one.
//!
//! A session may, if everything it has seen is on the next master. What it has seen was in the stream
//! of the old master when its last reply passed the proxy; so what the old master stated as its offset,
//! asked after that reply, bounds it, and the new master tells up to where it continues that stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Core;
use super::copies::given_up;
use super::io::Action;
use super::time::Clock;
use super::types::{Id, Keep, Passport, RedisRole, Route, RunId, Time};

/// Offsets kept: the last ones may be beyond what a successor has.
const READINGS: usize = 4;
/// An answer nobody asked for just now was asked for after the one before came; by so much that one
/// may have been noted late.
const MARGIN: Duration = Duration::from_millis(20);
/// A leader that waits for a hive to hold its clients waits so much longer for the master's word.
const KNOWN: Duration = Duration::from_millis(50);

/// What the master of the present sessions has stated.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    master: Option<RunId>,
    readings: VecDeque<Reading>,
    /// When the last answer came that was not asked for by the core.
    came: Option<Time>,
    /// Since when no thread passes on requests, while the clients are held for a planned change.
    settled: Option<Time>,
}

#[derive(Debug)]
struct Reading {
    /// The question was sent after this.
    asked: Time,
    passport: Passport,
}

impl Sessions {
    /// A route was set. Where it leads nowhere the sessions of the last master are still there.
    fn route(&mut self, route: &Route) {
        match route.run_id() {
            Some(run) if self.master != Some(run) => {
                *self = Sessions { master: Some(run), ..Sessions::default() };
            }
            Some(_) if !matches!(route, Route::Held { .. }) => self.settled = None,
            _ => {}
        }
    }

    /// An answer to a question sent after this moment.
    pub fn read(&mut self, passport: &Passport, asked: Time) {
        let newer = self.readings.back().is_none_or(|last| asked > last.asked);
        // Once it was demoted it may show the copy of another master.
        let states = passport.role == RedisRole::Master && !passport.loading;
        if self.master == Some(passport.run_id) && states && newer {
            if self.readings.len() == READINGS {
                self.readings.pop_front();
            }
            self.readings.push_back(Reading { asked, passport: *passport });
        }
    }

    /// An answer that came by itself.
    pub fn heard(&mut self, passport: &Passport, now: Time) {
        if self.master == Some(passport.run_id)
            && let Some(before) = self.came.replace(now)
        {
            self.read(passport, before - MARGIN);
        }
    }

    /// The sessions whose end state a master with this passport has; any master, if it is not known.
    fn kept(&self, next: Option<&Passport>, clock: &Clock) -> Keep {
        let holds = |reading: &&Reading| {
            next.is_none_or(|next| {
                reading.passport.shares_history(next) && given_up(&reading.passport, next) == 0
            })
        };
        let Some(reading) = self.readings.iter().rev().find(holds) else { return Keep::None };
        let before = clock.raw(reading.asked);
        match self.settled {
            Some(settled) if reading.asked >= settled => Keep::Planned { before },
            _ => Keep::Crash { before },
        }
    }
}

impl Core {
    /// Which of the present sessions live on under this route, which is about to be set.
    pub(super) fn keep_under(&mut self, route: &Route) -> Keep {
        let keep = match (route, route.run_id()) {
            (Route::Refuse { .. }, _) => Keep::None,
            (_, None) => self.sessions.kept(None, &self.clock),
            (_, next) if next == self.sessions.master => Keep::Planned { before: Time(u64::MAX) },
            (_, Some(next)) => match self.passport_of_master(next) {
                Some(passport) => self.sessions.kept(Some(&passport), &self.clock),
                None => Keep::None,
            },
        };
        self.sessions.route(route);
        keep
    }

    /// The passport of a run that is master, as far as it is known.
    fn passport_of_master(&self, run: Id) -> Option<Passport> {
        let own = self.local.passport.map(|(passport, _)| passport);
        let watched = self.watched.as_ref().and_then(|watched| watched.passport);
        let told = self.peers.states(self.now()).filter_map(|(_, _, state)| state.copy);
        own.into_iter()
            .chain(watched.map(|(passport, _)| passport))
            .chain(told.map(|copy| copy.passport))
            .find(|passport| passport.run_id == run && passport.role == RedisRole::Master)
    }

    /// All threads hold the clients: what the master states from now on is all they will have seen.
    pub(super) fn sessions_settled(&mut self) {
        if matches!(self.route, Route::Held { .. }) {
            let now = self.now();
            self.sessions.settled.get_or_insert(now);
        }
    }

    /// As [`Core::sessions_settled`], and asks the master; `true` when it has answered or had its time.
    pub(super) fn sessions_are_known(&mut self, out: &mut Vec<Action>) -> bool {
        self.sessions_settled();
        let (Route::Held { master, .. }, Some(settled)) = (&self.route, self.sessions.settled)
        else {
            return true;
        };
        let now = self.now();
        self.look.want(*master, settled, now, None, out);
        self.look.answered(*master, settled) || now.since(settled) >= KNOWN
    }

    /// When the master is not waited for any longer.
    pub(super) fn next_of_sessions(&self) -> Option<Time> {
        self.sessions.settled.map(|settled| settled + KNOWN)
    }
}
