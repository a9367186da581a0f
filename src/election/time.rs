//! ELECTION 3: silence is counted in time this hive itself ran.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::io::Clocks;
use super::types::{Time, Wall};

/// A turn of the loop that comes later than this was a sleep: the rest of the delay counts for nobody.
pub const LATE: Duration = Duration::from_millis(100);
/// Gaps that are remembered.
const GAPS: usize = 8;

/// This hive's clock: raw time with the gaps taken out.
#[derive(Debug)]
pub(super) struct Clock {
    raw: Time,
    /// The sum of all gaps.
    skipped: Duration,
    /// The last gaps: when they were, in time awake, and the sum of those before.
    gaps: VecDeque<(Time, Duration)>,
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
            gaps: VecDeque::new(),
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
                if self.gaps.len() == GAPS {
                    self.gaps.pop_front();
                }
                self.gaps.push_back((asked + LATE - self.skipped, self.skipped));
                self.skipped += gap;
                self.gap += gap;
            }
        }
    }

    /// The time this hive ran. Every timer of the core but the leases counts in it.
    pub fn awake(&self) -> Time {
        self.raw - self.skipped
    }

    /// How far another's clock is ahead of this one, in milliseconds; it said `clock` so long `ago`.
    /// `None`: it does not say it.
    pub fn ahead(&self, clock: Wall, ago: Duration) -> Option<i64> {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        let here = i64::try_from(self.wall.0.saturating_sub(ago)).ok()?;
        let there = i64::try_from(clock.0).ok().filter(|there| *there > 0)?;
        Some(there.saturating_sub(here))
    }

    /// A moment of time awake on the driver's clock, or an earlier one where that is not known any more.
    pub fn raw(&self, awake: Time) -> Time {
        let later = self.gaps.iter().position(|(at, _)| *at > awake);
        match later {
            None => awake + self.skipped,
            Some(0) if self.gaps.len() == GAPS => awake,
            Some(first) => awake + self.gaps.get(first).map_or(Duration::ZERO, |(_, sum)| *sum),
        }
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

    /// What proxies have noted on the driver's clock is compared with what was noted awake.
    #[test]
    fn time_awake_is_told_on_the_drivers_clock() {
        let mut clock = Clock::new(at(0), true);
        clock.ask(Time(200_000));
        clock.advance(at(3200));
        assert_eq!(clock.raw(Time(250_000)), Time(250_000), "before the gap");
        assert_eq!(clock.raw(clock.awake()), Time(3_200_000), "after it");
        for _ in 0..GAPS {
            let next = clock.awake() + LATE;
            let raw = clock.ask(next);
            clock.advance(at(raw.0 / 1000 + 1000));
        }
        assert_eq!(clock.raw(Time(250_000)), Time(250_000));
        assert_eq!(clock.raw(Time(310_000)), Time(310_000), "not known any more: earlier");
    }

    /// What was said some time ago is compared with what this clock said then.
    #[test]
    fn another_clock_is_ahead_or_behind() {
        let clock = Clock::new(Clocks { wall: Wall(10_000), ..at(0) }, true);
        let ago = Duration::from_millis(200);
        assert_eq!(clock.ahead(Wall(9_800), ago), Some(0));
        assert_eq!(clock.ahead(Wall(12_000), ago), Some(2_200));
        assert_eq!(clock.ahead(Wall(1), ago), Some(-9_799));
        assert_eq!(clock.ahead(Wall(9_800), Duration::MAX), Some(9_800));
        assert_eq!(clock.ahead(Wall(0), ago), None, "it does not say it");
        assert_eq!(clock.ahead(Wall(u64::MAX), ago), None, "nor is this a time");
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
