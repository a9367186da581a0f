//! The part of `check` that asks the local Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, RedisResult,
};
use secrecy::ExposeSecret;

use crate::config::{Config, show_duration};
use crate::election::{RedisAddr, Version};
use crate::redis::{Access, dial};

use super::finding::Finding;
use super::tls;

/// For connecting with everything that belongs to it, and for every question.
const DEADLINE: Duration = Duration::from_secs(3);
/// Older ones lack `CLIENT PAUSE WRITE` and `FAILOVER`, and wipe replicas more easily.
const OLDEST: Version = Version { major: 6, minor: 2, patch: 0 };

/// Boot flags, what each must be, and what goes wrong otherwise.
const SETTINGS: [(&str, &str, &str); 7] = [
    ("replica-read-only", "yes", "a copy takes writes that no other copy gets"),
    ("save", "", "a snapshot left on disk is loaded after a restart as if it were fresh"),
    ("appendonly", "no", "an old log is loaded after a restart as if it were fresh"),
    ("repl-diskless-sync", "yes", "a full copy goes through the disk first"),
    ("repl-diskless-sync-delay", "0", "a new replica stays without a copy for seconds"),
    (
        "repl-backlog-ttl",
        "0",
        "after an hour alone the offset stands still, and copies cannot be compared",
    ),
    ("rdb-del-sync-files", "yes", "a kept sync file is loaded after a restart as if it were fresh"),
];

/// Commands the user must be allowed to give.
const COMMANDS: [&[&str]; 10] = [
    &["INFO"],
    &["REPLICAOF", "NO", "ONE"],
    &["CONFIG", "GET", "save"],
    &["CONFIG", "SET", "repl-backlog-ttl", "0"],
    &["CLIENT", "SETNAME", "x"],
    &["CLIENT", "LIST"],
    &["CLIENT", "PAUSE", "1", "WRITE"],
    &["CLIENT", "UNPAUSE"],
    &["PSYNC", "?", "-1"],
    &["REPLCONF", "capa", "eof"],
];

/// Everything there is to say about the local Redis.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let access = match crate::node::redis_access(config) {
        Ok(access) => access,
        Err(error) => return vec![tls::unreadable(&error)],
    };
    let mut connection = match connect(config, &access).await {
        Ok(connection) => connection,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let text = match ask::<String>(&mut connection, &["INFO"]).await {
        Ok(text) => text,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let info = parse_info(&text);
    let mut findings = vec![identity(config, &info)];
    findings.extend(tls::certificates(&access, config));
    findings.extend(cluster(&info));
    let clients = ask::<String>(&mut connection, &["CLIENT", "LIST"]).await.unwrap_or_default();
    findings.push(fence(&info, clients.contains("name=redis-hive")));
    findings.extend(permissions(&mut connection, config, &info).await);
    match settings(&mut connection).await {
        Ok(settings) => {
            findings.extend(judge_settings(config, &settings));
            findings.extend(tls::replication(config, &settings));
        }
        Err(error) => findings.push(Finding::bad(
            "redis.config",
            format!("CONFIG GET is refused: {}", short(&error)),
            "the hive sets replication up with CONFIG",
            "allow it: +config|get +config|set",
        )),
    }
    findings
}

async fn connect(config: &Config, access: &Access) -> RedisResult<MultiplexedConnection> {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(username) = &config.redis_username {
        login = login.set_username(username);
    }
    if let Some(password) = &config.redis_password {
        login = login.set_password(password.expose_secret());
    }
    let limits = AsyncConnectionConfig::new().set_response_timeout(Some(DEADLINE));
    let opening = async {
        let stream = dial(access, config.redis).await?;
        let opening = MultiplexedConnection::new_with_config(&login, stream, limits);
        let (connection, driver) = opening.await?;
        tokio::spawn(driver);
        Ok(connection)
    };
    tokio::time::timeout(DEADLINE, opening).await.unwrap_or_else(|_| Err(silence()))
}

async fn ask<T: ::redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> RedisResult<T> {
    let mut command = Cmd::new();
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    let asking = command.query_async(connection);
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err(silence()))
}

fn silence() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// Why there is no conversation with Redis.
fn unreachable(config: &Config, error: &RedisError) -> Finding {
    let addr = config.redis;
    if let Some(refusal) = tls::refused(addr, error) {
        return refusal;
    }
    let code = error.code().unwrap_or_default();
    let auth = error.kind() == ErrorKind::AuthenticationFailed
        || ["NOAUTH", "WRONGPASS", "NOPERM"].contains(&code);
    let (id, seen, mend) = if auth {
        let seen = match config.redis_password {
            None => format!("{addr} demands a password"),
            Some(_) => format!("{addr} refuses the user or the password: {}", short(error)),
        };
        (
            "redis.auth",
            seen,
            "give the password of Redis: --redis-password-file or HIVE_REDIS_PASSWORD, and \
                --redis-username for an ACL user",
        )
    } else if error.is_connection_refusal() {
        (
            "redis.refused",
            format!("nothing listens on {addr}"),
            "start Redis beside the hive, or give --redis IP:PORT",
        )
    } else if error.is_timeout() {
        (
            "redis.silent",
            format!("{addr} does not answer within {} s", DEADLINE.as_secs()),
            if config.redis_tls.is_some() {
                "it hangs, or does not speak TLS on this port: look at its log and its tls-port, or \
                 leave out --redis-tls"
            } else {
                "it hangs, or it is no Redis: look at the process on this port, or give --redis IP:PORT"
            },
        )
    } else if error.is_io_error() {
        (
            "redis.broken",
            format!("{addr}: {}", short(error)),
            "give the address of the local Redis with --redis; if it speaks TLS on this port, also \
             --redis-tls and --redis-ca",
        )
    } else if ["LOADING", "BUSY"].contains(&code) {
        (
            "redis.busy",
            format!("{addr} is busy: {}", short(error)),
            "look again when it has finished",
        )
    } else {
        (
            "redis.foreign",
            format!("{addr} does not answer like a Redis: {}", short(error)),
            "another program listens there: give the address of the local Redis with --redis",
        )
    };
    Finding::bad(id, seen, "without its Redis a hive can only forward clients", mend)
}

/// Which server it is, and whether it is recent enough.
fn identity(config: &Config, info: &BTreeMap<&str, &str>) -> Finding {
    let text = |key: &str| info.get(key).copied().unwrap_or_default();
    let (product, version) = match text("valkey_version") {
        "" => ("Redis", text("redis_version")),
        valkey => ("Valkey", valkey),
    };
    let seen = format!("{product} {version} on {}, role {}", config.redis, text("role"));
    match parse_version(version) {
        Some(parsed) if product == "Valkey" || parsed >= OLDEST => Finding::good("redis", seen),
        Some(_) => Finding::bad(
            "redis.old",
            seen,
            "Redis before 6.2 cannot do what a safe change of master needs",
            "use Redis 6.2 or later, or Valkey",
        ),
        None => Finding::bad(
            "redis.foreign",
            format!("{} states no version", config.redis),
            "it is no Redis, or an INFO that was tampered with",
            "give the address of the local Redis with --redis",
        ),
    }
}

fn cluster(info: &BTreeMap<&str, &str>) -> Option<Finding> {
    (info.get("cluster_enabled").copied() == Some("1")).then(|| {
        Finding::bad(
            "redis.cluster",
            "it runs in Cluster mode",
            "a Cluster node refuses REPLICAOF",
            "start it with --cluster-enabled no",
        )
    })
}

/// Whether it was started parked. That can only be seen until a hive has taken it over.
fn fence(info: &BTreeMap<&str, &str>, hive_connected: bool) -> Finding {
    let text = |key: &str| info.get(key).copied().unwrap_or_default();
    let parked = RedisAddr::PARKED;
    let upstream = (text("master_host").to_owned(), text("master_port").to_owned());
    if upstream == (parked.ip.to_string(), parked.port.to_string()) {
        return Finding::good("fence", "the boot fence is there: it is parked");
    }
    if hive_connected {
        return Finding::good(
            "fence",
            "a hive is in charge already; how it starts can only be seen right after a start",
        );
    }
    let seen = match text("role") {
        "master" => "it runs as a master and no hive made it one: the boot fence is missing",
        _ => "it replicates a server that no hive named: the boot fence is missing",
    };
    Finding::bad(
        "fence.missing",
        seen,
        "a master that restarts quickly is empty, and its replicas copy the emptiness",
        "start it with --replicaof 127.0.0.1 1 --replica-serve-stale-data no",
    )
}

/// What an ACL user may not do, where the server can tell (7.0 and later).
async fn permissions(
    connection: &mut MultiplexedConnection,
    config: &Config,
    info: &BTreeMap<&str, &str>,
) -> Option<Finding> {
    let user = config.redis_username.as_deref()?;
    let version = info.get("redis_version").copied().and_then(parse_version)?;
    if version < (Version { major: 7, minor: 0, patch: 0 }) {
        return None;
    }
    let mut refused = Vec::new();
    for command in COMMANDS {
        let words = [&["ACL", "DRYRUN", user], command].concat();
        match ask::<String>(connection, &words).await {
            Ok(answer) if answer == "OK" => {}
            Ok(_) => refused.push(command.join(" ")),
            // It may not ask; a refusal will show in the log of `run`.
            Err(_) => return None,
        }
    }
    if refused.is_empty() {
        return Some(Finding::good("user", format!("{user} may do what a hive does")));
    }
    Some(Finding::bad(
        "user.rights",
        format!("{user} may not: {}", refused.join("; ")),
        "the hive controls replication as this user, and replicas log in with it",
        "allow it: docs/security.md lists all that is needed",
    ))
}

async fn settings(connection: &mut MultiplexedConnection) -> RedisResult<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let more = [
        "maxclients",
        "busy-reply-threshold",
        "lua-time-limit",
        "repl-diskless-load",
        tls::REPLICATION,
    ];
    for name in SETTINGS.iter().map(|(name, _, _)| *name).chain(more) {
        settings
            .extend(ask::<BTreeMap<String, String>>(connection, &["CONFIG", "GET", name]).await?);
    }
    Ok(settings)
}

fn judge_settings(config: &Config, settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, wanted, why) in SETTINGS {
        let Some(value) = settings.get(name).filter(|value| value.as_str() != wanted) else {
            continue;
        };
        let flag = if wanted.is_empty() { "\"\"" } else { wanted };
        findings.push(Finding::odd(
            format!("setting.{name}"),
            format!("{name} is '{value}'"),
            why,
            format!("start Redis with --{name} {flag}"),
        ));
    }
    if settings.get("repl-diskless-load").is_some_and(|value| value != "disabled") {
        findings.push(Finding::odd(
            "setting.repl-diskless-load",
            "repl-diskless-load is not 'disabled'",
            "the old copy is gone before the new one is whole",
            "start Redis with --repl-diskless-load disabled",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good("setting", "replication is set up as it should be"));
    }
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    let clients = u64::try_from(config.max_clients).unwrap_or(u64::MAX);
    if let Some(max) = number("maxclients").filter(|max| *max < clients) {
        findings.push(Finding::odd(
            "setting.maxclients",
            format!("maxclients is {max}, and --max-clients {clients}"),
            "the master cannot take as many clients as the hives would accept",
            "raise maxclients of Redis, or lower --max-clients",
        ));
    }
    let busy_ms =
        number("busy-reply-threshold").or_else(|| number("lua-time-limit")).unwrap_or(5000);
    let busy = Duration::from_millis(busy_ms);
    if config.timing.redis_timeout < busy.saturating_add(Duration::from_secs(1)) {
        findings.push(Finding::odd(
            "setting.redis-timeout",
            format!(
                "--redis-timeout is {}, busy-reply-threshold {}",
                show_duration(config.timing.redis_timeout),
                show_duration(busy)
            ),
            "a slow script would look like a hung Redis",
            "keep --redis-timeout at least 1s above busy-reply-threshold",
        ));
    }
    findings
}

/// `key:value` lines of an INFO.
fn parse_info(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text.split(['.', '-']).map(str::parse::<u16>);
    let major = parts.next()?.ok()?;
    let minor = parts.next()?.ok()?;
    let patch = parts.next().and_then(Result::ok).unwrap_or(0);
    Some(Version { major, minor, patch })
}

/// The error in at most 200 characters.
fn short(error: &RedisError) -> String {
    error.to_string().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn info<'a>(pairs: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_boot_fence_is_seen_while_it_can_be() {
        let parked = [("role", "slave"), ("master_host", "127.0.0.1"), ("master_port", "1")];
        assert_eq!(fence(&info(&parked), false).level, Level::Good);
        assert_eq!(fence(&info(&[("role", "master")]), false).level, Level::Bad);
        assert_eq!(fence(&info(&[("role", "master")]), true).level, Level::Good);
        let stranger = [("role", "slave"), ("master_host", "10.0.0.1"), ("master_port", "6379")];
        assert_eq!(fence(&info(&stranger), false).level, Level::Bad);
    }

    #[test]
    fn the_documented_rights_are_enough() {
        let document = include_str!("../../../docs/security.md");
        let rule = document.lines().find(|line| line.contains("ACL SETUSER hive on >PASSWORD"));
        let rights: Vec<_> = rule.expect("the rule").split_whitespace().collect();
        for command in COMMANDS {
            let container = ["CONFIG", "CLIENT"].contains(&command[0]);
            let name = command[..if container { 2 } else { 1 }].join("|");
            let right = format!("+{}", name.to_lowercase());
            assert!(rights.contains(&right.as_str()), "{right}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        assert_eq!(parse_version("7.0.15"), version(7, 0, 15));
        assert_eq!(parse_version("8.2"), version(8, 2, 0));
        assert_eq!(parse_version("255.255.255"), version(255, 255, 255));
        assert_eq!(parse_version("9.0.0-rc1"), version(9, 0, 0));
        assert_eq!(parse_version("new"), None);
        assert!(parse_version("6.0.16") < Some(OLDEST));
    }

    #[test]
    fn cluster_nodes_are_refused() {
        assert!(cluster(&info(&[("cluster_enabled", "1")])).is_some());
        assert!(cluster(&info(&[("cluster_enabled", "0")])).is_none());
    }
}
