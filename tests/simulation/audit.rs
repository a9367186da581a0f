//! After the faults: everything heals, all agree, all copies are equal, every host takes writes.

use redis_hive::election::{Epoch, HiveRole, Id, Route};

use crate::checks::Checks;
use crate::dns::Mode;
use crate::network::{MAX_HOSTS, Path, Port, Weather};
use crate::world::{MS, Micros, SEC, World};

/// From the end of the faults to agreement.
pub const CONVERGED_WITHIN: Micros = 15 * SEC;

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub violations: Vec<String>,
    /// Acknowledged writes the final data lack.
    pub lost: usize,
    pub acknowledged: usize,
    /// Time from the end of the faults to agreement.
    pub converged_after: Option<Micros>,
    pub events: u64,
    pub story: String,
}

impl World {
    /// The leader all running hives agree on, with every route at its master and every Redis attached.
    pub fn agreed(&self) -> Option<usize> {
        let mut leader: Option<(usize, Epoch, Id)> = None;
        for (host, there) in self.hosts.iter().enumerate() {
            let Some(hive) = there.hive.as_ref() else { continue };
            if hive.seen.role == HiveRole::Leader {
                let led = hive.seen.leadership?;
                if leader.replace((host, led.epoch, led.master.run_id)).is_some() {
                    return None;
                }
            }
        }
        let (leader, epoch, run) = leader?;
        for there in &self.hosts {
            let Some(hive) = there.hive.as_ref() else { continue };
            let followed = hive.seen.leadership?;
            let Route::Forward { run_id, .. } = hive.route else { return None };
            if followed.epoch != epoch || run_id != run || hive.frozen {
                return None;
            }
        }
        let master = self.hosts.iter().position(|host| host.redis.run_id == run)?;
        if !self.hosts[master].redis.is_master() {
            return None;
        }
        let attached = |there: &crate::hosts::Host| {
            let redis = &there.redis;
            let from = (master, self.hosts[master].redis.life);
            let up = redis.link == crate::redis::Link::Up { from };
            there.hive.is_none() || !redis.alive || redis.run_id == run || up
        };
        self.hosts.iter().all(attached).then_some(leader)
    }

    /// The host of the master that all agree on.
    pub fn agreed_master(&self) -> Option<usize> {
        let leader = self.agreed()?;
        let led = self.hosts[leader].hive.as_ref()?.seen.leadership?;
        self.hosts.iter().position(|host| host.redis.run_id == led.master.run_id)
    }

    /// Ends all faults of the network and of DNS; hung processes wake.
    pub fn heal(&mut self) {
        for from in 0..MAX_HOSTS {
            for to in 0..MAX_HOSTS {
                for port in [Port::Peer, Port::Redis] {
                    if self.net.path(from, to, port) != Path::Open {
                        self.net.set(self.now, from, to, port, Path::Open);
                    }
                }
                if !self.net.serves(from, to) {
                    self.net.set_door(self.now, from, to, Path::Open);
                }
            }
        }
        self.net.weather = Weather::FAIR;
        self.dns.set_all(Mode::Live);
        for host in 0..self.hosts.len() {
            self.hosts[host].throttled = false;
            self.hosts[host].order_delay = 700;
            self.hosts[host].busy_unless_over(self.now);
            self.thaw_hive(host);
            self.thaw_redis(host);
            self.rearm(host);
        }
        self.links_of_dead_hives();
        self.tell(0, || "---- all faults end ----".into());
    }

    /// Demands agreement, equal copies and working routes, and takes stock.
    pub fn audit(mut self, within: Micros) -> Outcome {
        let converged = if self.checks.broken() { None } else { self.converge(within) };
        Outcome {
            lost: converged.map_or(0, |(_, lost)| lost),
            acknowledged: self.all.acknowledged(),
            converged_after: converged.map(|(took, _)| took),
            events: self.handled,
            story: self.story.text(),
            violations: std::mem::take(&mut self.checks).violations,
        }
    }

    /// The time it took, and how many acknowledged writes the final data lack.
    fn converge(&mut self, within: Micros) -> Option<(Micros, usize)> {
        let began = self.now;
        if !self.run_until(within, |world| world.agreed().is_some()) {
            if !self.checks.broken() {
                let census = self.census();
                self.tell(0, || format!("no agreement:\n{census}"));
                self.violated("INV-34", 0, || "no agreement after the faults".into());
            }
            return None;
        }
        let took = self.now - began;
        self.stop_writers();
        if !self.run_until(4 * SEC, World::equal) {
            if !self.checks.broken() {
                let census = self.census();
                self.tell(0, || format!("different copies:\n{census}"));
                self.violated("INV-34", 0, || "copies stay different".into());
            }
            return None;
        }
        let master = self.agreed_master()?;
        let lost = self.all.lost(self.hosts[master].redis.data);
        self.write_everywhere();
        Some((took, lost))
    }

    /// Whether all copies equal the master's.
    pub fn equal(&self) -> bool {
        self.agreed_master().is_some_and(|master| {
            (0..self.hosts.len()).all(|host| {
                self.hosts[host].hive.is_none()
                    || !self.hosts[host].redis.alive
                    || self.replicates(host, master)
            })
        })
    }

    fn write_everywhere(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].hive.is_none() {
                continue;
            }
            let asked = self.now;
            let mut done = false;
            for _ in 0..20 {
                self.try_write(host);
                let acked = |world: &World| world.clients.last_ack[host] >= asked;
                done = done || self.run_until(100 * MS, acked);
            }
            if !done && !self.checks.broken() {
                let census = self.census();
                self.tell(host, || format!("its write fails:\n{census}"));
                self.violated("INV-35", host, || "a write through its route fails".into());
            }
        }
    }

    pub fn highest_epoch(&self) -> Epoch {
        let Checks { announced, .. } = &self.checks;
        announced.iter().map(|one| one.0).max().unwrap_or_default()
    }

    /// How many leaderships were announced so far.
    pub fn announcements(&self) -> usize {
        self.checks.announced.len()
    }

    /// Waits until all agree and all copies are equal.
    pub fn settle(&mut self, within: Micros) -> bool {
        self.run_until(within, |world| world.agreed().is_some())
            && self.run_until(2 * SEC + 500 * MS, |world| world.agreed().is_some())
    }
}
