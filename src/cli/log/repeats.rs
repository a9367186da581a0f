//! Lines that come again and again: the first ones are written, the others only counted, and told in
//! one line a minute.
//!
//! Lines are the same when their words are: numbers (an epoch, a duration) do not count. What `debug` and
//! `trace` say is never left out.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::{Debug, Write};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// So long after the first one lines count as repeats of it.
const WINDOW: Duration = Duration::from_secs(60);
/// How many of the same are written within that time: as many as five elections in a minute have.
const WRITTEN: u64 = 5;
/// Different lines that are remembered; further ones are all written.
const KEPT: usize = 256;
/// What is told of a line, in bytes.
const SHORT: usize = 160;
/// How often it is looked whether there is something to tell.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What came lately. Clones share it.
#[derive(Clone, Default)]
pub(in crate::cli) struct Repeats(Arc<Mutex<Table>>);

impl Repeats {
    /// Tells of lines that were left out, for ever.
    pub async fn tell_always(self) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            self.tell(Instant::now());
        }
    }

    /// Tells at once of all that were left out: nothing more will come.
    pub fn tell_rest(&self) {
        self.tell(Instant::now() + WINDOW);
    }

    fn tell(&self, now: Instant) {
        let ended = self.table().end(now);
        for Line { level, count, text, .. } in ended {
            let (count, like) = (count - WRITTEN, text);
            match level {
                Level::ERROR => tracing::error!(count, like, "more lines like one before"),
                Level::WARN => tracing::warn!(count, like, "more lines like one before"),
                _ => tracing::info!(count, like, "more lines like one before"),
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return true;
        }
        let mut words = Words::default();
        event.record(&mut words);
        self.table().take(level, &words.0, Instant::now())
    }
}

/// Lines by the hash of their words, which nobody outside can foresee.
#[derive(Default)]
struct Table {
    hasher: RandomState,
    lines: HashMap<u64, Line>,
    /// Those whose time was over before they were told of.
    ended: Vec<Line>,
}

struct Line {
    level: Level,
    since: Instant,
    count: u64,
    text: String,
}

impl Table {
    /// Whether a line of these words is to be written.
    fn take(&mut self, level: Level, words: &str, now: Instant) -> bool {
        let key = self.hasher.hash_one(words);
        if let Some(line) = self.lines.get_mut(&key) {
            if now.saturating_duration_since(line.since) < WINDOW {
                line.count += 1;
                return line.count <= WRITTEN;
            }
            if let Some(over) = self.lines.remove(&key)
                && over.count > WRITTEN
                && self.ended.len() < KEPT
            {
                self.ended.push(over);
            }
        }
        if self.lines.len() >= KEPT {
            let recent = |line: &Line| now.saturating_duration_since(line.since) < WINDOW;
            self.lines.retain(|_, line| recent(line) || line.count > WRITTEN);
        }
        if self.lines.len() < KEPT {
            let text = shortened(words);
            self.lines.insert(key, Line { level, since: now, count: 1, text });
        }
        true
    }

    /// Takes out those whose time is over and of which some were left out.
    fn end(&mut self, now: Instant) -> Vec<Line> {
        let over = |line: &Line| now.saturating_duration_since(line.since) >= WINDOW;
        let mut ended = std::mem::take(&mut self.ended);
        ended.extend(self.lines.extract_if(|_, line| over(line)).map(|(_, line)| line));
        ended.retain(|line| line.count > WRITTEN);
        ended.sort_by_key(|line| line.since);
        ended
    }
}

fn shortened(words: &str) -> String {
    let mut end = words.len().min(SHORT);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words[..end].to_owned()
}

/// The message and all fields that are no numbers.
#[derive(Default)]
struct Words(String);

impl Words {
    fn add(&mut self, field: &Field, value: impl std::fmt::Display) {
        let space = if self.0.is_empty() { "" } else { " " };
        // A String takes everything.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value}"),
            name => write!(self.0, "{space}{name}={value}"),
        };
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(table: &mut Table, words: &str, now: Instant) -> bool {
        table.take(Level::WARN, words, now)
    }

    #[test]
    fn the_first_ones_are_written_and_the_others_counted() {
        let (mut table, start) = (Table::default(), Instant::now());
        let written = (0..42).filter(|_| take(&mut table, "same", start)).count();
        assert_eq!(written, 5);
        assert!(take(&mut table, "another", start));
        assert!(table.end(start + WINDOW / 2).is_empty(), "more may come");
        let ended = table.end(start + WINDOW);
        let told: Vec<_> = ended.iter().map(|line| (line.text.as_str(), line.count)).collect();
        assert_eq!(told, [("same", 42)]);
        assert!(table.end(start + WINDOW).is_empty(), "told once");
        assert!(take(&mut table, "same", start + WINDOW), "the first of the next minute");
    }

    #[test]
    fn what_is_over_when_the_next_one_comes_is_told_of_too() {
        let (mut table, start) = (Table::default(), Instant::now());
        (0..9).for_each(|_| _ = take(&mut table, "same", start));
        assert!(take(&mut table, "same", start + WINDOW));
        let ended = table.end(start + WINDOW);
        assert_eq!(ended.iter().map(|line| line.count).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_flood_of_different_lines_is_written_and_not_remembered() {
        let (mut table, start) = (Table::default(), Instant::now());
        for n in 0..10_000 {
            assert!(take(&mut table, &format!("{n} {}", "é".repeat(1000)), start));
        }
        assert_eq!(table.lines.len(), KEPT);
        assert!(table.lines.values().all(|line| line.text.len() <= SHORT));
        assert!(take(&mut table, "later", start + WINDOW));
        assert_eq!(table.lines.len(), 1, "there is room after a minute");
    }

    #[test]
    fn lines_differ_by_words_and_not_by_numbers() {
        use tracing_subscriber::prelude::*;
        let repeats = Repeats::default();
        let log = tracing_subscriber::registry().with(repeats.clone());
        tracing::subscriber::with_default(log, || {
            for epoch in 0_u64..20 {
                tracing::info!(epoch, peer = "a", "one");
                tracing::info!(epoch, peer = "b", "one");
                tracing::debug!(epoch, "never left out");
            }
        });
        let mut table = repeats.table();
        let mut told = table.end(Instant::now() + WINDOW);
        told.sort_by(|a, b| a.text.cmp(&b.text));
        let told: Vec<_> = told.iter().map(|line| (line.text.as_str(), line.count)).collect();
        assert_eq!(told, [("one peer=a", 20), ("one peer=b", 20)]);
    }
}
