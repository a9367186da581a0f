//! Clients: a writer beside every hive, who writes through that hive's route and remembers what was acknowledged.
//!
//! A request travels to the Redis that the route names, is executed there or waits there, and its reply
//! travels back. The proxies judge both ways: nothing passes while their hive sleeps, when its loop gave
//! no sign of life, or after the end of its lease.

use redis_hive::election::Route;

use crate::history::WriteId;
use crate::redis::{Request, Waiting};
use crate::world::{Event, MS, Micros, World};

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
/// The same for requests and replies that wait before a hive that sleeps.
const MOST_KEPT: u32 = 2;
/// How long proxies go on without a sign of life of their loop.
pub const FRESH: Micros = 800 * MS;
/// How often a kernel sends again what did not get through.
const AGAIN: Micros = 100 * MS;

/// What becomes of something that wants to pass a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// It waits: the hive sleeps, its loop is silent, or its lease has ended.
    Shut,
    /// The connection is gone.
    Cut,
}

impl World {
    /// Starts the writer of one host.
    pub fn start_writer(&mut self, host: usize) {
        if !self.hosts[host].writes {
            self.hosts[host].writes = true;
            self.after(self.config.write_every / 2, Event::Write { host });
        }
    }

    pub fn start_writers(&mut self) {
        self.ours().into_iter().for_each(|host| self.start_writer(host));
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
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        if hive.frozen {
            // The kernel took it: it is read when the hive wakes.
            hive.asked = (hive.asked + 1).min(MOST_KEPT);
            return;
        }
        let request = Request { host, life: hive.life, route_no: hive.route_no };
        let (open, route) = (hive.passes(now), hive.route.clone());
        match route {
            Route::Forward { master, run_id, .. } if open => {
                let at = self.host_at(master.ip).filter(|at| self.net.serves(host, *at));
                let there = at.filter(|at| self.hosts[*at].redis.run_id == run_id);
                let Some(at) = there else {
                    self.clients.errors += 1;
                    return;
                };
                let (delay, life) = (self.net.delay(&mut self.rng), self.hosts[at].redis.life);
                self.after(delay, Event::Request { request, at, life, late: false });
            }
            _ => self.clients.held += 1,
        }
    }

    /// A request comes to the Redis it was sent to.
    pub fn request_arrives(&mut self, request: Request, at: usize, life: u32, late: bool) {
        let slow = self.hosts[at].slow_commands;
        let redis = &mut self.hosts[at].redis;
        if !redis.alive || redis.life != life {
            self.clients.errors += 1;
        } else if !self.net.serves(request.host, at) {
            if self.connected(request) {
                self.after(AGAIN, Event::Request { request, at, life, late });
            }
        } else if redis.frozen {
            if redis.waiting.len() < MOST_WAITING {
                redis.waiting.push(Waiting::Write(request));
            }
        } else if slow > 0 && !late && self.rng.chance(1, 3) {
            let span = self.rng.between(0, slow);
            self.after(span, Event::Request { request, at, life, late: true });
        } else {
            self.execute_write(request, at);
        }
    }

    /// Whether a client's connection through a hive is still the one of this request.
    fn connected(&mut self, request: Request) -> bool {
        self.hive(request.host, request.life).is_some_and(|hive| hive.route_no == request.route_no)
    }

    pub fn execute_write(&mut self, request: Request, at: usize) {
        let now = self.now;
        let foreign = self.hosts[at].stranger.is_some();
        let attached = self.replicas(at);
        let redis = &mut self.hosts[at].redis;
        if redis.paused_until > now {
            redis.postponed.push(request);
            return;
        }
        let few = attached < redis.min_replicas;
        if foreign || !redis.serves(now) || !redis.is_master() || few {
            self.clients.errors += 1;
            return;
        }
        let run = redis.run_id;
        let write = self.all.write(&mut redis.data);
        redis.wrote(self.rng.between(40, 400));
        self.feed_all(at);
        let delay = self.net.delay(&mut self.rng);
        self.after(delay, Event::Ack { request, from: at, run, write });
    }

    /// The pause of a Redis has ended: what waited is executed, if its client still waits for it.
    pub fn pause_over(&mut self, at: usize, life: u32) {
        let now = self.now;
        let redis = &mut self.hosts[at].redis;
        if !redis.alive || redis.life != life || redis.paused_until > now {
            return;
        }
        if redis.frozen {
            return self.after(50 * MS, Event::PauseOver { host: at, life });
        }
        for request in std::mem::take(&mut redis.postponed) {
            if self.connected(request) {
                self.execute_write(request, at);
            }
        }
    }

    /// A reply comes back, unless the client's connection was cut meanwhile.
    pub fn ack_arrives(
        &mut self,
        request: Request,
        from: usize,
        run: redis_hive::election::Id,
        write: WriteId,
    ) {
        let again = Event::Ack { request, from, run, write };
        match self.gate(request) {
            Gate::Cut => {}
            Gate::Open if !self.net.serves(request.host, from) => {
                if self.hosts[from].redis.alive && self.hosts[from].redis.run_id == run {
                    self.after(AGAIN, again);
                }
            }
            Gate::Open => self.acknowledge(request.host, run, write),
            Gate::Shut => {
                let frozen = self.hosts[request.host].hive.as_mut().filter(|hive| hive.frozen);
                match frozen {
                    Some(hive) => hive.replies.push((request, from, run, write)),
                    None => self.after(20 * MS, again),
                }
            }
        }
    }

    fn gate(&mut self, request: Request) -> Gate {
        let now = self.now;
        if !self.connected(request) {
            return Gate::Cut;
        }
        let passes = self.hive(request.host, request.life).is_some_and(|hive| hive.passes(now));
        if passes { Gate::Open } else { Gate::Shut }
    }

    fn acknowledge(&mut self, host: usize, run: redis_hive::election::Id, write: WriteId) {
        self.check_ack(host, run, write);
        self.session_saw(host, run, write);
        self.all.ack(write);
        self.clients.last_ack[host] = self.now;
        let gap = self.now - self.clients.last.min(self.now);
        self.clients.longest_gap = self.clients.longest_gap.max(gap);
        self.clients.last = self.now;
    }

    /// A hive wakes: its proxies may run before its loop does. What waited before them passes, if they let it.
    pub fn proxies_wake(&mut self, host: usize) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let asked = std::mem::take(&mut hive.asked);
        for (request, from, run, write) in std::mem::take(&mut hive.replies) {
            self.ack_arrives(request, from, run, write);
        }
        (0..asked).for_each(|_| self.try_write(host));
    }
}
