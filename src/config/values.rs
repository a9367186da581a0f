//! Reads the flags that need more than one look: lists, places, spans of time.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::flags::{Flags, defaults};
use super::read::Reader;
use super::{Announce, LogFormat, Outside, Rescue, Sentinel, Timing};
use crate::election::NodeId;
use crate::secrets::{SecretSource, Secrets};

const HOUR: Duration = Duration::from_secs(3600);
/// Less than this holds no copy worth the name.
const RESCUE_MIN_BYTES: u64 = 1 << 20;

/// How to mend a secret.
const SECRET_RULES: &str = "give one a line, at least 16 characters without blanks, such as `openssl rand -base64 32` makes";

pub(super) fn services(read: &mut Reader<'_>, flags: &Flags) -> Vec<String> {
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

pub(super) fn peers(read: &mut Reader<'_>, flags: &Flags, peer_port: u16) -> Vec<NodeId> {
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

pub(super) fn advertise_given(
    read: &mut Reader<'_>,
    flags: &Flags,
    outside: &Outside,
) -> Option<IpAddr> {
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

pub(super) fn bind(read: &mut Reader<'_>, flags: &Flags) -> IpAddr {
    let text = read.optional("--bind", Some(&flags.bind)).unwrap_or(defaults::BIND);
    read.ip("--bind", text).unwrap_or(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED))
}

pub(super) fn redis_address(read: &mut Reader<'_>, flags: &Flags) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 6379));
    let text = read.optional("--redis", Some(&flags.redis)).unwrap_or(defaults::REDIS);
    read.socket("--redis", text, Some(6379)).unwrap_or(fallback)
}

pub(super) fn password(read: &mut Reader<'_>, outside: &Outside) -> Option<SecretString> {
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
        (None, Some(Err(why))) => {
            read.error("--redis-password-file", format!("{why}: give the password in a file"));
            None
        }
        (Some(Ok(password)), None) | (None, Some(Ok(password))) => Some(password.clone()),
        (None, None) => None,
    }
}

pub(super) fn name(read: &mut Reader<'_>, flags: &Flags) -> Option<String> {
    let name = read.optional("--name", flags.name.as_ref())?;
    let fits = (1..=253).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
    if !fits {
        read.error("--name", "give 1 to 253 printable ASCII characters without blanks or quotes");
    }
    Some(name.to_owned())
}

/// `--rescue-dir` and `--rescue-max-bytes`; the one without the other does nothing.
pub(super) fn rescue(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> Option<Rescue> {
    let max_bytes = read.size(
        "--rescue-max-bytes",
        &flags.rescue_max_bytes,
        defaults::RESCUE_MAX_BYTES,
        RESCUE_MIN_BYTES..=u64::MAX,
    );
    let Some(dir) = read.optional("--rescue-dir", flags.rescue_dir.as_ref()) else {
        if flags.rescue_max_bytes.trim() != defaults::RESCUE_MAX_BYTES
            && !flags.rescue_max_bytes.trim().is_empty()
        {
            read.warnings
                .push("--rescue-max-bytes: nothing is saved without --rescue-dir".to_owned());
        }
        return None;
    };
    match &outside.rescue_dir {
        Some(Err(why)) => {
            read.error(
                "--rescue-dir",
                format!("{why}; mount a volume there that this user may write to"),
            );
        }
        _ if dir.is_empty() => read.error("--rescue-dir", "give the path of a directory"),
        _ => {}
    }
    Some(Rescue { dir: PathBuf::from(dir), max_bytes })
}

pub(super) fn secrets(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> SecretSource {
    let file = read.file("--secret-file", flags.secret_file.as_ref());
    let secrets = match (&outside.secret_file, &outside.secret) {
        (None, None) => Ok(Secrets::default()),
        (Some(_), Some(_)) => Err("HIVE_SECRET is set too: give secrets in one place only".into()),
        (Some(Ok(secrets)), None) => Ok(secrets.clone()),
        (Some(Err(why)), None) => Err(format!("{why}; {SECRET_RULES}")),
        (None, Some(Err(why))) => Err(format!("{why}; {SECRET_RULES}")),
        (None, Some(Ok(text))) => Secrets::parse(text.expose_secret())
            .map_err(|why| format!("HIVE_SECRET: {why}; {SECRET_RULES}")),
    };
    let secrets = secrets.unwrap_or_else(|problem: String| {
        read.error("--secret-file", problem);
        Secrets::default()
    });
    SecretSource { secrets: secrets.into(), file }
}

pub(super) fn proxy_threads(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> usize {
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

/// The flags that begin with `--sentinel-`.
pub(super) fn sentinel(read: &mut Reader<'_>, flags: &Flags) -> Option<Sentinel> {
    use defaults as d;
    let port = read.port_or_off("--sentinel-port", &flags.sentinel_port, d::SENTINEL_PORT);
    let name = read.optional("--sentinel-name", Some(&flags.sentinel_name));
    let name = name.unwrap_or(d::SENTINEL_NAME);
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(fits) {
        read.error("--sentinel-name", "give 1 to 64 letters, digits, dots, dashes or underscores");
    }
    let words = ["proxy", "master"];
    let proxy = read.either("--sentinel-announce", &flags.sentinel_announce, words);
    let announce = if proxy { Announce::Proxy } else { Announce::Master };
    port.map(|port| Sentinel { port, name: name.to_owned(), announce })
}

pub(super) fn log_format(read: &mut Reader<'_>, flags: &Flags, outside: &Outside) -> LogFormat {
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

pub(super) fn log_level(read: &mut Reader<'_>, flags: &Flags) -> tracing::Level {
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

pub(super) fn timing(read: &mut Reader<'_>, flags: &Flags) -> Timing {
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
        last_copy_timeout: read.duration(
            "--last-copy-timeout",
            &flags.last_copy_timeout,
            d::LAST_COPY_TIMEOUT,
            ms(0)..=HOUR * 24,
        ),
    }
}
