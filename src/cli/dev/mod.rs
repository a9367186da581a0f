//! `redis-hive dev`: a whole hive on this machine, to look at, to break and to test against.

pub mod control;
pub mod dns;
pub mod http;
pub mod launch;
pub mod nodes;
pub mod process;
pub mod relay;
mod show;
pub mod view;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use launch::Options;
use nodes::LocalHive;
use relay::Endpoint;

/// It did not work.
const FAILED: u8 = 1;
/// Something needed is unavailable.
const UNAVAILABLE: u8 = 69;
/// How many networks are tried when addresses of the first are taken: 127.0.0, 127.0.1 and so on.
const NETWORKS: u8 = 20;

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
    /// One more argument for every sidecar, such as --hive-arg=--sentinel-port=26379; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub hive_arg: Vec<String>,
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
        eprintln!("redis-hive: {}: {error}", name(&args.command));
        return ExitCode::FAILURE;
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("redis-hive: {why}");
            ExitCode::from(code)
        }
    }
}

/// Everything that was started has ended when this returns: the hive is dropped here.
fn start(args: &DevArgs) -> Result<(), (u8, String)> {
    let unavailable = |why: String| (UNAVAILABLE, why);
    let exe = std::env::current_exe().map_err(|e| (FAILED, format!("cannot find myself: {e}")))?;
    let redis_server = launch::find_redis_server().map_err(unavailable)?;
    let port = args.base_port;
    let endpoint = |port: u16| {
        let why = |e| unavailable(format!("--base-port: port {port} of 127.0.0.1: {e}"));
        Endpoint::bind(port).map_err(why)
    };
    let (write, read) = (endpoint(port)?, endpoint(port.saturating_add(1))?);
    let mut options = Options::new(exe, redis_server);
    options.hive_args.clone_from(&args.hive_arg);
    let mut hive = prepare(&options, args.nodes).map_err(|e| unavailable(e.to_string()))?;
    for host in 1..=args.nodes {
        hive.start(host).map_err(|e| (FAILED, format!("node {host}: {e}")))?;
    }
    match show::show(&mut hive, write, read, port) {
        // Whoever read the output has gone: that is an end like any other.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err((FAILED, e.to_string())),
        _ => Ok(()),
    }
}

/// A hive on the first network that is free: 127.0.0, if nothing else listens there.
fn prepare(options: &Options, nodes: u8) -> io::Result<LocalHive> {
    let on = |third: u8| {
        let network = Some([127, 0, third]);
        (1..=nodes).try_for_each(|host| launch::free([127, 0, third, host].into()))?;
        LocalHive::new(Options { network, ..options.clone() })
    };
    on(0).or_else(|why| {
        let hive = (1..NETWORKS).find_map(|third| on(third).ok());
        if let Some(hive) = &hive {
            eprintln!("redis-hive: {why}; taking {} and on instead", hive.ip(1));
        }
        hive.ok_or(why)
    })
}

fn name(command: &[OsString]) -> String {
    command.first().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default()
}
