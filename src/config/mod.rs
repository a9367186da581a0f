//! Flags -> validated settings. Pure: nothing is opened here, and all errors are told at once.
//!
//! What lies outside the flags (environment, files, the machine) is gathered by the command line
//! into [`Outside`] and handed in.

mod advertise;
mod flags;
mod read;
mod relations;
mod tls;
mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::election::NodeId;
use crate::secrets::{SecretSource, Secrets, SecretsError};

pub use advertise::{advertised, default_route_address};
pub use flags::{Flags, defaults};
pub use read::{ConfigError, parse_duration, parse_size, show_duration};

use read::Reader;

/// The settings of a sidecar: every value is in range and fits the others.
#[derive(Clone, Debug)]
pub struct Config {
    /// Headless Services as given: may be short names, see [`crate::discovery::absolute_name`].
    pub services: Vec<String>,
    /// Fixed peers.
    pub peers: Vec<NodeId>,
    /// `--advertise`, else `POD_IP`. `None`: ask [`advertised`] when DNS has answered.
    pub advertise: Option<IpAddr>,
    /// Address of the listeners; `::` means dual stack, else 0.0.0.0 where there is no IPv6.
    pub bind: IpAddr,
    /// Port of the peer protocol.
    pub peer_port: u16,
    /// Port of the write endpoint.
    pub proxy_port: u16,
    /// Port of the read endpoint; `None`: there is none.
    pub read_port: Option<u16>,
    /// Port of probes and status.
    pub http_port: u16,
    /// The local Redis.
    pub redis: SocketAddr,
    /// The memory that the local Redis can have, in bytes; 0: what it says of its machine.
    pub redis_memory_limit: u64,
    /// ACL user of Redis.
    pub redis_username: Option<String>,
    /// Password of Redis; never printed.
    pub redis_password: Option<SecretString>,
    /// Where it is read again; `None`: it does not change.
    pub redis_password_file: Option<PathBuf>,
    /// TLS to Redis; `None`: plain text.
    pub redis_tls: Option<RedisTls>,
    /// What peers and HTTP clients prove; empty: nothing.
    pub secrets: SecretSource,
    /// `--name`. `None`: the first service as an absolute name, else [`defaults::NAME`].
    pub name: Option<String>,
    /// The spans of time.
    pub timing: Timing,
    /// Between equal copies the lower wins.
    pub priority: u32,
    /// Hives that must follow, this one included, for it to lead; 1: none.
    pub quorum: u32,
    /// Followers that must be current for the master to take writes; 0: none.
    pub min_replicas: u32,
    /// Where diverged copies are saved before they are overwritten; `None`: nowhere.
    pub rescue: Option<Rescue>,
    /// Takes part in elections without a Redis; what the `redis` fields say means nothing then.
    pub witness: bool,
    /// Threads of the proxy, at least one.
    pub proxy_threads: usize,
    /// Large values may move by `splice(2)`.
    pub splice: bool,
    /// Clients keep their connection through a change of master where nothing is lost by it.
    pub move_sessions: bool,
    /// Clients served at the same time, at least one.
    pub max_clients: usize,
    /// The port for clients of Redis Sentinel; `None`: there is none.
    pub sentinel: Option<Sentinel>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The least important lines that are written.
    pub log_level: tracing::Level,
    /// A DNS server instead of the system's.
    pub dns_server: Option<SocketAddr>,
}

/// The spans of time, in relation to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a hive speaks; at most half of `peer_timeout`.
    pub heartbeat: Duration,
    /// Silence after which a peer counts as gone.
    pub peer_timeout: Duration,
    /// How long a Redis may accept and not answer.
    pub redis_timeout: Duration,
    /// Longest wait for reachable peers' answers; below `peer_timeout`.
    pub election_timeout: Duration,
    /// How long an empty hive waits for silent peers; at least `peer_timeout`.
    pub bootstrap_timeout: Duration,
    /// Longest time a client is held.
    pub hold_timeout: Duration,
    /// Longest time a stopping hive keeps serving.
    pub drain_timeout: Duration,
    /// How long a stopping hive with the only copy waits for another one to begin.
    pub last_copy_timeout: Duration,
}

/// TLS to Redis. The files were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTls {
    /// Who is trusted.
    pub ca: PathBuf,
    /// The hive's own certificate and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// The name in the certificates of Redis; `None`: the address that is dialled.
    pub server_name: Option<String>,
}

/// Where diverged copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// A directory this process can write to.
    pub dir: PathBuf,
    /// The most bytes that all saved copies take together; the oldest are deleted first.
    pub max_bytes: u64,
}

/// What clients of Redis Sentinel find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// Where they ask, at each hive.
    pub port: u16,
    /// The master's name.
    pub name: String,
    /// What they are told.
    pub announce: Announce,
}

/// Which addresses clients of Redis Sentinel are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Those of the Redis servers.
    Master,
    /// Those of the hives' endpoints.
    Proxy,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is outside the flags and decides with them.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// `POD_IP`, set from the downward API.
    pub pod_ip: Option<String>,
    /// `HIVE_REDIS_PASSWORD`, or why it could not be read.
    pub password: Option<Result<SecretString, SecretsError>>,
    /// What reading `--redis-password-file` gave: its first line, or why it could not be read.
    pub password_file: Option<Result<SecretString, String>>,
    /// What is wrong with the files of TLS to Redis: the flag, and the problem.
    pub redis_tls: Vec<(&'static str, String)>,
    /// `HIVE_SECRET`, or why it could not be read.
    pub secret: Option<Result<SecretString, SecretsError>>,
    /// What reading `--secret-file` gave.
    pub secret_file: Option<Result<Secrets, SecretsError>>,
    /// Whether `--rescue-dir` can be written to, or why not.
    pub rescue_dir: Option<Result<(), String>>,
    /// Flags, without dashes in front, whose value came from the environment.
    pub from_env: BTreeSet<String>,
    /// Whether this runs in a container.
    pub in_container: bool,
    /// CPUs this process may use; 0 if unknown.
    pub cpus: usize,
}

/// Settings, and what is odd about them but no error.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The settings.
    pub config: Config,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// All that is wrong with the settings; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, error)| {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)
        })
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// The ports that are listened on, each with its flag.
    pub fn ports(&self) -> Vec<(&'static str, u16)> {
        let always = [
            ("--peer-port", self.peer_port),
            ("--proxy-port", self.proxy_port),
            ("--http-port", self.http_port),
        ];
        let read = self.read_port.map(|port| ("--read-port", port));
        let sentinel = self.sentinel.as_ref().map(|sentinel| ("--sentinel-port", sentinel.port));
        always.into_iter().chain(read).chain(sentinel).collect()
    }

    /// Whether others reach the peer port, and need no secret there.
    pub fn is_open(&self) -> bool {
        self.secrets.secrets.is_empty() && !self.bind.is_loopback()
    }

    /// Judges flags and surroundings.
    ///
    /// # Errors
    ///
    /// Every error there is, each naming its flag and how to mend it.
    pub fn from_flags(flags: &Flags, outside: &Outside) -> Result<Checked, ConfigErrors> {
        let mut read =
            Reader { from_env: &outside.from_env, errors: Vec::new(), warnings: Vec::new() };
        let timing = values::timing(&mut read, flags);
        let peer_port = read.port("--peer-port", &flags.peer_port, defaults::PEER_PORT);
        let redis = values::redis_address(&mut read, flags);
        let config = Config {
            services: values::services(&mut read, flags),
            peers: values::peers(&mut read, flags, peer_port),
            advertise: values::advertise_given(&mut read, flags, outside),
            bind: values::bind(&mut read, flags),
            peer_port,
            proxy_port: read.port("--proxy-port", &flags.proxy_port, defaults::PROXY_PORT),
            read_port: read.port_or_off("--read-port", &flags.read_port, defaults::READ_PORT),
            http_port: read.port("--http-port", &flags.http_port, defaults::HTTP_PORT),
            redis,
            redis_memory_limit: read.size(
                "--redis-memory-limit",
                &flags.redis_memory_limit,
                defaults::REDIS_MEMORY_LIMIT,
                0..=u64::MAX,
            ),
            redis_username: read
                .optional("--redis-username", flags.redis_username.as_ref())
                .map(str::to_owned),
            redis_password: values::password(&mut read, outside),
            redis_password_file: read
                .file("--redis-password-file", flags.redis_password_file.as_ref()),
            redis_tls: tls::redis_tls(&mut read, flags, outside),
            secrets: values::secrets(&mut read, flags, outside),
            name: values::name(&mut read, flags),
            timing,
            priority: read.number("--priority", &flags.priority, defaults::PRIORITY, 0..=1_000_000),
            quorum: read.number("--quorum", &flags.quorum, defaults::QUORUM, 1..=1001),
            min_replicas: read.number(
                "--min-replicas-to-write",
                &flags.min_replicas_to_write,
                defaults::MIN_REPLICAS_TO_WRITE,
                0..=1000,
            ),
            rescue: values::rescue(&mut read, flags, outside),
            witness: read.yes("--witness", flags.witness.as_ref()),
            proxy_threads: values::proxy_threads(&mut read, flags, outside),
            splice: read.either("--splice", &flags.splice, ["auto", "off"]),
            move_sessions: read.either("--move-sessions", &flags.move_sessions, ["on", "off"]),
            max_clients: read.number(
                "--max-clients",
                &flags.max_clients,
                defaults::MAX_CLIENTS,
                1..=1_000_000,
            ) as usize,
            sentinel: values::sentinel(&mut read, flags),
            log_format: values::log_format(&mut read, flags, outside),
            log_level: values::log_level(&mut read, flags),
            dns_server: read
                .optional("--dns-server", flags.dns_server.as_ref())
                .and_then(|text| read.socket("--dns-server", text, Some(53))),
        };
        relations::judge(&mut read, &config);
        let Reader { errors, warnings, .. } = read;
        if errors.is_empty() { Ok(Checked { config, warnings }) } else { Err(ConfigErrors(errors)) }
    }
}
