//! What must hold between two flags.

use std::net::SocketAddr;
use std::time::Duration;

use super::Config;
use super::flags::defaults;
use super::read::{Reader, show_duration};

/// Redis answers `-BUSY` only after this (`busy-reply-threshold`), and a busy Redis is alive.
const BUSY_REPLY_DEFAULT: Duration = Duration::from_secs(5);

/// Notes every pair of flags that cannot be together.
pub(super) fn judge(read: &mut Reader<'_>, config: &Config) {
    let t = &config.timing;
    let show = show_duration;
    if t.heartbeat * 2 > t.peer_timeout {
        read.error(
            "--heartbeat",
            format!(
                "{} is more than half of --peer-timeout ({}): one late heartbeat would look like a \
                 death; lower it to {} or raise --peer-timeout",
                show(t.heartbeat),
                show(t.peer_timeout),
                show(t.peer_timeout / 2)
            ),
        );
    }
    if t.election_timeout >= t.peer_timeout {
        read.error(
            "--election-timeout",
            format!(
                "{} must be below --peer-timeout ({}): an election may not outlast the silence that \
                 started it",
                show(t.election_timeout),
                show(t.peer_timeout)
            ),
        );
    }
    if t.bootstrap_timeout < t.peer_timeout {
        read.error(
            "--bootstrap-timeout",
            format!(
                "{} must not be below --peer-timeout ({}): an empty hive would lead before it knows \
                 who is silent",
                show(t.bootstrap_timeout),
                show(t.peer_timeout)
            ),
        );
    }
    if t.redis_timeout < BUSY_REPLY_DEFAULT + Duration::from_secs(1) {
        read.warnings.push(format!(
            "--redis-timeout: {} is less than 1s above Redis's busy-reply-threshold (5s unless it was \
             changed): a slow script can look like a hung Redis",
            show(t.redis_timeout)
        ));
    }
    if config.services.is_empty()
        && config.peers.is_empty()
        && !read.errors.iter().any(|e| e.flag == "--service" || e.flag == "--peer")
    {
        read.error("--service", "give at least one --service NAME or --peer IP[:PORT]");
    }
    if config.witness {
        witness(read, config);
    }
    if config.redis_username.is_some()
        && config.redis_password.is_none()
        && !read.errors.iter().any(|e| e.flag == "--redis-password-file")
    {
        read.error(
            "--redis-username",
            "a user needs a password: give --redis-password-file or HIVE_REDIS_PASSWORD",
        );
    }
    ports(read, config);
}

/// What is about the own Redis means nothing where there is none. How to log in does: a witness keeps a
/// connection to the master like every other hive.
fn witness(read: &mut Reader<'_>, config: &Config) {
    let redis = defaults::REDIS.parse().is_ok_and(|usual: SocketAddr| usual != config.redis);
    let given = [(redis, "--redis"), (config.rescue.is_some(), "--rescue-dir")];
    for (_, name) in given.into_iter().filter(|(given, _)| *given) {
        read.warnings.push(format!("{name} is not used: a --witness has no Redis"));
    }
}

/// No two listeners of this pod on one port.
fn ports(read: &mut Reader<'_>, config: &Config) {
    let ours = config.ports();
    for (at, (flag, port)) in ours.iter().enumerate() {
        if let Some((other, _)) = ours.iter().take(at).find(|(_, taken)| taken == port) {
            read.error(flag, format!("{port} is the port of {other} too: give each its own"));
        }
        if *port == config.redis.port() && !config.witness {
            read.error(
                flag,
                format!("{port} is the port of Redis (--redis {}): give another", config.redis),
            );
        }
    }
}
