//! Random runs: from a seed to a set of hosts, a mix of faults and the times at which they strike.

use redis_hive::election::{Ablation, RedisAddr, RedisOrder};

use crate::audit::{CONVERGED_WITHIN, Outcome};
use crate::dns::Mode;
use crate::hosts::{Stranger, ip};
use crate::mix::Mix;
use crate::network::{Path, Port, Weather};
use crate::rng::Rng;
use crate::world::{Config, MS, Micros, SEC, World};

/// A kind of random run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hosts: (u64, u64),
    pub mix: Mix,
    /// How long faults strike.
    pub span: (Micros, Micros),
    /// Longest time between two of them.
    pub pace: Micros,
    /// Full syncs take seconds in every run, not only in some.
    pub slow_syncs: bool,
    /// Two sides that do not see each other start, each from nothing.
    pub split_birth: bool,
    /// Packets are late all the time, and writes are many.
    pub late_streams: bool,
    pub ablation: Ablation,
}

impl Plan {
    pub fn all() -> Plan {
        Plan {
            hosts: (1, 10),
            mix: Mix::ALL,
            span: (8 * SEC, 15 * SEC),
            pace: 3 * SEC,
            slow_syncs: false,
            split_birth: false,
            late_streams: false,
            ablation: Ablation::default(),
        }
    }

    /// A mix that isolates one rule.
    pub fn of(mix: Mix, ablation: Ablation) -> Plan {
        Plan { hosts: (2, 6), mix, ablation, ..Plan::all() }
    }
}

/// One seed of a plan, from the first start to the audit.
pub fn run(plan: &Plan, seed: u64, told: bool) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let hosts = few(&mut rng, plan.hosts);
    let mut config = Config { told, ablation: plan.ablation, ..Config::new(seed) };
    config.first_ip = [1, 5, 7, 95][rng.below(4)];
    config.write_every = rng.between(25, 90) * MS;
    if rng.chance(1, 4) || plan.slow_syncs {
        config.transfer = (20 * MS, rng.between(30, 1_500) * MS);
        config.load = (20 * MS, rng.between(30, 2_500) * MS);
    }
    let mut world = World::new(config, hosts);
    if plan.split_birth {
        world.split(1 | rng.next() & 0b110);
    }
    for host in 0..hosts {
        let wait = if rng.chance(1, 3) { rng.between(0, 2 * SEC) } else { rng.between(0, 50 * MS) };
        world.run_for(wait);
        world.start_both(host);
    }
    world.start_writers();
    if plan.split_birth {
        world.run_for(rng.between(11, 14) * SEC);
        world.mend();
    }
    if rng.chance(3, 4) {
        world.settle(15 * SEC);
    }
    if plan.late_streams {
        world.net.weather = Weather { loss: 0, duplicated: 0, late: 500, late_by: 12 * MS };
        world.config.write_every = 4 * MS;
    }
    let end = world.now + rng.between(plan.span.0, plan.span.1);
    while world.now < end && !world.checks.broken() {
        let fault = plan.mix.pick(&mut rng);
        world.strike(fault, &mut rng);
        // Faults come alone or in a burst.
        let pause =
            if rng.chance(1, 3) { rng.between(0, 300 * MS) } else { rng.between(0, plan.pace) };
        world.run_for(pause.min(end.saturating_sub(world.now)));
    }
    world.revive_all();
    world.heal();
    // Where every copy is gone, the empty ones wait for addresses that stay silent.
    let limit = CONVERGED_WITHIN + 10 * SEC * u64::from(!world.any_copy());
    world.audit(limit)
}

/// Small sets are the usual ones.
fn few(rng: &mut Rng, (low, high): (u64, u64)) -> usize {
    let size =
        if rng.chance(1, 5) { rng.between(low, high) } else { rng.between(low, high.min(6)) };
    size.max(1) as usize
}

impl World {
    fn strike(&mut self, fault: usize, rng: &mut Rng) {
        let ours = self.ours();
        let host = ours[rng.below(ours.len())];
        let soon = rng.between(30 * MS, 3 * SEC);
        let nap = rng.between(50, 2_500) * MS;
        match fault {
            0 => {
                self.crash_hive(host);
                self.later(soon, rng, |world| world.start_hive(host));
            }
            1 => {
                self.crash_redis(host);
                self.later(soon, rng, |world| world.start_redis(host));
            }
            2 => {
                self.crash_both(host);
                self.later(soon, rng, |world| world.start_both(host));
            }
            3 if self.hosts[host].powered => {
                self.power_off(host);
                self.later(soon, rng, |world| {
                    world.power_on(host);
                    world.start_both(host);
                });
            }
            4 => {
                let free = ip(200, rng.below(40));
                if self.hosts.iter().all(|there| there.ip != free) {
                    self.move_to(host, free);
                }
            }
            5 => self.strike_stranger(host, rng),
            6 => self.freeze_hive(host, nap),
            7 => self.freeze_redis(host, nap),
            8 => {
                self.freeze_hive(host, nap);
                self.freeze_redis(host, nap);
            }
            9 => self.busy_redis(host, nap),
            10 => self.strike_partition(rng),
            11 | 12 => self.strike_path(fault == 11, rng),
            13 => self.strike_weather(rng),
            14 => {
                self.hosts[host].throttled = !self.hosts[host].throttled;
                self.rearm(host);
            }
            15 => self.hosts[host].wall_ahead = rng.between(0, 48 * 3_600_000) as i64 - 86_400_000,
            16 => self.strike_dns(host, rng),
            17 if self.hosts[host].redis.serves(self.now) => {
                self.meddle(host, RedisOrder::Follow(RedisAddr::PARKED));
            }
            18 => self.hosts[host].order_delay = rng.between(1, 60) * MS,
            19 => {
                self.crash_redis(host);
                self.start_redis(host);
            }
            _ => {}
        }
    }

    /// Lets some time pass, or none, before a revival: other faults strike first then.
    fn later(&mut self, soon: Micros, rng: &mut Rng, revive: impl FnOnce(&mut World)) {
        if rng.chance(2, 3) {
            self.run_for(soon);
            revive(self);
        }
    }

    /// The hosts that are ours.
    pub fn ours(&self) -> Vec<usize> {
        let ours = |host: &usize| self.hosts[*host].stranger.is_none() && !self.hosts[*host].gone;
        (0..self.hosts.len()).filter(ours).collect()
    }

    fn strike_stranger(&mut self, host: usize, rng: &mut Rng) {
        if self.ours().len() < 3 || self.hosts.len() > 10 {
            return;
        }
        let old = self.hosts[host].ip;
        self.power_off(host);
        self.hosts[host].listed = rng.chance(1, 2);
        self.relist();
        self.run_for(rng.between(2_500, 4_000) * MS);
        if self.host_at(old).is_none() {
            let kind = if rng.chance(1, 2) { Stranger::Welcomes } else { Stranger::Rejects };
            self.stranger_at(old, kind);
            self.hosts[host].ip = ip(150, host);
        }
        self.hosts[host].listed = true;
        self.relist();
    }

    /// Parts the hosts whose bits are set from the others.
    fn split(&mut self, side: u64) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if (side >> a) & 1 != (side >> b) & 1 {
                    self.cut(a, b, true, true, Path::Dropped);
                }
            }
        }
    }

    fn strike_partition(&mut self, rng: &mut Rng) {
        let side = rng.next();
        let (peer, redis) =
            [(true, true), (true, true), (true, false), (false, true)][rng.below(4)];
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if (side >> a) & 1 != (side >> b) & 1 {
                    self.cut(a, b, peer, redis, Path::Dropped);
                }
            }
        }
        self.tell(0, || {
            format!("---- partition {:b} peer {peer} redis {redis} ----", side & 0xfff)
        });
        if rng.chance(2, 3) {
            self.run_for(rng.between(200 * MS, 4 * SEC));
            self.mend();
        }
    }

    fn strike_path(&mut self, one_way: bool, rng: &mut Rng) {
        let (a, b) = (rng.below(self.hosts.len()), rng.below(self.hosts.len()));
        let peer = rng.chance(2, 3);
        let path = if !one_way && rng.chance(1, 3) { Path::Refused } else { Path::Dropped };
        self.cut(a, b, peer, !peer || one_way, path);
        if !one_way {
            self.cut(b, a, peer, !peer, path);
        }
        let (a, b) = (crate::story::name(a), crate::story::name(b));
        self.tell(0, || format!("---- {a} -> {b} {path:?}, peer {peer}, one way {one_way} ----"));
        if rng.chance(2, 3) {
            self.run_for(rng.between(200 * MS, 3 * SEC));
            self.mend();
        }
    }

    fn strike_weather(&mut self, rng: &mut Rng) {
        self.net.weather = if self.net.weather.loss + self.net.weather.late > 0 {
            Weather::FAIR
        } else {
            Weather {
                loss: rng.between(0, 250),
                duplicated: rng.between(0, 200),
                late: rng.between(0, 400),
                late_by: rng.between(5, 60) * MS,
            }
        };
        let weather = self.net.weather;
        self.tell(0, || format!("---- {weather:?} ----"));
    }

    fn strike_dns(&mut self, host: usize, rng: &mut Rng) {
        let stale = rng.between(0, 6 * SEC);
        let modes = [Mode::Live, Mode::Stale(stale), Mode::Failing, Mode::Partly];
        let mode = modes[rng.below(4)];
        if rng.chance(1, 2) {
            self.dns.set_all(mode)
        } else {
            self.dns.set(host, mode)
        }
        self.tell(host, || format!("---- dns {mode:?} ----"));
    }

    /// Sets one direction between two hosts.
    pub fn cut(&mut self, from: usize, to: usize, peer: bool, redis: bool, path: Path) {
        if peer {
            self.net.set(self.now, from, to, Port::Peer, path);
        }
        if redis {
            self.net.set(self.now, from, to, Port::Redis, path);
        }
        self.links_refused();
    }

    /// All paths are open again.
    pub fn mend(&mut self) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                for port in [Port::Peer, Port::Redis] {
                    if self.net.path(a, b, port) != Path::Open {
                        self.net.set(self.now, a, b, port, Path::Open);
                    }
                }
            }
        }
        self.tell(0, || "---- all paths open ----".into());
        self.links_of_dead_hives();
    }

    fn revive_all(&mut self) {
        for host in self.ours() {
            if !self.hosts[host].powered {
                self.power_on(host);
            }
            self.start_both(host);
        }
    }

    /// Whether any Redis of ours still holds a copy, or is about to.
    pub fn any_copy(&self) -> bool {
        let holds = |host: &usize| {
            let redis = &self.hosts[*host].redis;
            redis.complete() || redis.loading()
        };
        self.ours().iter().any(holds)
    }
}
