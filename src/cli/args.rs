//! The command line: what may be typed, and everything outside the flags that decides with them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::dev::DevArgs;
use super::examples;
use crate::config::{Flags, Outside};
use crate::redis::{Access, AccessSettings, TlsFiles, first_password};
use crate::secrets::{self, Secrets};

/// High availability for Redis: one small binary beside every server.
#[derive(Parser, Debug)]
#[command(name = "redis-hive", version, about, arg_required_else_help = true)]
#[command(after_help = examples::ALL)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// The sidecar
    #[command(after_help = examples::RUN)]
    Run(Box<Flags>),
    /// Check the setting that `run` would have: takes the same flags
    #[command(after_help = examples::CHECK)]
    Check(Box<CheckArgs>),
    /// What is wrong, who leads, who follows, how far behind
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Why the master is where it is: the last change, or that of an epoch, in sentences
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Move the master to another hive, without losing a write, and wait for the result
    #[command(after_help = examples::SWITCHOVER)]
    Switchover(SwitchoverArgs),
    /// Maintenance: nothing fails over and nothing is handed over until `resume`, on all hives
    #[command(after_help = examples::PAUSE)]
    Pause(AskArgs),
    /// End the maintenance
    #[command(after_help = examples::RESUME)]
    Resume(AskArgs),
    /// A whole hive on this machine, to try it out
    #[command(after_help = examples::DEV)]
    Dev(DevArgs),
    /// What a shell needs to complete these commands, on standard output
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// The manual page of the program or of a command, on standard output
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

/// What `check` takes.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// What `run` takes.
    #[command(flatten)]
    pub flags: Flags,
    /// The findings as a list of JSON objects
    #[arg(long)]
    pub json: bool,
}

/// What `completions` takes.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// What `man` takes.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The command [default: the program]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// What `status` takes.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// The hive to ask
    #[arg(long, env = "HIVE_HTTP", hide_env_values = true, value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:6391")]
    pub http: String,
    /// The hive's answer as it came: docs/json.md
    #[arg(long)]
    pub json: bool,
    /// Ask again every second until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// What `explain` takes.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The epoch whose beginning is told [default: the last that brought another master]
    #[arg(value_name = "EPOCH")]
    pub epoch: Option<u64>,
    /// The hive to ask
    #[arg(long, env = "HIVE_HTTP", hide_env_values = true, value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:6391")]
    pub http: String,
}

/// What `switchover` takes.
#[derive(Args, Clone, Debug)]
pub struct SwitchoverArgs {
    /// The hive whose Redis becomes the master [default: the youngest that is fit]
    #[arg(long, value_name = "IP")]
    pub to: Option<IpAddr>,
    /// Whom to ask.
    #[command(flatten)]
    pub hive: AskArgs,
}

/// Which hive is asked.
#[derive(Args, Clone, Debug)]
pub struct AskArgs {
    /// The hive to ask: one of this pod, as others take this only with a secret
    #[arg(long, env = "HIVE_HTTP", hide_env_values = true, value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:6391")]
    pub http: String,
    /// File with the secret of the hives, as `run` takes it; or set HIVE_SECRET
    #[arg(long, env = "HIVE_SECRET_FILE", hide_env_values = true, value_name = "FILE")]
    pub secret_file: Option<String>,
}

/// Reads a command line and, for `run` and `check`, what is outside it.
///
/// # Errors
///
/// What clap has to say: an unknown flag, or the text of `--help` and `--version`.
pub fn parse<I>(args: I) -> Result<(Cli, Outside), clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let matches = Cli::command().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let outside = match (&cli.command, matches.subcommand()) {
        (Command::Run(flags), Some((_, given))) => outside(flags, given),
        (Command::Check(args), Some((_, given))) => outside(&args.flags, given),
        _ => Outside::default(),
    };
    Ok((cli, outside))
}

/// Gathers what [`crate::config::Config::from_flags`] needs besides the flags.
fn outside(flags: &Flags, given: &ArgMatches) -> Outside {
    let from_env: BTreeSet<String> = given
        .ids()
        .filter(|id| given.value_source(id.as_str()) == Some(ValueSource::EnvVariable))
        .map(|id| id.as_str().replace('_', "-"))
        .collect();
    let file = flags.redis_password_file.as_deref().filter(|path| !path.trim().is_empty());
    let secret_file = flags.secret_file.as_deref().map(str::trim).filter(|path| !path.is_empty());
    let rescue_dir = flags.rescue_dir.as_deref().map(str::trim).filter(|path| !path.is_empty());
    Outside {
        pod_ip: std::env::var("POD_IP").ok(),
        password: secrets::variable("HIVE_REDIS_PASSWORD"),
        password_file: file.map(|path| first_password(Path::new(path))),
        redis_tls: tls_problems(flags),
        secret: secrets::variable("HIVE_SECRET"),
        secret_file: secret_file.map(|path| Secrets::read(Path::new(path))),
        rescue_dir: rescue_dir.map(|path| writable(Path::new(path))),
        from_env,
        in_container: in_container(),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get()),
    }
}

/// What is wrong with the files of TLS to Redis, where it is asked for and they are named.
fn tls_problems(flags: &Flags) -> Vec<(&'static str, String)> {
    let path = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(PathBuf::from)
    };
    let off = ["false", "no", "off", "0"];
    let asked = path(&flags.redis_tls).filter(|it| !off.iter().any(|off| it.as_os_str() == *off));
    let (Some(_), Some(ca)) = (asked, path(&flags.redis_ca)) else { return Vec::new() };
    let files = TlsFiles {
        ca,
        pair: path(&flags.redis_cert).zip(path(&flags.redis_key)),
        server_name: flags.redis_tls_server_name.as_ref().map(|name| name.trim().to_owned()),
    };
    let settings = AccessSettings { tls: Some(files), ..AccessSettings::default() };
    let errors = Access::open(settings).err().unwrap_or_default();
    errors.into_iter().map(|error| (error.flag, error.problem)).collect()
}

/// Whether files can be made in this directory: one is, and it is removed again.
fn writable(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    let meta = std::fs::metadata(dir).map_err(|e| format!("cannot find {shown}: {e}"))?;
    if !meta.is_dir() {
        return Err(format!("{shown} is no directory"));
    }
    let trial = dir.join(format!(".redis-hive-trial-{}", std::process::id()));
    // A process of the same number may have died in between: in a container all have the same.
    let _ = std::fs::remove_file(&trial);
    std::fs::File::create_new(&trial).map_err(|e| format!("cannot write to {shown}: {e}"))?;
    std::fs::remove_file(&trial).map_err(|e| format!("cannot delete in {shown}: {e}"))
}

fn in_container() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
