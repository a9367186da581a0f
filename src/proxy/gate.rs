//! The freshness gate: nothing is passed on once the control plane has been silent.
//!
//! A process that was stopped for a while (SIGSTOP, a frozen node) must not go on serving by a
//! route that may have been replaced meanwhile: its threads find the gate closed until the control
//! plane, which was stopped as well, has looked around and touches it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One for all threads.
pub(super) struct Gate {
    always: bool,
    origin: Instant,
    /// Nanoseconds after `origin`.
    until: AtomicU64,
}

impl Gate {
    /// A gate that is closed until touched, or one that is always open where `freshness` is off.
    pub(super) fn new(freshness: bool) -> Gate {
        Gate { always: !freshness, origin: Instant::now(), until: AtomicU64::new(0) }
    }

    /// Keeps the gate open before `until`.
    pub(super) fn touch(&self, until: Instant) {
        let until = until.saturating_duration_since(self.origin).as_nanos() as u64;
        // SeqCst: ordered against the flag of relays that wait here, see `Desk::touched`.
        self.until.store(until, Ordering::SeqCst);
    }

    /// Whether a byte may be passed on now. Reads the clock without a system call.
    pub(super) fn is_open(&self) -> bool {
        self.always || (self.origin.elapsed().as_nanos() as u64) < self.until.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_closed_until_touched_and_after_its_time() {
        let gate = Gate::new(true);
        assert!(!gate.is_open());
        gate.touch(Instant::now() + Duration::from_secs(60));
        assert!(gate.is_open());
        gate.touch(Instant::now());
        assert!(!gate.is_open(), "the last touch counts, also when it says less");
        assert!(Gate::new(false).is_open());
    }
}
