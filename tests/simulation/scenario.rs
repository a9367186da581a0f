//! The words in which executions are written: build a hive, let things happen, say what must hold.

use redis_hive::election::frame::Order;
use redis_hive::election::{Frame, HiveRole, Input, Master, Message};

use crate::history::Data;
use crate::world::{Config, MS, Micros, SEC, World};

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
pub const D: usize = 3;

/// Timings each execution is tried with.
const TIMINGS: u64 = 12;

/// Runs an execution over several timings; the first that fails is told.
pub fn execution(hosts: usize, tune: fn(&mut Config), body: fn(&mut World)) {
    let only: Option<u64> = std::env::var("HIVE_SIM_SEED").ok().and_then(|s| s.parse().ok());
    for seed in only.map_or(0..TIMINGS, |seed| seed..seed + 1) {
        if let Err(why) = attempt(seed, false, hosts, tune, body) {
            let told = attempt(seed, true, hosts, tune, body);
            let again = told.err().unwrap_or_default();
            panic!("timing {seed} (HIVE_SIM_SEED={seed} replays it): {why}\n{again}");
        }
    }
}

/// One timing; with the story in the error if it is told.
pub fn attempt(
    seed: u64,
    told: bool,
    hosts: usize,
    tune: fn(&mut Config),
    body: fn(&mut World),
) -> Result<(), String> {
    let mut config = Config { told, ..Config::new(seed) };
    tune(&mut config);
    attempt_in(World::new(config, hosts), body)
}

/// One timing in a world that was made for it.
pub fn attempt_in(mut world: World, body: fn(&mut World)) -> Result<(), String> {
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&mut world)));
    let story = world.story.text();
    match (ran, world.checks.violations.first()) {
        (_, Some(violation)) => Err(format!("{story}\n{violation}")),
        (Err(panic), None) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(format!("{story}\n{}", text.unwrap_or_default()))
        }
        (Ok(()), None) => Ok(()),
    }
}

/// Nothing to tune.
pub fn plain(_: &mut Config) {}

impl World {
    /// A is started first and leads; then the others, until all are current.
    pub fn settled(&mut self) {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        self.settled_with(&all);
    }

    /// The first of these hosts is started and leads; then the others, until all are current.
    pub fn settled_with(&mut self, hosts: &[usize]) {
        let first = hosts[0];
        self.start_both(first);
        self.expect(15 * SEC, "the first hive leads", |w| w.agreed() == Some(first));
        self.write_some(first, 5);
        hosts[1..].iter().for_each(|host| self.start_both(*host));
        self.expect(30 * SEC, "all follow", |w| w.agreed() == Some(first) && w.equal());
        let some = self.rng.between(1_200, 1_900) * MS;
        self.run_for(some);
    }

    /// Runs until the condition holds; the test fails if it does not within `limit`.
    pub fn expect(&mut self, limit: Micros, what: &str, holds: impl FnMut(&World) -> bool) {
        let now = self.now;
        let held = self.run_until(limit, holds);
        let from = now as f64 / 1e6;
        assert!(held, "within {} ms from {from:.3}: {what}\n{}", limit / MS, self.census());
    }

    /// What every host is and holds now.
    pub fn census(&self) -> String {
        let mut text = String::new();
        for (host, there) in self.hosts.iter().enumerate() {
            let redis = &there.redis;
            let hive = there.hive.as_ref().map(|hive| {
                let left = hive.lease.map(|until| until as i64 - self.now as i64);
                (hive.seen.role, &hive.route, hive.frozen, left, hive.core.view().waiting)
            });
            let (few, paused) = (redis.min_replicas, redis.paused_until > self.now);
            text.push_str(&format!(
                "  {} hive {hive:?}\n    redis alive {} of {:?} link {:?} offset {} keys {} \
                 min-replicas {few} paused {paused}\n",
                crate::story::name(host),
                redis.alive,
                redis.upstream,
                redis.link,
                redis.offset,
                redis.data.keys()
            ));
        }
        text
    }

    /// The condition holds at every moment of this span.
    pub fn always(&mut self, span: Micros, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let broken = self.run_until(span, |world| !holds(world));
        assert!(!broken && !self.checks.broken(), "at {:.3}: {what}", self.now as f64 / 1e6);
    }

    /// Writes through one host's route, each awaited.
    pub fn write_some(&mut self, host: usize, writes: usize) {
        for _ in 0..writes {
            let before = self.all.acknowledged();
            self.try_write(host);
            self.run_until(20 * MS, |world| world.all.acknowledged() > before);
        }
    }

    /// A random moment passes.
    pub fn moment(&mut self, longest: Micros) {
        let span = self.rng.between(0, longest);
        self.run_for(span);
    }

    /// Traffic between two hosts is dropped, both ways.
    pub fn part(&mut self, a: usize, b: usize, peer: bool, redis: bool) {
        self.cut(a, b, peer, redis, crate::network::Path::Dropped);
        self.cut(b, a, peer, redis, crate::network::Path::Dropped);
    }

    /// What one host finds at the Redis port of another one.
    pub fn shut_door(&mut self, client: usize, server: usize, path: crate::network::Path) {
        self.net.set_door(self.now, client, server, path);
        self.redis_changed(server, 500);
    }

    /// One host is parted from all others.
    pub fn isolate(&mut self, host: usize, peer: bool, redis: bool) {
        (0..self.hosts.len()).filter(|b| *b != host).for_each(|b| self.part(host, b, peer, redis));
    }

    /// The leader's order to a follower arrives with the epoch that is led already.
    pub fn stale_order(&mut self, leader: usize, to: usize) {
        let hive = self.running(leader);
        let from = hive.seen.leadership.expect("the test knows that it leads");
        let redis = &self.hosts[to].redis;
        let (run_id, replid) = (redis.run_id, redis.replid);
        let master = Master { addr: self.redis_addr(to), run_id, replid, root: from.master.root };
        let order = Order { epoch: from.epoch, from, master, lease_ms: None };
        let frame = Frame {
            node: hive.me,
            incarnation: hive.incarnation,
            number: hive.said_number + 1,
            message: Message::Order(order),
        };
        let life = self.running(to).life;
        self.deliver(to, life, Input::Frame(Box::new(frame)));
    }

    pub fn data(&self, host: usize) -> Data {
        self.hosts[host].redis.data
    }

    pub fn role(&self, host: usize) -> Option<HiveRole> {
        self.hosts[host].hive.as_ref().map(|hive| hive.seen.role)
    }

    pub fn leaders(&self) -> usize {
        let all = 0..self.hosts.len();
        all.filter(|host| self.role(*host) == Some(HiveRole::Leader)).count()
    }

    pub fn is_master(&self, host: usize) -> bool {
        self.hosts[host].redis.is_master()
    }

    /// Whether this host's proxies forward to the Redis of that one.
    pub fn routes_to(&self, host: usize, master: usize) -> bool {
        let run = self.hosts[master].redis.run_id;
        let route = self.hosts[host].hive.as_ref().map(|hive| &hive.route);
        matches!(route, Some(redis_hive::election::Route::Forward { run_id, .. }) if *run_id == run)
    }

    /// The runs that were ever announced as masters.
    pub fn masters_announced(&self) -> usize {
        let mut runs: Vec<_> = self.checks.announced.iter().map(|one| one.4).collect();
        runs.sort_unstable();
        runs.dedup();
        runs.len()
    }

    /// All agree, all copies are equal, they hold this copy, and every host takes writes.
    pub fn ends_with(&mut self, within: Micros, kept: Data) {
        self.stop_writers();
        self.expect(within, "all agree and are equal", |w| w.agreed().is_some() && w.equal());
        let master = self.agreed_master().expect("they agree");
        let holds = self.all.is_prefix(kept, self.data(master));
        assert!(
            holds,
            "the copy that had to win has not: {} is master",
            crate::story::name(master)
        );
    }

    /// As [`World::ends_with`], and no acknowledged write is missing.
    pub fn ends_whole(&mut self, within: Micros) {
        self.stop_writers();
        self.expect(within, "all agree and are equal", |w| w.agreed().is_some() && w.equal());
        let master = self.agreed_master().expect("they agree");
        let lost = self.all.lost(self.data(master));
        assert_eq!(lost, 0, "acknowledged writes were lost");
    }
}
