//! A timer that wakes its thread once.
//!
//! The runtime keeps its timers in a wheel: one that is more than 64 ms away wakes the thread a
//! second time, on its way from a coarse slot to a fine one, and one that is set to be the next to
//! fire wakes it at once, through a descriptor. That was a third of what woke an idle hive.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep_until;

/// Alarms go off at whole milliseconds, as the runtime's timers do: what is due at nearly the same
/// time costs one wake-up.
const GRAIN: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// One timer of the kernel, set again and again.
pub(crate) struct Alarm {
    /// `None`: the system gives none, and the runtime's timers do. It is no pipe: that is the type of
    /// the runtime that waits for any descriptor without unsafe code, and nothing is read from it.
    timer: Option<Receiver>,
    /// What it is set to.
    set: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set. Must be called within a tokio runtime.
    pub fn new() -> Alarm {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        let timer = timer.and_then(|timer| Receiver::from_owned_fd_unchecked(timer).ok());
        Alarm { timer, set: None }
    }

    /// Waits until this moment, at once if it has come; at most about a millisecond longer. Dropped
    /// before, it can wait for another one.
    pub async fn reached(&mut self, moment: Instant) {
        while Instant::now() < moment {
            let timer = self.timer.as_ref();
            let timer = timer.filter(|it| self.set == Some(moment) || set(it, moment));
            let Some(timer) = timer else { return sleep_until(moment.into()).await };
            self.set = Some(moment);
            if timer.readable().await.is_err() {
                return sleep_until(moment.into()).await;
            }
            // It may have been ready from an earlier moment on. Nothing waits for it to be read: it
            // is set anew, and says so when that is over; for this moment, too, should the clock be a
            // hair behind the timer.
            let _ = timer.try_io(|| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            self.set = None;
        }
    }
}

/// Whether the timer took it.
fn set(timer: &Receiver, moment: Instant) -> bool {
    let left = moment.saturating_duration_since(Instant::now());
    let at = whole(nanos(clock_gettime(ClockId::Monotonic)), left);
    let it_value = Timespec { tv_sec: (at / SECOND) as i64, tv_nsec: (at % SECOND) as _ };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once).is_ok()
}

fn nanos(time: Timespec) -> u64 {
    (time.tv_sec as u64).saturating_mul(SECOND).saturating_add(time.tv_nsec as u64)
}

/// The first whole grain that is not before `now` and what is left.
fn whole(now: u64, left: Duration) -> u64 {
    let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX / 4);
    now.saturating_add(left).div_ceil(GRAIN).saturating_mul(GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const MS: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_alarm_is_never_early_and_less_than_a_grain_late() {
        assert_eq!(whole(5 * GRAIN, 2 * MS), 7 * GRAIN);
        assert_eq!(whole(5 * GRAIN + 1, 2 * MS), 8 * GRAIN);
        assert_eq!(whole(5 * GRAIN - 1, Duration::ZERO), 5 * GRAIN);
    }

    /// Set to a later moment and to an earlier one, with and without having gone off between, also
    /// while nobody waited for it.
    #[tokio::test]
    async fn the_moment_it_was_set_to_last_counts() {
        let mut alarm = Alarm::new();
        assert!(alarm.timer.is_some(), "every Linux has this timer");
        for (first, second, unheard) in [
            (60 * MS, 5 * MS, false),
            (5 * MS, 60 * MS, false),
            (LONG, 5 * MS, false),
            (5 * MS, 60 * MS, true),
        ] {
            let begun = Instant::now();
            let _ = timeout(MS, alarm.reached(begun + first)).await;
            if unheard {
                sleep_until((begun + first + 10 * MS).into()).await;
            }
            let reached = alarm.reached(begun + second);
            timeout(LONG / 2, reached).await.expect("it goes off");
            assert!(begun.elapsed() >= second, "{first:?}, {second:?}, {unheard}");
        }
    }

    /// As if the clock were behind the timer.
    #[tokio::test]
    async fn what_goes_off_too_early_goes_off_again() {
        let (mut alarm, begun) = (Alarm::new(), Instant::now());
        let moment = begun + 60 * MS;
        assert!(alarm.timer.as_ref().is_some_and(|it| set(it, begun + 5 * MS)));
        alarm.set = Some(moment);
        timeout(LONG / 20, alarm.reached(moment)).await.expect("it goes off");
        assert!(Instant::now() >= moment);
    }

    /// How often this thread has waited for something.
    fn waits() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("readable");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("stated").trim().parse().expect("a number")
    }

    /// How long this thread has worked, nanoseconds.
    fn work() -> u64 {
        nanos(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// The runtime's timers take two for moments that are so far away. A busy machine adds waits for
    /// other things, but hardly to each of three rounds.
    #[tokio::test]
    async fn a_moment_costs_one_wake_up() {
        const MOMENTS: u64 = 6;
        let (mut alarm, mut woken) = (Alarm::new(), Vec::new());
        while woken.len() < 3 && woken.iter().all(|woken| *woken >= MOMENTS * 3 / 2) {
            let (waited, worked) = (waits(), work());
            for _ in 0..MOMENTS {
                alarm.reached(Instant::now() + 100 * MS).await;
            }
            let (waited, worked) = (waits() - waited, work() - worked);
            assert!(worked < MOMENTS * 5 * GRAIN, "it does not wait but spins: {worked} ns");
            woken.push(waited);
        }
        assert!(woken.iter().any(|woken| *woken < MOMENTS * 3 / 2), "{woken:?} for {MOMENTS}");
    }

    #[tokio::test]
    async fn a_moment_that_has_come_is_not_waited_for() {
        let mut alarm = Alarm::new();
        alarm.reached(Instant::now()).await;
        assert_eq!(alarm.set, None);
    }

    #[tokio::test]
    async fn without_the_timer_the_runtimes_does() {
        let mut alarm = Alarm { timer: None, set: None };
        let moment = Instant::now() + 5 * MS;
        alarm.reached(moment).await;
        assert!(Instant::now() >= moment);
    }
}
