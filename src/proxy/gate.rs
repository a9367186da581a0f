//! The gate: nothing is passed on once the control plane has been silent, or its lease is over.
//!
//! A process that was stopped for a while (SIGSTOP, a frozen node) must not go on serving by a
//! route that may have been replaced meanwhile: its threads find the gate closed until the control
//! plane, which was stopped as well, has looked around and touches it again. A lease ends by itself
//! on the clock that other hives count in, which runs through every sleep of this machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::election::Time;

/// Microseconds of a lease that never ends.
const NO_LEASE: u64 = u64::MAX;

/// One for all threads.
pub(super) struct Gate {
    always: bool,
    origin: Instant,
    /// Nanoseconds after `origin`.
    until: AtomicU64,
    /// Microseconds of the boot-time clock, or [`NO_LEASE`].
    lease: AtomicU64,
}

impl Gate {
    /// A gate that is closed until touched, or one that is always open where `freshness` is off.
    /// `origin`: the zero of [`Gate::reading`].
    pub(super) fn new(freshness: bool, origin: Instant) -> Gate {
        Gate {
            always: !freshness,
            origin,
            until: AtomicU64::new(0),
            lease: AtomicU64::new(NO_LEASE),
        }
    }

    /// Keeps the gate open before `until`.
    pub(super) fn touch(&self, until: Instant) {
        let until = until.saturating_duration_since(self.origin).as_nanos() as u64;
        // SeqCst: ordered against the flag of relays that wait here, see `Desk::touched`.
        self.until.store(until, Ordering::SeqCst);
    }

    /// Closes the gate from this moment of the boot-time clock on; the newest word counts.
    pub(super) fn lease(&self, until: Option<Time>) {
        self.lease.store(until.map_or(NO_LEASE, |until| until.0), Ordering::SeqCst);
    }

    /// The time since the origin, if a byte may be passed on now. Reads one clock without a system
    /// call, and a second one only where there is a lease.
    pub(super) fn reading(&self) -> Option<Time> {
        let now = self.origin.elapsed().as_nanos() as u64;
        let fresh = self.always || now < self.until.load(Ordering::SeqCst);
        (fresh && self.is_leased(boot_time)).then_some(Time(now / 1_000))
    }

    /// Whether a byte may be passed on now.
    pub(super) fn is_open(&self) -> bool {
        self.reading().is_some()
    }

    fn is_leased(&self, clock: impl FnOnce() -> u64) -> bool {
        let lease = self.lease.load(Ordering::SeqCst);
        lease == NO_LEASE || clock() < lease
    }
}

/// The clock of leases, in microseconds.
fn boot_time() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_closed_until_touched_and_after_its_time() {
        let gate = Gate::new(true, Instant::now());
        assert!(!gate.is_open());
        gate.touch(Instant::now() + Duration::from_secs(60));
        assert!(gate.is_open());
        gate.touch(Instant::now());
        assert!(!gate.is_open(), "the last touch counts, also when it says less");
        assert!(Gate::new(false, Instant::now()).is_open());
    }

    #[test]
    fn a_lease_closes_it_and_the_newest_counts() {
        let gate = Gate::new(false, Instant::now());
        for (lease, open) in [
            (Some(Time(boot_time())), false),
            (Some(Time(boot_time() + 60_000_000)), true),
            (Some(Time(boot_time() - 1)), false),
            (None, true),
        ] {
            gate.lease(lease);
            assert_eq!(gate.is_open(), open, "{lease:?}");
        }
        let gate = Gate::new(true, Instant::now());
        gate.lease(Some(Time(boot_time() + 60_000_000)));
        assert!(!gate.is_open(), "a lease is no sign of life");
    }

    /// Every chunk asks: without a lease it must not cost a second clock.
    #[test]
    fn the_clock_of_leases_is_read_only_where_there_is_one() {
        let reads = std::cell::Cell::new(0);
        let clock = || {
            reads.set(reads.get() + 1);
            5
        };
        let gate = Gate::new(false, Instant::now());
        assert!(gate.is_leased(clock));
        assert_eq!(reads.get(), 0);
        gate.lease(Some(Time(6)));
        assert!(gate.is_leased(clock));
        gate.lease(Some(Time(5)));
        assert!(!gate.is_leased(clock), "not at that moment either");
        assert_eq!(reads.get(), 2);
    }
}
