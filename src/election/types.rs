//! The words of the election: who, when, which copy, which leadership.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::net::IpAddr;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment on this hive's monotonic clock, in microseconds since an origin of the driver's choice.
///
/// Moments of two hives never compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The time passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span.as_micros() as u64))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(span.as_micros() as u64))
    }
}

/// The wall clock, in milliseconds since the Unix epoch. Only ever compared between hives as the
/// election timestamp (ELECTION 2.6); never used to measure a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// The address of a hive: IP and peer port. Ordered as a number, IPv4 before IPv6, then the port,
/// so that 127.0.0.9 comes before 127.0.0.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// The IP; an IPv4 address mapped into IPv6 is stored as IPv4.
    pub ip: IpAddr,
    /// The peer port.
    pub port: u16,
}

impl NodeId {
    /// A node's address; an IPv4-mapped IPv6 address becomes the IPv4 address it stands for.
    pub fn new(ip: IpAddr, port: u16) -> NodeId {
        NodeId { ip: ip.to_canonical(), port }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.ip, self.port)
    }
}

/// The address of a Redis as its replicas and the proxies dial it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisAddr {
    /// The IP; an IPv4 address mapped into IPv6 is stored as IPv4.
    pub ip: IpAddr,
    /// The port Redis listens on.
    pub port: u16,
}

impl RedisAddr {
    /// A Redis address; an IPv4-mapped IPv6 address becomes the IPv4 address it stands for.
    pub fn new(ip: IpAddr, port: u16) -> RedisAddr {
        RedisAddr { ip: ip.to_canonical(), port }
    }

    /// The address a parked Redis is pointed at: nothing listens there.
    pub const PARKED: RedisAddr =
        RedisAddr { ip: IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), port: 1 };
}

impl fmt::Display for RedisAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.ip, self.port)
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, ip: IpAddr, port: u16) -> fmt::Result {
    match ip {
        IpAddr::V4(ip) => write!(f, "{ip}:{port}"),
        IpAddr::V6(ip) => write!(f, "[{ip}]:{port}"),
    }
}

/// A random number made at the start of a hive: tells a restarted hive from the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// The number of a leadership. Only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Frames with an epoch above this close the link (ELECTION 4.10): nobody can run the counter out.
    pub const MAX: Epoch = Epoch(1 << 48);

    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Forty hexadecimal digits as Redis prints them, kept as 20 bytes: a run id, a replication id, a root.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 20]);

/// The id of one run of a Redis process.
pub type RunId = Id;
/// The id of one replication stream (`master_replid`).
pub type ReplId = Id;
/// The id of a history (ELECTION 2.4).
pub type Root = Id;

impl Id {
    /// All zeros: how Redis prints an absent `master_replid2`.
    pub const NONE: Id = Id([0; 20]);

    /// Reads 40 hexadecimal digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<Id> {
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return None;
        }
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Id(id))
    }

    /// Whether this is [`Id::NONE`].
    pub fn is_none(self) -> bool {
        self == Id::NONE
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// A Redis (or Redis-compatible) version; ordered by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The role a Redis states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRole {
    /// `role:master`
    Master,
    /// `role:slave`
    Replica,
}

/// The state of a copy (ELECTION 2.2), worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyState {
    /// No data that counts, whatever keys it has.
    Blank,
    /// Loading a whole file: will be complete even if the master is gone.
    Coming,
    /// A whole copy.
    Complete,
}

/// What one `INFO` of a Redis said (ELECTION 2.1). Read on one connection, never put together from two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passport {
    /// `run_id`
    pub run_id: RunId,
    /// `redis_version` (`valkey_version` where that is stated)
    pub version: Version,
    /// `role`
    pub role: RedisRole,
    /// `loading:1` or `async_loading:1`
    pub loading: bool,
    /// How far a copy has come in: `master_sync_read_bytes` while syncing, `loading_loaded_bytes`
    /// while loading, else 0. Only tells whether it moves.
    pub loaded_bytes: u64,
    /// `repl_backlog_active:1`
    pub backlog: bool,
    /// `master_repl_offset`, bytes, and nothing else.
    pub offset: u64,
    /// Keys in all databases.
    pub keys: u64,
    /// `used_memory_dataset`, bytes.
    pub dataset_bytes: u64,
    /// `master_replid`
    pub replid: ReplId,
    /// `master_replid2`; [`Id::NONE`] where there is none.
    pub replid2: ReplId,
    /// `second_repl_offset`; 0 where there is none (Redis prints -1).
    pub second_offset: u64,
    /// `master_host:master_port` of a replica.
    pub upstream: Option<RedisAddr>,
    /// `master_link_status:up`
    pub link_up: bool,
    /// `master_sync_in_progress:1`
    pub syncing: bool,
    /// `connected_slaves`
    pub replicas: u32,
}

impl Passport {
    /// Whether this Redis is parked: it replicates nothing and nobody can copy from it.
    pub fn parked(&self) -> bool {
        self.upstream == Some(RedisAddr::PARKED)
    }

    /// Whether the two have a replication id in common, so that one is a continuation of the other.
    pub fn shares_history(&self, other: &Passport) -> bool {
        let mine = [self.replid, self.replid2];
        mine.iter().any(|id| !id.is_none() && (*id == other.replid || *id == other.replid2))
    }
}

/// A copy as its hive states it to others: the passport, and what only the hive knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What Redis said.
    pub passport: Passport,
    /// Blank, coming or complete.
    pub state: CopyState,
    /// The history it belongs to; `None` while blank.
    pub root: Option<Root>,
    /// Whether the root was only taken from the replid, because nobody knew it.
    pub provisional: bool,
    /// The offset it ranks with: `master_repl_offset`, or for a coming copy what its leader stated when the sync began.
    pub offset: u64,
    /// Current as ELECTION 2.3 says.
    pub current: bool,
}

/// The Redis that takes the writes of a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    /// Where replicas and proxies find it.
    pub addr: RedisAddr,
    /// The one run that is meant: another run at the same address is a stranger.
    pub run_id: RunId,
    /// Its stream.
    pub replid: ReplId,
    /// Its history.
    pub root: Root,
}

/// Epoch + hive + master (ELECTION 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Its number.
    pub epoch: Epoch,
    /// The hive that leads.
    pub leader: NodeId,
    /// Which run of that hive.
    pub incarnation: Incarnation,
    /// The Redis that takes the writes; another hive's for a regent.
    pub master: Master,
}

impl Leadership {
    /// Ranks leaderships a hive may follow: the higher epoch, then the lower address, is greater.
    pub fn precedence(&self, other: &Leadership) -> Ordering {
        self.epoch.cmp(&other.epoch).then_with(|| other.leader.cmp(&self.leader))
    }
}

/// The role a hive states to its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiveRole {
    /// Has not yet heard enough to take part.
    Starting,
    /// Has a leader.
    Follower,
    /// Has none and says so.
    Candidate,
    /// Leads.
    Leader,
}

/// Where the proxies send clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// No master is known, or it must not be written to now: keep clients, read nothing from them.
    Hold,
    /// To this master, in this epoch. Nothing is ever sent to a master of an older epoch.
    Forward {
        /// The leadership's number.
        epoch: Epoch,
        /// The master's address.
        master: RedisAddr,
        /// The master's run.
        run_id: RunId,
    },
    /// The same master, while a planned change is under way (ELECTION 6): replies pass, no request is
    /// read, new clients wait. Sessions stay, and go on when `Forward` to the same run comes back.
    Held {
        /// The leadership's number.
        epoch: Epoch,
        /// The master's address.
        master: RedisAddr,
        /// The master's run.
        run_id: RunId,
    },
    /// Turn clients away with this reason.
    Refuse {
        /// Goes to the client behind `-MASTERDOWN `.
        reason: String,
    },
}

/// Which sessions of the master before a route may live on under it (DESIGN 3.4). A session that may
/// have seen something the next master lacks never does. Times are on the driver's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// The master failed, or is lost from sight.
    Crash {
        /// Those whose last reply was passed on before this.
        before: Time,
    },
    /// The master was changed as planned.
    Planned {
        /// Those whose last reply was passed on before this.
        before: Time,
    },
}

impl Route {
    /// The run of the master it leads to.
    pub fn run_id(&self) -> Option<RunId> {
        match self {
            Route::Forward { run_id, .. } | Route::Held { run_id, .. } => Some(*run_id),
            Route::Hold | Route::Refuse { .. } => None,
        }
    }
}
