//! A Redis as far as an election sees it: role, ids, offset, and whether it follows.

use redis_hive::election::{Id, Passport, RedisAddr, RedisOrder, RedisRole, Version};

pub struct Redis {
    pub alive: bool,
    run_id: Id,
    pub upstream: Option<RedisAddr>,
    replid: Id,
    replid2: Id,
    second_offset: u64,
    pub offset: u64,
    backlog: bool,
    pub link_up: bool,
    /// Grows with every change of the upstream: a copy under way to an older one comes to nothing.
    pub link_no: u32,
}

impl Redis {
    /// As it starts behind the boot fence.
    pub fn boot(run_id: Id, replid: Id) -> Redis {
        Redis {
            alive: true,
            run_id,
            upstream: Some(RedisAddr::PARKED),
            replid,
            replid2: Id::NONE,
            second_offset: 0,
            offset: 0,
            backlog: false,
            link_up: false,
            link_no: 0,
        }
    }

    pub fn is_master(&self) -> bool {
        self.alive && self.upstream.is_none()
    }

    /// Whether somebody can copy from it.
    pub fn feeds(&self) -> bool {
        self.alive && (self.upstream.is_none() || self.link_up)
    }

    /// Does what it is told; `fresh` is the id of a stream that begins with it.
    pub fn obey(&mut self, order: RedisOrder, fresh: Id) {
        match order {
            RedisOrder::Park | RedisOrder::Rescue => self.follow(RedisAddr::PARKED),
            RedisOrder::PauseWrites { .. } | RedisOrder::ResumeWrites => {}
            RedisOrder::Follow(to) => self.follow(to),
            RedisOrder::Promote { first } => {
                if self.upstream.take().is_some() {
                    self.unlink();
                    (self.replid2, self.second_offset) = (self.replid, self.offset + 1);
                    self.replid = fresh;
                }
                if first && !self.backlog {
                    self.backlog = true;
                    (self.replid2, self.second_offset) = (Id::NONE, 0);
                }
            }
        }
    }

    fn follow(&mut self, to: RedisAddr) {
        if self.upstream != Some(to) {
            self.upstream = Some(to);
            self.unlink();
        }
    }

    pub fn unlink(&mut self) {
        self.link_up = false;
        self.link_no += 1;
    }

    /// Has everything that `master` has, and is fed from now on.
    pub fn copy(&mut self, master: &Copied) {
        (self.replid, self.replid2, self.second_offset, self.offset) = *master;
        (self.backlog, self.link_up) = (true, true);
    }

    pub fn stream(&self) -> Copied {
        (self.replid, self.replid2, self.second_offset, self.offset)
    }

    pub fn passport(&self, replicas: u32) -> Passport {
        let keys = if self.backlog { 1_000 } else { 0 };
        Passport {
            run_id: self.run_id,
            version: Version { major: 7, minor: 0, patch: 15 },
            role: if self.upstream.is_none() { RedisRole::Master } else { RedisRole::Replica },
            loading: false,
            loaded_bytes: 0,
            backlog: self.backlog,
            offset: self.offset,
            keys,
            dataset_bytes: 100_000 + keys * 100,
            replid: self.replid,
            replid2: self.replid2,
            second_offset: self.second_offset,
            upstream: self.upstream,
            link_up: self.link_up,
            syncing: false,
            replicas,
        }
    }
}

/// Replid, second replid, second offset and offset.
pub type Copied = (Id, Id, u64, u64);
