//! What clients of a real hive see of faults, how soon it takes writes, what it costs idle.
//! `benches/README.md` says how to run it and how to read it.

#[path = "../../tests/cluster/clients.rs"]
#[allow(dead_code)]
mod clients;
#[path = "../../tests/cluster/harness.rs"]
#[allow(dead_code)]
mod harness;

mod client;
mod faults;
#[path = "../support/figures.rs"]
#[allow(dead_code)]
mod figures;
mod outage;
mod planned;
mod quiet;
#[path = "../support/usage.rs"]
#[allow(dead_code)]
mod usage;

use std::path::PathBuf;

use clap::Parser;
use redis_hive::cli::dev::nodes::Options;

use faults::{FAULTS, Fault};
use figures::{Budget, Figure};
use harness::Hive;

/// A stopping hive keeps its clients for so long; the default of 15 s would only make rounds long.
const DRAIN: &str = "1s";

/// Measures real hives of three nodes.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each fault, starts, and at least so many idle samples
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Only these: node-killed, redis-killed, hive-killed, hive-terminated, hive-frozen,
    /// node-vanished, switchover, start, idle
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One more argument for every sidecar, for example --hive-arg=--log-level=debug
    #[arg(long, allow_hyphen_values = true)]
    hive_arg: Vec<String>,
    /// Where the logs of rounds over their budget go
    #[arg(long, default_value = "benches/out")]
    out: PathBuf,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn check(&self) -> Result<(), String> {
        let mut known =
            FAULTS.iter().map(|fault| fault.name).chain(["switchover", "start", "idle"]);
        match self.only.iter().find(|only| !known.clone().any(|name| name == only.as_str())) {
            Some(unknown) => {
                let known = known.by_ref().collect::<Vec<_>>().join(", ");
                Err(format!("--only {unknown}: there are {known}"))
            }
            None => Ok(()),
        }
    }

    /// Sidecars at their defaults.
    fn plain(&self) -> impl Fn(&mut Options) {
        let extra = self.hive_arg.clone();
        move |options: &mut Options| {
            if let Some(other) = std::env::var_os("HIVE_BIN") {
                options.exe = other.into();
            }
            options.hive_args.extend(extra.iter().cloned());
        }
    }

    fn tune(&self) -> impl Fn(&mut Options) {
        let plain = self.plain();
        move |options: &mut Options| {
            options.hive_args.extend(["--drain-timeout".to_owned(), DRAIN.to_owned()]);
            plain(options);
        }
    }
}

fn main() {
    let command = std::iter::once("failover".to_owned()).chain(figures::arguments());
    let arguments = Arguments::parse_from(command);
    if let Err(why) = arguments.check() {
        eprintln!("{why}");
        std::process::exit(64);
    }
    let mut table = Vec::new();
    let faults: Vec<&Fault> = FAULTS.iter().filter(|fault| arguments.wants(fault.name)).collect();
    if !faults.is_empty() {
        table.extend(outages(&arguments, &faults));
    }
    if arguments.wants("switchover") {
        table.extend(switchovers(&arguments));
    }
    if arguments.wants("start") {
        table.extend(starts(&arguments));
    }
    if arguments.wants("idle") {
        table.extend(idle(&arguments));
    }
    figures::print("Real servers, three nodes on one machine", &table);
}

/// Faults take turns, so that what else happens on the machine hits them alike.
fn outages(arguments: &Arguments, faults: &[&Fault]) -> Vec<Figure> {
    let mut hive = Hive::with(3, arguments.tune()).expect("a Redis server");
    let mut table: Vec<[Figure; 4]> = faults.iter().map(|fault| rows(fault)).collect();
    for number in 1..=arguments.rounds {
        for (fault, figures) in faults.iter().zip(&mut table) {
            let round = outage::round(&mut hive, fault, number);
            let others = round.others.as_secs_f64() * 1e3;
            let own = round.own.map(|own| own.as_secs_f64() * 1e3);
            let shown = own.map_or(String::new(), |own| format!(", its own {own:.1} ms"));
            let name = fault.name;
            eprintln!(
                "{number:3} {name:16} others {others:.1} ms{shown}, errors {}, lost {}",
                round.errors, round.lost
            );
            figures[0].add(others);
            own.into_iter().for_each(|own| figures[1].add(own));
            figures[2].add(round.errors as f64);
            figures[3].add(round.lost as f64);
            let slow = (round.errors > 0 && !fault.moves_the_master())
                || (round.lost > 0 && fault.hands_over())
                || fault.others.exceeded_by(others)
                || fault.own.zip(own).is_some_and(|(budget, own)| budget.exceeded_by(own));
            if slow {
                keep(arguments, &format!("{name}-{number}.log"), &round.story.tell());
            }
        }
    }
    let measured = |figure: &Figure| !figure.is_empty();
    table.into_iter().flatten().filter(measured).collect()
}

/// The two ways to reconnect take turns.
fn switchovers(arguments: &Arguments) -> Vec<Figure> {
    let mut hive = Hive::with(3, arguments.plain()).expect("a Redis server");
    let mut table = planned::Table::new();
    for number in 1..=arguments.rounds {
        for (way, (called, reconnect)) in planned::WAYS.into_iter().enumerate() {
            let round = planned::round(&mut hive, number, reconnect);
            eprintln!(
                "{number:3} switchover       {called}: worst {:.1} ms, nobody {:.1} ms, before {:.1} \
                 ms, asked {:.1} ms, errors {}, lost {}, copies {}, \"{}\"",
                round.worst,
                round.whole,
                round.usual,
                round.asked,
                round.errors,
                round.lost,
                round.copies,
                round.text
            );
            if table.add(way, &round) {
                keep(arguments, &format!("switchover-{number}-{way}.log"), &round.story.tell());
            }
        }
    }
    table.figures()
}

fn rows(fault: &Fault) -> [Figure; 4] {
    let what = fault.what;
    let own = Figure::new(format!("{what}: outage, its own clients reconnecting"), "ms", 1);
    let errors = Figure::new(format!("{what}: errors seen through another node"), "", 0);
    let errors = if fault.moves_the_master() { errors } else { errors.within(Budget::worst(0.0)) };
    let lost = Figure::new(format!("{what}: acknowledged writes lost"), "", 0);
    let lost = if fault.hands_over() { lost.within(Budget::worst(0.0)) } else { lost };
    [
        Figure::new(format!("{what}: outage through another node"), "ms", 1).within(fault.others),
        match fault.own {
            Some(budget) => own.within(budget),
            None => own,
        },
        errors,
        lost,
    ]
}

fn keep(arguments: &Arguments, name: &str, story: &str) {
    let path = arguments.out.join(name);
    let kept = std::fs::create_dir_all(&arguments.out).and_then(|()| std::fs::write(&path, story));
    match kept {
        Ok(()) => eprintln!("    over its budget, logs in {}", path.display()),
        Err(error) => eprintln!("    {}: {error}", path.display()),
    }
}

fn starts(arguments: &Arguments) -> [Figure; 2] {
    let mut table = [
        Figure::new("three empty nodes started: first write", "ms", 0)
            .within(Budget::worst(1500.0)),
        Figure::new("three empty nodes started: a write through every proxy", "ms", 0),
    ];
    for number in 1..=arguments.rounds {
        let (first, all) = quiet::start(&arguments.tune());
        eprintln!("{number:3} start            first {first:?}, every proxy {all:?}");
        table[0].add(first.as_secs_f64() * 1e3);
        table[1].add(all.as_secs_f64() * 1e3);
    }
    table
}

fn idle(arguments: &Arguments) -> [Figure; 3] {
    let mut hive = Hive::with(3, arguments.tune()).expect("a Redis server");
    let mut table = [
        Figure::new("idle: CPU of one sidecar", "%", 3).within(Budget::median(0.5)),
        Figure::new("idle: the same by utime + stime", "%", 2).within(Budget::median(0.5)),
        Figure::new("idle: VmRSS of one sidecar", "MiB", 2).within(Budget::worst(10.0)),
    ];
    // Three sidecars at a time.
    for number in 1..=arguments.rounds.div_ceil(3) {
        for sample in quiet::idle(&mut hive) {
            eprintln!(
                "{number:3} idle             {:.3} % ({:.2} %), {:.2} MiB",
                sample.scheduled, sample.ticks, sample.resident
            );
            table[0].add(sample.scheduled);
            table[1].add(sample.ticks);
            table[2].add(sample.resident);
        }
    }
    table
}
