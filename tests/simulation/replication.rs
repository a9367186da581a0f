//! Replication between Redis processes: connecting, full syncs, the stream.

use redis_hive::election::RedisAddr;

use crate::hosts::Stranger;
use crate::redis::{Answer, Link, Sync};
use crate::world::{Event, MS, SEC, World};

impl World {
    /// A replica tries to connect to its master and asks for the stream.
    pub fn replica_connects(&mut self, host: usize, life: u32, link_no: u32) {
        let redis = &self.hosts[host].redis;
        if !redis.alive || redis.life != life || redis.link_no != link_no {
            return;
        }
        let Some(upstream) = redis.upstream.filter(|_| redis.link == Link::Down) else { return };
        let again = Event::Connect { host, life, link_no };
        if upstream == RedisAddr::PARKED {
            return;
        }
        if redis.frozen {
            return self.after(100 * MS, again);
        }
        let Some(at) = self.host_at(upstream.ip).filter(|at| *at != host) else {
            return self.after(SEC, again);
        };
        let source = &self.hosts[at].redis;
        let open = self.net.serves(host, at);
        if open && source.alive && (source.frozen || source.busy(self.now)) {
            // Accepted by the kernel: answered when it wakes.
            return self.after(20 * MS, again);
        }
        if !open || !source.alive || self.hosts[at].stranger == Some(Stranger::Rejects) {
            return self.after(SEC, again);
        }
        match source.answer(&self.hosts[host].redis) {
            Answer::Refused => self.after(SEC, again),
            Answer::Partial => self.partial(host, at),
            Answer::Full => self.full(host, at),
        }
    }

    fn partial(&mut self, host: usize, at: usize) {
        self.check_partial(host, at);
        let from = (at, self.hosts[at].redis.life);
        let replid = self.hosts[at].redis.replid;
        let redis = &mut self.hosts[host].redis;
        let life = redis.life;
        let changed = redis.continue_from(from, replid);
        self.tell(host, || format!("redis continues the stream of {}", crate::story::name(at)));
        if changed {
            self.cut_replicas(host, life);
        }
        self.redis_changed(host, 30 * MS);
        self.feed(host);
    }

    fn full(&mut self, host: usize, at: usize) {
        self.checks.full_syncs += 1;
        let source = &mut self.hosts[at].redis;
        let found_id = source.backlog.is_none();
        source.open_backlog(&mut self.rng);
        let (low, high) = self.config.transfer;
        let sync = Sync {
            from: (at, source.life),
            replid: source.replid,
            offset: source.offset,
            data: source.data,
            began: self.now,
            until: self.now + self.rng.between(low, high),
        };
        let redis = &mut self.hosts[host].redis;
        redis.begin_transfer(sync);
        let (life, link_no) = (redis.life, redis.link_no);
        self.tell(host, || format!("redis begins a full sync from {}", crate::story::name(at)));
        self.at(sync.until, Event::Sync { host, life, link_no });
        self.redis_changed(host, 30 * MS);
        if found_id {
            self.redis_changed(at, 30 * MS);
        }
    }

    /// A transfer or a load has come to its end.
    pub fn sync_moves(&mut self, host: usize, life: u32, link_no: u32) {
        let redis = &self.hosts[host].redis;
        if !redis.alive || redis.life != life {
            return;
        }
        match redis.link {
            Link::Transfer(sync) if redis.link_no == link_no => {
                let (at, source_life) = sync.from;
                let lives = self.hosts[at].redis.alive && self.hosts[at].redis.life == source_life;
                if !lives && self.hosts[at].powered {
                    return self.link_lost(host);
                }
                let stalled = redis.frozen
                    || !lives
                    || self.hosts[at].redis.frozen
                    || !self.net.serves(host, at);
                if stalled {
                    return self.after(50 * MS, Event::Sync { host, life, link_no });
                }
                self.begin_load(host, sync, link_no);
            }
            Link::Loading(sync) if sync.until <= self.now => {
                if redis.frozen {
                    return self.after(50 * MS, Event::Sync { host, life, link_no });
                }
                self.end_load(host, sync);
            }
            _ => {}
        }
    }

    fn begin_load(&mut self, host: usize, sync: Sync, link_no: u32) {
        self.check_flush(host, sync);
        let (low, high) = self.config.load;
        let until = self.now + self.rng.between(low, high);
        let life = self.hosts[host].redis.life;
        let load = Sync { began: self.now, until, ..sync };
        self.hosts[host].redis.begin_load(load);
        self.tell(host, || format!("redis flushes and loads {} keys", sync.data.keys()));
        self.cut_replicas(host, life);
        self.at(until, Event::Sync { host, life, link_no });
        self.redis_changed(host, 30 * MS);
    }

    fn end_load(&mut self, host: usize, sync: Sync) {
        let (at, source_life) = sync.from;
        let source = &self.hosts[at].redis;
        let follows = self.hosts[host].redis.upstream == Some(self.redis_addr(at));
        let there = follows
            && source.alive
            && source.life == source_life
            && source.replid == sync.replid
            && self.net.serves(host, at);
        let redis = &mut self.hosts[host].redis;
        redis.loaded(sync, there);
        let (life, link_no) = (redis.life, redis.link_no);
        self.tell(host, || format!("redis has loaded, link {}", if there { "up" } else { "down" }));
        if there {
            self.feed(host);
        } else {
            self.after(300, Event::Connect { host, life, link_no });
        }
        self.redis_changed(host, 30 * MS);
    }

    /// The replicas of this process lose it: they connect again at once.
    pub fn cut_replicas(&mut self, at: usize, life: u32) {
        for host in 0..self.hosts.len() {
            let redis = &self.hosts[host].redis;
            let from = match redis.link {
                Link::Up { from } => from,
                Link::Transfer(sync) => sync.from,
                Link::Loading(_) | Link::Down => continue,
            };
            if !redis.alive || from != (at, life) {
                continue;
            }
            if self.net.serves(host, at) {
                self.link_lost(host);
            } else {
                let (life, link_no) = (redis.life, redis.link_no);
                self.hosts[host].redis.deaf = true;
                self.after(20 * MS, Event::ReplicaLost { host, life, link_no });
            }
        }
    }

    /// A killed master's replicas hear of it after what its kernel still sends them.
    pub fn orphan_replicas(&mut self, at: usize, master_life: u32) {
        for host in 0..self.hosts.len() {
            let redis = &self.hosts[host].redis;
            let from = match redis.link {
                Link::Up { from } => from,
                Link::Transfer(sync) => sync.from,
                Link::Loading(_) | Link::Down => continue,
            };
            if redis.alive && from == (at, master_life) && self.net.serves(host, at) {
                let (life, link_no) = (redis.life, redis.link_no);
                let delay = self.net.delay(&mut self.rng).max(700);
                self.after(delay, Event::ReplicaLost { host, life, link_no });
            }
        }
    }

    pub fn replica_lost(&mut self, host: usize, life: u32, link_no: u32) {
        let redis = &self.hosts[host].redis;
        if !redis.alive || redis.life != life || redis.link_no != link_no {
            return;
        }
        let deaf = redis.deaf
            && match redis.link {
                Link::Up { from: (at, _) } => !self.net.serves(host, at),
                _ => false,
            };
        if deaf {
            self.after(20 * MS, Event::ReplicaLost { host, life, link_no });
        } else {
            self.link_lost(host);
        }
    }

    fn link_lost(&mut self, host: usize) {
        let redis = &mut self.hosts[host].redis;
        redis.unlink();
        let (life, link_no) = (redis.life, redis.link_no);
        self.tell(host, || "redis loses its master link".into());
        self.after(400, Event::Connect { host, life, link_no });
        self.redis_changed(host, 30 * MS);
    }

    /// Sends a replica what it lacks; the stream then feeds itself.
    pub fn feed(&mut self, host: usize) {
        let redis = &self.hosts[host].redis;
        let Link::Up { from: (at, _) } = redis.link else { return };
        if redis.deaf {
            return;
        }
        let (life, link_no) = (redis.life, redis.link_no);
        let source = &self.hosts[at].redis;
        let (offset, data) = (source.offset, source.data);
        let delay = self.net.delay(&mut self.rng);
        self.after(delay, Event::Feed { host, life, link_no, offset, data });
    }

    /// What a master wrote goes to all its replicas.
    pub fn feed_all(&mut self, at: usize) {
        let from = (at, self.hosts[at].redis.life);
        for host in 0..self.hosts.len() {
            let redis = &self.hosts[host].redis;
            if redis.alive && redis.link == (Link::Up { from }) {
                self.feed(host);
            }
        }
    }

    pub fn feed_arrives(
        &mut self,
        host: usize,
        life: u32,
        link_no: u32,
        offset: u64,
        data: crate::history::Data,
    ) {
        let redis = &self.hosts[host].redis;
        let Link::Up { from: (at, _) } = redis.link else { return };
        let gone = !self.hosts[at].powered;
        if gone || !redis.alive || redis.life != life || redis.link_no != link_no {
            return;
        }
        if redis.frozen || !self.net.serves(host, at) {
            // A kernel keeps it and sends it again, also for a sender that was killed.
            let again = Event::Feed { host, life, link_no, offset, data };
            return self.after(100 * MS, again);
        }
        if offset > redis.offset || (offset == redis.offset && data != redis.data) {
            self.hosts[host].redis.fed(offset, data);
            self.feed_all(host);
        }
    }

    /// Once a second Redis looks after its link: one whose other end is gone breaks when that can be told.
    pub fn links_of_dead_masters(&mut self) {
        for host in 0..self.hosts.len() {
            let redis = &self.hosts[host].redis;
            let Link::Up { from: (at, life) } = redis.link else { continue };
            let Some(upstream) = redis.upstream else { continue };
            if !redis.alive || redis.frozen {
                continue;
            }
            let there = self.host_at(upstream.ip);
            let source = &self.hosts[at].redis;
            let gone = !source.alive || source.life != life || there != Some(at);
            if gone && there.is_some_and(|there| self.net.serves(host, there)) {
                self.link_lost(host);
            }
        }
    }
}
