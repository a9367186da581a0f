//! All CPUs busy with clients for minutes, at the default timings: nobody may be taken for dead.
//! `benches/README.md` says how to run it and how to read it.

#[path = "../../tests/cluster/clients.rs"]
#[allow(dead_code)]
mod clients;
#[path = "../support/figures.rs"]
#[allow(dead_code)]
mod figures;
#[path = "../../tests/cluster/harness.rs"]
#[allow(dead_code)]
mod harness;

mod load;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;

use figures::{Budget, Figure};
use harness::{Agreed, Hive};
use load::{Load, Place};

/// How often all hives are asked.
const LOOK: Duration = Duration::from_millis(200);
/// What is said between two lines of progress.
const SAY: Duration = Duration::from_secs(15);
/// With more idle CPU than this in percent nothing is shown.
const IDLE_MAX: f64 = 10.0;

/// Saturates a hive of three nodes.
#[derive(Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Client threads for each CPU, each with a connection to every endpoint
    #[arg(long, default_value_t = 8)]
    threads: usize,
    /// One more argument for every sidecar, for example --hive-arg=--log-level=debug
    #[arg(long, allow_hyphen_values = true)]
    hive_arg: Vec<String>,
}

fn main() -> ExitCode {
    let command = std::iter::once("saturation".to_owned()).chain(figures::arguments());
    let arguments = Arguments::parse_from(command);
    let hive = Hive::with(3, |options| {
        if let Some(other) = std::env::var_os("HIVE_BIN") {
            options.exe = other.into();
        }
        options.hive_args.extend(arguments.hive_arg.iter().cloned());
    });
    let mut hive = hive.expect("a Redis server");
    let before = hive.settle();
    let stories: Vec<usize> = (1..=3).map(|host| transitions(&hive, host)).collect();
    let endpoints = |host: u8| {
        [(hive.proxy(host), true), (hive.reads(host), false)]
            .map(|(addr, writes)| Place { addr, writes })
    };
    let endpoints: Vec<Place> = (1..=3).flat_map(endpoints).collect();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let load = Load::start(arguments.threads * cpus, &endpoints);
    let mut seen = Seen::new();
    let minutes = Duration::from_secs_f64(arguments.minutes * 60.0);
    seen.watch(&hive, before, &load, minutes);
    let (requests, errors) =
        (load.done.requests.load(Ordering::Relaxed), load.done.errors.load(Ordering::Relaxed));
    drop(load);
    let after = hive.settle();
    let told = (1..=3).zip(stories).map(|(host, before)| transitions(&hive, host) - before).sum();
    let fine = seen.elections == 0 && told == 0 && after == before;
    let idle = seen.idle;
    seen.print(minutes, requests, errors, told);
    if idle > IDLE_MAX {
        eprintln!("NOT SATURATED: {idle:.1} % of the CPUs were idle, nothing is shown");
        return ExitCode::FAILURE;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a hive has in its journal.
fn transitions(hive: &Hive, host: u8) -> usize {
    let status = hive.status(host);
    status.and_then(|s| Some(s["transitions"].as_array()?.len())).unwrap_or_default()
}

/// What was seen of the hives meanwhile.
struct Seen {
    looks: u64,
    /// Looks at which another leader, master or epoch was stated than at the beginning.
    elections: u64,
    /// Statuses that did not come in time.
    silent: u64,
    /// The longest times, each in 15 s, since a peer had been heard, ms.
    heard: Figure,
    /// CPU time nobody used, percent.
    idle: f64,
}

impl Seen {
    fn new() -> Seen {
        let heard = Figure::new("longest time since a peer was heard, in each 15 s", "ms", 0);
        Seen {
            looks: 0,
            elections: 0,
            silent: 0,
            heard: heard.within(Budget::worst(1000.0)),
            idle: 0.0,
        }
    }

    fn watch(&mut self, hive: &Hive, before: Agreed, load: &Load, span: Duration) {
        let (begun, cpu) = (Instant::now(), CpuTime::now());
        let (mut said, mut worst, mut requests) = (begun, 0, 0);
        while begun.elapsed() < span {
            std::thread::sleep(LOOK);
            for host in 1..=3 {
                worst = worst.max(self.look(hive, host, before));
            }
            if said.elapsed() >= SAY {
                let done = load.done.requests.load(Ordering::Relaxed);
                let rate = (done - requests) as f64 / said.elapsed().as_secs_f64();
                eprintln!(
                    "{:4} s: {rate:.0} requests/s, peers heard within {worst} ms, {} elections, {} \
                     silent of {} looks",
                    begun.elapsed().as_secs(),
                    self.elections,
                    self.silent,
                    self.looks
                );
                self.heard.add(worst as f64);
                (said, worst, requests) = (Instant::now(), 0, done);
            }
        }
        if worst > 0 {
            self.heard.add(worst as f64);
        }
        self.idle = cpu.idle_since();
    }

    /// How long ago the peer was heard that was not heard for the longest time, ms.
    fn look(&mut self, hive: &Hive, host: u8, before: Agreed) -> u64 {
        self.looks += 1;
        let Some(status) = hive.status(host) else {
            self.silent += 1;
            return 0;
        };
        let ip = |host: u8| hive.ip(host).to_string();
        let same = status["epoch"] == before.epoch
            && status["leader"] == ip(before.leader)
            && status["master"] == hive.redis(before.master).to_string();
        self.elections += u64::from(!same);
        let peers = status["peers"].as_array().into_iter().flatten();
        peers.filter_map(|peer| peer["last_heard_ms"].as_u64()).max().unwrap_or_default()
    }

    fn print(self, span: Duration, requests: u64, errors: u64, told: usize) {
        let one = |what: &str, unit, digits, value: f64| {
            let mut figure = Figure::new(what, unit, digits);
            figure.add(value);
            figure
        };
        let none = |what: &str, value: f64| one(what, "", 0, value).within(Budget::worst(0.0));
        let rate = requests as f64 / span.as_secs_f64();
        let table = [
            none(
                "looks at which a hive stated another leader, master or epoch",
                self.elections as f64,
            ),
            none("transitions in the journals of all hives", told as f64),
            self.heard,
            one("statuses that took more than 500 ms", "", 0, self.silent as f64),
            none("connections that clients lost", errors as f64),
            one("requests a second", "", 0, rate),
            one("idle CPU", "%", 1, self.idle),
        ];
        let minutes = span.as_secs_f64() / 60.0;
        figures::print(&format!("All CPUs busy with clients for {minutes:.1} minutes"), &table);
    }
}

/// The ticks of all CPUs: idle ones, and all.
struct CpuTime(u64, u64);

impl CpuTime {
    fn now() -> CpuTime {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // user nice system idle iowait ...
        let idle = ticks.iter().skip(3).take(2).sum();
        CpuTime(idle, ticks.iter().take(8).sum())
    }

    /// Percent.
    fn idle_since(&self) -> f64 {
        let CpuTime(idle, all) = CpuTime::now();
        100.0 * (idle - self.0) as f64 / (all - self.1).max(1) as f64
    }
}
