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
    /// A client's write through that host's route.
    Write { host: usize, life: u32, route_no: u32 },
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
    pub waiting: Vec<Waiting>,
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
            waiting: Vec::new(),
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

    /// `REPLICAOF host port`. Returns whether anything changed: then its replicas are cut off.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Histories;

    fn addr(last: u8) -> RedisAddr {
        RedisAddr::new([10, 0, 0, last].into(), 6379)
    }

    /// A master with a backlog and a replica that has everything.
    fn pair(rng: &mut Rng, all: &mut Histories) -> (Redis, Redis) {
        let mut master = Redis::boot(1, rng);
        master.promote(rng);
        master.open_backlog(rng);
        master.data = all.found();
        write(&mut master, all);
        let mut replica = Redis::boot(1, rng);
        replica.follow(addr(1));
        full_sync(&mut replica, &master);
        (master, replica)
    }

    fn write(master: &mut Redis, all: &mut Histories) {
        all.write(&mut master.data);
        master.wrote(100);
    }

    fn full_sync(replica: &mut Redis, master: &Redis) {
        let sync = Sync {
            from: (0, 1),
            replid: master.replid,
            offset: master.offset,
            data: master.data,
            began: 0,
            until: 0,
        };
        replica.begin_transfer(sync);
        replica.begin_load(sync);
        replica.loaded(sync, true);
    }

    #[test]
    fn a_boot_fenced_redis_is_blank_and_gives_no_copy() {
        let mut rng = Rng::new(1);
        let (fresh, other) = (Redis::boot(1, &mut rng), Redis::boot(1, &mut rng));
        let passport = fresh.passport(0, 0);
        assert!(passport.parked() && !passport.backlog && !fresh.complete());
        assert_eq!(fresh.answer(&other), Answer::Refused, "-NOMASTERLINK");
    }

    #[test]
    fn writes_count_only_once_a_backlog_exists_and_its_making_changes_the_replid() {
        let (mut rng, mut all) = (Rng::new(2), Histories::new());
        let mut master = Redis::boot(1, &mut rng);
        master.promote(&mut rng);
        write(&mut master, &mut all);
        assert_eq!((master.offset, master.data.keys()), (0, 1));
        let before = master.replid;
        master.open_backlog(&mut rng);
        assert_ne!(master.replid, before);
        assert!(master.replid2.is_none());
        write(&mut master, &mut all);
        assert_eq!(master.offset, 100);
    }

    #[test]
    fn parking_keeps_all_and_the_next_resync_is_partial() {
        let (mut rng, mut all) = (Rng::new(3), Histories::new());
        let (mut master, mut replica) = pair(&mut rng, &mut all);
        let before = (replica.replid, replica.offset, replica.data);
        replica.follow(RedisAddr::PARKED);
        assert!(replica.complete() && !replica.passport(0, 0).link_up);
        assert_eq!((replica.replid, replica.offset, replica.data), before);
        write(&mut master, &mut all);
        assert_eq!(master.answer(&replica), Answer::Partial);
        assert_eq!(replica.answer(&master), Answer::Refused, "parked: nobody copies from it");
    }

    #[test]
    fn the_second_id_holds_up_to_the_fork_and_not_beyond() {
        let (mut rng, mut all) = (Rng::new(4), Histories::new());
        let (mut old, mut heir) = pair(&mut rng, &mut all);
        let mut twin = heir.clone();
        twin.unlink();
        heir.promote(&mut rng);
        assert_eq!(heir.replid2, old.replid);
        assert_eq!(heir.answer(&twin), Answer::Partial, "equal at the fork");
        write(&mut old, &mut all);
        old.follow(addr(2));
        assert_eq!(heir.answer(&old), Answer::Full, "it wrote after the fork");
        heir.begin_load(Sync {
            from: (0, 1),
            replid: old.replid,
            offset: 0,
            data: old.data,
            began: 0,
            until: 9,
        });
        assert_eq!(heir.answer(&twin), Answer::Refused, "-LOADING");
    }

    #[test]
    fn an_aborted_transfer_keeps_the_data_and_forgets_the_cached_master() {
        let (mut rng, mut all) = (Rng::new(5), Histories::new());
        let (master, mut replica) = pair(&mut rng, &mut all);
        let kept = replica.data;
        let sync = Sync {
            from: (0, 1),
            replid: master.replid,
            offset: master.offset,
            data: master.data,
            began: 0,
            until: 9,
        };
        replica.begin_transfer(sync);
        replica.unlink();
        assert_eq!(replica.data, kept);
        assert!(replica.complete());
        assert_eq!(master.answer(&replica), Answer::Full);
    }

    #[test]
    fn a_load_outlives_its_master_and_a_backlog_has_an_end() {
        let (mut rng, mut all) = (Rng::new(6), Histories::new());
        let (mut master, mut replica) = pair(&mut rng, &mut all);
        let sync = Sync {
            from: (0, 1),
            replid: master.replid,
            offset: master.offset,
            data: master.data,
            began: 5,
            until: 9,
        };
        replica.begin_transfer(sync);
        replica.begin_load(sync);
        replica.unlink();
        assert!(replica.loading() && !replica.complete());
        assert!(replica.passport(8, 0).loaded_bytes > replica.passport(6, 0).loaded_bytes);
        replica.loaded(sync, false);
        assert!(replica.complete() && replica.link == Link::Down);
        master.wrote(BACKLOG_BYTES + 1);
        assert_eq!(master.answer(&replica), Answer::Full);
    }
}
