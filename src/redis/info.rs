//! Reads what one `INFO` says. Strict: a field that is missing or no number is an error, never a
//! default, because an invented offset or key count would enter an election. Only what decides
//! nothing may be missing.

mod fields;

use std::time::Duration;

use thiserror::Error;

use crate::election::{Passport, RedisRole, Version};
use fields::{Fields, version};

/// The oldest version that is of use: `CLIENT PAUSE … WRITE`, `repl-diskless-load` and
/// `rdb-del-sync-files` are all there.
pub const OLDEST: Version = Version { major: 6, minor: 2, patch: 0 };

/// Replicas that are read of one `INFO`.
const ATTACHED: usize = 64;

/// One `INFO`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// What the election needs.
    pub passport: Passport,
    /// `cluster_enabled:1`
    pub cluster: bool,
    /// `valkey_version` was stated.
    pub valkey: bool,
    /// `uptime_in_seconds`
    pub uptime: Duration,
    /// `rdb_last_bgsave_status` and `aof_last_write_status` are both `ok`; where they are not, a
    /// Redis with persistence refuses writes with `-MISCONF`.
    pub saves_ok: bool,
    /// `rdb_changes_since_last_save`
    pub changes: u64,
    /// Its memory.
    pub memory: Memory,
    /// Its connections, where it states them.
    pub clients: Option<Clients>,
    /// The copies it gave and takes.
    pub syncs: Syncs,
    /// The replicas that announced a port, at most 64 of them.
    pub attached: Vec<Attached>,
}

/// The memory of a Redis, in bytes; 0 where it does not state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `used_memory`
    pub used: u64,
    /// `used_memory_rss`: what the system has given it.
    pub resident: u64,
    /// `maxmemory`; 0: no limit.
    pub max: u64,
    /// `total_system_memory`: of the machine, whatever limit the container has.
    pub system: u64,
}

/// The connections of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// `connected_clients`, which leaves replicas out.
    pub connected: u64,
    /// `maxclients`: with so many connections, replicas included, it takes no more.
    pub max: u64,
}

/// What a Redis counts of copies since its start; 0 where it does not state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// `sync_full`: full copies given.
    pub full: u64,
    /// `sync_partial_ok`: replicas that went on where they were.
    pub partial: u64,
    /// `sync_partial_err`: replicas that asked to go on and could not.
    pub partial_refused: u64,
    /// `master_last_io_seconds_ago` of a replica whose link is up.
    pub master_silent: Option<Duration>,
}

/// A replica as its master lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `ip:port`, as it calls itself.
    pub name: String,
    /// `state=online`: its copy was sent.
    pub online: bool,
    /// The offset it acknowledged last; 0 until it has loaded its copy.
    pub acknowledged: u64,
    /// `lag`: the time since it acknowledged anything, in whole seconds.
    pub ack_age: Option<Duration>,
}

/// Why an `INFO` could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InfoError {
    /// The field is not there.
    #[error("INFO has no {0}")]
    Missing(&'static str),
    /// The field is there and is not what it should be.
    #[error("INFO has an unreadable {0}")]
    Invalid(&'static str),
    /// The server is older than [`OLDEST`].
    #[error("version {0} is too old: 6.2 is the oldest that works")]
    TooOld(Version),
}

impl Info {
    /// Reads the body of an `INFO` reply: `field:value` lines ended by CRLF in any order, `#` lines
    /// between them. Unknown fields are skipped, so that a newer server still parses.
    ///
    /// Where each part of the passport comes from is said at the fields of [`Passport`]. A master
    /// host that is a name and not an IP leaves `upstream` empty; `second_repl_offset:-1` becomes 0.
    ///
    /// # Errors
    ///
    /// [`InfoError`], naming the first field that is missing or unreadable.
    pub fn parse(text: &str) -> Result<Info, InfoError> {
        let fields = Fields::of(text);
        let valkey = fields.find("valkey_version");
        let version = version(valkey.map_or_else(|| fields.text("redis_version"), Ok)?)?;
        if version < OLDEST {
            return Err(InfoError::TooOld(version));
        }
        let role = match fields.text("role")? {
            "master" => RedisRole::Master,
            "slave" => RedisRole::Replica,
            _ => return Err(InfoError::Invalid("role")),
        };
        let replica = role == RedisRole::Replica;
        // `async_loading` came with 7.0.
        let asynchronous = fields.find("async_loading").is_some_and(|value| value == "1");
        let loading = fields.flag("loading")? || asynchronous;
        let syncing = replica && fields.flag("master_sync_in_progress")?;
        let passport = Passport {
            run_id: fields.id("run_id")?,
            version,
            role,
            loading,
            loaded_bytes: fields.loaded_bytes(syncing, loading)?,
            backlog: fields.flag("repl_backlog_active")?,
            offset: fields.number("master_repl_offset")?,
            keys: fields.keys()?,
            dataset_bytes: fields.number("used_memory_dataset")?,
            replid: fields.id("master_replid")?,
            replid2: fields.id("master_replid2")?,
            second_offset: match fields.text("second_repl_offset")? {
                "-1" => 0,
                _ => fields.number("second_repl_offset")?,
            },
            upstream: if replica { fields.upstream()? } else { None },
            link_up: replica && fields.text("master_link_status")? == "up",
            syncing,
            replicas: fields.number("connected_slaves")?,
        };
        let ok = |name| fields.find(name).is_none_or(|value| value == "ok");
        Ok(Info {
            passport,
            cluster: fields.find("cluster_enabled").is_some_and(|value| value == "1"),
            valkey: valkey.is_some(),
            uptime: Duration::from_secs(fields.number("uptime_in_seconds")?),
            saves_ok: ok("rdb_last_bgsave_status") && ok("aof_last_write_status"),
            changes: fields.told("rdb_changes_since_last_save")?,
            memory: fields.memory()?,
            clients: fields.clients(),
            syncs: fields.syncs()?,
            attached: fields.attached(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Id, RedisAddr};
    use proptest::prelude::*;

    const REPLICA: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\
        run_id:1111111111111111111111111111111111111111\r\nuptime_in_seconds:7\r\n\
        # Memory\r\nused_memory:9000\r\nused_memory_dataset:4096\r\nmaxmemory:0\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\n\
        rdb_changes_since_last_save:3\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\n# Replication\r\nrole:slave\r\n\
        master_host:10.0.0.9\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
        master_sync_in_progress:0\r\nslave_repl_offset:17\r\nconnected_slaves:0\r\n\
        master_replid:2222222222222222222222222222222222222222\r\n\
        master_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:16\r\n\
        second_repl_offset:-1\r\nrepl_backlog_active:1\r\n# Cluster\r\ncluster_enabled:0\r\n\
        # Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb11:keys=4,expires=0,avg_ttl=0\r\n";

    fn without(name: &str) -> String {
        REPLICA.lines().filter(|line| !line.starts_with(name)).map(|l| format!("{l}\r\n")).collect()
    }

    fn with(name: &str, value: &str) -> String {
        let text = without(&format!("{name}:"));
        format!("{text}{name}:{value}\r\n")
    }

    #[test]
    fn reads_every_part_of_a_replicas_passport() {
        let passport = Info::parse(REPLICA).expect("complete").passport;
        let expected = Passport {
            run_id: Id([0x11; 20]),
            version: Version { major: 7, minor: 0, patch: 15 },
            role: RedisRole::Replica,
            loading: false,
            loaded_bytes: 0,
            backlog: true,
            offset: 16,
            keys: 7,
            dataset_bytes: 4096,
            replid: Id([0x22; 20]),
            replid2: Id::NONE,
            second_offset: 0,
            upstream: Some(RedisAddr::new([10, 0, 0, 9].into(), 6379)),
            link_up: true,
            syncing: false,
            replicas: 0,
        };
        assert_eq!(passport, expected);
    }

    #[test]
    fn nothing_is_invented_for_a_field_that_is_missing_or_unreadable() {
        for name in [
            "redis_version",
            "run_id",
            "role",
            "loading",
            "repl_backlog_active",
            "master_repl_offset",
            "used_memory_dataset",
            "master_replid",
            "master_replid2",
            "second_repl_offset",
            "master_link_status",
            "master_sync_in_progress",
            "master_port",
            "connected_slaves",
            "uptime_in_seconds",
        ] {
            let error = Info::parse(&without(&format!("{name}:"))).expect_err(name);
            assert_eq!(error, InfoError::Missing(name));
        }
        for (name, value) in [
            ("master_repl_offset", "-1"),
            ("master_replid", "22"),
            ("role", "sentinel"),
            ("loading", "2"),
            ("connected_slaves", ""),
            ("used_memory_dataset", "1e3"),
        ] {
            assert_eq!(Info::parse(&with(name, value)), Err(InfoError::Invalid(name)));
        }
        assert!(Info::parse(&with("db3", "keys=x,expires=0")).is_err());
    }

    #[test]
    fn replicas_are_read_as_far_as_they_can_be() {
        let text = without("nothing")
            + "slave0:ip=10.0.0.2,port=6379,state=online,offset=17,lag=0\r\n\
               slave1:ip=10.0.0.3,port=0,state=send_bulk,offset=0,lag=0\r\n\
               slave2:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
               slave3:nonsense\r\n";
        let attached = Info::parse(&text).expect("readable").attached;
        let read: Vec<_> =
            attached.iter().map(|it| (it.name.as_str(), it.online, it.acknowledged)).collect();
        assert_eq!(read, [("10.0.0.2:6379", true, 17), ("10.0.0.4:6379", false, 0)]);
        assert!(attached.iter().all(|it| it.ack_age == Some(Duration::ZERO)));
    }

    #[test]
    fn copies_are_counted_where_they_are_told() {
        assert_eq!(Info::parse(REPLICA).expect("readable").syncs, Syncs::default());
        let counts = "sync_full:2\r\nsync_partial_ok:3\r\nsync_partial_err:4\r\n";
        let syncs = |ago: &str| {
            let text = with("master_last_io_seconds_ago", ago) + counts;
            Info::parse(&text).expect("readable").syncs
        };
        let master_silent = Some(Duration::from_secs(5));
        let expected = Syncs { full: 2, partial: 3, partial_refused: 4, master_silent };
        assert_eq!(syncs("5"), expected);
        assert_eq!(syncs("-1").master_silent, None);
    }

    #[test]
    fn connections_are_told_or_unknown() {
        assert_eq!(Info::parse(REPLICA).expect("readable").clients, None);
        let text = with("connected_clients", "12") + "maxclients:10000\r\n";
        let clients = Info::parse(&text).expect("readable").clients;
        assert_eq!(clients, Some(Clients { connected: 12, max: 10_000 }));
        let text = with("connected_clients", "many") + "maxclients:10000\r\n";
        assert_eq!(Info::parse(&text).expect("readable").clients, None);
    }

    #[test]
    fn a_master_host_that_is_a_name_is_no_address() {
        let info = Info::parse(&with("master_host", "redis-0.redis")).expect("readable");
        assert_eq!(info.passport.upstream, None);
    }

    #[test]
    fn valkey_states_its_own_version_beside_the_one_it_is_compatible_with() {
        let info = Info::parse(&with("valkey_version", "9.1.2")).expect("readable");
        assert_eq!(info.passport.version, Version { major: 9, minor: 1, patch: 2 });
        assert!(info.valkey);
    }

    #[test]
    fn versions_before_6_2_are_too_old_whatever_else_they_print() {
        let old = Version { major: 6, minor: 0, patch: 16 };
        assert_eq!(Info::parse("redis_version:6.0.16\r\n"), Err(InfoError::TooOld(old)));
        assert_eq!(version("8.4-rc1"), Err(InfoError::Invalid("redis_version")));
        assert_eq!(version("8.4.0-rc1"), Ok(Version { major: 8, minor: 4, patch: 0 }));
    }

    #[test]
    fn a_load_states_how_far_it_is() {
        let text = with("loading", "1") + "loading_loaded_bytes:77\r\n";
        let passport = Info::parse(&text).expect("readable").passport;
        assert_eq!((passport.loading, passport.loaded_bytes), (true, 77));
        let text = with("async_loading", "1") + "loading_loaded_bytes:78\r\n";
        let passport = Info::parse(&text).expect("readable").passport;
        assert_eq!((passport.loading, passport.loaded_bytes), (true, 78));
    }

    #[test]
    fn a_sync_states_how_far_it_is_and_moves_while_what_came_is_loaded() {
        let text = with("master_sync_in_progress", "1");
        assert_eq!(Info::parse(&text), Err(InfoError::Missing("master_sync_read_bytes")));
        let text = text + "master_sync_read_bytes:500\r\n";
        let passport = Info::parse(&text).expect("readable").passport;
        assert_eq!((passport.syncing, passport.loaded_bytes), (true, 500));
        let text = text.replace("\r\nloading:0", "\r\nloading:1") + "loading_loaded_bytes:20\r\n";
        let passport = Info::parse(&text).expect("readable").passport;
        assert_eq!((passport.syncing, passport.loading, passport.loaded_bytes), (true, true, 520));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,400}", at in 0usize..900) {
            let _ = Info::parse(&text);
            let at = at.min(REPLICA.len());
            let _ = Info::parse(&format!("{}{text}{}", &REPLICA[..at], &REPLICA[at..]));
        }
    }
}
