//! ELECTION 3: silence is counted in time this hive itself ran.

use core::time::Duration;

use super::io::Clocks;
use super::types::{Time, Wall};

/// A turn of the loop that comes later than this was a sleep: the rest of the delay counts for nobody.
pub const LATE: Duration = Duration::from_millis(100);

/// This hive's clock: raw time with the gaps taken out.
#[derive(Debug)]
pub(super) struct Clock {
    raw: Time,
    /// The sum of all gaps.
    skipped: Duration,
    /// When the driver was asked to come back.
    asked: Option<Time>,
    /// Gaps since the last tick.
    gap: Duration,
    pub wall: Wall,
    /// The clock that runs through every sleep.
    pub boot: Time,
    counts_gaps: bool,
}

impl Clock {
    pub fn new(clocks: Clocks, counts_gaps: bool) -> Clock {
        Clock {
            raw: clocks.now,
            skipped: Duration::ZERO,
            asked: None,
            gap: Duration::ZERO,
            wall: clocks.wall,
            boot: clocks.boot,
            counts_gaps,
        }
    }

    /// Moves on. What the turn is late by more than [`LATE`] is taken out before anything is judged.
    pub fn advance(&mut self, clocks: Clocks) {
        self.raw = self.raw.max(clocks.now);
        self.wall = clocks.wall;
        self.boot = self.boot.max(clocks.boot);
        if let Some(asked) = self.asked.take() {
            let late = self.raw.since(asked);
            if late > LATE && self.counts_gaps {
                let gap = late - LATE;
                self.skipped += gap;
                self.gap += gap;
            }
        }
    }

    /// The time this hive ran. Every timer of the core but the leases counts in it.
    pub fn awake(&self) -> Time {
        self.raw - self.skipped
    }

    /// The gaps since this was last asked.
    pub fn take_gap(&mut self) -> Duration {
        core::mem::take(&mut self.gap)
    }

    /// When the driver was asked to come back, on its own clock.
    pub fn asked(&self) -> Time {
        self.asked.unwrap_or(self.raw)
    }

    /// Notes when the driver shall come back, given in awake time, and gives it in the driver's own.
    pub fn ask(&mut self, awake: Time) -> Time {
        let raw = (awake + self.skipped).max(self.raw);
        self.asked = Some(raw);
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Clocks {
        Clocks { now: Time(ms * 1000), boot: Time(0), wall: Wall(0) }
    }

    /// A sleep of three seconds adds 100 ms to everybody's silence, whoever calls first after it.
    #[test]
    fn a_gap_adds_at_most_100_ms() {
        let mut clock = Clock::new(at(0), true);
        clock.ask(Time(200_000));
        clock.advance(at(3200));
        assert_eq!(clock.awake(), Time(300_000));
        assert_eq!(clock.take_gap(), Duration::from_millis(2900));
        assert_eq!(clock.take_gap(), Duration::ZERO);
    }

    /// Waking by an input before the deadline is no gap, and small lateness is real time.
    #[test]
    fn time_awake_counts_in_full() {
        let mut clock = Clock::new(at(0), true);
        clock.ask(Time(200_000));
        clock.advance(at(150));
        assert_eq!(clock.awake(), Time(150_000));
        clock.ask(Time(200_000));
        clock.advance(at(299));
        assert_eq!(clock.awake(), Time(299_000));
    }
}
