//! Planned ends: a hive that is told to stop, a pod that is deleted, a pod that replaces another one.

use redis_hive::election::Input;

use crate::network::MAX_HOSTS;
use crate::world::{Event, MS, Micros, SEC, World};

/// How long a hive that may end goes on serving, at most.
const DRAIN: Micros = 2 * SEC;

impl World {
    /// SIGTERM for the hive alone; a second one ends it at once.
    pub fn stop(&mut self, host: usize) {
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let (life, again) = (hive.life, hive.stopping.replace(now).is_some());
        if again {
            self.tell(host, || "hive is told to stop once more".into());
            return self.end(host);
        }
        self.tell(host, || "hive is told to stop".into());
        self.deliver(host, life, Input::Stop);
    }

    /// The pod is deleted: its hive is told to stop, its Redis stops after it, its address goes.
    pub fn retire(&mut self, host: usize) {
        if self.hosts[host].retiring {
            return;
        }
        self.hosts[host].retiring = true;
        if self.hosts[host].hive.is_none() {
            return self.end(host);
        }
        self.stop(host);
    }

    /// The hive gave up everything it held: it ends when its clients have gone.
    pub fn may_end(&mut self, host: usize) {
        let drain = self.rng.between(0, DRAIN);
        let Some(hive) = self.hosts[host].hive.as_mut().filter(|hive| !hive.exits) else { return };
        hive.exits = true;
        let life = hive.life;
        self.tell(host, || format!("hive may end, in {} ms", drain / MS));
        self.check_last_copy(host);
        self.after(drain, Event::Ends { host, life });
    }

    pub fn ends(&mut self, host: usize, life: u32) {
        match self.hive(host, life) {
            None => {}
            Some(hive) if hive.frozen => self.after(50 * MS, Event::Ends { host, life }),
            Some(_) => self.end(host),
        }
    }

    pub fn end(&mut self, host: usize) {
        self.crash_hive(host);
        if self.hosts[host].retiring && !self.hosts[host].gone {
            self.crash_redis(host);
            self.hosts[host].gone = true;
            self.hosts[host].writes = false;
            // The network forgets the address; nobody answers there any more.
            self.power_off(host);
            self.relist();
        }
    }

    /// A new, empty pod on an address of its own. `None` where the world has no room for it.
    pub fn new_pod(&mut self) -> Option<usize> {
        let host = self.new_address()?;
        self.start_both(host);
        Some(host)
    }

    /// A new pod whose hive has another name.
    pub fn new_stranger_pod(&mut self) -> usize {
        let host = self.new_address().expect("the test left room");
        self.hosts[host].other_name = true;
        self.start_both(host);
        host
    }

    fn new_address(&mut self) -> Option<usize> {
        let host = self.hosts.len();
        if host >= MAX_HOSTS {
            return None;
        }
        self.add_host(host);
        let taken = |ip| self.hosts[..host].iter().any(|there| there.ip == ip);
        let free = (0..60).map(|n| crate::hosts::ip(180, n)).find(|ip| !taken(*ip));
        self.hosts[host].ip = free.unwrap_or(self.hosts[host].ip);
        self.net.disturb_all(self.now, host);
        self.relist();
        let ip = self.hosts[host].ip;
        self.tell(host, || format!("a new pod, {ip}"));
        Some(host)
    }

    /// One step of a rolling replacement: a new pod starts, is waited for or not, and the old one is
    /// told to stop. The new one.
    pub fn replace(&mut self, old: usize, wait: Micros) -> Option<usize> {
        let new = self.new_pod()?;
        if self.hosts[old].writes {
            self.start_writer(new);
        }
        self.run_until(wait, |world| world.current(new));
        self.retire(old);
        Some(new)
    }

    /// Whether this Redis holds what the master that its hive follows holds.
    pub fn current(&self, host: usize) -> bool {
        let led = self.hosts[host].hive.as_ref().and_then(|hive| hive.seen.leadership);
        let run = led.map(|led| led.master.run_id);
        let master = self.hosts.iter().position(|there| Some(there.redis.run_id) == run);
        master.is_some_and(|master| self.replicates(host, master))
    }

    /// Whether a hive that was told to stop still runs.
    pub fn stopping(&self) -> bool {
        let stops = |host: &crate::hosts::Host| {
            host.hive.as_ref().is_some_and(|hive| hive.stopping.is_some())
        };
        self.hosts.iter().any(stops)
    }
}
