//! The world: hosts with a hive and a Redis each, one queue of events, one clock.
//!
//! Other files of this directory add to [`World`]: `hosts` (processes come and go), `driver` (the duties of
//! `node.rs`), `peers` (links and dials), `orders`, `replication`, `clients`, `checks`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use redis_hive::election::{Action, Id, Input, NodeId, OrderError, Passport, RedisAddr, Route};

use crate::checks::Checks;
use crate::clients::Clients;
use crate::dns::Dns;
use crate::history::{Data, Histories, WriteId};
use crate::hosts::Host;
use crate::network::{Network, Wire};
use crate::redis::Request;
use crate::rng::Rng;
use crate::story::Story;

/// Virtual microseconds since the world began.
pub type Micros = u64;
pub const MS: Micros = 1_000;
pub const SEC: Micros = 1_000_000;

/// What may differ between two worlds besides chance.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// Write the story down.
    pub told: bool,
    /// The last number of host A's address; the others count on.
    pub first_ip: u8,
    /// How long a full sync transfers and loads: shortest and longest.
    pub transfer: (Micros, Micros),
    pub load: (Micros, Micros),
    /// Mean time between two writes of one client.
    pub write_every: Micros,
    /// The wall clocks of all hosts stand still.
    pub clock_stands: bool,
    /// `--quorum`, `--min-replicas-to-write`, and whether `--rescue-dir` is given.
    pub quorum: u32,
    pub min_replicas: u32,
    pub rescue: bool,
    /// Hives complain, each about something else.
    pub troubled: bool,
    pub ablation: redis_hive::election::Ablation,
}

impl Config {
    pub fn new(seed: u64) -> Config {
        Config {
            seed,
            told: false,
            first_ip: 1,
            transfer: (5 * MS, 30 * MS),
            load: (5 * MS, 30 * MS),
            write_every: 40 * MS,
            clock_stands: false,
            quorum: 1,
            min_replicas: 0,
            rescue: false,
            troubled: false,
            ablation: Default::default(),
        }
    }
}

/// What is going to happen. `life` tells the process it is for: a later one does not get it.
#[derive(Debug)]
pub enum Event {
    Tick { host: usize, life: u32 },
    Wake { host: usize, life: u32 },
    Heartbeat { host: usize, life: u32 },
    Poll { host: usize, life: u32 },
    Input { host: usize, life: u32, input: Box<Input> },
    Frame { from: usize, to: usize, lives: (u32, u32), wire: Wire },
    DialRound { host: usize, life: u32 },
    DialEnds { host: usize, life: u32, addr: std::net::IpAddr, silent: bool },
    Resolve { host: usize, life: u32, again: bool },
    Routed { host: usize, life: u32, id: u64, route: Route },
    Order { host: usize, life: u32, no: u32 },
    OrderEnds { host: usize, life: u32, no: u32, outcome: Box<Result<Passport, OrderError>> },
    OrderLate { host: usize, life: u32, no: u32 },
    Fence { host: usize, life: u32, no: u32 },
    ProbeEnds { host: usize, life: u32, addr: RedisAddr, waited: bool },
    Connect { host: usize, life: u32, link_no: u32 },
    Sync { host: usize, life: u32, link_no: u32 },
    ReplicaLost { host: usize, life: u32, link_no: u32 },
    Feed { host: usize, life: u32, link_no: u32, offset: u64, data: Data },
    Write { host: usize },
    Request { request: Request, at: usize, life: u32, late: bool },
    Ack { request: Request, from: usize, run: Id, write: WriteId },
    PauseOver { host: usize, life: u32 },
    Wish { host: usize, life: u32 },
    AskTended { host: usize, life: u32, addr: RedisAddr, node: NodeId },
    Ends { host: usize, life: u32 },
    Check,
    ThawHive { host: usize },
    ThawRedis { host: usize },
}

struct Scheduled {
    at: Micros,
    /// Keeps events of one moment in the order they were made.
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct World {
    pub config: Config,
    pub now: Micros,
    pub rng: Rng,
    pub hosts: Vec<Host>,
    pub net: Network,
    pub dns: Dns,
    pub all: Histories,
    pub clients: Clients,
    pub checks: Checks,
    pub story: Story,
    /// Lent to the core for its actions.
    pub actions: Vec<Action>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    number: u64,
    /// Events handled: what a run costs.
    pub handled: u64,
}

impl World {
    /// A world of `hosts` powered hosts on which nothing runs yet; all are listed in DNS.
    pub fn new(config: Config, hosts: usize) -> World {
        let mut world = World {
            now: SEC,
            rng: Rng::new(config.seed),
            hosts: Vec::with_capacity(hosts),
            net: Network::new(),
            dns: Dns::new(),
            all: Histories::new(),
            clients: Clients::default(),
            checks: Checks::default(),
            story: Story::new(config.told),
            actions: Vec::new(),
            queue: BinaryHeap::with_capacity(256),
            number: 0,
            handled: 0,
            config,
        };
        for host in 0..hosts {
            world.add_host(host);
        }
        world.relist();
        world.at(world.now + 200 * MS, Event::Check);
        world
    }

    /// Schedules an event; one of the past happens now.
    pub fn at(&mut self, at: Micros, event: Event) {
        self.number += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), number: self.number, event }));
    }

    pub fn after(&mut self, span: Micros, event: Event) {
        self.at(self.now + span, event);
    }

    pub fn run_for(&mut self, span: Micros) {
        self.run_until(span, |_| false);
    }

    /// Runs until the condition holds, looked at after every event, or the time is over or an
    /// invariant broke. Whether it holds.
    pub fn run_until(&mut self, limit: Micros, mut holds: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if holds(self) {
                return true;
            }
            if self.checks.broken() {
                return false;
            }
            match self.queue.peek() {
                Some(Reverse(next)) if next.at <= end => {}
                _ => {
                    self.now = end;
                    return holds(self);
                }
            }
            if let Some(Reverse(next)) = self.queue.pop() {
                self.now = next.at;
                self.handled += 1;
                self.happen(next.event);
            }
        }
    }

    /// Writes a line about one host.
    pub fn tell(&mut self, host: usize, what: impl FnOnce() -> String) {
        self.story.say(self.now, crate::story::name(host), what);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { host, life } => self.tick_due(host, life),
            Event::Wake { host, life } => self.woken(host, life),
            Event::Heartbeat { host, life } => self.heartbeat(host, life),
            Event::Poll { host, life } => self.poll(host, life),
            Event::Input { host, life, input } => self.deliver(host, life, *input),
            Event::Frame { from, to, lives, wire } => self.frame_arrives(from, to, lives, &wire),
            Event::DialRound { host, life } => self.dial_round(host, life),
            Event::DialEnds { host, life, addr, silent } => {
                self.dial_ends(host, life, addr, silent);
            }
            Event::Resolve { host, life, again } => self.resolved(host, life, again),
            Event::Routed { host, life, id, route } => self.routed(host, life, id, route),
            Event::Order { host, life, no } => self.order_arrives(host, life, no),
            Event::OrderEnds { host, life, no, outcome } => {
                self.order_ends(host, life, no, *outcome);
            }
            Event::OrderLate { host, life, no } => self.order_late(host, life, no),
            Event::Fence { host, life, no } => self.fence_arrives(host, life, no),
            Event::ProbeEnds { host, life, addr, waited } => {
                self.probe_ends(host, life, addr, waited);
            }
            Event::Connect { host, life, link_no } => self.replica_connects(host, life, link_no),
            Event::Sync { host, life, link_no } => self.sync_moves(host, life, link_no),
            Event::ReplicaLost { host, life, link_no } => self.replica_lost(host, life, link_no),
            Event::Feed { host, life, link_no, offset, data } => {
                self.feed_arrives(host, life, link_no, offset, data);
            }
            Event::Write { host } => self.client_writes(host),
            Event::Request { request, at, life, late } => {
                self.request_arrives(request, at, life, late);
            }
            Event::Ack { request, from, run, write } => {
                self.ack_arrives(request, from, run, write);
            }
            Event::PauseOver { host, life } => self.pause_over(host, life),
            Event::Wish { host, life } => self.wish_arrives(host, life),
            Event::AskTended { host, life, addr, node } => self.tended(host, life, addr, node),
            Event::Ends { host, life } => self.ends(host, life),
            Event::Check => self.check_regularly(),
            Event::ThawHive { host } => self.thaw_hive(host),
            Event::ThawRedis { host } => self.thaw_redis(host),
        }
    }
}
