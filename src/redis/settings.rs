//! Looks at a Redis on the first contact with a run of it: which settings it has, which of them are
//! put right, and which flags it should have been started with.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::access::Access;
use super::connection::{Answer, Link, short};
use super::info::{Clients, Info, Memory, Syncs};
use crate::election::{RedisRole, RunId, Version};

/// A Redis that runs no longer than this still shows how it was started.
const FRESH: Duration = Duration::from_secs(30);

/// Settings that can be put right on a running Redis, and what they must be (DESIGN 2.4).
const LIVE: [(&str, &str); 6] = [
    ("replica-read-only", "yes"),
    ("repl-diskless-sync", "yes"),
    ("repl-diskless-sync-delay", "0"),
    ("repl-diskless-load", "disabled"),
    ("repl-backlog-ttl", "0"),
    ("rdb-del-sync-files", "yes"),
];

/// Whether replicas dial their master over TLS.
const TLS_REPLICATION: &str = "tls-replication";

/// `replica-serve-stale-data`, which is `no` at the start and `yes` once the copy was current.
pub(super) const STALE: &str = "replica-serve-stale-data";

/// Before this version a fenced Redis that refuses stale data answers `PING` all the same. A replica
/// that dials it goes on to `PSYNC`, and over the `-MASTERDOWN` it gets gives up its own backlog: its
/// copy could not be told from a blank one. So there the setting is `yes` from the first contact on.
const NO_STALE_PING: Version = Version { major: 7, minor: 0, patch: 0 };

/// What is known of the local Redis beside its passport; for `check`, `/status` and the log.
/// Sentences are for people, never contain a secret, and are bounded in number and length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The run these facts are about; `None` before the first contact.
    pub run_id: Option<RunId>,
    /// Its version.
    pub version: Option<Version>,
    /// It is a Valkey.
    pub valkey: bool,
    /// Whether it starts parked.
    pub boot_fence: BootFence,
    /// Settings that were changed, as `name: old -> new`.
    pub changed: Vec<String>,
    /// Flags it was started without, as they would be written on its command line.
    pub missing_flags: Vec<String>,
    /// What was found wrong on the first contact with this run, and what did not work since.
    pub warnings: Vec<String>,
    /// What is wrong now, in sentences: wrong password, a Cluster node, too old, nobody there.
    pub problems: Vec<String>,
    /// It saves its data to disk.
    pub persistent: bool,
    /// `busy-reply-threshold` (`lua-time-limit` before 7.0).
    pub busy_threshold: Option<Duration>,
    /// `rdb_changes_since_last_save` of the newest `INFO`. Who waits for a change of these facts is
    /// not woken by this one.
    pub changes: u64,
    /// The copies it gave and takes, at the newest `INFO`; a change wakes nobody either.
    pub syncs: Syncs,
    /// Its memory at the newest `INFO`; likewise.
    pub memory: Memory,
    /// Its replicas as they call themselves, at most 64, and how long ago each acknowledged the stream;
    /// likewise.
    pub acknowledged: Vec<(String, Duration)>,
    /// The connections of the local Redis at the newest `INFO`; a change wakes nobody either.
    pub crowd: Option<Crowd>,
    /// The same of the watched master.
    pub master_crowd: Option<Crowd>,
    /// The files to which copies were saved before they were given up; the newest ones.
    pub rescued: Vec<String>,
}

/// How many connections a run of a Redis has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Which run.
    pub run_id: RunId,
    /// What it said.
    pub clients: Clients,
    /// When it was asked: what was opened before is counted in.
    pub asked: Instant,
}

/// Whether a Redis was started with the boot fence (`--replicaof 127.0.0.1 1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootFence {
    /// It runs for too long to show how it started.
    #[default]
    Unknown,
    /// It was found parked soon after its start.
    Present,
    /// It was found as a master soon after its start: a quick restart of a master wipes its replicas.
    Missing,
}

/// What the first contact with a run brought.
pub(super) struct Met {
    pub facts: Facts,
    /// It did not take what it logs in to its master with.
    pub locked_out: bool,
}

/// Compares the settings of a newly met run with what they must be and sets those that differ.
/// `None` when the connection broke or Redis became busy: nothing is known then, ask again.
pub(super) async fn first_contact(
    link: &Link,
    access: &Access,
    info: &Info,
    redis_timeout: Duration,
) -> Option<Met> {
    let mut locked_out = false;
    let mut facts = Facts {
        run_id: Some(info.passport.run_id),
        version: Some(info.passport.version),
        valkey: info.valkey,
        boot_fence: boot_fence(info),
        changes: info.changes,
        memory: info.memory,
        ..Facts::default()
    };
    let seconds = info.uptime.as_secs();
    match facts.boot_fence {
        BootFence::Present => {}
        BootFence::Missing => {
            facts.missing_flags.push("--replicaof 127.0.0.1 1".to_owned());
            facts.warnings.push(format!(
                "Redis was found as a master {seconds} s after its start, so it has no boot fence: a \
                 master that restarts empty wipes its replicas. Start it with --replicaof 127.0.0.1 1."
            ));
        }
        BootFence::Unknown => facts.warnings.push(format!(
            "Redis had been running for {seconds} s when it was first met: whether it starts with the \
             boot fence (--replicaof 127.0.0.1 1) cannot be told."
        )),
    }
    for (name, value) in LIVE {
        correct(link, &mut facts, name, value).await?;
    }
    if info.passport.version < NO_STALE_PING {
        correct(link, &mut facts, STALE, "yes").await?;
    }
    if access.uses_tls() {
        correct(link, &mut facts, TLS_REPLICATION, "yes").await?;
    }
    if let (_, Some(password)) = access.replication() {
        let user = access.username().unwrap_or_default();
        correct(link, &mut facts, "masteruser", user).await?;
        match set_masterauth(link, &password).await? {
            Ok(true) => facts.changed.push(MASTERAUTH_SET.to_owned()),
            Ok(false) => {}
            Err(Refused) => locked_out = true,
        }
    }
    look_at_persistence(link, &mut facts).await?;
    look_at_stale_data(link, &mut facts, info).await?;
    look_at_busy_threshold(link, &mut facts, redis_timeout).await?;
    Some(Met { facts, locked_out })
}

fn boot_fence(info: &Info) -> BootFence {
    match (info.passport.role, info.uptime <= FRESH) {
        _ if info.passport.parked() && info.uptime <= FRESH => BootFence::Present,
        // A hive that ran before this one may have promoted it; else this is how it started.
        (RedisRole::Master, true) => BootFence::Missing,
        _ => BootFence::Unknown,
    }
}

enum Setting {
    Is(String),
    Unknown,
    Refused(String),
}

async fn get(link: &Link, name: &str) -> Option<Setting> {
    let command = redis::cmd("CONFIG").arg("GET").arg(name).clone();
    match link.ask(&command).await {
        Answer::List(mut pair) if pair.len() == 2 => {
            Some(pair.pop().map_or(Setting::Unknown, Setting::Is))
        }
        Answer::List(_) | Answer::Text(_) => Some(Setting::Unknown),
        Answer::Error(text) | Answer::Denied(text) => Some(Setting::Refused(text)),
        Answer::Busy | Answer::Broken | Answer::Foreign | Answer::Untrusted(_) => None,
    }
}

/// The value of one setting, where it is told.
pub(super) async fn get_text(link: &Link, name: &str) -> Option<String> {
    match get(link, name).await? {
        Setting::Is(text) => Some(text),
        Setting::Unknown | Setting::Refused(_) => None,
    }
}

/// Sets one setting. `Ok` when it was set, `Err` with Redis's words when it was refused; `None` when
/// no answer came.
pub(super) async fn set(link: &Link, name: &str, value: &str) -> Option<Result<(), String>> {
    let command = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).clone();
    match link.ask(&command).await {
        Answer::Text(_) => Some(Ok(())),
        Answer::Error(text) | Answer::Denied(text) => Some(Err(text)),
        Answer::List(_)
        | Answer::Busy
        | Answer::Broken
        | Answer::Foreign
        | Answer::Untrusted(_) => None,
    }
}

async fn correct(link: &Link, facts: &mut Facts, name: &str, value: &str) -> Option<()> {
    let old = match get(link, name).await? {
        Setting::Is(old) if old == value => return Some(()),
        Setting::Is(old) => old,
        Setting::Unknown => {
            facts.warnings.push(format!("Redis knows no setting {name}."));
            return Some(());
        }
        Setting::Refused(text) => {
            facts.warnings.push(format!("Redis does not tell its setting {name}: {text}"));
            return Some(());
        }
    };
    if name == TLS_REPLICATION || LIVE.iter().any(|(live, _)| *live == name) {
        facts.missing_flags.push(format!("--{name} {value}"));
    }
    match set(link, name, value).await? {
        Ok(()) => facts.changed.push(format!("{name}: {} -> {value}", short(&old))),
        Err(text) => {
            facts.warnings.push(format!("Redis refused CONFIG SET {name} {value}: {text}"));
        }
    }
    Some(())
}

/// What is told of a password: neither the old nor the new one.
pub(super) const MASTERAUTH_SET: &str = "masterauth: set";

/// What a refused `masterauth` means. Redis's own words could quote the arguments.
pub(super) const MASTERAUTH_REFUSED: &str =
    "Redis refused CONFIG SET masterauth: it cannot replicate from a master with a password.";

/// Redis did not take it.
pub(super) struct Refused;

/// Sets `masterauth` where it is another one: whether it was. `None` when no answer came.
pub(super) async fn set_masterauth(
    link: &Link,
    password: &SecretString,
) -> Option<Result<bool, Refused>> {
    let name = "masterauth";
    if let Setting::Is(old) = get(link, name).await?
        && Zeroizing::new(old).as_str() == password.expose_secret()
    {
        return Some(Ok(false));
    }
    let set = set(link, name, password.expose_secret()).await?;
    Some(set.map(|()| true).map_err(|_| Refused))
}

/// Persistence is the operator's choice and is never touched: it is told where it is on.
async fn look_at_persistence(link: &Link, facts: &mut Facts) -> Option<()> {
    if let Setting::Is(save) = get(link, "save").await?
        && !save.is_empty()
    {
        facts.persistent = true;
        facts.missing_flags.push("--save \"\"".to_owned());
        facts.warnings.push(format!(
            "Redis saves its data to disk (save {}): after a restart it loads old data.",
            short(&save)
        ));
    }
    if let Setting::Is(aof) = get(link, "appendonly").await?
        && aof != "no"
    {
        facts.persistent = true;
        facts.missing_flags.push("--appendonly no".to_owned());
        facts
            .warnings
            .push("Redis keeps an append-only file: after a restart it loads old data.".to_owned());
    }
    Some(())
}

async fn look_at_stale_data(link: &Link, facts: &mut Facts, info: &Info) -> Option<()> {
    if info.passport.version >= NO_STALE_PING
        && facts.boot_fence != BootFence::Unknown
        && let Setting::Is(stale) = get(link, STALE).await?
        && stale != "no"
    {
        facts.missing_flags.push(format!("--{STALE} no"));
    }
    Some(())
}

/// What a failed save means for clients.
pub(super) const MISCONF: &str =
    "The last save of Redis to disk failed: with persistence on it refuses writes with MISCONF.";

async fn look_at_busy_threshold(
    link: &Link,
    facts: &mut Facts,
    redis_timeout: Duration,
) -> Option<()> {
    let mut found = get(link, "busy-reply-threshold").await?;
    if matches!(found, Setting::Unknown) {
        found = get(link, "lua-time-limit").await?;
    }
    let Setting::Is(text) = found else { return Some(()) };
    let Ok(threshold) = text.parse().map(Duration::from_millis) else { return Some(()) };
    facts.busy_threshold = Some(threshold);
    // At 0 a script is never interrupted for the answer that says so.
    if threshold.is_zero() || threshold + Duration::from_secs(1) > redis_timeout {
        facts.warnings.push(format!(
            "A script may keep Redis silent for {} ms (busy-reply-threshold), and it is taken for \
             hung after --redis-timeout, {} ms: keep the latter at least 1 s longer.",
            threshold.as_millis(),
            redis_timeout.as_millis()
        ));
    }
    Some(())
}
