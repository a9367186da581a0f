//! What the data plane costs beside other TCP proxies: Redis without any, HAProxy, nginx, Envoy and
//! the hive take turns under the same loads. `benches/README.md` says how to run it and how to read
//! it; `benches/proxy/run` is what starts it.

#[path = "../support/figures.rs"]
#[allow(dead_code)]
mod figures;
mod load;
mod meter;
mod peers;
mod report;
mod rows;
mod systems;
mod talk;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use peers::PEERS;
use report::{Report, Sample};
use rows::{LEASE, ROWS, Row, Scale};
use systems::{DIRECT, HIVE, LEASED, Setup, System};

/// A load of a quick run, in milliseconds, and its rounds and idle connections.
const QUICK: (u64, usize, usize) = (200, 2, 2000);

/// Measures proxies in front of one Redis.
#[derive(Parser)]
struct Arguments {
    /// How often each row is measured at each system
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Only these: latency, many, pipeline, bulk, connect, pubsub, fair, idle, unread, calls, lease
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these: direct, haproxy-2.8, haproxy-2.6, nginx, envoy, hive
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Threads of each proxy; several numbers are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// How long a load lasts, in milliseconds
    #[arg(long, default_value_t = 800)]
    span: u64,
    /// Idle connections
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// A short look: 2 rounds, short loads, few idle connections
    #[arg(long)]
    quick: bool,
    /// One more argument for every sidecar, for example --hive-arg=--splice=off
    #[arg(long, allow_hyphen_values = true)]
    hive_arg: Vec<String>,
    /// One more hive with a Redis of its own, at another binary or with more arguments
    #[arg(long, value_name = "NAME=[BINARY][,ARGUMENT...]")]
    also: Vec<String>,
    /// Where the samples and the tables of system calls go
    #[arg(long, default_value = "target/bench-proxy")]
    out: PathBuf,
    /// The Python environment with the packaged peers
    #[arg(long, default_value = "target/bench-proxy-venv")]
    venv: PathBuf,
}

impl Arguments {
    fn read() -> Result<Arguments, String> {
        let command = std::iter::once("proxy".to_owned()).chain(figures::arguments());
        let mut arguments = Arguments::parse_from(command);
        if arguments.quick {
            (arguments.span, arguments.rounds, arguments.idle) = QUICK;
        }
        let rows: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        let peers = PEERS.iter().map(|peer| peer.name);
        let systems: Vec<&str> = peers.chain([DIRECT, HIVE]).collect();
        known("--rows", &arguments.rows, &rows)?;
        known("--peers", &arguments.peers, &systems)?;
        if arguments.also.iter().any(|also| !also.contains('=')) {
            return Err("--also: NAME=[BINARY][,ARGUMENT...]".to_owned());
        }
        Ok(arguments)
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|only| only == row)
    }

    /// `--also` and the hive with a lease are compared whenever they are there.
    fn compares(&self, system: &str) -> bool {
        let choice =
            PEERS.iter().any(|peer| peer.name == system) || [DIRECT, HIVE].contains(&system);
        self.peers.is_empty() || !choice || self.peers.iter().any(|only| only == system)
    }

    fn setup(&self, threads: usize, descriptors: u64) -> Setup {
        let hive = std::env::var_os("HIVE_BIN").map(PathBuf::from);
        Setup {
            hive: hive.unwrap_or_else(|| env!("CARGO_BIN_EXE_redis-hive").into()),
            hive_args: self.hive_arg.clone(),
            venv: self.venv.clone(),
            threads,
            idle: self.idle.min(Setup::most_idle(descriptors)),
            descriptors,
        }
    }
}

fn known(flag: &str, given: &[String], known: &[&str]) -> Result<(), String> {
    match given.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{flag} {unknown}: there are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn main() {
    let arguments = Arguments::read().unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(64);
    });
    let descriptors = descriptors(arguments.idle);
    if Setup::most_idle(descriptors) < arguments.idle {
        let most = Setup::most_idle(descriptors);
        println!("- only {most} idle connections: a process may open {descriptors} descriptors");
    }
    let mut failures = Vec::new();
    for threads in &arguments.threads {
        let setup = arguments.setup(*threads, descriptors);
        match measure(&arguments, &setup, &mut failures) {
            Ok(report) => println!("{}\n{}", report.text(), report.markdown()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    std::process::exit(i32::from(!failures.is_empty()));
}

/// Raises the limit of descriptors to what so many idle connections take, or as far as it goes.
fn descriptors(idle: usize) -> u64 {
    let needed = 2 * idle as u64 + 1000;
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(needed), maximum: Some(needed.max(hard)) };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return needed;
    }
    let limit = needed.min(hard);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(hard) });
    limit
}

/// Starts what is compared: the hive first, whose Redis is behind the others as well.
fn start(arguments: &Arguments, setup: &Setup) -> io::Result<Vec<System>> {
    let hive = System::hive(HIVE, &[], setup)?;
    let mut systems = vec![System::direct(&hive)];
    let room = std::env::temp_dir();
    for peer in PEERS.iter().filter(|peer| arguments.compares(peer.name)) {
        systems.push(System::peer(peer, &hive, &room, setup)?);
        println!("- {}: {}", peer.name, peer.version(&setup.venv)?);
    }
    systems.push(hive);
    for (name, command) in arguments.also.iter().filter_map(|also| also.split_once('=')) {
        let words: Vec<String> = command.split(',').map(str::to_owned).collect();
        systems.push(System::hive(name, &words, setup)?);
    }
    Ok(systems)
}

/// All rounds: in each, every row once at every system, which take turns in being the first.
fn measure(arguments: &Arguments, setup: &Setup, failures: &mut Vec<String>) -> io::Result<Report> {
    let mut systems = start(arguments, setup)?;
    let mut report = Report { threads: setup.threads, ..Report::default() };
    let names = systems.iter().map(|system| system.name.clone());
    report.systems = names.filter(|name| arguments.compares(name)).collect();
    let scale = Scale {
        span: Duration::from_millis(arguments.span),
        idle: setup.idle,
        out: arguments.out.join(format!("threads-{}", setup.threads)),
    };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| arguments.wants(row.name)).collect();
    for round in 0..arguments.rounds {
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| round < row.rounds) {
            // It is there only while it is measured.
            let leased = row.name == LEASE;
            if leased {
                systems.push(System::hive(LEASED, &[], setup)?);
            }
            let turns = systems.len();
            for turn in 0..turns {
                let system = &mut systems[(turn + round + index) % turns];
                if arguments.compares(&system.name) && (row.fits)(system) {
                    visit(round, row, &scale, system, &mut report, failures);
                }
            }
            systems.truncate(turns - usize::from(leased));
        }
        keep(arguments, &report);
    }
    if arguments.wants(LEASE) {
        report.systems.push(LEASED.to_owned());
    }
    Ok(report)
}

/// One row at one system. If it fails, the proxy is started anew: what is broken must not spoil
/// the rows that follow.
fn visit(
    round: usize,
    row: &Row,
    scale: &Scale,
    system: &mut System,
    report: &mut Report,
    failures: &mut Vec<String>,
) {
    let name = system.name.clone();
    let began = Instant::now();
    match (row.run)(scale, system) {
        Ok(findings) => {
            let seconds = began.elapsed().as_secs_f64();
            let values = findings.iter().map(|finding| format!(" {:.1}", finding.value));
            eprintln!(
                "{:3} {:9} {name:12} {seconds:5.1} s:{}",
                round + 1,
                row.name,
                values.collect::<String>()
            );
            let sample = |finding| Sample { round, system: name.clone(), finding };
            report.samples.extend(findings.into_iter().map(sample));
        }
        Err(error) => {
            let mut failure = format!("{} of {name} in round {}: {error}", row.name, round + 1);
            if let Err(error) = system.restart() {
                failure.push_str(&format!("; and then: {error}"));
            }
            eprintln!("FAILED: {failure}\n{}", system.log());
            failures.push(failure);
        }
    }
}

/// What there is so far, so that a run that is ended early was not for nothing.
fn keep(arguments: &Arguments, report: &Report) {
    let path = arguments.out.join(format!("threads-{}.json", report.threads));
    let written = std::fs::create_dir_all(&arguments.out)
        .and_then(|()| std::fs::write(&path, report.json().to_string()));
    if let Err(error) = written {
        eprintln!("{}: {error}", path.display());
    }
}
