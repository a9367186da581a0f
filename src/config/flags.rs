//! The flags of `run` and `check` as they are given: text, judged nowhere but in [`super::Config::from_flags`].
//!
//! Every value is a string here on purpose: clap would stop at the first value it cannot read,
//! and a person who mends a deployment wants to see all that is wrong at once.

use clap::Args;

/// Default values, as a person would write them.
pub mod defaults {
    /// `--bind`
    pub const BIND: &str = "::";
    /// `--peer-port`
    pub const PEER_PORT: &str = "6390";
    /// `--proxy-port`
    pub const PROXY_PORT: &str = "6380";
    /// `--read-port`
    pub const READ_PORT: &str = "6381";
    /// `--http-port`
    pub const HTTP_PORT: &str = "6391";
    /// `--redis`
    pub const REDIS: &str = "127.0.0.1:6379";
    /// `--redis-memory-limit`
    pub const REDIS_MEMORY_LIMIT: &str = "0";
    /// `--heartbeat`
    pub const HEARTBEAT: &str = "200ms";
    /// `--peer-timeout`
    pub const PEER_TIMEOUT: &str = "1s";
    /// `--redis-timeout`
    pub const REDIS_TIMEOUT: &str = "7s";
    /// `--election-timeout`
    pub const ELECTION_TIMEOUT: &str = "250ms";
    /// `--bootstrap-timeout`
    pub const BOOTSTRAP_TIMEOUT: &str = "10s";
    /// `--hold-timeout`
    pub const HOLD_TIMEOUT: &str = "10s";
    /// `--drain-timeout`
    pub const DRAIN_TIMEOUT: &str = "15s";
    /// `--last-copy-timeout`
    pub const LAST_COPY_TIMEOUT: &str = "60s";
    /// `--quorum`
    pub const QUORUM: &str = "1";
    /// `--min-replicas-to-write`
    pub const MIN_REPLICAS_TO_WRITE: &str = "0";
    /// `--rescue-max-bytes`
    pub const RESCUE_MAX_BYTES: &str = "1GiB";
    /// `--priority`
    pub const PRIORITY: &str = "100";
    /// `--proxy-threads`
    pub const PROXY_THREADS: &str = "2";
    /// `--splice`
    pub const SPLICE: &str = "auto";
    /// `--move-sessions`
    pub const MOVE_SESSIONS: &str = "on";
    /// `--max-clients`
    pub const MAX_CLIENTS: &str = "10000";
    /// `--sentinel-port`
    pub const SENTINEL_PORT: &str = "0";
    /// `--sentinel-name`
    pub const SENTINEL_NAME: &str = "mymaster";
    /// `--sentinel-announce`
    pub const SENTINEL_ANNOUNCE: &str = "proxy";
    /// `--log-level`
    pub const LOG_LEVEL: &str = "info";
    /// The hive's name where neither `--name` nor `--service` is given.
    pub const NAME: &str = "redis-hive";
}

/// The settings of the sidecar. Each flag is also an environment variable: `HIVE_` and the flag in
/// upper case, `_` for `-`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// DNS name of the headless Service that lists the hives; may be repeated
    #[arg(long, env = "HIVE_SERVICE", hide_env_values = true, value_name = "NAME")]
    #[arg(value_delimiter = ',')]
    pub service: Vec<String>,

    /// A fixed peer, beside or instead of --service; may be repeated
    #[arg(long, env = "HIVE_PEER", hide_env_values = true, value_name = "IP[:PORT]")]
    #[arg(value_delimiter = ',')]
    pub peer: Vec<String>,

    /// This hive's address towards its peers [default: POD_IP, else the local address that DNS
    /// lists, else that of the default route]
    #[arg(long, env = "HIVE_ADVERTISE", hide_env_values = true, value_name = "IP")]
    pub advertise: Option<String>,

    /// Address of all listeners; `::` is dual stack and falls back to 0.0.0.0
    #[arg(long, env = "HIVE_BIND", hide_env_values = true, value_name = "IP")]
    #[arg(default_value = defaults::BIND)]
    pub bind: String,

    /// Port of the peer protocol
    #[arg(long, env = "HIVE_PEER_PORT", hide_env_values = true, value_name = "PORT")]
    #[arg(default_value = defaults::PEER_PORT)]
    pub peer_port: String,

    /// Port of the write endpoint: always the current master
    #[arg(long, env = "HIVE_PROXY_PORT", hide_env_values = true, value_name = "PORT")]
    #[arg(default_value = defaults::PROXY_PORT)]
    pub proxy_port: String,

    /// Port of the read endpoint: the local Redis while its copy is current, else the master;
    /// 0 = off
    #[arg(long, env = "HIVE_READ_PORT", hide_env_values = true, value_name = "PORT")]
    #[arg(default_value = defaults::READ_PORT)]
    pub read_port: String,

    /// Port of probes and status
    #[arg(long, env = "HIVE_HTTP_PORT", hide_env_values = true, value_name = "PORT")]
    #[arg(default_value = defaults::HTTP_PORT)]
    pub http_port: String,

    /// The local Redis; replicas are pointed at its port
    #[arg(long, env = "HIVE_REDIS", hide_env_values = true, value_name = "IP:PORT")]
    #[arg(default_value = defaults::REDIS)]
    pub redis: String,

    /// The memory that the local Redis can have, such as 1073741824 or 1GiB: the limit of its container,
    /// which Redis does not know. Nothing but the complaint about short memory depends on it. 0: what
    /// Redis says of its machine
    #[arg(long, env = "HIVE_REDIS_MEMORY_LIMIT", hide_env_values = true, value_name = "SIZE")]
    #[arg(default_value = defaults::REDIS_MEMORY_LIMIT)]
    pub redis_memory_limit: String,

    /// ACL user for control and replication
    #[arg(long, env = "HIVE_REDIS_USERNAME", hide_env_values = true, value_name = "USER")]
    pub redis_username: Option<String>,

    /// File with the password; or set HIVE_REDIS_PASSWORD. A password is never an argument. Of several
    /// lines the first is used, the others where it is refused. Changes are noticed while the hive runs
    #[arg(long, env = "HIVE_REDIS_PASSWORD_FILE", hide_env_values = true, value_name = "FILE")]
    pub redis_password_file: Option<String>,

    /// Talk TLS to all Redis servers: their port is their tls-port, and they replicate over it
    #[arg(long, env = "HIVE_REDIS_TLS", hide_env_values = true, value_name = "true|false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub redis_tls: Option<String>,

    /// PEM file with the CA that signed the certificates of Redis; several while they change. This and
    /// the next two files are read again while the hive runs
    #[arg(long, env = "HIVE_REDIS_CA", hide_env_values = true, value_name = "FILE")]
    pub redis_ca: Option<String>,

    /// PEM file with the certificate that the hive shows to Redis
    #[arg(long, env = "HIVE_REDIS_CERT", hide_env_values = true, value_name = "FILE")]
    pub redis_cert: Option<String>,

    /// PEM file with the key of --redis-cert
    #[arg(long, env = "HIVE_REDIS_KEY", hide_env_values = true, value_name = "FILE")]
    pub redis_key: Option<String>,

    /// Name that the certificates of all Redis servers have [default: the address that is dialled]
    #[arg(long, env = "HIVE_REDIS_TLS_SERVER_NAME", hide_env_values = true, value_name = "NAME")]
    pub redis_tls_server_name: Option<String>,

    /// File with the secret that all hives share, one a line: the first is used, all are accepted;
    /// or set HIVE_SECRET. A secret is never an argument. Changes are noticed while the hive runs
    #[arg(long, env = "HIVE_SECRET_FILE", hide_env_values = true, value_name = "FILE")]
    pub secret_file: Option<String>,

    /// Identity of this hive; hives with another name never mix [default: the first --service as
    /// an absolute name]
    #[arg(long, env = "HIVE_NAME", hide_env_values = true, value_name = "NAME")]
    pub name: Option<String>,

    /// How often a hive speaks to its peers
    #[arg(long, env = "HIVE_HEARTBEAT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::HEARTBEAT)]
    pub heartbeat: String,

    /// Silence after which a peer counts as gone
    #[arg(long, env = "HIVE_PEER_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::PEER_TIMEOUT)]
    pub peer_timeout: String,

    /// How long a Redis may accept connections and not answer
    #[arg(long, env = "HIVE_REDIS_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::REDIS_TIMEOUT)]
    pub redis_timeout: String,

    /// Longest wait for answers of peers that are reachable
    #[arg(long, env = "HIVE_ELECTION_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::ELECTION_TIMEOUT)]
    pub election_timeout: String,

    /// How long an empty hive waits for listed peers that nobody has heard
    #[arg(long, env = "HIVE_BOOTSTRAP_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::BOOTSTRAP_TIMEOUT)]
    pub bootstrap_timeout: String,

    /// Longest time a client is held while no master is known
    #[arg(long, env = "HIVE_HOLD_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::HOLD_TIMEOUT)]
    pub hold_timeout: String,

    /// Longest time a stopping hive keeps serving
    #[arg(long, env = "HIVE_DRAIN_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::DRAIN_TIMEOUT)]
    pub drain_timeout: String,

    /// How long a stopping hive with the only complete copy waits for another hive to begin copying
    /// it; then it waits as long as that makes progress. A second SIGTERM ends it
    #[arg(long, env = "HIVE_LAST_COPY_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(default_value = defaults::LAST_COPY_TIMEOUT)]
    pub last_copy_timeout: String,

    /// Hives, this one included, that must follow for it to become or stay leader: more than half
    /// of all, or 1 for none. Then there are never two masters, and a fail-over takes about
    /// --peer-timeout
    #[arg(long, env = "HIVE_QUORUM", hide_env_values = true, value_name = "N")]
    #[arg(default_value = defaults::QUORUM)]
    pub quorum: String,

    /// The master takes writes only while so many followers are current; in force once that many
    /// are, lowered with a warning to what follows, never below --quorum minus 1
    #[arg(long, env = "HIVE_MIN_REPLICAS_TO_WRITE", hide_env_values = true, value_name = "N")]
    #[arg(default_value = defaults::MIN_REPLICAS_TO_WRITE)]
    pub min_replicas_to_write: String,

    /// Between equal copies the lower priority becomes master; 0 = standby
    #[arg(long, env = "HIVE_PRIORITY", hide_env_values = true, value_name = "N")]
    #[arg(default_value = defaults::PRIORITY)]
    pub priority: String,

    /// Directory where a copy that diverged is saved as an RDB file before it is overwritten
    #[arg(long, env = "HIVE_RESCUE_DIR", hide_env_values = true, value_name = "DIR")]
    pub rescue_dir: Option<String>,

    /// The most that all files in --rescue-dir take together, such as 512MB or 2GiB: the oldest
    /// are deleted first, and a copy that is larger is not saved
    #[arg(long, env = "HIVE_RESCUE_MAX_BYTES", hide_env_values = true, value_name = "SIZE")]
    #[arg(default_value = defaults::RESCUE_MAX_BYTES)]
    pub rescue_max_bytes: String,

    /// Take part in elections without a Redis: --redis is not used, how to log in to the master's is
    #[arg(long, env = "HIVE_WITNESS", hide_env_values = true, value_name = "true|false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub witness: Option<String>,

    /// Threads of the proxy, at most the CPUs available
    #[arg(long, env = "HIVE_PROXY_THREADS", hide_env_values = true, value_name = "N")]
    #[arg(default_value = defaults::PROXY_THREADS)]
    pub proxy_threads: String,

    /// auto: large values move through pipes inside the kernel; off: everything is copied
    #[arg(long, env = "HIVE_SPLICE", hide_env_values = true, value_name = "auto|off")]
    #[arg(default_value = defaults::SPLICE)]
    pub splice: String,

    /// on: clients keep their connection through a change of master where nothing is lost by it;
    /// off: all are cut
    #[arg(long, env = "HIVE_MOVE_SESSIONS", hide_env_values = true, value_name = "on|off")]
    #[arg(default_value = defaults::MOVE_SESSIONS)]
    pub move_sessions: String,

    /// Clients served at the same time, those of the read port included; further ones get an error
    /// and a close. All hives together leave 64 of the master's maxclients to others
    #[arg(long, env = "HIVE_MAX_CLIENTS", hide_env_values = true, value_name = "N")]
    #[arg(default_value = defaults::MAX_CLIENTS)]
    pub max_clients: String,

    /// Port that answers clients of Redis Sentinel, usually 26379; 0 = off. The same on all hives
    #[arg(long, env = "HIVE_SENTINEL_PORT", hide_env_values = true, value_name = "PORT")]
    #[arg(default_value = defaults::SENTINEL_PORT)]
    pub sentinel_port: String,

    /// The name under which clients of Redis Sentinel ask for the master
    #[arg(long, env = "HIVE_SENTINEL_NAME", hide_env_values = true, value_name = "NAME")]
    #[arg(default_value = defaults::SENTINEL_NAME)]
    pub sentinel_name: String,

    /// What clients of Redis Sentinel are told. proxy: the leader's write endpoint, and the read
    /// endpoints; master: the Redis servers themselves, where no hive is in between
    #[arg(long, env = "HIVE_SENTINEL_ANNOUNCE", hide_env_values = true)]
    #[arg(value_name = "proxy|master", default_value = defaults::SENTINEL_ANNOUNCE)]
    pub sentinel_announce: String,

    /// json or text [default: json in a container, else text]
    #[arg(long, env = "HIVE_LOG_FORMAT", hide_env_values = true, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// error, warn, info, debug or trace
    #[arg(long, env = "HIVE_LOG_LEVEL", hide_env_values = true, value_name = "LEVEL")]
    #[arg(default_value = defaults::LOG_LEVEL)]
    pub log_level: String,

    /// Ask this DNS server instead of those of /etc/resolv.conf
    #[arg(
        long,
        env = "HIVE_DNS_SERVER",
        hide_env_values = true,
        value_name = "IP:PORT",
        hide = true
    )]
    pub dns_server: Option<String>,
}
