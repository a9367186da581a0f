//! The story of one run, for people: a line per event that means something.

use crate::world::Micros;

#[derive(Debug, Default)]
pub struct Story {
    told: bool,
    lines: Vec<String>,
}

/// Longer stories lose their middle: the end is what a reader wants.
const LONGEST: usize = 4_000;

impl Story {
    /// A story that is written down only if `told`: most runs need none.
    pub fn new(told: bool) -> Story {
        Story { told, lines: Vec::new() }
    }

    pub fn told(&self) -> bool {
        self.told
    }

    pub fn say(&mut self, now: Micros, who: &str, what: impl FnOnce() -> String) {
        if self.told && self.lines.len() < LONGEST {
            self.lines.push(format!("{:>10.4}  {who:<9} {}", now as f64 / 1e6, what()));
        }
    }

    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Hosts are called A, B, C and so on.
pub fn name(host: usize) -> &'static str {
    ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"].get(host).copied().unwrap_or("?")
}

impl Drop for Story {
    /// A failed assertion ends the run in the middle: what was told until then is still wanted.
    fn drop(&mut self) {
        if std::thread::panicking() && self.told {
            println!("{}", self.text());
        }
    }
}
