//! The faults of random runs, by their numbers in [`Mix`].
//!
//! [`Mix`]: crate::mix::Mix

use redis_hive::election::{RedisAddr, RedisOrder};

use crate::dns::Mode;
use crate::hosts::{Stranger, ip};
use crate::network::{Path, Port, Weather};
use crate::plans::Plan;
use crate::rng::Rng;
use crate::world::{MS, Micros, SEC, World};

impl World {
    pub fn strike(&mut self, plan: &Plan, fault: usize, rng: &mut Rng) {
        let ours = self.ours();
        let host = ours[rng.below(ours.len())];
        let soon = rng.between(30 * MS, 3 * SEC);
        let nap = rng.between(50, if plan.mild { 300 } else { 2_500 }) * MS;
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
            13 => self.strike_weather(plan.mild, rng),
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
            20.. => self.strike_plan(fault, host, soon, rng),
            _ => {}
        }
    }

    /// Lets some time pass, or none, before a revival: other faults strike first then.
    pub fn later(&mut self, soon: Micros, rng: &mut Rng, revive: impl FnOnce(&mut World)) {
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
    pub fn split(&mut self, side: u64) {
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

    fn strike_weather(&mut self, mild: bool, rng: &mut Rng) {
        self.net.weather = if self.net.weather.loss + self.net.weather.late > 0 {
            Weather::FAIR
        } else {
            Weather {
                loss: rng.between(0, if mild { 20 } else { 250 }),
                duplicated: rng.between(0, 200),
                late: rng.between(0, 400),
                late_by: rng.between(5, if mild { 15 } else { 60 }) * MS,
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
                if !self.net.serves(a, b) {
                    self.net.set_door(self.now, a, b, Path::Open);
                }
            }
        }
        self.tell(0, || "---- all paths open ----".into());
        self.links_of_dead_hives();
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
