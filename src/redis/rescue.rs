//! `RedisOrder::Rescue`: the copy is saved before it is given up, while the keeper goes on hearing
//! commands and telling what it sees; then Redis is parked, whatever became of the save.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::attend::Attended;
use super::connection::{Answer, Dialer};
use super::copy::save;
use super::keeper::{ANSWER_TIMEOUT, Job, Keeper};
use super::shelf::Shelf;
use crate::election::{RedisOrder, RedisRole};

/// How long the writes of a master are paused at once. They go on when it is parked; if this hive
/// dies, when this has passed.
const PAUSE_MS: u32 = 10_000;
/// How soon the pause is renewed.
const RENEWAL: Duration = Duration::from_secs(2);

/// A save that was begun for an order. Dropping it aborts it.
pub(super) struct Saving {
    order: u64,
    /// Its end was seen when the time of its order was looked at.
    over: bool,
    paused: Instant,
    outcome: Option<oneshot::Receiver<Result<String, String>>>,
    /// Cancelled when the outcome is there.
    pub finished: CancellationToken,
    _abort: DropGuard,
}

impl Saving {
    fn begin(order: u64, dialer: Dialer, shelf: Shelf) -> Saving {
        let (told, outcome) = oneshot::channel();
        let (abort, finished) = (CancellationToken::new(), CancellationToken::new());
        let ended = finished.clone().drop_guard();
        let task = async move {
            let _ = told.send(save(dialer, shelf).await);
            drop(ended);
        };
        tokio::spawn(abort.clone().run_until_cancelled_owned(task));
        let _abort = abort.drop_guard();
        Saving {
            order,
            over: false,
            paused: Instant::now(),
            outcome: Some(outcome),
            finished,
            _abort,
        }
    }

    /// Whether the order's time does not run: as long as the save goes on, and once more after.
    pub fn takes_its_time(&mut self) -> bool {
        let over = !self.goes_on();
        !std::mem::replace(&mut self.over, over)
    }

    /// Whether bytes may still come.
    pub fn goes_on(&self) -> bool {
        !self.finished.is_cancelled()
    }
}

impl Keeper {
    /// Brings an order to rescue as far as it goes on a Redis that has just answered. How long to
    /// wait then; `None` when Redis is to be parked.
    pub(super) async fn rescue(&mut self, job: Job) -> Option<Duration> {
        let shelf = self.shelf.clone().filter(|_| job.order == RedisOrder::Rescue)?;
        let begun = self.saving.as_ref().is_some_and(|saving| saving.order == job.id);
        if !begun {
            if !self.pause_writes().await {
                return Some(Duration::ZERO);
            }
            let mut dialer = self.dialer.clone();
            dialer.client_name = format!("{}-rescue", dialer.client_name);
            self.saving = Some(Saving::begin(job.id, dialer, shelf));
        }
        let saving = self.saving.as_mut()?;
        if saving.goes_on() {
            if saving.paused.elapsed() >= RENEWAL {
                if !self.pause_writes().await {
                    return Some(Duration::ZERO);
                }
                if let Some(saving) = &mut self.saving {
                    saving.paused = Instant::now();
                }
            }
            self.extend_job();
            return Some(self.heartbeat);
        }
        self.tell_saved();
        None
    }

    /// Tells how a save ended, once.
    fn tell_saved(&mut self) {
        let ended = self.saving.as_mut().filter(|saving| !saving.goes_on());
        let Some(mut outcome) = ended.and_then(|saving| saving.outcome.take()) else { return };
        match outcome.try_recv().unwrap_or_else(|_| Err("it was given up".to_owned())) {
            Ok(file) => self.board.rescued(file),
            Err(reason) => self.board.warn(format!(
                "The copy of the Redis at {} could not be saved before it is given up: {reason}.",
                self.dialer.endpoint
            )),
        }
    }

    /// The order has ended, or another one has come: a save that still goes on is aborted.
    pub(super) fn drop_saving(&mut self) {
        self.tell_saved();
        if self.saving.take().is_some_and(|saving| saving.goes_on()) {
            let redis = &self.dialer.endpoint;
            tracing::warn!(%redis, "the copy was not saved to its end: its order has ended");
        }
    }

    /// Pauses the writes of a master. `false` when the next question has to come first.
    async fn pause_writes(&mut self) -> bool {
        let Some(link) = self.link.clone() else { return false };
        if self.passport.is_none_or(|it| it.role != RedisRole::Master) {
            return true;
        }
        self.paused_here = true;
        let pause = super::orders::command(RedisOrder::PauseWrites { ms: PAUSE_MS });
        let asked = async move { link.ask(&pause).await };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(asked)).await {
            Attended::Done(Answer::Error(text) | Answer::Denied(text)) => {
                self.board.warn(format!("Writes go on while the copy is saved: {text}"));
                true
            }
            Attended::Done(Answer::Text(_)) => true,
            Attended::Done(_) | Attended::Late | Attended::Interrupted | Attended::Stop => false,
        }
    }
}
