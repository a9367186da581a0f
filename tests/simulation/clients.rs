//! Clients: a writer beside every hive, who writes through that hive's route and remembers what was acknowledged.

use redis_hive::election::Route;

use crate::history::WriteId;
use crate::network::Port;
use crate::redis::Waiting;
use crate::world::{Event, World};

#[derive(Debug, Default)]
pub struct Clients {
    /// Writes that found a route and failed.
    pub errors: u64,
    /// Writes that were kept waiting for want of a route.
    pub held: u64,
    /// When a write was last acknowledged, by the host it went through.
    pub last_ack: [u64; crate::network::MAX_HOSTS],
    /// The longest time between two acknowledged writes of anybody.
    pub longest_gap: u64,
    last: u64,
}

/// Writes a hung Redis keeps for one world; more would only repeat them.
const MOST_WAITING: usize = 8;

impl World {
    /// Starts the writer of one host.
    pub fn start_writer(&mut self, host: usize) {
        if !self.hosts[host].writes {
            self.hosts[host].writes = true;
            self.after(self.config.write_every / 2, Event::Write { host });
        }
    }

    pub fn start_writers(&mut self) {
        (0..self.hosts.len())
            .filter(|host| self.hosts[*host].stranger.is_none())
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|host| self.start_writer(host));
        self.clients.last = self.now;
    }

    pub fn stop_writers(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.writes = false);
    }

    pub fn client_writes(&mut self, host: usize) {
        if !self.hosts[host].writes {
            return;
        }
        let next = self.rng.between(self.config.write_every / 2, self.config.write_every * 3 / 2);
        self.after(next, Event::Write { host });
        self.try_write(host);
    }

    /// One write through this host's route, if that goes anywhere.
    pub fn try_write(&mut self, host: usize) {
        let Some(hive) = self.hosts[host].hive.as_ref().filter(|hive| !hive.frozen) else { return };
        let (life, route_no) = (hive.life, hive.route_no);
        let Route::Forward { master, run_id, .. } = &hive.route else {
            self.clients.held += 1;
            return;
        };
        let (addr, run_id) = (*master, *run_id);
        let at = self.host_at(addr.ip).filter(|at| self.net.open(host, *at, Port::Redis));
        let Some(at) = at else {
            self.clients.errors += 1;
            return;
        };
        let redis = &mut self.hosts[at].redis;
        if redis.alive && redis.frozen {
            if redis.waiting.len() < MOST_WAITING {
                redis.waiting.push(Waiting::Write { host, life, route_no });
            }
        } else if redis.run_id == run_id {
            self.execute_write(host, life, route_no, at);
        } else {
            self.clients.errors += 1;
        }
    }

    pub fn execute_write(&mut self, host: usize, life: u32, route_no: u32, at: usize) {
        let foreign = self.hosts[at].stranger.is_some();
        let redis = &mut self.hosts[at].redis;
        if foreign || !redis.serves(self.now) || !redis.is_master() {
            self.clients.errors += 1;
            return;
        }
        let write = self.all.write(&mut redis.data);
        redis.wrote(self.rng.between(40, 400));
        self.feed_all(at);
        let delay = self.net.delay(&mut self.rng);
        self.after(delay, Event::Ack { host, life, route_no, from: at, write });
    }

    /// A reply comes back, unless the client's connection was cut meanwhile.
    pub fn ack_arrives(
        &mut self,
        host: usize,
        life: u32,
        route_no: u32,
        from: usize,
        write: WriteId,
    ) {
        let open = self.net.open(from, host, Port::Redis);
        let route = self.hive(host, life).filter(|hive| !hive.frozen).map(|hive| hive.route_no);
        if open && route == Some(route_no) {
            self.all.ack(write);
            self.clients.last_ack[host] = self.now;
            let gap = self.now - self.clients.last.min(self.now);
            self.clients.longest_gap = self.clients.longest_gap.max(gap);
            self.clients.last = self.now;
        }
    }
}
