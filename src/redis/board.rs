//! Where all keepers write what people should know.

use std::sync::Arc;

use tokio::sync::watch;

use super::info::Info;
use super::settings::{Crowd, Facts};

/// Sentences kept of one kind: the newest ones.
const SENTENCES: usize = 32;

/// The facts of the local Redis, and what was done to others; shared by all keepers.
#[derive(Clone)]
pub(super) struct Board(Arc<watch::Sender<Facts>>);

impl Board {
    pub fn new() -> (Board, watch::Receiver<Facts>) {
        let (sender, receiver) = watch::channel(Facts::default());
        (Board(Arc::new(sender)), receiver)
    }

    /// Whether the local Redis saves its data to disk.
    pub fn persistent(&self) -> bool {
        self.0.borrow().persistent
    }

    /// Takes the facts of a newly met run. What does not belong to a run stays.
    pub fn meet(&self, mut facts: Facts) {
        facts.changed.iter().for_each(|it| tracing::info!("set on Redis: {it}"));
        facts.warnings.iter().for_each(|it| tracing::warn!("{it}"));
        {
            let old = self.0.borrow();
            facts.problems.clone_from(&old.problems);
            facts.rescued.clone_from(&old.rescued);
            (facts.crowd, facts.master_crowd) = (old.crowd, old.master_crowd);
        }
        self.0.send_replace(facts);
    }

    /// Takes what the newest `INFO` counts, which wakes nobody.
    pub fn count(&self, info: &Info) {
        let ages = info.attached.iter().filter_map(|it| Some((it.name.clone(), it.ack_age?)));
        self.0.send_if_modified(|facts| {
            facts.changes = info.changes;
            facts.syncs = info.syncs;
            facts.acknowledged.clear();
            facts.acknowledged.extend(ages);
            false
        });
    }

    /// Takes the newest figures of the local Redis, or of the watched master, which wakes nobody.
    pub fn crowd(&self, crowd: Option<Crowd>, local: bool) {
        self.0.send_if_modified(|facts| {
            let place = if local { &mut facts.crowd } else { &mut facts.master_crowd };
            *place = crowd;
            false
        });
    }

    /// Says what is wrong now, and logs what was not wrong before.
    pub fn problems(&self, problems: Vec<String>) {
        self.0.send_if_modified(|facts| {
            for problem in problems.iter().filter(|it| !facts.problems.contains(it)) {
                tracing::warn!("{problem}");
            }
            let news = facts.problems != problems;
            facts.problems = problems;
            news
        });
    }

    /// Adds a warning, also to the log; one that is there already is not repeated.
    pub fn warn(&self, text: String) {
        self.0.send_if_modified(|facts| {
            let added = add(&mut facts.warnings, &text);
            if added {
                tracing::warn!("{text}");
            }
            added
        });
    }

    /// Adds a setting that was changed, also to the log.
    pub fn changed(&self, text: String) {
        tracing::info!("set on Redis: {text}");
        self.0.send_modify(|facts| {
            add(&mut facts.changed, &text);
        });
    }

    /// Adds a copy that was saved, also to the log.
    pub fn rescued(&self, file: String) {
        tracing::info!("the copy that is given up was saved: {file}");
        self.0.send_modify(|facts| {
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
