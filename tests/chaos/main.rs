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
mod rng;
mod run;
mod watch;
mod wires;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use redis_hive::cli::dev::nodes::find_redis_server;

/// What the names of all our folders begin with.
const PREFIX: &str = "redis-hive-chaos-";

fn main() -> ExitCode {
    // This binary is also the relay that it puts beside a node.
    if let [_, relay, ms, ip] = &std::env::args().collect::<Vec<_>>()[..]
        && relay == "--relay"
    {
        return relay::main(ms, ip);
    }
    // Runners of tests ask first what there is.
    if std::env::args().any(|a| a == "--list") {
        println!("chaos: test");
        return ExitCode::SUCCESS;
    }
    let server = std::env::var_os("HIVE_TEST_REDIS_SERVER").map(PathBuf::from);
    let ready = server.map_or_else(find_redis_server, Ok).and_then(|s| lab::enter().map(|()| s));
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
    let dir = match files() {
        Ok(dir) => dir,
        Err(e) => {
            eprintln!("chaos cannot write its files: {e}");
            return ExitCode::FAILURE;
        }
    };
    let score = plan::run(&server, &dir);
    if score.failed > 0 || std::env::var_os("HIVE_DEV_KEEP").is_some() {
        match keep(&dir) {
            Ok(kept) => println!("the logs of all nodes are kept in {}", kept.display()),
            Err(e) => println!("the logs of all nodes cannot be kept: {e}"),
        }
    }
    let verdict = if score.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {} passed; {} failed; seed {}",
        score.passed, score.failed, score.seed
    );
    if score.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
