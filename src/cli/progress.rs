//! What is going on while somebody waits: on standard error, so that the result stands alone.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::text::{WIDTH, clean, span};

/// One line that is rewritten on a terminal, a line for each step elsewhere.
pub(super) struct Progress {
    live: bool,
    since: Instant,
    said: String,
}

impl Progress {
    /// Begins to count.
    pub(super) fn new() -> Progress {
        let live = io::stderr().is_terminal();
        Progress { live, since: Instant::now(), said: String::new() }
    }

    /// Where it is now. What was said already is said again on a terminal only, for the time to move.
    pub(super) fn step(&mut self, what: &str) {
        let text = line(what, self.since.elapsed());
        let shown = match self.live {
            true => format!("\r{text}\x1b[K"),
            false if what == self.said => return,
            false => format!("{text}\n"),
        };
        what.clone_into(&mut self.said);
        // Nobody is left to tell when standard error is closed.
        let _ = io::stderr().write_all(shown.as_bytes());
    }

    /// Makes room for what is printed next.
    pub(super) fn clear(&self) {
        if self.live && !self.said.is_empty() {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }

    /// Since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Short enough never to be wrapped, so that it can be written over.
fn line(what: &str, since: Duration) -> String {
    let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let text = format!("... {}: {}", span(ms), clean(what));
    text.chars().take(WIDTH - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line_whatever_it_says() {
        assert_eq!(line("waiting", Duration::from_millis(5_210)), "... 5.2 s: waiting");
        let long = line(&"\x1b[2J\n".repeat(40), Duration::ZERO);
        assert_eq!(long.chars().count(), WIDTH - 1);
        assert!(!long.contains(['\x1b', '\n']), "{long}");
    }
}
