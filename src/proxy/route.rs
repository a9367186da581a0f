//! The route all threads go by, and who has confirmed it.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Routed;
use super::ledger::{Change, Why};
use crate::election::{Epoch, Keep, Route, Time};

/// Changes of generation that are remembered: a session that missed more of them is cut.
const REMEMBERED: usize = 64;

/// A route as the threads see it.
#[derive(Debug)]
pub(super) struct Current {
    /// Sessions live in one generation. It changes with every route that is not to the same run
    /// of the same master as the one before, be it forwarded to or held.
    pub(super) generation: u64,
    /// What to do with clients.
    pub(super) route: Route,
    /// Since when there has been a route of this kind.
    pub(super) since: Instant,
}

/// What connections may do now: which generation they must be of, and whether it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    fn of(generation: u64, route: &Route) -> Stamp {
        Stamp(generation << 1 | u64::from(matches!(route, Route::Held { .. })))
    }

    /// The only generation that may pass on bytes.
    pub(super) fn generation(self) -> u64 {
        self.0 >> 1
    }

    /// Replies only: no request is passed on.
    pub(super) fn is_held(self) -> bool {
        self.0 & 1 == 1
    }
}

/// How a session goes on that is not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// The newest generation, which was judged for.
    pub(super) generation: u64,
    /// What happened on the way there: a crash if there was any.
    pub(super) change: Change,
}

/// The route, shared by the control plane, which sets it, and the workers, which confirm it.
pub(super) struct Routes {
    /// The [`Stamp`] of the newest route. Read before every write, so that a change holds for all
    /// threads at once, before they are told of it.
    stamp: AtomicU64,
    newest: Mutex<Newest>,
    confirms: Mutex<Confirms>,
    routed: Routed,
}

struct Newest {
    current: Arc<Current>,
    /// The highest epoch ever forwarded to.
    epoch: Epoch,
    /// Counts all routes given, ignored ones too.
    count: u64,
    /// Who may enter the generations up to the present one, which is last.
    keeps: VecDeque<Keep>,
}

struct Confirms {
    /// Routes not yet confirmed by all, oldest first: their count and the driver's id.
    waiting: VecDeque<(u64, u64)>,
    /// What each worker has confirmed.
    applied: Vec<u64>,
    /// Somebody is at calling `routed`: keeps the calls in order without holding the lock.
    calling: bool,
}

impl Routes {
    /// Holds everybody, for this many workers.
    pub(super) fn new(workers: usize, routed: Routed) -> Routes {
        let current = Current { generation: 0, route: Route::Hold, since: Instant::now() };
        Routes {
            stamp: AtomicU64::new(Stamp::of(0, &Route::Hold).0),
            newest: Mutex::new(Newest {
                current: Arc::new(current),
                epoch: Epoch::default(),
                count: 0,
                keeps: VecDeque::new(),
            }),
            confirms: Mutex::new(Confirms {
                waiting: VecDeque::new(),
                applied: vec![0; workers],
                calling: false,
            }),
            routed,
        }
    }

    /// Makes `route` the newest, unless it is of an older epoch. The workers have to be told.
    ///
    /// Where this begins a generation, `keep` says which sessions may enter it.
    pub(super) fn set(&self, id: u64, route: Route, keep: Keep) {
        let mut newest = lock(&self.newest);
        newest.count += 1;
        let epoch = match &route {
            Route::Forward { epoch, .. } | Route::Held { epoch, .. } => *epoch,
            Route::Hold | Route::Refuse { .. } => newest.epoch,
        };
        if epoch >= newest.epoch {
            newest.epoch = epoch;
            let old = newest.current.clone();
            let lives_on = continues(&old.route, &route);
            if !lives_on {
                newest.enter(keep);
            }
            let generation = if lives_on { old.generation } else { old.generation + 1 };
            let same_kind = lives_on && discriminant(&old.route) == discriminant(&route);
            let since = if same_kind { old.since } else { Instant::now() };
            let stamp = Stamp::of(generation, &route);
            newest.current = Arc::new(Current { generation, route, since });
            // SeqCst here and in `stamp`: what a worker writes after this moment it writes by the
            // new stamp; what it wrote before, it has written when it confirms.
            self.stamp.store(stamp.0, Ordering::SeqCst);
        }
        lock(&self.confirms).waiting.push_back((newest.count, id));
    }

    /// Asked before every write.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::SeqCst))
    }

    /// The newest route, and the count to confirm it with.
    pub(super) fn newest(&self) -> (u64, Arc<Current>) {
        let newest = lock(&self.newest);
        (newest.count, newest.current.clone())
    }

    /// What becomes of a session of generation `from` whose last reply was passed on at this time
    /// since the origin: every change since then has to keep it.
    ///
    /// # Errors
    ///
    /// Why it is cut.
    pub(super) fn fate(&self, from: u64, last_reply: Time) -> Result<Fate, Why> {
        let newest = lock(&self.newest);
        let generation = newest.current.generation;
        let steps = generation.saturating_sub(from) as usize;
        let unknown = newest.keeps.len().checked_sub(steps).ok_or(Why::Stale)?;
        let mut fate = Fate { generation, change: Change::Planned };
        for keep in newest.keeps.iter().skip(unknown) {
            let before = match keep {
                Keep::None => return Err(Why::Stale),
                Keep::Crash { before } => {
                    fate.change = Change::Crash;
                    before
                }
                Keep::Planned { before } => before,
            };
            if last_reply >= *before {
                return Err(Why::Stale);
            }
        }
        Ok(fate)
    }

    /// Worker `index` goes by the route with this count or a newer one.
    pub(super) fn confirm(&self, index: usize, count: u64) {
        let mut confirms = lock(&self.confirms);
        if let Some(applied) = confirms.applied.get_mut(index) {
            *applied = count.max(*applied);
        }
        self.call(confirms);
    }

    /// All workers have ended.
    pub(super) fn confirm_all(&self) {
        let mut confirms = lock(&self.confirms);
        confirms.applied.fill(u64::MAX);
        self.call(confirms);
    }

    fn call<'a>(&'a self, mut confirms: MutexGuard<'a, Confirms>) {
        if confirms.calling {
            return;
        }
        confirms.calling = true;
        while let Some(id) = confirms.next() {
            drop(confirms);
            (self.routed)(id);
            confirms = lock(&self.confirms);
        }
        confirms.calling = false;
    }
}

impl Newest {
    fn enter(&mut self, keep: Keep) {
        if self.keeps.len() == REMEMBERED {
            self.keeps.pop_front();
        }
        self.keeps.push_back(keep);
    }
}

impl Confirms {
    fn next(&mut self) -> Option<u64> {
        let all = self.applied.iter().copied().min().unwrap_or(u64::MAX);
        let (count, id) = self.waiting.front().copied()?;
        (count <= all).then(|| self.waiting.pop_front())?;
        Some(id)
    }
}

/// Whether sessions live on from one route to the next. The epoch does not matter: the master does.
fn continues(old: &Route, new: &Route) -> bool {
    match (old, new) {
        (
            Route::Forward { master: a, run_id: x, .. } | Route::Held { master: a, run_id: x, .. },
            Route::Forward { master: b, run_id: y, .. } | Route::Held { master: b, run_id: y, .. },
        ) => a == b && x == y,
        (Route::Hold, Route::Hold) | (Route::Refuse { .. }, Route::Refuse { .. }) => true,
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Id, RedisAddr};
    use std::net::Ipv4Addr;

    fn forward(epoch: u64, port: u16, run: u8) -> Route {
        Route::Forward {
            epoch: Epoch(epoch),
            master: RedisAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            run_id: Id([run; 20]),
        }
    }

    fn held(epoch: u64, port: u16, run: u8) -> Route {
        match forward(epoch, port, run) {
            Route::Forward { epoch, master, run_id } => Route::Held { epoch, master, run_id },
            other => other,
        }
    }

    fn routes(workers: usize) -> (Routes, Arc<Mutex<Vec<u64>>>) {
        let called: Arc<Mutex<Vec<u64>>> = Arc::default();
        let list = called.clone();
        (Routes::new(workers, Arc::new(move |id| lock(&list).push(id))), called)
    }

    /// The generation moves exactly when the master or its run does, or there is none any more.
    #[test]
    fn a_generation_is_one_run_of_one_master() {
        let (routes, _) = routes(1);
        let steps = [
            (Route::Hold, 0),
            (forward(3, 1, 1), 1),
            (forward(4, 1, 1), 1),
            (forward(4, 2, 1), 2),
            (forward(5, 2, 2), 3),
            (forward(4, 9, 9), 3),
            (Route::Hold, 4),
            (forward(4, 9, 9), 4),
            (forward(5, 2, 2), 5),
            (Route::Refuse { reason: "x".into() }, 6),
            (Route::Refuse { reason: "y".into() }, 6),
            (held(5, 2, 2), 7),
            (forward(5, 2, 2), 7),
            (held(6, 2, 2), 7),
            (held(5, 9, 9), 7),
            (forward(6, 2, 2), 7),
            (held(6, 2, 3), 8),
            (Route::Hold, 9),
        ];
        for (step, (route, generation)) in steps.into_iter().enumerate() {
            routes.set(0, route, Keep::None);
            assert_eq!(routes.stamp().generation(), generation, "step {step}");
            let newest = routes.newest().1;
            assert_eq!(newest.generation, generation, "step {step}");
            let held = matches!(newest.route, Route::Held { .. });
            assert_eq!(routes.stamp().is_held(), held, "step {step}");
        }
    }

    /// Every id is called once, in order, when the slowest worker has confirmed it.
    #[test]
    fn all_workers_confirm_before_the_driver_hears() {
        let (routes, called) = routes(2);
        routes.set(10, forward(5, 1, 1), Keep::None);
        routes.set(11, forward(4, 2, 2), Keep::None);
        routes.confirm(0, 2);
        assert!(lock(&called).is_empty());
        routes.confirm(1, 1);
        assert_eq!(*lock(&called), [10]);
        routes.set(12, Route::Hold, Keep::None);
        routes.confirm(1, 3);
        assert_eq!(*lock(&called), [10, 11]);
        routes.confirm(0, 3);
        routes.confirm(0, 3);
        assert_eq!(*lock(&called), [10, 11, 12]);
    }

    const CRASH: fn(u64) -> Keep = |before| Keep::Crash { before: Time(before) };
    const PLANNED: fn(u64) -> Keep = |before| Keep::Planned { before: Time(before) };

    /// Every change on the way has its say, and one crash makes it a crash.
    #[test]
    fn a_session_outlives_only_changes_that_all_keep_it() {
        let (routes, _) = routes(1);
        routes.set(0, forward(1, 1, 1), Keep::None);
        let moved = |from, last| routes.fate(from, Time(last)).map(|fate| fate.change);
        assert_eq!(moved(1, 99), Ok(Change::Planned), "nothing has happened");
        assert_eq!(moved(0, 0), Err(Why::Stale));
        routes.set(0, forward(2, 2, 2), PLANNED(50));
        assert_eq!(moved(1, 49), Ok(Change::Planned));
        assert_eq!(moved(1, 50), Err(Why::Stale));
        routes.set(0, Route::Hold, CRASH(40));
        routes.set(0, forward(3, 3, 3), CRASH(60));
        assert_eq!(moved(1, 39), Ok(Change::Crash));
        assert_eq!(moved(1, 40), Err(Why::Stale));
        assert_eq!(moved(3, 59), Ok(Change::Crash));
        assert_eq!(routes.fate(4, Time(99)).map(|fate| fate.generation), Ok(4));
        routes.set(0, forward(4, 3, 3), Keep::None);
        assert_eq!(moved(1, 39), Ok(Change::Crash), "the same master: nobody is asked");
        routes.set(0, Route::Hold, Keep::None);
        assert_eq!(moved(4, 0), Err(Why::Stale));
    }

    #[test]
    fn only_so_many_changes_are_remembered() {
        let (routes, _) = routes(1);
        routes.set(0, forward(1, 1, 1), Keep::None);
        for step in 0..REMEMBERED {
            assert!(routes.fate(1, Time(0)).is_ok(), "after {step}");
            routes.set(0, forward(1, 1, step as u8 + 2), PLANNED(1));
        }
        assert!(routes.fate(1, Time(0)).is_ok());
        routes.set(0, Route::Hold, PLANNED(1));
        assert_eq!(routes.fate(1, Time(0)), Err(Why::Stale));
        assert!(routes.fate(2, Time(0)).is_ok());
    }
}
