//! What a hive tells about itself, as `/status` prints it and `redis-hive status` reads it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use super::journal::Transition;

/// How a paused hive says so, among its problems.
pub const PAUSED: &str = "paused: no fail-over until `redis-hive resume`";

/// One hive's view at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The hive's clock when this was told, as [`timestamp`] writes it.
    #[serde(default)]
    pub at: String,
    /// The IP it advertises.
    pub node: IpAddr,
    /// The hive's name.
    pub name: String,
    /// Which run of this hive, 16 hexadecimal digits (a number would not survive JavaScript).
    pub incarnation: String,
    /// What it is.
    pub role: Role,
    /// The highest epoch it has seen.
    pub epoch: u64,
    /// When it last became leaderless, milliseconds since the Unix epoch: its election timestamp.
    pub election_timestamp: u64,
    /// The leader it follows or is.
    pub leader: Option<IpAddr>,
    /// The Redis that takes the writes.
    pub master: Option<SocketAddr>,
    /// `--priority`; 0: a standby.
    #[serde(default = "usual_priority")]
    pub priority: u32,
    /// Whether fail-over is paused.
    pub paused: bool,
    /// The planned change under way, or why a stopping hive stays; empty otherwise.
    #[serde(default)]
    pub change: String,
    /// `--quorum`; 1: none.
    #[serde(default = "no_quorum")]
    pub quorum: u32,
    /// Milliseconds that are left of the lease; `None` without `--quorum`, or without one.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// What its proxy does with clients.
    pub route: RouteKind,
    /// The local Redis.
    pub redis: RedisStatus,
    /// The hives it knows.
    pub peers: Vec<PeerStatus>,
    /// Its proxy.
    pub proxy: ProxyStatus,
    /// What DNS says; `None` without `--service`.
    pub dns: Option<DnsStatus>,
    /// Sentences a person should read, gravest first; empty when all is well.
    pub problems: Vec<String>,
    /// What this hive tells the others that is wrong with it, in words of a fixed set.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// The newest transitions, newest last; `/transitions` has more of them, and more about each.
    pub transitions: Vec<Transition>,
    /// What `/readyz` decides with.
    pub readiness: Readiness,
}

/// What hives had before they said it.
fn no_quorum() -> u32 {
    1
}

fn usual_priority() -> u32 {
    100
}

/// What a hive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Has not heard enough yet to take part.
    Starting,
    /// Has a leader.
    Follower,
    /// Has none and says so.
    Candidate,
    /// Leads.
    Leader,
    /// Was told to stop.
    Draining,
    /// Takes part without a Redis.
    Witness,
}

impl Role {
    /// The word used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Role::Starting => "starting",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Draining => "draining",
            Role::Witness => "witness",
        }
    }
}

/// What a proxy does with clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// Keeps them until a master is known.
    Hold,
    /// Connects them to the master.
    Forward,
    /// Turns them away.
    Refuse,
}

/// The Redis beside a hive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisStatus {
    /// Where other hives find it; `None` for a witness.
    #[serde(default)]
    pub addr: Option<SocketAddr>,
    /// It answers.
    pub up: bool,
    /// `master` or `replica`; `None` while unknown.
    pub role: Option<String>,
    /// The state of its copy: `blank`, `coming` or `complete`.
    pub state: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// Its run.
    pub run_id: Option<String>,
    /// Its stream.
    pub replid: Option<String>,
    /// `master_repl_offset`, bytes.
    pub offset: u64,
    /// Its replication link is up; always false for a master.
    pub link_up: bool,
    /// Bytes of the stream not yet received; 0 for the master, `None` while unknown.
    pub lag_bytes: Option<u64>,
    /// It holds a whole copy.
    pub complete: bool,
    /// Whole, and not behind what the leader stated after the link came up.
    pub current: bool,
    /// Its memory; `None` while unknown, and of the Redis of another hive.
    #[serde(default)]
    pub memory: Option<MemoryStatus>,
}

/// The memory of a Redis, in bytes; 0 where it does not state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// `used_memory`
    pub used: u64,
    /// `used_memory_rss`
    pub resident: u64,
    /// `maxmemory`; 0: no limit.
    pub max: u64,
    /// `total_system_memory`: of the machine, whatever limit the container has.
    pub system: u64,
    /// `--redis-memory-limit`; 0: none is known.
    #[serde(default)]
    pub limit: u64,
}

/// Another hive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its IP and peer port.
    pub addr: SocketAddr,
    /// What it said it is; `None` if it was never heard.
    pub role: Option<Role>,
    /// The highest epoch it has seen.
    pub epoch: Option<u64>,
    /// Milliseconds since its last frame.
    pub last_heard_ms: Option<u64>,
    /// The offset of its copy, bytes.
    pub offset: Option<u64>,
    /// The version of its program; `None` if it did not say it.
    #[serde(default)]
    pub version: Option<String>,
    /// How far its clock is ahead of this hive's, in milliseconds; `None` if it did not say it.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// It is heard, and hears this hive.
    #[serde(default)]
    pub reachable: bool,
    /// `--priority`; 0: a standby.
    #[serde(default = "usual_priority")]
    pub priority: u32,
    /// What it says is wrong with it, in words of a fixed set; empty if it does not say it.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Its Redis, as it told of it last; `None` for a witness, and before it told anything.
    #[serde(default)]
    pub redis: Option<RedisStatus>,
}

/// The proxy of this hive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Clients of the write endpoint that are connected now.
    pub clients: u64,
    /// Clients, of either endpoint, that are held without a master.
    pub held: u64,
    /// Sessions moved to a new master since the start.
    pub migrated: u64,
    /// Bytes from clients of both endpoints to Redis, since the start.
    #[serde(default)]
    pub bytes_up: u64,
    /// Bytes from Redis to clients of both endpoints, since the start.
    #[serde(default)]
    pub bytes_down: u64,
    /// The read endpoint; `None` without one.
    #[serde(default)]
    pub read: Option<ReadStatus>,
}

/// The read endpoint of this hive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStatus {
    /// Its clients that are connected now.
    pub clients: u64,
    /// New ones are served by the local Redis, not by the master elsewhere.
    pub local: bool,
}

/// What DNS says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsStatus {
    /// `complete`, `partly` or `failed`, of all services together; `pending` before the first answer.
    pub outcome: String,
    /// Milliseconds since that answer.
    pub age_ms: u64,
    /// The addresses in it.
    pub addresses: Vec<IpAddr>,
}

/// What `/readyz` decides with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// How long there has been no route to a live master, in milliseconds: 0 while there is one,
    /// `None` if there never was one since the start.
    pub routeless_ms: Option<u64>,
    /// The local Redis was current once since its present run id appeared; true for a master
    /// and for a witness.
    pub was_current: bool,
    /// This hive was told to stop.
    pub draining: bool,
}

/// A wall clock's moment, milliseconds since the Unix epoch, as `2026-11-21T06:00:00.123Z`.
pub fn timestamp(unix_ms: u64) -> String {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Years that begin in March put the leap day at their end.
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month_index = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, ms) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with `date -u -d @SECONDS`.
    #[test]
    fn moments_are_written_as_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(timestamp(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert!(!timestamp(u64::MAX).is_empty());
    }
}
