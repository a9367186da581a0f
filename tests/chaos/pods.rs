//! The processes of a pod, started in its namespace.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis_hive::cli::dev::launch::{BOOT_FENCE, REDIS_PORT};
use redis_hive::cli::dev::nodes::LocalHive;
use redis_hive::cli::dev::process::Process;

use super::hive::{Node, Setting};
use super::lab;

/// Connects; nothing on it takes longer than `wait`.
pub fn connect(addr: SocketAddr, wait: Duration) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(format!("redis://{addr}/"))?;
    let connection = client.get_connection_with_timeout(wait)?;
    connection.set_read_timeout(Some(wait))?;
    connection.set_write_timeout(Some(wait))?;
    Ok(connection)
}

/// Starts a pod's Redis: empty.
pub fn start_redis(setting: &Setting, node: &Node) -> io::Result<Process> {
    let data = node.dir.join("redis");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data)?;
    let mut args: Vec<OsString> = Vec::new();
    let mut push = |key: &str, value: &str| args.extend([key.into(), value.into()]);
    push("--port", &REDIS_PORT.to_string());
    push("--bind", "0.0.0.0");
    // Clients ask for it to know which server executed their command.
    push("--replica-announce-ip", &lab::ip(node.host).to_string());
    push("--protected-mode", "no");
    push("--dir", &data.to_string_lossy());
    if node.fenced {
        args.extend(BOOT_FENCE.iter().map(OsString::from));
    } else {
        // All but the replicaof and the stale data that go with it.
        args.extend(BOOT_FENCE.iter().skip(5).map(OsString::from));
    }
    launch(node.host, &setting.server, args, node.dir.join("redis.log"))
}

/// Starts a pod's sidecar.
pub fn start_hive(setting: &Setting, node: &Node, dns: SocketAddr) -> io::Result<Process> {
    let mut args: Vec<OsString> = vec!["run".into()];
    let mut push = |key: &str, value: &str| args.extend([key.into(), value.into()]);
    push("--service", LocalHive::SERVICE);
    push("--dns-server", &dns.to_string());
    push("--advertise", &lab::ip(node.host).to_string());
    push("--bind", "0.0.0.0");
    push("--log-format", "text");
    if let Ok(level) = std::env::var("HIVE_CHAOS_LOG") {
        push("--log-level", &level);
    }
    args.extend(setting.hive_args.iter().chain(&node.hive_args).map(OsString::from));
    let exe = Path::new(env!("CARGO_BIN_EXE_redis-hive"));
    launch(node.host, exe, args, node.dir.join("hive.log"))
}

/// Starts a program in a node's namespace; it dies with this process.
pub fn launch(host: u8, program: &Path, args: Vec<OsString>, log: PathBuf) -> io::Result<Process> {
    let exe = Path::new(env!("CARGO_BIN_EXE_redis-hive"));
    Process::start(exe, Path::new("ip"), lab::inside(host, program, args), log)
}
