//! The commands.

pub mod args;
mod ask;
mod check;
pub mod dev;
mod examples;
mod explain;
mod fetch;
mod guard;
mod log;
mod paper;
mod progress;
mod run;
mod status;
mod text;

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

use crate::config::{Checked, Config, Flags, Outside};

use args::{Cli, Command};

/// It did not work.
pub const EXIT_FAILED: u8 = 1;
/// Bad usage: an unknown flag, or settings that cannot be.
pub const EXIT_USAGE: u8 = 64;
/// Something needed is unavailable.
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Runs one command line, its program name first, to its exit code.
pub fn main<I>(args: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let open = guard::close();
    match args::parse(args) {
        Ok((cli, outside)) => dispatch(cli, &outside, &open),
        Err(error) => {
            // A closed pipe is no reason to fail.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

/// `open` tells how this process could not be closed to others.
fn dispatch(cli: Cli, outside: &Outside, open: &[String]) -> ExitCode {
    if !matches!(cli.command, Command::Run(_)) {
        open.iter().for_each(|warning| complain(warning));
    }
    match cli.command {
        Command::Run(flags) => match settings(&flags, outside) {
            Ok(checked) => {
                let repeats = log::begin(&checked.config);
                for what in open.iter().chain(&checked.warnings) {
                    tracing::warn!(what, "the settings need care");
                }
                block_on(run::run(checked.config, repeats))
            }
            Err(code) => code,
        },
        Command::Check(args) => match settings(&args.flags, outside) {
            Ok(checked) => block_on(check::run(checked, args.json)),
            Err(code) => code,
        },
        Command::Status(args) => block_on(status::run(args)),
        Command::Explain(args) => block_on(explain::run(args)),
        Command::Switchover(args) => block_on(ask::switchover(args)),
        Command::Pause(args) => block_on(ask::pause(args)),
        Command::Resume(args) => block_on(ask::resume(args)),
        Command::Dev(args) => dev::run(&args),
        Command::Completions(args) => paper::completions(&args),
        Command::Man(args) => paper::man(&args),
    }
}

/// Judges the flags; prints all errors, one a line.
fn settings(flags: &Flags, outside: &Outside) -> Result<Checked, ExitCode> {
    Config::from_flags(flags, outside).map_err(|errors| {
        for error in &errors.0 {
            complain(&error.to_string());
        }
        ExitCode::from(EXIT_USAGE)
    })
}

/// One line to standard error.
fn complain(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "redis-hive: {line}");
}

/// One line to standard output.
fn say(line: &str) {
    // Nobody is left to tell when standard output is closed; the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a command on the control plane's one thread; an error is one line and exit code 1.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let outcome = runtime.block_on(command);
    // A name that is still being looked up must not keep the process.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(EXIT_FAILED)
    })
}
