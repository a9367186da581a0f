//! What is measured, one row after the other, each at one system at a time.

mod bulk;
mod calls;
mod connect;
mod fair;
mod idle;
mod pubsub;
mod small;
mod unread;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::load::{Load, Took};
use crate::meter;
use crate::report::{Finding, Measure};
use crate::systems::{HIVE, LEASED, System};
use crate::talk::Exchange;

/// Several loads that are measured together.
pub struct Row {
    /// For `--rows`.
    pub name: &'static str,
    /// In how many rounds at most.
    pub rounds: usize,
    /// Whether it says anything about this system.
    pub fits: fn(&System) -> bool,
    pub run: Run,
}

type Run = fn(&Scale, &mut System) -> io::Result<Vec<Finding>>;

/// How much of everything.
pub struct Scale {
    /// How long each load lasts.
    pub span: Duration,
    /// Idle connections.
    pub idle: usize,
    /// Where tables of system calls go.
    pub out: PathBuf,
}

/// All rows, in the order of the tables.
pub const ROWS: [Row; 11] = [
    row("latency", small::latency),
    row("many", small::many),
    row("pipeline", small::pipeline),
    row("bulk", bulk::bulk),
    row("connect", connect::connect),
    row("pubsub", pubsub::pubsub),
    row("fair", fair::fair),
    row("idle", idle::idle),
    Row { fits: |system| usual(system) && system.is_proxy(), ..row("unread", unread::unread) },
    // The calls are the same in each round.
    Row { rounds: 2, ..row("calls", calls::calls) },
    Row { fits: |system| [HIVE, LEASED].contains(&&*system.name), ..row(LEASE, small::lease) },
];

/// The row that the hive with a lease is started for.
pub const LEASE: &str = "lease";

const fn row(name: &'static str, run: Run) -> Row {
    Row { name, rounds: usize::MAX, fits: usual, run }
}

fn usual(system: &System) -> bool {
    system.name != LEASED
}

/// A load and the CPU seconds that it took.
struct Spent {
    took: Took,
    /// `None` where nothing stands before Redis.
    proxy: Option<f64>,
    redis: f64,
    /// Of this process.
    client: f64,
}

/// One exchange after the other on each of `count` connections, warm from the start.
fn steady(
    scale: &Scale,
    system: &mut System,
    count: usize,
    exchange: &Exchange,
) -> io::Result<Spent> {
    let mut load = Load::connect(system.addr, count)?;
    load.run_for(exchange, scale.span / 8)?;
    metered(system, || load.run_for(exchange, scale.span))
}

fn metered(system: &mut System, run: impl FnOnce() -> io::Result<Took>) -> io::Result<Spent> {
    let proxy = system.processes();
    let groups = [&proxy[..], &[system.redis_pid], &[std::process::id()]];
    let before = groups.map(meter::cpu_seconds);
    let took = run()?;
    let after = groups.map(meter::cpu_seconds);
    let [proxy, redis, client] = [0, 1, 2].map(|group| after[group] - before[group]);
    if redis <= 0.0 {
        return Err(io::Error::other(
            "the kernel counts no CPU time in /proc/PID/task/TID/schedstat",
        ));
    }
    Ok(Spent { took, proxy: system.is_proxy().then_some(proxy), redis, client })
}

/// What was found about one load.
struct Sheet {
    load: String,
    findings: Vec<Finding>,
}

impl Sheet {
    fn of(load: impl Into<String>) -> Sheet {
        Sheet { load: load.into(), findings: Vec::new() }
    }

    fn add(mut self, measure: &'static Measure, value: f64) -> Sheet {
        self.findings.push(Finding { load: self.load.clone(), measure, value });
        self
    }

    /// CPU seconds for each `count`: of the proxy, if there is one, of Redis, of this process.
    fn cpu(
        self,
        spent: &Spent,
        [proxy, redis, client]: &'static [Measure; 3],
        count: f64,
    ) -> Sheet {
        let sheet = self.add(redis, spent.redis / count).add(client, spent.client / count);
        match spent.proxy {
            Some(seconds) => sheet.add(proxy, seconds / count),
            None => sheet,
        }
    }
}
