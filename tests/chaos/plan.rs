//! Which hives there are, and what is done to each of them, in which order.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::hive::Setting;
use super::load::Amount;
use super::mix;
use super::rng::Rng;
use super::run::{Chaos, Step};
use super::{crash, freeze, planned, quorum, wires};

/// How it went.
pub struct Score {
    pub passed: u32,
    pub failed: u32,
}

/// The clients of the short run.
pub const FEW: Amount = Amount {
    writers: 4,
    pause: Duration::from_millis(2),
    big_every: Some(Duration::from_millis(250)),
    slow: 0,
};

/// Clients that stay make a stopping hive use its whole drain timeout.
pub const DRAIN: &str = "1s";
/// How often a step is done again that failed while the machine stood still.
const AGAIN: u32 = 2;

/// What a hive is made of.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub nodes: usize,
    pub witness: bool,
    pub args: &'a [String],
    pub amount: Amount,
    pub seed: u64,
}

/// One run.
pub struct Plan<'a> {
    server: &'a Path,
    dir: &'a Path,
    seed: u64,
    only: Option<String>,
    pub long: bool,
    score: Score,
    hives: u32,
}

/// So many processes share the work; each has namespaces of its own.
pub const LANES: u64 = 2;

/// Works through everything that is this lane's.
pub fn run(server: &Path, dir: &Path, lane: u64, seed: u64) -> Score {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let minutes = number("HIVE_CHAOS_MINUTES").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut plan = Plan {
        server,
        dir,
        seed,
        only: std::env::var("HIVE_CHAOS_ONLY").ok(),
        long: minutes > 0,
        score: Score { passed: 0, failed: 0 },
        hives: 0,
    };
    if let Err(why) = super::history::self_check() {
        plan.count("the history's own check", &[why]);
    }
    let args = ["--drain-timeout".to_owned(), DRAIN.to_owned()];
    let mut three = |name: &str, steps: &[Step], more: &[Step]| {
        plan.hive(name, 3, &args, FEW, steps);
        if plan.long {
            plan.hive(name, 3, &args, FEW, more);
        }
    };
    if lane == 0 {
        three("crashes", &crash::STEPS, &crash::MORE);
        three("standstills", &freeze::STEPS, &freeze::MORE);
        three("planned changes", &planned::STEPS, &planned::MORE);
        three("disasters", &crash::DISASTERS, &[]);
    } else {
        three("wires", &wires::STEPS, &wires::MORE);
        quorum::run(&mut plan);
        mix::run(&mut plan, seed);
    }
    if plan.long && lane == 0 {
        mix::big_data_set(&mut plan);
    }
    let mut round = 1 + lane;
    while plan.long && Instant::now() < end {
        if !mix::run(&mut plan, seed + round) {
            break;
        }
        round += LANES;
    }
    plan.score
}

impl Plan<'_> {
    /// Does these steps to one hive. After a step that went wrong, the next one gets a new hive.
    pub fn hive(
        &mut self,
        name: &str,
        nodes: usize,
        args: &[String],
        amount: Amount,
        steps: &[Step],
    ) {
        self.work(name, Means { nodes, witness: false, args, amount, seed: self.seed }, steps);
    }

    /// The same with two nodes and a hive without a Redis.
    pub fn hive_with_witness(
        &mut self,
        name: &str,
        args: &[String],
        amount: Amount,
        steps: &[Step],
    ) {
        self.work(name, Means { nodes: 2, witness: true, args, amount, seed: self.seed }, steps);
    }

    fn work(&mut self, name: &str, means: Means, steps: &[Step]) {
        let mut chaos: Option<Chaos> = None;
        let wanted: Vec<&Step> = steps.iter().filter(|s| self.wanted(name, s.name)).collect();
        let mut todo: VecDeque<(&Step, u32)> = wanted.into_iter().map(|s| (s, 0)).collect();
        while let Some((step, tries)) = todo.pop_front() {
            let mut open = match chaos.take() {
                Some(open) => open,
                None => match self.start(name, means) {
                    Some(new) => new,
                    None => return,
                },
            };
            let verdict = open.step(step);
            if verdict.stalled && !verdict.wrong.is_empty() && tries < AGAIN {
                println!("     once more: that was this machine's fault");
                todo.push_front((step, tries + 1));
            } else if self.count(&format!("{name}: {}", step.name), &verdict.wrong) {
                chaos = Some(open);
            }
        }
        if let Some(mut chaos) = chaos {
            let wrong = chaos.judge_all();
            if !wrong.is_empty() {
                println!("FAIL {name}: lost later: {wrong:?}");
                self.count(name, &wrong);
            }
        }
    }

    /// A new hive under load.
    pub fn start(&mut self, name: &str, means: Means) -> Option<Chaos> {
        self.hives += 1;
        let dir = self.dir.join(format!("{}-{}", self.hives, name.replace(' ', "-")));
        let setting = Setting { server: self.server.to_owned(), hive_args: means.args.to_vec() };
        let kept = dir.clone();
        let rng = Rng::new(means.seed);
        match Chaos::start(setting, dir, means.nodes, means.witness, means.amount, rng, self.long) {
            Ok(chaos) => {
                let args = means.args.join(" ");
                println!("---- {name}: {} nodes, {args}; files in {}", means.nodes, kept.display());
                Some(chaos)
            }
            Err(why) => {
                println!("FAIL {name}: {why}");
                self.count(name, &[why]);
                None
            }
        }
    }

    /// Whether the caller of the run asked for this.
    pub fn wanted(&self, hive: &str, step: &str) -> bool {
        let only = |text: &String| hive.contains(text.as_str()) || step.contains(text.as_str());
        self.only.as_ref().is_none_or(only)
    }

    /// Notes the result; true if it was good.
    pub fn count(&mut self, name: &str, wrong: &[String]) -> bool {
        if wrong.is_empty() {
            self.score.passed += 1;
            return true;
        }
        self.score.failed += 1;
        println!("FAILED: {name} (HIVE_CHAOS_SEED={})", self.seed);
        false
    }
}
