//! What the core decides with.

use alloc::vec::Vec;
use core::time::Duration;

use super::types::{Incarnation, NodeId, RedisAddr, Version};

/// Settings the core decides with. Validated where flags are read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This hive's identity.
    pub me: NodeId,
    /// This run of it.
    pub incarnation: Incarnation,
    /// The version of this program.
    pub version: Version,
    /// Where others reach the local Redis.
    pub redis: RedisAddr,
    /// `--priority`: lower wins between equal copies.
    pub priority: u32,
    /// `--witness`: takes part without a Redis.
    pub witness: bool,
    /// `--peer` addresses: the list that never leaves.
    pub fixed_peers: Vec<NodeId>,
    /// Whether a `--service` is resolved: then a successful answer is waited for.
    pub service: bool,
    /// `--heartbeat`
    pub heartbeat: Duration,
    /// `--peer-timeout`
    pub peer_timeout: Duration,
    /// `--redis-timeout`
    pub redis_timeout: Duration,
    /// `--election-timeout`
    pub election_timeout: Duration,
    /// `--bootstrap-timeout`
    pub bootstrap_timeout: Duration,
    /// `--last-copy-timeout`
    pub last_copy_timeout: Duration,
    /// `--quorum`: 1 means none.
    pub quorum: u32,
    /// `--min-replicas-to-write`
    pub min_replicas: u32,
    /// `--rescue-dir` is given: a diverged copy is saved before it is overwritten.
    pub rescue: bool,
    /// Seeds the few random waits (5 to 40 ms between two claims).
    pub seed: u64,
    /// Rules switched off, to show that the simulator notices.
    pub ablation: Ablation,
}

/// Rules that a test can switch off and bugs that it can plant. All off in a running hive: no flag
/// and no frame reaches this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ablation {
    /// 4.3: no living master is looked for.
    pub no_living_master: bool,
    /// 4.5: grants are given without cutting the route and parking.
    pub no_park_before_grant: bool,
    /// 4.6b: passports in grants are not compared.
    pub no_frozen_passports: bool,
    /// 3: gaps count as silence.
    pub no_gap_counting: bool,
    /// 4.7: only leaders that hear this hive too are followed.
    pub no_one_way_deference: bool,
    /// 4.7: a leader that is heard is left for one of a higher epoch.
    pub leave_heard_leader: bool,
    /// 4.8: a leader does not give way to a candidate with better data.
    pub no_giving_way: bool,
    /// 2.8: a copy is pointed at a smaller one of another root.
    pub no_root_guard: bool,
    /// 4.5: promises never end by themselves.
    pub no_promise_expiry: bool,
    /// 6: orders of any epoch are obeyed.
    pub no_order_epoch_check: bool,
    /// 8: leases do not end.
    pub no_lease: bool,
    /// Planted: an epoch is granted to everybody who asks.
    pub grant_twice: bool,
    /// Planted: data do not count in the rank.
    pub ignore_passports: bool,
    /// Planted: addresses are compared as text.
    pub ips_as_text: bool,
    /// Planted: the Redis is promoted before the grants are in.
    pub promote_before_grants: bool,
    /// Planted: a leader does not notice that its Redis restarted.
    pub keep_leading_after_restart: bool,
    /// Planted: a blank hive leads without looking for copies.
    pub blank_bootstraps_at_once: bool,
}
