//! One Redis process: what it holds, what it says of itself, and what orders do to it.
//!
//! It knows no network and no clock: `world` and `replication` carry its messages. What it does is what
//! `replication.c` does (7.0): ids, offsets, the backlog, the cached master, `-NOMASTERLINK`.

use redis_hive::election::{Id, Passport, RedisAddr, RedisRole, Version};

use crate::history::Data;
use crate::rng::Rng;
use crate::world::Micros;

/// Where a replica stands with its master.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// Not connected.
    Down,
    /// A full file is coming in; the old data are still there.
    Transfer(Sync),
    /// The old data are gone, the file is being loaded: goes on without the master.
    Loading(Sync),
    /// The stream flows from this process.
    Up {
        /// Host and life of the master.
        from: (usize, u32),
    },
}

/// A full resync under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sync {
    /// Host and life of the master.
    pub from: (usize, u32),
    pub replid: Id,
    pub offset: u64,
    pub data: Data,
    /// When this phase began and when it ends.
    pub began: Micros,
    pub until: Micros,
}

/// What waits inside a Redis that does not answer: executed in this order when it wakes, unless its connection was reset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// The order number `no` of the hive of that life on this host.
    Order { host: usize, life: u32, no: u32 },
    /// A standing fence.
    Fence { host: usize, life: u32, no: u32 },
    /// A client's write.
    Write(Request),
}

/// A client's write on its way: through which hive, and by which of its routes. Whoever cuts the
/// client's connection takes the route's number away, and with it what was not executed yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    pub host: usize,
    pub life: u32,
    pub route_no: u32,
}

/// How a `PSYNC` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `+CONTINUE`
    Partial,
    /// `+FULLRESYNC`
    Full,
    /// `-NOMASTERLINK` or `-LOADING`
    Refused,
}

#[derive(Clone, Debug)]
pub struct Redis {
    pub alive: bool,
    /// Counts the processes of this host: an event of an older one is void.
    pub life: u32,
    pub frozen: bool,
    pub busy_until: Micros,
    pub run_id: Id,
    /// `None`: a master.
    pub upstream: Option<RedisAddr>,
    pub replid: Id,
    pub replid2: Id,
    pub second_offset: u64,
    pub offset: u64,
    /// The first byte the backlog still has.
    pub backlog: Option<u64>,
    /// Whether it may ask its next master for a partial resync.
    pub cached: bool,
    pub data: Data,
    pub link: Link,
    /// Grows with every change of the link: an event of an older one is void.
    pub link_no: u32,
    /// Its master closed the connection, which it cannot hear of before the path is open again.
    pub deaf: bool,
    pub waiting: Vec<Waiting>,
    /// `CLIENT PAUSE ... WRITE`: until when, and what waits for its end.
    pub paused_until: Micros,
    pub postponed: Vec<Request>,
    /// A save began that pause: the next order ends it.
    pub paused_to_save: bool,
    /// `min-replicas-to-write`
    pub min_replicas: u32,
    pub version: Version,
}

/// Bytes of the stream a backlog keeps.
pub const BACKLOG_BYTES: u64 = 1 << 20;
/// What a key of the model takes.
const KEY_BYTES: u64 = 1_000;

impl Redis {
    /// A process as it starts behind the boot fence.
    pub fn boot(life: u32, rng: &mut Rng) -> Redis {
        Redis {
            alive: true,
            life,
            frozen: false,
            busy_until: 0,
            run_id: rng.id(),
            upstream: Some(RedisAddr::PARKED),
            replid: rng.id(),
            replid2: Id::NONE,
            second_offset: 0,
            offset: 0,
            backlog: None,
            cached: false,
            data: Data::BLANK,
            link: Link::Down,
            link_no: 0,
            deaf: false,
            waiting: Vec::new(),
            paused_until: 0,
            postponed: Vec::new(),
            paused_to_save: false,
            min_replicas: 0,
            version: Version { major: 7, minor: 0, patch: 15 },
        }
    }

    pub fn is_master(&self) -> bool {
        self.alive && self.upstream.is_none()
    }

    pub fn loading(&self) -> bool {
        matches!(self.link, Link::Loading(_))
    }

    pub fn busy(&self, now: Micros) -> bool {
        now < self.busy_until
    }

    /// Whether a command is executed now.
    pub fn serves(&self, now: Micros) -> bool {
        self.alive && !self.frozen && !self.busy(now) && !self.loading()
    }

    /// ELECTION 2.2, from what the process holds.
    pub fn complete(&self) -> bool {
        self.alive && !self.loading() && (self.upstream.is_none() || self.backlog.is_some())
    }

    /// What `INFO` prints.
    pub fn passport(&self, now: Micros, replicas: u32) -> Passport {
        let loaded_bytes = match self.link {
            Link::Loading(sync) => (now.max(sync.began) - sync.began) * 100 + 1,
            Link::Transfer(sync) => (now.clamp(sync.began, sync.until) - sync.began) * 100 + 1,
            _ => 0,
        };
        Passport {
            run_id: self.run_id,
            version: self.version,
            role: if self.upstream.is_none() { RedisRole::Master } else { RedisRole::Replica },
            loading: self.loading(),
            loaded_bytes,
            backlog: self.backlog.is_some(),
            offset: self.offset,
            keys: self.data.keys(),
            dataset_bytes: dataset_bytes(self.data),
            replid: self.replid,
            replid2: self.replid2,
            second_offset: self.second_offset,
            upstream: self.upstream,
            link_up: matches!(self.link, Link::Up { .. }),
            syncing: matches!(self.link, Link::Transfer(_)),
            replicas,
        }
    }

    /// `REPLICAOF host port`. Returns whether anything changed. Its replicas stay attached: they are
    /// fed on by whatever it replicates (6.2 and newer).
    pub fn follow(&mut self, to: RedisAddr) -> bool {
        if self.upstream == Some(to) {
            return false;
        }
        if self.upstream.is_none() {
            // It continues its own stream: the next master may know the id.
            self.cached = true;
            self.backlog = self.backlog.or(Some(self.offset + 1));
        }
        self.upstream = Some(to);
        self.unlink();
        true
    }

    /// `REPLICAOF NO ONE`. Returns whether anything changed: then its replicas are cut off.
    pub fn promote(&mut self, rng: &mut Rng) -> bool {
        if self.upstream.is_none() {
            return false;
        }
        self.upstream = None;
        self.unlink();
        self.cached = false;
        self.replid2 = self.replid;
        self.second_offset = self.offset + 1;
        self.replid = rng.id();
        true
    }

    /// The first replica attaches to a master without a backlog (or somebody opens one `PSYNC ? -1`):
    /// there is no valid past, so the id is made anew.
    pub fn open_backlog(&mut self, rng: &mut Rng) {
        if self.backlog.is_none() {
            self.backlog = Some(self.offset + 1);
            if self.upstream.is_none() {
                self.replid = rng.id();
                self.replid2 = Id::NONE;
                self.second_offset = 0;
            }
        }
    }

    /// Gives up the connection to the master; the stream can be continued where it was up.
    pub fn unlink(&mut self) {
        if !self.loading() {
            self.link = Link::Down;
        }
        self.link_no += 1;
        self.deaf = false;
    }

    /// How this Redis answers a replica's `PSYNC`.
    pub fn answer(&self, replica: &Redis) -> Answer {
        let down = self.upstream.is_some() && !matches!(self.link, Link::Up { .. });
        if self.loading() || down {
            return Answer::Refused;
        }
        let asked = if replica.cached { replica.replid } else { Id::NONE };
        let next = replica.offset + 1;
        let known = asked == self.replid || (asked == self.replid2 && next <= self.second_offset);
        match self.backlog {
            Some(first)
                if known && !asked.is_none() && first <= next && next <= self.offset + 1 =>
            {
                Answer::Partial
            }
            _ => Answer::Full,
        }
    }

    /// `+CONTINUE`: takes over the master's id. Returns whether it changed: then its own replicas are cut off.
    pub fn continue_from(&mut self, from: (usize, u32), replid: Id) -> bool {
        let changed = self.replid != replid;
        if changed {
            self.replid2 = self.replid;
            self.second_offset = self.offset + 1;
            self.replid = replid;
        }
        self.backlog = self.backlog.or(Some(self.offset + 1));
        self.link = Link::Up { from };
        changed
    }

    /// `+FULLRESYNC`: from here on no partial resync is possible, though the data are still there.
    pub fn begin_transfer(&mut self, sync: Sync) {
        self.cached = false;
        self.link = Link::Transfer(sync);
    }

    /// The file is complete: the old data go.
    pub fn begin_load(&mut self, sync: Sync) {
        self.backlog = None;
        self.data = Data::BLANK;
        self.link = Link::Loading(sync);
    }

    /// The file is loaded. The link is up if the master is still the one it was loaded from.
    pub fn loaded(&mut self, sync: Sync, still_there: bool) {
        self.data = sync.data;
        self.replid = sync.replid;
        self.replid2 = Id::NONE;
        self.second_offset = 0;
        self.offset = sync.offset;
        self.backlog = Some(self.offset + 1);
        self.cached = true;
        self.link = if still_there { Link::Up { from: sync.from } } else { Link::Down };
    }

    /// Takes in the stream up to this point.
    pub fn fed(&mut self, offset: u64, data: Data) {
        self.offset = offset;
        self.data = data;
        self.trim();
    }

    /// One executed write of `bytes`; they count only where a backlog is.
    pub fn wrote(&mut self, bytes: u64) {
        if self.backlog.is_some() {
            self.offset += bytes;
            self.trim();
        }
    }

    fn trim(&mut self) {
        let oldest = (self.offset + 1).saturating_sub(BACKLOG_BYTES);
        self.backlog = self.backlog.map(|first| first.max(oldest));
    }
}

/// `used_memory_dataset` of a copy.
pub fn dataset_bytes(data: Data) -> u64 {
    100_000 + data.keys() * KEY_BYTES
}
