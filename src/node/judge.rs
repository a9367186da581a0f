//! When the local Redis is read from. Pure: the time is an argument.

use std::time::{Duration, Instant};

use crate::election::{Copy, CopyState, RedisRole, Route, RunId};

/// A copy has to be current without a break for so long before clients come back to it.
const STEADY: Duration = Duration::from_secs(5);
/// Then those that are at the master come back within this time.
const RETURN: Duration = Duration::from_secs(10);
/// So often some of them are sent.
pub(super) const BATCH_EVERY: Duration = Duration::from_millis(200);
/// What decides of the local Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// Which run of it.
    pub run_id: RunId,
    replica: bool,
    complete: bool,
    /// Current, and it answers.
    fit: bool,
}

impl Local {
    /// As the core sees it.
    pub fn of((copy, answers): (Option<Copy>, bool)) -> Option<Local> {
        let copy = copy?;
        Some(Local {
            run_id: copy.passport.run_id,
            replica: copy.passport.role == RedisRole::Replica,
            complete: copy.state == CopyState::Complete,
            fit: copy.current && answers,
        })
    }
}

/// Where the read endpoint leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The local Redis is the master: by the write endpoint's route and lease.
    Master,
    /// The local Redis is a replica.
    Copy,
    /// The local Redis is or may be a master and no route leads to it yet, or any more: clients stay
    /// and no request is passed on.
    Waiting,
    /// To the write endpoint.
    Away,
}

impl Place {
    /// For the log: where reads are served.
    pub fn text(self) -> &'static str {
        match self {
            Place::Master => "the local Redis, which is the master",
            Place::Copy => "the local Redis",
            Place::Waiting => "nowhere until the local Redis has changed its role",
            Place::Away => "the master: the local copy is not current",
        }
    }
}

/// Decides where reads go. Away at once from what is no copy, after a while from one that is not
/// current; back only to one that has been current for a while.
pub(super) struct Judge {
    grace: Duration,
    run: Option<RunId>,
    home: bool,
    /// Clients were sent away once: from then on a copy has to be steady.
    left: bool,
    /// The local Redis was ordered to become a master.
    promoting: bool,
    fit_since: Option<Instant>,
    unfit_since: Option<Instant>,
}

impl Judge {
    /// For a copy that may be read for so long after it was current.
    pub fn new(grace: Duration) -> Judge {
        Judge {
            grace,
            run: None,
            home: false,
            left: false,
            promoting: false,
            fit_since: None,
            unfit_since: None,
        }
    }

    /// The local Redis was ordered to become a master, or a replica.
    pub fn promoted(&mut self, master: bool) {
        self.promoting = master;
    }

    /// Where reads go now: `write` is the route of the write endpoint, `local` is `None` where
    /// nothing is known of a local Redis.
    pub fn judge(&mut self, now: Instant, local: Option<Local>, write: &Route) -> Place {
        let Some(local) = local else { return self.leave() };
        if self.run != Some(local.run_id) {
            self.leave();
            self.run = Some(local.run_id);
            (self.fit_since, self.unfit_since) = (None, None);
        }
        if write.run_id() == self.run {
            (self.home, self.promoting) = (true, false);
            (self.fit_since, self.unfit_since) = (None, None);
            return Place::Master;
        }
        let replica = local.replica && !self.promoting;
        if replica && local.fit {
            self.fit_since.get_or_insert(now);
            self.unfit_since = None;
        } else {
            self.fit_since = None;
            self.unfit_since.get_or_insert(now);
        }
        let longer = |since: Option<Instant>, span| since.is_some_and(|at| now >= at + span);
        if self.home && (!local.complete || longer(self.unfit_since, self.grace)) {
            return self.leave();
        }
        let steady = if self.left { STEADY } else { Duration::ZERO };
        self.home |= longer(self.fit_since, steady);
        match self.home {
            false => Place::Away,
            true if replica => Place::Copy,
            true => Place::Waiting,
        }
    }

    /// With which chance, one in so many, each of those that are at the master is to come back now.
    pub fn send_home(&self, now: Instant) -> Option<u32> {
        let begin = self.fit_since.filter(|_| self.home)? + STEADY;
        let left = (begin + RETURN).saturating_duration_since(now);
        let batches = left.as_millis().div_ceil(BATCH_EVERY.as_millis());
        (now >= begin).then(|| u32::try_from(batches).unwrap_or(u32::MAX).max(1))
    }

    fn leave(&mut self) -> Place {
        self.left |= self.home;
        self.home = false;
        Place::Away
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Epoch, Id, RedisAddr};

    const S: Duration = Duration::from_secs(1);
    const RUN: Id = Id([1; 20]);
    const REPLICA: Local = Local { run_id: RUN, replica: true, complete: true, fit: true };
    const STALE: Local = Local { fit: false, ..REPLICA };
    const MASTER: Local = Local { replica: false, ..REPLICA };

    fn to(run: u8) -> Route {
        let master = RedisAddr::new([127, 0, 0, 1].into(), 6379);
        Route::Forward { epoch: Epoch(1), master, run_id: Id([run; 20]) }
    }

    /// A judge with a grace of two seconds, and a clock that is told.
    struct Told(Judge, Instant);

    impl Told {
        fn new() -> Told {
            Told(Judge::new(2 * S), Instant::now())
        }

        fn at(&mut self, tenths: u32, local: Option<Local>, write: Route) -> Place {
            self.0.judge(self.1 + S / 10 * tenths, local, &write)
        }

        fn home(&self, tenths: u32) -> Option<u32> {
            self.0.send_home(self.1 + S / 10 * tenths)
        }
    }

    #[test]
    fn the_first_current_copy_is_read_at_once() {
        let mut told = Told::new();
        assert_eq!(told.at(0, None, Route::Hold), Place::Away, "nothing is known, or a witness");
        assert_eq!(told.at(1, Some(STALE), to(2)), Place::Away);
        assert_eq!(told.at(2, Some(REPLICA), to(2)), Place::Copy);
    }

    #[test]
    fn a_short_break_is_not_noticed_and_a_longer_one_needs_a_steady_copy() {
        let mut told = Told::new();
        told.at(0, Some(REPLICA), to(2));
        assert_eq!(told.at(10, Some(STALE), Route::Hold), Place::Copy);
        assert_eq!(told.at(29, Some(STALE), to(3)), Place::Copy);
        assert_eq!(told.at(29, Some(REPLICA), to(3)), Place::Copy);
        assert_eq!(told.at(40, Some(STALE), to(3)), Place::Copy, "the grace begins anew");
        assert_eq!(told.at(60, Some(STALE), to(3)), Place::Away);
        assert_eq!(told.at(61, Some(REPLICA), to(3)), Place::Away);
        assert_eq!(told.at(110, Some(REPLICA), to(3)), Place::Away);
        assert_eq!(told.at(110, Some(STALE), to(3)), Place::Away, "it flaps");
        assert_eq!(told.at(111, Some(REPLICA), to(3)), Place::Away);
        assert_eq!(told.at(160, Some(REPLICA), to(3)), Place::Away);
        assert_eq!(told.at(161, Some(REPLICA), to(3)), Place::Copy);
    }

    #[test]
    fn what_is_no_copy_any_more_is_left_at_once() {
        let blank = Local { complete: false, ..STALE };
        let other = Local { run_id: Id([9; 20]), ..REPLICA };
        for gone in [None, Some(blank), Some(other)] {
            let mut told = Told::new();
            told.at(0, Some(REPLICA), to(2));
            assert_eq!(told.at(1, gone, to(2)), Place::Away, "{gone:?}");
            assert_eq!(told.at(2, Some(REPLICA), to(2)), Place::Away, "not steady yet");
        }
    }

    /// From a replica to the master and back, without a client that is cut.
    #[test]
    fn a_change_of_role_passes_no_request_without_the_write_endpoints_word() {
        let mut told = Told::new();
        told.at(0, Some(REPLICA), to(2));
        told.0.promoted(true);
        assert_eq!(told.at(1, Some(REPLICA), Route::Hold), Place::Waiting);
        assert_eq!(told.at(2, Some(MASTER), Route::Hold), Place::Waiting);
        assert_eq!(told.at(3, Some(MASTER), to(1)), Place::Master);
        assert_eq!(told.at(99, Some(MASTER), to(1)), Place::Master);
        // Another one leads, and nobody knows yet whether this Redis was demoted.
        assert_eq!(told.at(100, Some(MASTER), to(2)), Place::Waiting);
        assert_eq!(told.at(101, Some(STALE), to(2)), Place::Copy);
        assert_eq!(told.at(119, Some(REPLICA), to(2)), Place::Copy);
        // It stays a master that nobody wants.
        told.at(200, Some(MASTER), to(1));
        assert_eq!(told.at(201, Some(MASTER), Route::Hold), Place::Waiting);
        assert_eq!(told.at(221, Some(MASTER), Route::Hold), Place::Away);
        assert_eq!(told.at(222, Some(MASTER), to(1)), Place::Master, "the only one there is");
    }

    /// A promotion that comes to nothing.
    #[test]
    fn a_promotion_without_a_route_ends() {
        let mut told = Told::new();
        told.at(0, Some(REPLICA), to(2));
        told.0.promoted(true);
        assert_eq!(told.at(1, Some(REPLICA), to(2)), Place::Waiting);
        assert_eq!(told.at(21, Some(REPLICA), to(2)), Place::Away);
        assert_eq!(told.at(99, Some(REPLICA), to(2)), Place::Away);
        told.0.promoted(false);
        assert_eq!(told.at(100, Some(REPLICA), to(2)), Place::Away);
        assert_eq!(told.at(150, Some(REPLICA), to(2)), Place::Copy);
    }

    /// Ten seconds from the moment at which the copy has been steady: a fiftieth, and all at last.
    #[test]
    fn clients_come_back_by_and_by() {
        let mut told = Told::new();
        assert_eq!(told.home(0), None);
        told.at(0, Some(REPLICA), to(2));
        assert_eq!(told.home(49), None);
        assert_eq!(told.home(50), Some(50));
        assert_eq!(told.home(100), Some(25));
        assert_eq!(told.home(148), Some(1));
        assert_eq!(told.home(999), Some(1));
        told.at(1000, Some(STALE), to(2));
        assert_eq!(told.home(1000), None, "not while it is not current");
        told.at(1001, Some(MASTER), to(1));
        assert_eq!(told.home(1100), None, "the master is here");
    }
}
