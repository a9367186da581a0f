//! What ends leaderships.

/// What ended a leadership, as far as this hive can see: one of a fixed set, for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// None ended: this hive has just started.
    #[default]
    Started,
    /// The leader is silent or gone.
    Silent,
    /// The leader was restarted or replaced.
    Restarted,
    /// The leader resigned, or says that it does not lead. It knows why.
    Resigned,
    /// The master's Redis is gone, hung, restarted or demoted.
    Redis,
    /// The leader slept longer than the peer timeout.
    Slept,
    /// The leader's lease ended, or its quorum is too small.
    Lease,
    /// Another hive has a better copy.
    Better,
    /// There were two leaders.
    Rivals,
    /// Another hive is in reach of more.
    Reach,
    /// A regent gave the leadership to the hive beside the master.
    Regent,
    /// A planned change: asked for, or because the leader stops.
    Planned,
}

impl Cause {
    /// All of them, each at the place that is its number.
    pub const ALL: [Cause; 12] = [
        Cause::Started,
        Cause::Silent,
        Cause::Restarted,
        Cause::Resigned,
        Cause::Redis,
        Cause::Slept,
        Cause::Lease,
        Cause::Better,
        Cause::Rivals,
        Cause::Reach,
        Cause::Regent,
        Cause::Planned,
    ];

    /// In one word, as metrics and the journal write it.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Started => "started",
            Cause::Silent => "leader_silent",
            Cause::Restarted => "leader_restarted",
            Cause::Resigned => "leader_resigned",
            Cause::Redis => "redis_lost",
            Cause::Slept => "slept",
            Cause::Lease => "lease_ended",
            Cause::Better => "better_copy",
            Cause::Rivals => "two_leaders",
            Cause::Reach => "reach",
            Cause::Regent => "regent",
            Cause::Planned => "planned",
        }
    }
}
