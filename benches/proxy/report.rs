//! Samples to tables: for a terminal, for a README, and as they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use crate::peers::PEERS;
use crate::systems::{DIRECT, HIVE, LEASED};

/// What a number says.
pub struct Measure {
    pub name: &'static str,
    /// Whether more of it is better.
    more: bool,
    /// Digits after the point.
    digits: usize,
    goal: Goal,
    table: Table,
}

/// What the hive has to reach.
#[derive(Clone, Copy)]
enum Goal {
    None,
    /// Not worse than the best peer.
    BestPeer,
    AtMost(f64),
}

/// Where a measure is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// In both tables.
    Short,
    /// Not in the one for a README.
    Long,
    /// Only among the samples.
    None,
}

impl Measure {
    const fn more(name: &'static str) -> Measure {
        Measure { name, more: true, digits: 0, goal: Goal::BestPeer, table: Table::Short }
    }

    const fn less(name: &'static str, digits: usize, goal: Goal) -> Measure {
        Measure { name, more: false, digits, goal, table: Table::Short }
    }

    const fn only(self, table: Table) -> Measure {
        Measure { table, ..self }
    }
}

/// CPU of the proxy, of Redis, and of what makes the load.
macro_rules! cpu {
    ($each:literal) => {
        [
            Measure::less(concat!("CPU s/", $each), 2, Goal::BestPeer),
            Measure::less(concat!("Redis: CPU s/", $each), 2, Goal::None).only(Table::Long),
            Measure::less(concat!("client: CPU s/", $each), 2, Goal::None).only(Table::None),
        ]
    };
}

pub static REQUESTS: Measure = Measure::more("requests/s");
pub static MEGABYTES: Measure = Measure::more("MB/s");
pub static CONNECTIONS: Measure = Measure::more("connections/s");
pub static MESSAGES: Measure = Measure::more("messages/s");
pub static P50: Measure = Measure::less("p50 us", 0, Goal::None).only(Table::Long);
pub static P99: Measure = Measure::less("p99 us", 0, Goal::BestPeer);
pub static P999: Measure = Measure::less("p99.9 us", 0, Goal::BestPeer);
pub static RAISED: Measure = Measure::less("p99 : p99 alone", 2, Goal::BestPeer);
pub static CPU_REQUESTS: [Measure; 3] = cpu!("M requests");
pub static CPU_BYTES: [Measure; 3] = cpu!("GB");
pub static CPU_CONNECTIONS: [Measure; 3] = cpu!("M connections");
pub static CPU_MESSAGES: [Measure; 3] = cpu!("M messages");
pub static RESIDENT: Measure = Measure::less("KiB/idle connection", 2, Goal::AtMost(1.0));
pub static GROWTH: Measure = Measure::less("MiB grown", 2, Goal::AtMost(1.0));
pub static CALLS: Measure = Measure::less("calls/request", 2, Goal::None);

/// A number, and what it is of.
pub struct Finding {
    pub load: String,
    pub measure: &'static Measure,
    pub value: f64,
}

/// One that was found at a system in a round.
pub struct Sample {
    pub round: usize,
    pub system: String,
    pub finding: Finding,
}

/// The samples of one number of proxy threads.
#[derive(Default)]
pub struct Report {
    pub threads: usize,
    /// In the order of the columns.
    pub systems: Vec<String>,
    pub samples: Vec<Sample>,
}

/// A load and one of its measures.
type Key<'a> = (&'a str, &'static Measure);

impl Report {
    /// Everything, as it was measured.
    pub fn json(&self) -> serde_json::Value {
        let samples = self.samples.iter().map(|Sample { round, system, finding }| {
            let Finding { load, measure, value } = finding;
            json!({ "round": round, "system": system, "load": load, "measure": measure.name, "value": value })
        });
        json!({ "threads": self.threads, "samples": samples.collect::<Vec<_>>() })
    }

    /// A block for each load: median, least and most, the ratio to the direct way, and how the
    /// hive stands to the best peer.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for load in self.loads() {
            let measures = self.measures(load);
            let mut lines = vec![
                std::iter::once(String::new())
                    .chain(measures.iter().map(|measure| measure.name.to_owned()))
                    .collect::<Vec<_>>(),
            ];
            for system in &self.systems {
                let cells = measures.iter().map(|measure| self.cell(system, (load, measure)));
                let line: Vec<String> = std::iter::once(system.clone()).chain(cells).collect();
                if line.iter().skip(1).any(|cell| cell != "-") {
                    lines.push(line);
                }
            }
            for system in self.systems.iter().filter(|system| is_hive(system)) {
                let cells = measures.iter().map(|measure| self.verdict(system, (load, measure)));
                let cells: Vec<String> = cells.collect();
                if cells.iter().any(|cell| cell != "-") {
                    let title = format!("{system} : best peer");
                    lines.push(std::iter::once(title).chain(cells).collect());
                }
            }
            let _ = writeln!(out, "\n{load} (proxy threads: {})", self.threads);
            out.push_str(&aligned(&lines));
        }
        out
    }

    /// A line for each load and measure, GET and SET in one cell; medians only.
    pub fn markdown(&self) -> String {
        let columns: Vec<&String> = self.systems.iter().collect();
        let head = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut names = vec!["median"];
        names.extend(columns.iter().map(|name| name.as_str()));
        names.push("hive : best peer");
        let mut out = head(names);
        out.push_str(&format!("|---|{}\n", "---:|".repeat(columns.len() + 1)));
        for keys in self.pairs() {
            let (load, measure) = keys[0];
            let load = if keys.len() > 1 { stem(load) } else { load };
            let commands = if keys.len() > 1 { ", GET / SET" } else { "" };
            let mut cells = vec![format!("{load}{commands}: {}", measure.name)];
            let joined = |each: &dyn Fn(Key) -> String| {
                keys.iter().map(|key| each(*key)).collect::<Vec<_>>().join(" / ")
            };
            for system in &columns {
                let median = |key: Key| shown(median(self.values(system, key)), measure.digits);
                cells.push(joined(&median));
            }
            cells.push(joined(&|key| {
                shown(self.best_peer(key).and_then(|peer| self.ratio(HIVE, peer, key)), 2)
            }));
            out.push_str(&head(cells.iter().map(String::as_str).collect()));
        }
        out
    }

    fn loads(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let loads = self.samples.iter().map(|sample| sample.finding.load.as_str());
        loads.filter(|load| seen.insert(*load)).collect()
    }

    fn measures(&self, load: &str) -> Vec<&'static Measure> {
        let mut seen = BTreeSet::new();
        let findings = self.samples.iter().map(|sample| &sample.finding);
        let measures = findings.filter(|finding| finding.load == load);
        let measures = measures.filter(|finding| finding.measure.table != Table::None);
        measures
            .map(|finding| finding.measure)
            .filter(|measure| seen.insert(measure.name))
            .collect()
    }

    /// The keys of the short table; those that differ only in GET and SET are together.
    fn pairs(&self) -> Vec<Vec<Key<'_>>> {
        let mut pairs: Vec<Vec<Key>> = Vec::new();
        for load in self.loads() {
            for measure in
                self.measures(load).into_iter().filter(|measure| measure.table == Table::Short)
            {
                let fits =
                    |(other, same): &Key| stem(other) == stem(load) && same.name == measure.name;
                match pairs.iter_mut().find(|pair| fits(&pair[0])) {
                    Some(pair) => pair.push((load, measure)),
                    None => pairs.push(vec![(load, measure)]),
                }
            }
        }
        pairs
    }

    /// Rounds and values.
    fn rounds(&self, system: &str, (load, measure): Key) -> Vec<(usize, f64)> {
        let fits = |sample: &&Sample| {
            let Finding { load: of, measure: same, .. } = &sample.finding;
            sample.system == system && of == load && same.name == measure.name
        };
        self.samples
            .iter()
            .filter(fits)
            .map(|sample| (sample.round, sample.finding.value))
            .collect()
    }

    fn values(&self, system: &str, key: Key) -> Vec<f64> {
        self.rounds(system, key).into_iter().map(|(_, value)| value).collect()
    }

    /// The median of the ratios of the same rounds: what changes from round to round on the
    /// machine does not count.
    fn ratio(&self, system: &str, to: &str, key: Key) -> Option<f64> {
        let others = self.rounds(to, key);
        let ratios = self.rounds(system, key).into_iter().filter_map(|(round, value)| {
            others.iter().find(|(same, _)| *same == round).map(|(_, other)| value / other)
        });
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    fn best_peer(&self, key: Key) -> Option<&'static str> {
        let medians =
            PEERS.iter().filter_map(|peer| Some((peer.name, median(self.values(peer.name, key))?)));
        let sign = if key.1.more { -1.0 } else { 1.0 };
        let best = medians.min_by(|(_, one), (_, other)| (one * sign).total_cmp(&(other * sign)));
        best.map(|(name, _)| name)
    }

    /// Median, least and most, and the ratio to what the load is compared with.
    fn cell(&self, system: &str, key: Key) -> String {
        let values = self.values(system, key);
        let digits = key.1.digits;
        let Some(middle) = median(values.clone()) else { return "-".to_owned() };
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let base = if system == LEASED { HIVE } else { DIRECT };
        let ratio = self.ratio(system, base, key).filter(|_| system != base);
        let ratio = ratio.map_or(String::new(), |ratio| format!(" x{ratio:.2}"));
        format!("{middle:.digits$} ({least:.digits$}-{most:.digits$}){ratio}")
    }

    /// How a hive stands to the best peer, and whether it reaches its goal.
    fn verdict(&self, system: &str, key: Key) -> String {
        let best = self.best_peer(key);
        let ratio = best.and_then(|best| self.ratio(system, best, key));
        let reached = match key.1.goal {
            Goal::None => None,
            Goal::BestPeer => ratio.map(|is| if key.1.more { is >= 1.0 } else { is <= 1.0 }),
            Goal::AtMost(most) => median(self.values(system, key)).map(|value| value <= most),
        };
        let word = reached.map(|reached| if reached { "ok" } else { "MISSED" });
        let standing = ratio.zip(best).map(|(ratio, best)| format!("{ratio:.2} {best}"));
        match (standing, word) {
            (None, None) => "-".to_owned(),
            (standing, word) => {
                [standing.as_deref(), word].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        }
    }
}

fn is_hive(system: &str) -> bool {
    system != DIRECT && PEERS.iter().all(|peer| peer.name != system)
}

fn stem(load: &str) -> &str {
    load.strip_suffix(", GET").or_else(|| load.strip_suffix(", SET")).unwrap_or(load)
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        return values.get(half).copied();
    }
    Some((values.get(half.checked_sub(1)?)? + values.get(half)?) / 2.0)
}

/// Columns of equal width, the first to the left.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(out, "  {cell:width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    out
}
