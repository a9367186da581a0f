//! Where all keepers write what people should know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::info::Info;
use super::settings::{Crowd, Facts};

/// Sentences kept of one kind: the newest ones.
const SENTENCES: usize = 32;

/// A Redis that starts beside its hive may take so long to answer before that is worth a warning.
const AT_START: Duration = Duration::from_secs(10);

/// The facts of the local Redis, and what was done to others; shared by all keepers.
#[derive(Clone)]
pub(super) struct Board {
    facts: Arc<watch::Sender<Facts>>,
    began: Instant,
    /// What is wrong now was told without a warning.
    calm: Arc<AtomicBool>,
}

impl Board {
    pub fn new() -> (Board, watch::Receiver<Facts>) {
        let (sender, receiver) = watch::channel(Facts::default());
        let board = Board { facts: Arc::new(sender), began: Instant::now(), calm: Arc::default() };
        (board, receiver)
    }

    /// The first beat after a moment, of those that come every so often. All keepers have the same
    /// ones, so that the process wakes once for their questions.
    pub fn beat_after(&self, moment: Instant, every: Duration) -> Instant {
        let since = moment.saturating_duration_since(self.began);
        let late = since.as_nanos() % every.as_nanos().max(1);
        moment + every - Duration::from_nanos(late as u64)
    }

    /// Whether the local Redis saves its data to disk.
    pub fn persistent(&self) -> bool {
        self.facts.borrow().persistent
    }

    /// Takes the facts of a newly met run. What does not belong to a run stays.
    pub fn meet(&self, mut facts: Facts) {
        if let (Some(run_id), Some(version)) = (facts.run_id, facts.version) {
            tracing::info!(%run_id, %version, "Redis answers");
        }
        facts.changed.iter().for_each(|what| tracing::info!(what, "set on Redis"));
        facts.warnings.iter().for_each(|what| tracing::warn!(what, "Redis needs care"));
        {
            let old = self.facts.borrow();
            facts.problems.clone_from(&old.problems);
            facts.rescued.clone_from(&old.rescued);
            (facts.crowd, facts.master_crowd) = (old.crowd, old.master_crowd);
        }
        self.facts.send_replace(facts);
    }

    /// Takes what the newest `INFO` counts, which wakes nobody.
    pub fn count(&self, info: &Info) {
        let ages = info.attached.iter().filter_map(|it| Some((it.name.clone(), it.ack_age?)));
        self.facts.send_if_modified(|facts| {
            facts.changes = info.changes;
            facts.syncs = info.syncs;
            facts.memory = info.memory;
            facts.acknowledged.clear();
            facts.acknowledged.extend(ages);
            false
        });
    }

    /// Takes the newest figures of the local Redis, or of the watched master, which wakes nobody.
    pub fn crowd(&self, crowd: Option<Crowd>, local: bool) {
        self.facts.send_if_modified(|facts| {
            let place = if local { &mut facts.crowd } else { &mut facts.master_crowd };
            *place = crowd;
            false
        });
    }

    /// Says what is wrong now, and logs what was not wrong before.
    pub fn problems(&self, problems: Vec<String>) {
        self.facts.send_if_modified(|facts| {
            self.tell(facts, &problems);
            let news = facts.problems != problems;
            facts.problems = problems;
            news
        });
    }

    fn tell(&self, facts: &Facts, problems: &[String]) {
        if problems.is_empty() {
            let warned = !self.calm.swap(false, Ordering::Relaxed);
            if warned && !facts.problems.is_empty() {
                tracing::info!("Redis is well again");
            }
            return;
        }
        let starts = facts.run_id.is_none() && self.began.elapsed() < AT_START;
        let owed = self.calm.swap(starts, Ordering::Relaxed) && !starts;
        for what in problems.iter().filter(|it| owed || !facts.problems.contains(it)) {
            if starts {
                tracing::info!(what, "waits for Redis");
            } else {
                tracing::warn!(what, "Redis has a problem");
            }
        }
    }

    /// Adds a warning, also to the log; one that is there already is not repeated.
    pub fn warn(&self, text: String) {
        self.facts.send_if_modified(|facts| {
            let added = add(&mut facts.warnings, &text);
            if added {
                tracing::warn!(what = text, "Redis needs care");
            }
            added
        });
    }

    /// Adds a setting that was changed, also to the log.
    pub fn changed(&self, text: String) {
        tracing::info!(what = text, "set on Redis");
        self.facts.send_modify(|facts| {
            add(&mut facts.changed, &text);
        });
    }

    /// Adds a copy that was saved, also to the log.
    pub fn rescued(&self, file: String) {
        tracing::info!(file, "the copy that is given up was saved");
        self.facts.send_modify(|facts| {
            add(&mut facts.rescued, &file);
        });
    }
}

/// Whether it was not there.
fn add(sentences: &mut Vec<String>, text: &String) -> bool {
    if sentences.contains(text) {
        return false;
    }
    if sentences.len() >= SENTENCES {
        sentences.remove(0);
    }
    sentences.push(text.clone());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keeper of the watched master asks half as often: each of its beats is one of the other's.
    #[test]
    fn beats_are_the_same_for_all_and_never_further_away_than_asked_for() {
        let (board, _facts) = Board::new();
        let ms = Duration::from_millis;
        for (moment, beat, double) in
            [(0, 200, 400), (1, 200, 400), (199, 200, 400), (201, 400, 400)]
        {
            let at = board.began + ms(moment);
            assert_eq!(board.beat_after(at, ms(200)), board.began + ms(beat), "{moment}");
            assert_eq!(board.beat_after(at, ms(400)), board.began + ms(double), "{moment}");
        }
        let exactly = board.began + ms(200);
        assert_eq!(board.beat_after(exactly, ms(200)), exactly + ms(200), "never at once");
    }
}
