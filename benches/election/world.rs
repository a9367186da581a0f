//! Many hives on a virtual clock: the real core and the real codec, a network and Redis servers of
//! fixed latencies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis_hive::election::{
    Action, Clocks, Core, Dialled, Frame, HiveRole, Id, Incarnation, Input, Master, NodeId,
    RedisAddr, RedisOrder, RedisView, Route, Settings, Time, Version, Wall,
};
use redis_hive::peer::codec::{decode_frame, encode};

use crate::model::Redis;

/// Virtual microseconds.
pub type Micros = u64;
pub const MS: Micros = 1_000;

/// One way over the network.
const NETWORK: Micros = 300;
/// From the order to its answer.
const PARK: Micros = 500;
const FOLLOW: Micros = 500;
const PROMOTE: Micros = 2 * MS;
/// Until all proxy threads have a route.
const ROUTED: Micros = 100;
/// A small full resync.
const SYNC: Micros = 5 * MS;
const HEARTBEAT: Micros = 200 * MS;
/// A turn of a hive's loop, where not its real time is taken.
const TURN: Micros = 20;
/// More ticks than this at one moment are a loop without end.
const MOST_TICKS: usize = 64;

enum Event {
    /// Time for a hive to go on: a timer, or the end of what kept it busy.
    Wake(usize),
    /// Its heartbeat.
    Beat(usize),
    Input(usize, Waiting),
    Order {
        host: usize,
        no: u32,
        id: u64,
        order: RedisOrder,
    },
    Sync {
        host: usize,
        link_no: u32,
    },
}

/// What a hive has not read yet.
enum Waiting {
    Bytes {
        from: usize,
        bytes: Bytes,
    },
    Input(Box<Input>),
    /// A look at a Redis: what it is at the moment it is read.
    Local,
    Watched,
    Probe(RedisAddr),
    Dialled(NodeId),
    Dns,
}

struct Host {
    core: Option<Core>,
    redis: Redis,
    inbox: Vec<Waiting>,
    busy_until: Micros,
    /// When a wake is under way for.
    wakes_at: Micros,
    linked: Vec<bool>,
    /// When the last frame to each of the others arrives.
    arrived: Vec<Micros>,
    wanted: Vec<NodeId>,
    watch: Option<Master>,
    order_no: u32,
    route: Route,
    /// What it said of itself after its last turn.
    leads: bool,
    current: bool,
}

pub struct World {
    pub now: Micros,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Micros, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    number: u64,
    random: u64,
    /// Whether a turn takes as long on the virtual clock as it really took.
    cpu_counts: bool,
    /// What core and codec of all hives really took so far.
    pub cpu: Duration,
    /// The longest frame so far.
    pub longest: Bytes,
}

impl World {
    /// `hosts` hives that start within 30 ms, all listed in DNS, all blank.
    pub fn new(hosts: usize, seed: u64, cpu_counts: bool) -> World {
        let mut world = World {
            now: 1_000 * MS,
            hosts: Vec::with_capacity(hosts),
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            number: 0,
            random: seed,
            cpu_counts,
            cpu: Duration::ZERO,
            longest: Bytes::new(),
        };
        for host in 0..hosts {
            let (run_id, replid) = (world.id(), world.id());
            let settings = world.settings(host);
            world.hosts.push(Host {
                core: Some(Core::new(settings, clocks(world.now))),
                redis: Redis::boot(run_id, replid),
                inbox: Vec::new(),
                busy_until: 0,
                wakes_at: 0,
                linked: vec![false; hosts],
                arrived: vec![0; hosts],
                wanted: Vec::new(),
                watch: None,
                order_no: 0,
                route: Route::Hold,
                leads: false,
                current: false,
            });
            let (start, dns) = (world.below(30 * MS), world.below(5 * MS));
            world.after(start, Event::Beat(host));
            world.after(start + dns, Event::Input(host, Waiting::Dns));
        }
        world
    }

    /// Runs until the condition holds; `false`: it did not within `limit`.
    pub fn run_until(&mut self, limit: Micros, holds: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            let Some(Reverse((at, _, slot))) = self.queue.pop() else { return false };
            self.now = at;
            if let Some(event) = self.events[slot].take() {
                self.free.push(slot);
                self.happen(event);
            }
            if at > end {
                return holds(self);
            }
        }
        true
    }

    /// The leader that says so itself, if exactly one living hive does.
    pub fn leader(&self) -> Option<usize> {
        let mut all = self.hosts.iter().enumerate().filter(|(_, host)| host.leads);
        let first = all.next()?.0;
        all.next().is_none().then_some(first)
    }

    /// Whether every living hive's proxies send clients to the Redis of this host.
    pub fn all_forward_to(&self, master: usize) -> bool {
        let addr = redis_addr(master);
        self.hosts
            .iter()
            .filter(|host| host.core.is_some())
            .all(|host| matches!(&host.route, Route::Forward { master, .. } if *master == addr))
    }

    /// Whether every living Redis replicates this one or is it.
    pub fn all_current(&self, master: usize) -> bool {
        let addr = redis_addr(master);
        self.hosts.iter().enumerate().all(|(at, host)| {
            let fed = at == master || (host.redis.upstream == Some(addr) && host.redis.link_up);
            !host.redis.alive || (fed && host.current)
        })
    }

    /// Both processes of a host die; of its last writes every copy has got more or less. The others
    /// notice within two milliseconds.
    pub fn kill(&mut self, dead: usize) {
        for host in 0..self.hosts.len() {
            let gets = self.below(4) * 100;
            self.hosts[host].redis.offset += gets;
        }
        (self.hosts[dead].core, self.hosts[dead].leads) = (None, false);
        self.hosts[dead].redis.alive = false;
        let addr = redis_addr(dead);
        let peer = Incarnation(dead as u64 + 1);
        for host in (0..self.hosts.len()).filter(|host| *host != dead) {
            self.hosts[host].linked[dead] = false;
            let noticed = NETWORK + self.below(2 * MS - NETWORK);
            let down = Input::LinkDown { node: node(dead), incarnation: peer };
            self.input(noticed, host, Waiting::Input(Box::new(down)));
            self.input(noticed + 2 * NETWORK, host, Waiting::Dialled(node(dead)));
            if self.hosts[host].redis.upstream == Some(addr) {
                self.hosts[host].redis.unlink();
                self.input(noticed, host, Waiting::Local);
            }
            // The end of the connection, and a new one refused.
            self.input(noticed + 2 * NETWORK, host, Waiting::Watched);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(host) => {
                if self.hosts[host].wakes_at == self.now {
                    self.hosts[host].wakes_at = Micros::MAX;
                    self.turn(host);
                }
            }
            Event::Beat(host) => {
                if self.hosts[host].redis.is_master() {
                    self.hosts[host].redis.offset += 1_000;
                    self.feed(host);
                }
                self.input(100, host, Waiting::Local);
                self.input(2 * NETWORK, host, Waiting::Watched);
                self.dial(host);
                self.after(HEARTBEAT, Event::Beat(host));
            }
            Event::Input(host, waiting) => {
                if let Waiting::Dns = waiting {
                    self.input(1_000 * MS, host, Waiting::Dns);
                }
                self.hosts[host].inbox.push(waiting);
                self.turn(host);
            }
            Event::Order { host, no, id, order } if self.hosts[host].order_no == no => {
                let fresh = self.id();
                self.hosts[host].redis.obey(order, fresh);
                let link_no = self.hosts[host].redis.link_no;
                self.after(SYNC, Event::Sync { host, link_no });
                let outcome = Ok(self.hosts[host].redis.passport(0));
                self.input(0, host, Waiting::Input(Box::new(Input::Done { id, outcome })));
            }
            Event::Order { .. } => {}
            Event::Sync { host, link_no } => self.sync(host, link_no),
        }
    }

    /// Reads all that waits, then judges the timers that are due (ELECTION 3).
    fn turn(&mut self, host: usize) {
        if self.now < self.hosts[host].busy_until {
            return self.wake(host, self.hosts[host].busy_until);
        }
        let Some(mut core) = self.hosts[host].core.take() else { return };
        let inbox = std::mem::take(&mut self.hosts[host].inbox);
        let inputs: Vec<Waiting> = inbox.into_iter().map(|one| self.look(host, one)).collect();
        let began = Instant::now();
        let mut actions = Vec::new();
        for waiting in inputs {
            let input = match waiting {
                Waiting::Bytes { bytes, .. } => {
                    Input::Frame(Box::new(decode_frame(&bytes).expect("what the codec wrote")))
                }
                Waiting::Input(input) => *input,
                _ => continue,
            };
            core.handle(clocks(self.now), input, &mut actions);
        }
        for ticks in 0.. {
            if core.deadline().0 > self.now {
                break;
            }
            assert!(ticks < MOST_TICKS, "a loop without end");
            core.handle(clocks(self.now), Input::Tick, &mut actions);
        }
        let due = core.deadline().0;
        let actions: Vec<(Action, Option<Bytes>)> = actions.into_iter().map(with_bytes).collect();
        let used = began.elapsed();
        self.cpu += used;
        let took = if self.cpu_counts { used.as_micros() as Micros } else { TURN };
        let (view, there) = (core.view(), &mut self.hosts[host]);
        there.leads = view.role == HiveRole::Leader;
        there.current = view.copy.is_some_and(|copy| copy.current);
        there.core = Some(core);
        there.busy_until = self.now + took;
        for (action, bytes) in actions {
            self.execute(host, took, action, bytes);
        }
        self.wake(host, due.max(self.now + took));
    }

    fn wake(&mut self, host: usize, at: Micros) {
        if at < self.hosts[host].wakes_at || self.hosts[host].wakes_at < self.now {
            self.hosts[host].wakes_at = at;
            self.after(at - self.now, Event::Wake(host));
        }
    }

    /// Turns a look into what is seen.
    fn look(&self, host: usize, waiting: Waiting) -> Waiting {
        let input = match waiting {
            Waiting::Local => Input::Redis(self.redis_at(redis_addr(host))),
            Waiting::Watched => match self.hosts[host].watch {
                Some(master) => {
                    Input::Watched { addr: master.addr, view: self.redis_at(master.addr) }
                }
                None => return waiting,
            },
            Waiting::Probe(addr) => Input::Probed { addr, view: self.redis_at(addr) },
            Waiting::Dialled(addr) => Input::Dialled { addr, outcome: self.outcome(addr) },
            Waiting::Dns => Input::Dns((0..self.hosts.len()).map(node).collect()),
            Waiting::Bytes { from, .. } if !self.hosts[host].linked[from] => {
                return Waiting::Watched;
            }
            other => return other,
        };
        Waiting::Input(Box::new(input))
    }

    fn redis_at(&self, addr: RedisAddr) -> RedisView {
        let there = self.at(addr.ip).map(|at| &self.hosts[at].redis).filter(|redis| redis.alive);
        there.map_or(RedisView::Gone, |redis| {
            let attached = |host: &&Host| host.redis.link_up && host.redis.upstream == Some(addr);
            let replicas = self.hosts.iter().filter(attached).count();
            RedisView::Up(redis.passport(replicas as u32))
        })
    }

    fn outcome(&self, addr: NodeId) -> Dialled {
        match self.at(addr.ip).filter(|at| self.hosts[*at].core.is_some()) {
            Some(at) => Dialled::Hive { node: addr, incarnation: Incarnation(at as u64 + 1) },
            None => Dialled::Refused,
        }
    }

    fn execute(&mut self, host: usize, took: Micros, action: Action, bytes: Option<Bytes>) {
        match action {
            Action::Broadcast(_) => {
                let bytes = bytes.unwrap_or_default();
                if bytes.len() > self.longest.len() {
                    self.longest = bytes.clone();
                }
                (0..self.hosts.len()).for_each(|to| self.post(host, to, took, &bytes));
            }
            Action::Send { to, .. } => {
                if let Some(to) = self.at(to.ip) {
                    self.post(host, to, took, &bytes.unwrap_or_default());
                }
            }
            Action::Dial(wanted) => {
                self.hosts[host].wanted = wanted;
                self.dial(host);
            }
            Action::Resolve => {
                let listed = Input::Dns((0..self.hosts.len()).map(node).collect());
                self.input(took + 2 * NETWORK, host, Waiting::Input(Box::new(listed)));
            }
            Action::Route { id, route, keep: _ } => {
                self.hosts[host].route = route;
                let routed = Waiting::Input(Box::new(Input::Routed { id }));
                self.input(took + ROUTED, host, routed);
            }
            Action::Redis { id, order, .. } => {
                self.hosts[host].order_no += 1;
                let no = self.hosts[host].order_no;
                let span = match order {
                    RedisOrder::Park => PARK,
                    RedisOrder::Follow(_) => FOLLOW,
                    RedisOrder::Promote { .. } => PROMOTE,
                    RedisOrder::PauseWrites { .. } | RedisOrder::ResumeWrites => NETWORK,
                    RedisOrder::Rescue => PARK,
                };
                self.after(took + span, Event::Order { host, no, id, order });
            }
            Action::Watch(master) => {
                self.hosts[host].watch = master;
                self.input(took + 2 * NETWORK, host, Waiting::Watched);
            }
            Action::Probe(addr) => self.input(took + 2 * NETWORK, host, Waiting::Probe(addr)),
            // The dead refuse connections here: nothing is ever fenced.
            Action::Fence { .. } | Action::LiftFence | Action::Report(_) | Action::Exit => {}
            Action::MinReplicas { .. }
            | Action::AskTended { .. }
            | Action::Lease(_)
            | Action::Answer { .. } => {}
        }
    }

    fn post(&mut self, from: usize, to: usize, took: Micros, bytes: &Bytes) {
        if from != to && self.hosts[from].linked[to] {
            let delay = took + NETWORK - 50 + self.below(100);
            // A link keeps the order of its frames.
            let arrives = (self.now + delay).max(self.hosts[from].arrived[to]);
            self.hosts[from].arrived[to] = arrives;
            let bytes = bytes.clone();
            self.input(arrives - self.now, to, Waiting::Bytes { from, bytes });
        }
    }

    /// Every wanted address without a link; a dial and its answer take a round trip.
    fn dial(&mut self, host: usize) {
        for addr in self.hosts[host].wanted.clone() {
            let Some(other) = self.at(addr.ip).filter(|other| *other != host) else { continue };
            if self.hosts[host].linked[other] || self.hosts[host].core.is_none() {
                continue;
            }
            if self.hosts[other].core.is_some() {
                self.hosts[host].linked[other] = true;
                self.hosts[other].linked[host] = true;
                self.input(2 * NETWORK, other, Waiting::Dialled(node(host)));
            }
            self.input(2 * NETWORK, host, Waiting::Dialled(addr));
        }
    }

    fn sync(&mut self, host: usize, link_no: u32) {
        let redis = &self.hosts[host].redis;
        let Some(to) = redis.upstream.filter(|_| redis.alive && redis.link_no == link_no) else {
            return;
        };
        let from = self.at(to.ip).filter(|at| *at != host && self.hosts[*at].redis.feeds());
        match from {
            Some(from) if !redis.link_up => {
                let stream = self.hosts[from].redis.stream();
                self.hosts[host].redis.copy(&stream);
                self.input(100, host, Waiting::Local);
            }
            None if to != RedisAddr::PARKED => self.after(SYNC, Event::Sync { host, link_no }),
            _ => {}
        }
    }

    /// What the master has goes to all that follow it.
    fn feed(&mut self, master: usize) {
        let (addr, stream) = (redis_addr(master), self.hosts[master].redis.stream());
        for host in &mut self.hosts {
            if host.redis.link_up && host.redis.upstream == Some(addr) {
                host.redis.copy(&stream);
            }
        }
    }

    fn settings(&mut self, host: usize) -> Settings {
        Settings {
            me: node(host),
            incarnation: Incarnation(host as u64 + 1),
            version: Version::default(),
            redis: redis_addr(host),
            priority: 100,
            witness: false,
            fixed_peers: Vec::new(),
            service: true,
            heartbeat: Duration::from_micros(HEARTBEAT),
            peer_timeout: Duration::from_secs(1),
            redis_timeout: Duration::from_secs(7),
            election_timeout: Duration::from_millis(250),
            bootstrap_timeout: Duration::from_secs(10),
            last_copy_timeout: Duration::from_secs(60),
            quorum: 1,
            min_replicas: 0,
            rescue: false,
            seed: self.next(),
            ablation: Default::default(),
        }
    }

    fn at(&self, ip: IpAddr) -> Option<usize> {
        (0..self.hosts.len()).find(|host| node(*host).ip == ip)
    }

    fn input(&mut self, after: Micros, host: usize, waiting: Waiting) {
        self.after(after, Event::Input(host, waiting));
    }

    fn after(&mut self, span: Micros, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.number += 1;
        self.queue.push(Reverse((self.now + span, self.number, slot)));
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn id(&mut self) -> Id {
        let mut id = [0; 20];
        for bytes in id.chunks_mut(8) {
            let random = self.next().to_be_bytes();
            bytes.copy_from_slice(&random[..bytes.len()]);
        }
        Id(id)
    }
}

/// What goes out is packed while the clock of its hive still runs.
fn with_bytes(action: Action) -> (Action, Option<Bytes>) {
    let packed = |frame: &Frame| Some(encode(frame));
    let bytes = match &action {
        Action::Broadcast(frame) | Action::Send { frame, .. } => packed(frame),
        _ => None,
    };
    (action, bytes)
}

fn clocks(now: Micros) -> Clocks {
    Clocks { now: Time(now), boot: Time(now), wall: Wall(1_750_000_000_000 + now / MS) }
}

fn ip(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host as u8 + 1))
}

pub fn node(host: usize) -> NodeId {
    NodeId::new(ip(host), 6390)
}

fn redis_addr(host: usize) -> RedisAddr {
    RedisAddr::new(ip(host), 6379)
}
