//! What happens to processes besides dying: strangers, sleep, scripts, meddling.

use std::net::IpAddr;

use redis_hive::election::RedisOrder;

use crate::hosts::Stranger;
use crate::world::{Event, MS, Micros, World};

impl World {
    /// Somebody else's Redis, a master with data of its own, takes this address. Its host number.
    pub fn stranger_at(&mut self, ip: IpAddr, stranger: Stranger) -> usize {
        let host = self.hosts.len();
        self.add_host(host);
        self.hosts[host].ip = ip;
        self.hosts[host].listed = false;
        self.hosts[host].stranger = Some(stranger);
        self.start_redis(host);
        let mut data = self.all.found();
        (0..self.rng.between(1, 40)).for_each(|_| {
            self.all.write(&mut data);
        });
        let redis = &mut self.hosts[host].redis;
        redis.promote(&mut self.rng);
        redis.open_backlog(&mut self.rng);
        redis.data = data;
        redis.offset += self.rng.between(100, 1 << 20);
        self.tell(host, || format!("a stranger's redis takes {ip} ({stranger:?})"));
        host
    }

    pub fn freeze_hive(&mut self, host: usize, span: Micros) {
        let Some(hive) = self.hosts[host].hive.as_mut().filter(|hive| !hive.frozen) else { return };
        hive.frozen = true;
        self.net.disturb_all(self.now, host);
        self.tell(host, || format!("hive is frozen for {} ms", span / MS));
        self.after(span, Event::ThawHive { host });
    }

    pub fn thaw_hive(&mut self, host: usize) {
        self.net.disturb_all(self.now, host);
        let Some(hive) = self.hosts[host].hive.as_mut().filter(|hive| hive.frozen) else { return };
        hive.frozen = false;
        let life = hive.life;
        self.tell(host, || "hive wakes".into());
        self.hold_goes_on(host);
        self.proxies_wake(host);
        self.woken(host, life);
    }

    pub fn freeze_redis(&mut self, host: usize, span: Micros) {
        if self.hosts[host].redis.alive && !self.hosts[host].redis.frozen {
            self.hosts[host].redis.frozen = true;
            self.net.disturb_all(self.now, host);
            self.tell(host, || format!("redis is frozen for {} ms", span / MS));
            self.after(span, Event::ThawRedis { host });
        }
    }

    pub fn thaw_redis(&mut self, host: usize) {
        self.net.disturb_all(self.now, host);
        if self.hosts[host].redis.alive && self.hosts[host].redis.frozen {
            self.hosts[host].redis.frozen = false;
            self.tell(host, || "redis wakes".into());
            self.execute_waiting(host);
            self.redis_changed(host, 500);
        }
    }

    /// A script runs: everything is answered with `-BUSY`.
    pub fn busy_redis(&mut self, host: usize, span: Micros) {
        self.net.disturb_all(self.now, host);
        self.hosts[host].redis.busy_until = self.now + span;
        self.tell(host, || format!("redis is busy for {} ms", span / MS));
        self.redis_changed(host, 500);
    }

    /// `CLIENT KILL TYPE normal`: every connection of a hive to this Redis closes; new ones are taken.
    pub fn kill_connections(&mut self, host: usize) {
        self.tell(host, || "redis closes all connections of clients".into());
        let life = self.hosts[host].redis.life;
        self.redis_changed(host, 500);
        for other in &mut self.hosts {
            let watch = other.hive.as_mut().and_then(|hive| hive.watch.as_mut());
            if let Some(watch) = watch.filter(|watch| watch.to == Some((host, life))) {
                watch.to = None;
            }
        }
    }

    /// Somebody who is no hive tells a Redis something.
    pub fn meddle(&mut self, host: usize, order: RedisOrder) {
        self.tell(host, || format!("somebody tells this redis {order:?}"));
        let _ = self.apply_order(host, order);
        self.redis_changed(host, 20 * MS);
    }
}
