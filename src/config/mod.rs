//! Flags -> validated settings. Pure: nothing is opened here, and all errors are told at once.
//!
//! What lies outside the flags (environment, files, the machine) is gathered by the command line
//! into [`Outside`] and handed in.

mod advertise;
mod flags;
mod read;
mod relations;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use secrecy::SecretString;

use crate::election::NodeId;

pub use advertise::{advertised, default_route_address};
pub use flags::{Flags, defaults};
pub use read::{ConfigError, parse_duration, show_duration};

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
    /// Port of probes and status.
    pub http_port: u16,
    /// The local Redis.
    pub redis: SocketAddr,
    /// ACL user of Redis.
    pub redis_username: Option<String>,
    /// Password of Redis; never printed.
    pub redis_password: Option<SecretString>,
    /// `--name`. `None`: the first service as an absolute name, else [`defaults::NAME`].
    pub name: Option<String>,
    /// The spans of time.
    pub timing: Timing,
    /// Between equal copies the lower wins.
    pub priority: u32,
    /// Threads of the proxy, at least one.
    pub proxy_threads: usize,
    /// Clients served at the same time, at least one.
    pub max_clients: usize,
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
    /// `HIVE_REDIS_PASSWORD`
    pub password: Option<SecretString>,
    /// What reading `--redis-password-file` gave: its first line, or why it could not be read.
    pub password_file: Option<Result<SecretString, String>>,
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

const HOUR: Duration = Duration::from_secs(3600);

impl Config {
    /// Judges flags and surroundings.
    ///
    /// # Errors
    ///
    /// Every error there is, each naming its flag and how to mend it.
    pub fn from_flags(flags: &Flags, outside: &Outside) -> Result<Checked, ConfigErrors> {
        let mut read =
            Reader { from_env: &outside.from_env, errors: Vec::new(), warnings: Vec::new() };
        let timing = timing(&mut read, flags);
        let peer_port = read.port("--peer-port", &flags.peer_port, defaults::PEER_PORT);
        let redis = redis_address(&mut read, flags);
        let config = Config {
            services: services(&mut read, flags),
            peers: peers(&mut read, flags, peer_port),
            advertise: advertise_given(&mut read, flags, outside),
            bind: bind(&mut read, flags),
            peer_port,
            proxy_port: read.port("--proxy-port", &flags.proxy_port, defaults::PROXY_PORT),
            http_port: read.port("--http-port", &flags.http_port, defaults::HTTP_PORT),
            redis,
            redis_username: read
                .optional("--redis-username", flags.redis_username.as_ref())
                .map(str::to_owned),
            redis_password: password(&mut read, outside),
            name: name(&mut read, flags),
            timing,
            priority: read.number("--priority", &flags.priority, defaults::PRIORITY, 0..=1_000_000),
            proxy_threads: proxy_threads(&mut read, flags, outside),
            max_clients: read.number(
                "--max-clients",
                &flags.max_clients,
                defaults::MAX_CLIENTS,
                1..=1_000_000,
            ) as usize,
            log_format: log_format(&mut read, flags, outside),
            log_level: log_level(&mut read, flags),
            dns_server: read
                .optional("--dns-server", flags.dns_server.as_ref())
                .and_then(|text| read.socket("--dns-server", text, Some(53))),
        };
        relations::judge(&mut read, &config);
        let Reader { errors, warnings, .. } = read;
        if errors.is_empty() { Ok(Checked { config, warnings }) } else { Err(ConfigErrors(errors)) }
    }
}

fn services(read: &mut Reader<'_>, flags: &Flags) -> Vec<String> {
    let mut services = Vec::new();
    for given in flags.service.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let labels = given.strip_suffix('.').unwrap_or(given);
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if labels.len() > 253 || !labels.split('.').all(fits) {
            read.error(
                "--service",
                format!(
                    "'{given}' is no DNS name: give one such as redis-peers.shop.svc.cluster.local"
                ),
            );
        } else if !services.iter().any(|known: &String| known.eq_ignore_ascii_case(given)) {
            services.push(given.to_ascii_lowercase());
        }
    }
    services
}

fn peers(read: &mut Reader<'_>, flags: &Flags, peer_port: u16) -> Vec<NodeId> {
    let mut peers = Vec::new();
    for given in flags.peer.iter().map(|peer| peer.trim()).filter(|peer| !peer.is_empty()) {
        if let Some(addr) = read.socket("--peer", given, Some(peer_port)) {
            let peer = NodeId::new(addr.ip(), addr.port());
            if addr.ip().is_unspecified() || addr.ip().is_multicast() {
                read.error("--peer", format!("'{given}' is not the address of one hive"));
            } else if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
    }
    peers
}

fn advertise_given(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> Option<IpAddr> {
    if let Some(text) = read.optional("--advertise", flags.advertise.as_ref()) {
        let ip = read.ip("--advertise", text)?;
        if ip.is_unspecified() || ip.is_multicast() {
            read.error("--advertise", format!("{ip} is no address that peers could dial"));
        }
        return Some(ip);
    }
    let pod_ip = outside.pod_ip.as_deref().map(str::trim).filter(|ip| !ip.is_empty())?;
    match pod_ip.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_canonical()),
        Err(_) => {
            read.warnings.push(format!("POD_IP is '{pod_ip}', which is no IP address: ignored"));
            None
        }
    }
}

fn bind(read: &mut Reader<'_>, flags: &Flags) -> IpAddr {
    let text = read.optional("--bind", Some(&flags.bind)).unwrap_or(defaults::BIND);
    read.ip("--bind", text).unwrap_or(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED))
}

fn redis_address(read: &mut Reader<'_>, flags: &Flags) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 6379));
    let text = read.optional("--redis", Some(&flags.redis)).unwrap_or(defaults::REDIS);
    read.socket("--redis", text, Some(6379)).unwrap_or(fallback)
}

fn password(read: &mut Reader<'_>, outside: &Outside) -> Option<SecretString> {
    match (&outside.password_file, &outside.password) {
        (Some(Err(why)), _) => {
            read.error(
                "--redis-password-file",
                format!("{why}; mount the Secret there and let this user read it"),
            );
            None
        }
        (Some(Ok(_)), Some(_)) => {
            read.error(
                "--redis-password-file",
                "HIVE_REDIS_PASSWORD is set too: give the password in one place only",
            );
            None
        }
        (Some(Ok(password)), None) | (None, Some(password)) => Some(password.clone()),
        (None, None) => None,
    }
}

fn name(read: &mut Reader<'_>, flags: &Flags) -> Option<String> {
    let name = read.optional("--name", flags.name.as_ref())?;
    let fits = (1..=253).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
    if !fits {
        read.error("--name", "give 1 to 253 printable ASCII characters without blanks or quotes");
    }
    Some(name.to_owned())
}

fn proxy_threads(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> usize {
    let given = flags.proxy_threads.as_str();
    let threads = read.number("--proxy-threads", given, defaults::PROXY_THREADS, 1..=1024) as usize;
    if outside.cpus == 0 || threads <= outside.cpus {
        return threads;
    }
    if given != defaults::PROXY_THREADS {
        read.warnings.push(format!(
            "--proxy-threads: {threads} is more than the {} CPUs available, which are used",
            outside.cpus
        ));
    }
    outside.cpus
}

fn log_format(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> LogFormat {
    match read.optional("--log-format", flags.log_format.as_ref()) {
        Some("json") => LogFormat::Json,
        Some("text") => LogFormat::Text,
        None if outside.in_container => LogFormat::Json,
        None => LogFormat::Text,
        Some(other) => {
            read.error("--log-format", format!("'{other}' is unknown: give json or text"));
            LogFormat::Text
        }
    }
}

fn log_level(read: &mut Reader<'_>, flags: &Flags) -> tracing::Level {
    let text = read.optional("--log-level", Some(&flags.log_level)).unwrap_or(defaults::LOG_LEVEL);
    match text {
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "info" => tracing::Level::INFO,
        "debug" => tracing::Level::DEBUG,
        "trace" => tracing::Level::TRACE,
        other => {
            read.error(
                "--log-level",
                format!("'{other}' is unknown: give error, warn, info, debug or trace"),
            );
            tracing::Level::INFO
        }
    }
}

fn timing(read: &mut Reader<'_>, flags: &Flags) -> Timing {
    use defaults as d;
    let ms = Duration::from_millis;
    Timing {
        heartbeat: read.duration("--heartbeat", &flags.heartbeat, d::HEARTBEAT, ms(10)..=HOUR),
        peer_timeout: read.duration(
            "--peer-timeout",
            &flags.peer_timeout,
            d::PEER_TIMEOUT,
            ms(20)..=HOUR,
        ),
        redis_timeout: read.duration(
            "--redis-timeout",
            &flags.redis_timeout,
            d::REDIS_TIMEOUT,
            ms(100)..=HOUR,
        ),
        election_timeout: read.duration(
            "--election-timeout",
            &flags.election_timeout,
            d::ELECTION_TIMEOUT,
            ms(10)..=HOUR,
        ),
        bootstrap_timeout: read.duration(
            "--bootstrap-timeout",
            &flags.bootstrap_timeout,
            d::BOOTSTRAP_TIMEOUT,
            ms(20)..=HOUR,
        ),
        hold_timeout: read.duration(
            "--hold-timeout",
            &flags.hold_timeout,
            d::HOLD_TIMEOUT,
            ms(0)..=HOUR,
        ),
        drain_timeout: read.duration(
            "--drain-timeout",
            &flags.drain_timeout,
            d::DRAIN_TIMEOUT,
            ms(0)..=HOUR,
        ),
    }
}
