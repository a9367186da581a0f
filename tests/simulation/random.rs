//! Random runs by the thousand, and the replay of one.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::Outcome;
use crate::plans::{Plan, run};

const THREADS: u64 = 2;

/// The sums of many runs.
#[derive(Debug, Default)]
pub struct Sums {
    pub runs: u64,
    /// The seeds that broke an invariant, lowest first, with the first violation.
    pub broken: Vec<(u64, String)>,
    pub lost: usize,
    pub acknowledged: usize,
    pub events: u64,
    pub slowest_convergence_ms: u64,
}

/// Runs these seeds on two threads; with `stop` a broken one ends it.
pub fn sweep(plan: &Plan, first: u64, seeds: u64, stop: bool) -> Sums {
    let next = AtomicU64::new(first);
    let end = first + seeds;
    let worker = || {
        let mut sums = Sums::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return sums;
            }
            sums.add(seed, run_guarded(plan, seed, false));
            if stop && !sums.broken.is_empty() {
                next.store(end, Ordering::Relaxed);
            }
        }
    };
    let mut all = Sums::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            all.join(worker.join().expect("a worker catches the panics of its runs"));
        }
    });
    all.broken.sort();
    all
}

/// One run; an assertion of the core that fails is a violation like the others.
pub fn run_guarded(plan: &Plan, seed: u64, told: bool) -> Outcome {
    let run = std::panic::AssertUnwindSafe(|| run(plan, seed, told));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        let text = text.unwrap_or_else(|| "a panic".into());
        Outcome { violations: vec![format!("assertion: {text}")], ..Outcome::default() }
    })
}

impl Sums {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.runs += 1;
        self.lost += outcome.lost;
        self.acknowledged += outcome.acknowledged;
        self.events += outcome.events;
        let took = outcome.converged_after.unwrap_or_default() / 1_000;
        self.slowest_convergence_ms = self.slowest_convergence_ms.max(took);
        if let Some(first) = outcome.violations.into_iter().next() {
            self.broken.push((seed, first));
        }
    }

    fn join(&mut self, other: Sums) {
        self.runs += other.runs;
        self.lost += other.lost;
        self.acknowledged += other.acknowledged;
        self.events += other.events;
        self.slowest_convergence_ms = self.slowest_convergence_ms.max(other.slowest_convergence_ms);
        self.broken.extend(other.broken);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn replay_command(plan: &str, seed: u64) -> String {
    format!(
        "HIVE_SIM_PLAN={plan} HIVE_SIM_SEED={seed} cargo test --profile sim --test simulation replay \
         -- --nocapture"
    )
}

/// Runs a share of the seeds that `HIVE_SIM_SEEDS` asks for, in percent.
fn holds_in_every_seed(name: &str, percent: u64) {
    let plan = plan(name);
    let seeds = number("HIVE_SIM_SEEDS").unwrap_or(10_000) * percent / 100;
    let sums = sweep(&plan, 0, seeds, true);
    println!(
        "{name}: {} seeds, {} events, {} writes acknowledged, {} of them lost with their last copy or \
         by a verdict, slowest agreement {} ms",
        sums.runs, sums.events, sums.acknowledged, sums.lost, sums.slowest_convergence_ms
    );
    if let Some((seed, what)) = sums.broken.first() {
        let story = run_guarded(&plan, *seed, true).story;
        panic!("{story}\nseed {seed}: {what}\nreplay: {}", replay_command(name, *seed));
    }
}

/// Every invariant holds in every seed, and all converge.
#[test]
fn general_seeds() {
    holds_in_every_seed("general", 60);
}

/// The same with `--quorum`: never a write acknowledged by an older master.
#[test]
fn quorum_seeds() {
    holds_in_every_seed("quorum", 25);
}

/// Planned changes lose nothing.
#[test]
fn changes_seeds() {
    holds_in_every_seed("changes", 15);
}

/// A plan by its name.
fn plan(name: &str) -> Plan {
    match name {
        "quorum" => Plan::quorum(),
        "changes" => Plan::changes(),
        _ => Plan::all(),
    }
}

/// The plan that a person asks for.
fn wanted_plan() -> String {
    std::env::var("HIVE_SIM_PLAN").unwrap_or_else(|_| "general".into())
}

/// Counts how often each invariant breaks: for whoever hunts several bugs at once.
#[test]
#[ignore = "a survey for people: HIVE_SIM_PLAN=quorum HIVE_SIM_SEEDS=1000 cargo test ... survey -- --ignored --nocapture"]
fn survey() {
    let seeds = number("HIVE_SIM_SEEDS").unwrap_or(1_000);
    let sums = sweep(&plan(&wanted_plan()), 0, seeds, false);
    let mut kinds: std::collections::BTreeMap<String, Vec<u64>> = Default::default();
    for (seed, what) in &sums.broken {
        let kind = what.split(" at ").next().unwrap_or(what).chars().take(90).collect();
        kinds.entry(kind).or_default().push(*seed);
    }
    for (kind, seeds) in kinds {
        let some: Vec<_> = seeds.iter().take(8).collect();
        println!("{kind}: {} seeds, first {some:?}", seeds.len());
    }
    println!(
        "{} runs, {} events, lost {} of {}",
        sums.runs, sums.events, sums.lost, sums.acknowledged
    );
}

/// Tells the story of one seed.
#[test]
fn replay() {
    let seed = number("HIVE_SIM_SEED").unwrap_or(1);
    let name = wanted_plan();
    let outcome = run_guarded(&plan(&name), seed, true);
    println!("{}", outcome.story);
    println!(
        "seed {seed}: {} of {} acknowledged writes lost, agreement after {:?} us",
        outcome.lost, outcome.acknowledged, outcome.converged_after
    );
    assert!(
        outcome.violations.is_empty(),
        "{:?}\n{}",
        outcome.violations,
        replay_command(&name, seed)
    );
}

/// The same seed is the same run, to the last event.
#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        for plan in [Plan::all(), Plan::quorum(), Plan::changes()] {
            let (first, again) = (run_guarded(&plan, seed, true), run_guarded(&plan, seed, true));
            assert_eq!(first.story, again.story);
            assert_eq!(first.events, again.events);
        }
    }
}

/// What hives complain about is for people: it changes nothing, to the last event.
#[test]
fn troubles_decide_nothing() {
    for seed in 0..5 {
        for quiet in [Plan::all(), Plan::quorum(), Plan::changes()] {
            let troubled = Plan { troubled: true, ..quiet.clone() };
            let (quiet, troubled) =
                (run_guarded(&quiet, seed, true), run_guarded(&troubled, seed, true));
            assert_eq!(quiet.story, troubled.story);
            assert_eq!(quiet.events, troubled.events);
        }
    }
}
