//! Whole hives on real Redis servers in network namespaces, under load, while things break.
//!
//! Without arguments a fixed list of faults is worked through, each once, and one mix by a seed.
//! - `HIVE_CHAOS_MINUTES=60`: then the long ones and further mixes until the time is over.
//! - `HIVE_CHAOS_SEED=N`: the seed of the first mix; each further one takes the next number.
//! - `HIVE_CHAOS_ONLY=TEXT`: only the hives and steps whose names contain it.
//! - `HIVE_CHAOS_LOG=debug`: how much the sidecars write; `HIVE_DEV_KEEP=1` keeps their logs.
//! - `HIVE_TEST_REDIS_SERVER=/path/to/redis-server`: another server than the one in PATH.

mod crash;
mod freeze;
mod history;
mod hive;
mod lab;
mod load;
mod mix;
mod net;
mod plan;
mod planned;
mod pods;
mod quorum;
mod relay;
#[path = "../support/rng.rs"]
mod rng;
mod run;
mod watch;
mod wires;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use redis_hive::cli::dev::nodes::find_redis_server;

/// What the names of all our folders begin with.
const PREFIX: &str = "redis-hive-chaos-";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // This binary is also the relay that it puts beside a node, and each lane of itself.
        ["--relay", ms, ip] => relay::main(ms, ip),
        ["--lane", lane, seed, server] => match (lane.parse(), seed.parse()) {
            (Ok(lane), Ok(seed)) => run_lane(lane, seed, Path::new(server)),
            _ => ExitCode::FAILURE,
        },
        // Runners of tests ask first what there is.
        _ if args.contains(&"--list") => {
            println!("chaos: test");
            ExitCode::SUCCESS
        }
        _ => run_all(),
    }
}

/// Runs all lanes at once and adds up what they say.
fn run_all() -> ExitCode {
    let server = std::env::var_os("HIVE_TEST_REDIS_SERVER").map(PathBuf::from);
    let ready = server.map_or_else(find_redis_server, Ok).and_then(|s| lab::way().map(|_| s));
    let server = match ready {
        Ok(server) => server,
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            eprintln!("chaos cannot run: {why}");
            return ExitCode::FAILURE;
        }
        Err(why) => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
            return ExitCode::SUCCESS;
        }
    };
    let given = std::env::var("HIVE_CHAOS_SEED").ok().and_then(|v| v.parse::<u64>().ok());
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = given.unwrap_or_else(|| clock().map_or(1, |t| t.as_millis() as u64 % 1_000_000));
    println!("chaos against {}, seed {seed}: HIVE_CHAOS_SEED={seed} repeats it", server.display());
    let lanes: Vec<_> = (0..plan::LANES)
        .map(|lane| {
            let server = server.clone();
            std::thread::spawn(move || follow(lane, seed, &server))
        })
        .collect();
    let (mut passed, mut failed) = (0, 0);
    for lane in lanes {
        // A lane that says nothing at its end has failed.
        let score = lane.join().ok().and_then(Result::ok).flatten().unwrap_or((0, 1));
        passed += score.0;
        failed += score.1;
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; seed {seed}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one lane, prints what it says, and returns its score.
fn follow(lane: u64, seed: u64, server: &Path) -> std::io::Result<Option<(u32, u32)>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--lane", &lane.to_string(), &seed.to_string()]).arg(server);
    // The end of its input tells it that this process is gone.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut score = None;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line?;
        match line.strip_prefix("score ").and_then(|rest| rest.split_once(' ')) {
            Some((passed, failed)) => score = passed.parse().ok().zip(failed.parse().ok()),
            None => println!("{lane}| {line}"),
        }
    }
    child.wait()?;
    // What was mounted there is gone with it.
    let _ = std::fs::remove_dir(std::env::temp_dir().join(format!("{PREFIX}{}", child.id())));
    Ok(score)
}

/// One lane, in its namespaces.
fn run_lane(lane: u64, seed: u64, server: &Path) -> ExitCode {
    if let Err(why) = lab::enter() {
        eprintln!("chaos cannot run: {why}");
        return ExitCode::FAILURE;
    }
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let dir = match files() {
        Ok(dir) => dir,
        Err(e) => {
            eprintln!("chaos cannot write its files: {e}");
            return ExitCode::FAILURE;
        }
    };
    let score = plan::run(server, &dir, lane, seed);
    if score.failed > 0 || std::env::var_os("HIVE_DEV_KEEP").is_some() {
        match keep(&dir) {
            Ok(kept) => println!("the logs of all nodes are kept in {}", kept.display()),
            Err(e) => println!("the logs of all nodes cannot be kept: {e}"),
        }
    }
    println!("score {} {}", score.passed, score.failed);
    ExitCode::SUCCESS
}

/// A folder for the files of this run, in memory and gone with this process; it is named after it,
/// and the empty ones that earlier runs left are removed.
fn files() -> std::io::Result<PathBuf> {
    let all = std::env::temp_dir();
    for entry in std::fs::read_dir(&all)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            // Only an empty one can be removed so; one that holds logs stays.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
    let dir = all.join(format!("{PREFIX}{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    lab::in_memory(&dir)?;
    Ok(dir)
}

/// Copies all logs to where they outlive this process.
fn keep(dir: &Path) -> std::io::Result<PathBuf> {
    let kept = std::env::temp_dir().join(format!("{PREFIX}{}-logs", std::process::id()));
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "log") {
                let to = kept.join(path.strip_prefix(dir).unwrap_or(&path));
                to.parent().map(std::fs::create_dir_all).transpose()?;
                std::fs::copy(&path, to)?;
            }
        }
    }
    Ok(kept)
}
