//! Hosts and their processes: start, crash, freeze, power, address.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use redis_hive::election::{
    Clocks, Core, Epoch, Incarnation, NodeId, RedisAddr, Route, Settings, Time, Troubles, Version,
    Wall,
};

use crate::clients::FRESH;
use crate::hive::{Hive, Seen};
use crate::redis::{Link, Redis};
use crate::world::{Event, MS, Micros, World};

pub const PEER_PORT: u16 = 6390;
pub const REDIS_PORT: u16 = 6379;

/// What a stranger's Redis says to our credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    Welcomes,
    Rejects,
}

pub struct Host {
    pub ip: IpAddr,
    pub powered: bool,
    /// Whether DNS lists it.
    pub listed: bool,
    pub hive: Option<Hive>,
    pub hive_lives: u32,
    pub redis: Redis,
    /// No hive of ours: an address that somebody else took.
    pub stranger: Option<Stranger>,
    /// What the wall clock shows beyond virtual time, in milliseconds.
    pub wall_ahead: i64,
    pub priority: u32,
    /// An ACL forbids `REPLICAOF NO ONE`.
    pub cannot_promote: bool,
    /// Its grants never leave it (X26).
    pub never_grants: bool,
    /// Its claims never leave it and come to nothing (X26).
    pub never_claims: bool,
    /// The CPU is throttled: the loop comes late by 110 to 190 ms, then runs for a little while.
    pub throttled: bool,
    /// Orders reach the Redis this much later, at most.
    pub order_delay: Micros,
    /// Commands take this much longer than usual here, at most.
    pub slow_commands: Micros,
    /// A clients' writer runs here.
    pub writes: bool,
    /// Takes part without a Redis.
    pub witness: bool,
    /// Its pod was deleted: the Redis stops after the hive, then the address is gone.
    pub retiring: bool,
    /// It will not come back.
    pub gone: bool,
    /// Its hive has another name.
    pub other_name: bool,
}

impl Host {
    /// Ends a script that runs.
    pub fn busy_unless_over(&mut self, now: Micros) {
        self.redis.busy_until = self.redis.busy_until.min(now);
    }
}

impl World {
    pub fn add_host(&mut self, number: usize) {
        let redis = Redis { alive: false, ..Redis::boot(0, &mut self.rng) };
        self.hosts.push(Host {
            ip: ip(self.config.first_ip, number),
            powered: true,
            listed: true,
            hive: None,
            hive_lives: 0,
            redis,
            stranger: None,
            wall_ahead: 0,
            priority: 100,
            cannot_promote: false,
            never_grants: false,
            never_claims: false,
            throttled: false,
            order_delay: 700,
            slow_commands: 0,
            writes: false,
            witness: false,
            retiring: false,
            gone: false,
            other_name: false,
        });
    }

    pub fn node(&self, host: usize) -> NodeId {
        NodeId::new(self.hosts[host].ip, PEER_PORT)
    }

    pub fn redis_addr(&self, host: usize) -> RedisAddr {
        RedisAddr::new(self.hosts[host].ip, REDIS_PORT)
    }

    /// The powered host that has this address.
    pub fn host_at(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.powered && host.ip == ip)
    }

    /// The hive of this life, if it still runs.
    pub fn hive(&mut self, host: usize, life: u32) -> Option<&mut Hive> {
        self.hosts[host].hive.as_mut().filter(|hive| hive.life == life)
    }

    pub fn clocks(&self, host: usize) -> Clocks {
        let origin = self.hosts[host].hive.as_ref().map_or(0, |hive| hive.origin);
        let passed = if self.config.clock_stands { 0 } else { (self.now / MS) as i64 };
        let wall = 1_750_000_000_000 + passed + self.hosts[host].wall_ahead;
        Clocks { now: Time(self.now + origin), boot: Time(self.now), wall: Wall(wall as u64) }
    }

    /// Tells DNS what is listed now.
    pub fn relist(&mut self) {
        let ours = |host: &&Host| host.listed && host.stranger.is_none() && !host.gone;
        let listed = self.hosts.iter().filter(ours);
        let nodes = listed.map(|host| NodeId::new(host.ip, PEER_PORT)).collect();
        self.dns.list(self.now, nodes);
    }

    pub fn start_both(&mut self, host: usize) {
        self.start_redis(host);
        self.start_hive(host);
    }

    pub fn start_hive(&mut self, host: usize) {
        let there = &self.hosts[host];
        if there.hive.is_some() || !there.powered || there.retiring {
            return;
        }
        let settings = self.settings(host);
        let (me, incarnation) = (settings.me, settings.incarnation);
        let origin = self.rng.between(0, 1 << 40);
        let clocks = Clocks { now: Time(self.now + origin), ..self.clocks(host) };
        let mut core = Core::new(settings, clocks);
        if self.config.troubled {
            core.tell(Troubles(u32::MAX << host));
        }
        let view = core.view();
        self.hosts[host].hive_lives += 1;
        let life = self.hosts[host].hive_lives;
        self.hosts[host].hive = Some(Hive {
            core,
            life,
            me,
            incarnation,
            inbox: VecDeque::new(),
            frozen: false,
            wakes_at: None,
            runs_until: 0,
            tick_at: Micros::MAX,
            origin,
            wanted: Vec::new(),
            route: Route::Hold,
            route_no: 0,
            route_id: 0,
            lease: None,
            fresh_until: self.now + FRESH,
            asked: 0,
            replies: Vec::new(),
            orders: [None, None],
            order_no: 0,
            wish: None,
            stopping: None,
            exits: false,
            held_since: None,
            reported: String::new(),
            sessions: crate::sessions::Sessions::default(),
            watch: None,
            fence: None,
            fence_no: 0,
            local_silent: None,
            seen: Seen { role: view.role, epoch: view.epoch, leadership: view.leadership },
            routed_epoch: Epoch(0),
            said_epoch: Epoch(0),
            said_number: 0,
        });
        self.checks.is_born(host, life, me, incarnation);
        self.net.disturb_all(self.now, host);
        self.tell(host, || format!("hive starts as {me} {:x}", incarnation.0 >> 48));
        let delay = self.rng.between(0, 30 * MS);
        self.after(delay / 3, Event::Heartbeat { host, life });
        self.after(delay / 2 + 50, Event::DialRound { host, life });
        self.after(delay, Event::Resolve { host, life, again: true });
        self.arm(host);
    }

    fn settings(&mut self, host: usize) -> Settings {
        Settings {
            me: self.node(host),
            incarnation: Incarnation(self.rng.next()),
            version: Version::default(),
            redis: self.redis_addr(host),
            priority: self.hosts[host].priority,
            witness: self.hosts[host].witness,
            fixed_peers: Vec::new(),
            service: true,
            heartbeat: Duration::from_millis(200),
            peer_timeout: Duration::from_secs(1),
            redis_timeout: Duration::from_secs(7),
            election_timeout: Duration::from_millis(250),
            bootstrap_timeout: Duration::from_secs(10),
            last_copy_timeout: Duration::from_secs(60),
            quorum: self.config.quorum,
            min_replicas: self.config.min_replicas,
            rescue: self.config.rescue,
            seed: self.rng.next(),
            ablation: self.config.ablation,
        }
    }

    /// The hive is killed; its host closes its connections.
    pub fn crash_hive(&mut self, host: usize) {
        if self.hosts[host].hive.take().is_none() {
            return;
        }
        self.net.disturb_all(self.now, host);
        self.tell(host, || "hive dies".into());
        self.links_of_dead_hives();
    }

    pub fn start_redis(&mut self, host: usize) {
        let there = &self.hosts[host];
        if there.redis.alive || !there.powered || there.witness || there.retiring {
            return;
        }
        let life = self.hosts[host].redis.life + 1;
        self.hosts[host].redis = Redis::boot(life, &mut self.rng);
        let run_id = self.hosts[host].redis.run_id;
        self.net.disturb_all(self.now, host);
        self.tell(host, || format!("redis starts empty, run {run_id:?}"));
        self.redis_changed(host, 2 * MS);
    }

    /// The Redis is killed: what it held is gone, and its host closes its connections.
    pub fn crash_redis(&mut self, host: usize) {
        if !self.hosts[host].redis.alive {
            return;
        }
        let redis = &mut self.hosts[host].redis;
        redis.alive = false;
        redis.waiting.clear();
        let life = redis.life;
        self.net.disturb_all(self.now, host);
        self.tell(host, || "redis dies".into());
        self.redis_changed(host, 500);
        self.orphan_replicas(host, life);
    }

    pub fn crash_both(&mut self, host: usize) {
        self.crash_redis(host);
        self.crash_hive(host);
    }

    /// The host vanishes: nobody gets an answer, not even a refusal.
    pub fn power_off(&mut self, host: usize) {
        self.tell(host, || "host vanishes".into());
        self.net.disturb_all(self.now, host);
        self.hosts[host].powered = false;
        self.hosts[host].hive = None;
        self.hosts[host].redis.alive = false;
        self.hosts[host].redis.waiting.clear();
    }

    /// The host is back, with nothing running.
    pub fn power_on(&mut self, host: usize) {
        self.hosts[host].powered = true;
        self.net.disturb_all(self.now, host);
        self.links_of_dead_hives();
    }

    /// The pod comes back as another one: new address, both processes new.
    pub fn move_to(&mut self, host: usize, ip: IpAddr) {
        self.power_off(host);
        self.hosts[host].ip = ip;
        self.power_on(host);
        self.tell(host, || format!("comes back as {ip}"));
        self.relist();
        self.start_both(host);
    }

    /// The hives beside this Redis and those that watch it look again soon.
    pub fn redis_changed(&mut self, host: usize, within: Micros) {
        let life = self.hosts[host].redis.life;
        for other in 0..self.hosts.len() {
            let Some(hive) = self.hosts[other].hive.as_ref() else { continue };
            let watches = hive.watch.as_ref().and_then(|watch| watch.to) == Some((host, life));
            if other == host || (watches && self.net.serves(other, host)) {
                let life = hive.life;
                let delay = self.rng.between(100, within.max(200));
                self.after(delay, Event::Poll { host: other, life });
            }
        }
    }

    /// Whether a Redis has everything its master has, over a link that is up.
    pub fn replicates(&self, host: usize, master: usize) -> bool {
        let (redis, source) = (&self.hosts[host].redis, &self.hosts[master].redis);
        host == master
            || (redis.alive
                && matches!(redis.link, Link::Up { .. })
                && redis.data == source.data
                && redis.offset == source.offset)
    }
}

/// The address of a host as the world begins.
pub fn ip(first: u8, number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, first + number as u8))
}
