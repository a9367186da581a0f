//! From the first SIGTERM to the end of the process (ELECTION 6, Stopping).

use std::time::{Duration, Instant};

/// A stopping hive keeps accepting for so long: Services take a while to leave it out.
const STILL_ACCEPTING: Duration = Duration::from_secs(5);
/// A hive that stays says why so often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// How far the end has come.
pub(super) struct Stopping {
    drain_timeout: Duration,
    /// Signals taken.
    kills: u32,
    /// Since when the core holds nothing any more: the drain counts from here.
    released: Option<Instant>,
    said: Option<Instant>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serve as ever: nobody said stop, or something is still held that others need.
    Serve,
    /// Given up everything; new clients are still taken.
    Accept,
    /// No new clients; the present ones are let go at their request boundaries.
    Drain,
    /// End now.
    End,
}

impl Stopping {
    /// Nobody said stop yet.
    pub fn new(drain_timeout: Duration) -> Stopping {
        Stopping { drain_timeout, kills: 0, released: None, said: None }
    }

    /// A signal came; says how many there were.
    pub fn told(&mut self) -> u32 {
        self.kills = self.kills.saturating_add(1);
        self.kills
    }

    /// The core has given up everything it held.
    pub fn release(&mut self, now: Instant) {
        self.released.get_or_insert(now);
    }

    /// Whether the loop must look after the end by itself.
    pub fn draining(&self) -> bool {
        self.released.is_some()
    }

    /// What is to be done now, with so many clients connected.
    pub fn phase(&self, now: Instant, clients: u64) -> Phase {
        if self.kills > 1 {
            return Phase::End;
        }
        let Some(released) = self.released else { return Phase::Serve };
        let since = now.saturating_duration_since(released);
        if since >= self.drain_timeout {
            Phase::End
        } else if since < STILL_ACCEPTING {
            Phase::Accept
        } else if clients == 0 {
            Phase::End
        } else {
            Phase::Drain
        }
    }

    /// Whether it is time to say why the hive stays.
    pub fn says_why(&mut self, now: Instant) -> bool {
        let due = self.kills > 0
            && self.released.is_none()
            && self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_EVERY);
        if due {
            self.said = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_drain_counts_from_the_moment_nothing_is_held_any_more() {
        let start = Instant::now();
        let mut stopping = Stopping::new(15 * S);
        stopping.told();
        assert_eq!(stopping.phase(start + 600 * S, 0), Phase::Serve, "the last copy stays");
        let released = start + 600 * S;
        stopping.release(released);
        stopping.release(released + 9 * S);
        assert_eq!(stopping.phase(released + 4 * S, 0), Phase::Accept);
        assert_eq!(stopping.phase(released + 5 * S, 0), Phase::End);
        assert_eq!(stopping.phase(released + 5 * S, 1), Phase::Drain);
        assert_eq!(stopping.phase(released + 15 * S, 1), Phase::End);
    }

    #[test]
    fn a_short_drain_timeout_ends_the_accepting_too() {
        let start = Instant::now();
        let mut stopping = Stopping::new(2 * S);
        stopping.release(start);
        assert_eq!(stopping.phase(start + S, 0), Phase::Accept);
        assert_eq!(stopping.phase(start + 2 * S, 3), Phase::End);
    }

    #[test]
    fn a_second_signal_ends_it_whatever_is_held() {
        let mut stopping = Stopping::new(15 * S);
        assert_eq!((stopping.told(), stopping.phase(Instant::now(), 9)), (1, Phase::Serve));
        assert_eq!((stopping.told(), stopping.phase(Instant::now(), 9)), (2, Phase::End));
    }

    #[test]
    fn why_it_stays_is_said_once_a_second() {
        let start = Instant::now();
        let mut stopping = Stopping::new(15 * S);
        assert!(!stopping.says_why(start), "nobody said stop");
        stopping.told();
        assert!(stopping.says_why(start));
        assert!(!stopping.says_why(start + S / 2));
        assert!(stopping.says_why(start + S));
        stopping.release(start + S);
        assert!(!stopping.says_why(start + 9 * S));
    }
}
