//! `redis-hive dev`: a whole hive on this machine, to look at, to break and to test against.

pub mod dns;
pub mod http;
pub mod nodes;
pub mod process;

use std::ffi::OsString;
use std::process::ExitCode;

/// What `dev` takes.
#[derive(clap::Args, Clone, Debug)]
pub struct DevArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
    /// First of the two ports on 127.0.0.1 for clients: write endpoint, read endpoint
    #[arg(long, default_value_t = 7000, value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=65534))]
    pub base_port: u16,
    /// Becomes the command after `--`, which dies with this process: how nodes are started
    #[arg(long, hide = true, value_name = "PID")]
    pub guard: Option<u32>,
    /// The guarded command
    #[arg(last = true, hide = true)]
    pub command: Vec<OsString>,
}

/// Runs `dev` until it is told to stop; its exit code as in `redis-hive --help`.
#[must_use]
pub fn run(args: &DevArgs) -> ExitCode {
    if let Some(parent) = args.guard {
        let error = process::guard(parent, &args.command);
        eprintln!("redis-hive: {}: {error}", show(&args.command));
        return ExitCode::FAILURE;
    }
    ExitCode::FAILURE
}

fn show(command: &[OsString]) -> String {
    command.first().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default()
}
