//! More duties of the driver: leases, small wishes and questions to a Redis, what people ask for.

use redis_hive::election::frame::Verdict;
use redis_hive::election::{Ask, Input, NodeId, RedisAddr, Target, Time};

use crate::checks_planned::Asked;
use crate::world::World;

impl World {
    /// From this moment on the proxies judge by this lease.
    pub fn lease(&mut self, host: usize, until: Option<Time>) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        // The boot-time clock of every host is virtual time: it runs through every sleep.
        hive.lease = until.map(|until| until.0);
        self.route_leased(host);
    }

    /// `CONFIG SET min-replicas-to-write`, repeated until the run it is meant for has taken it.
    pub fn wish_arrives(&mut self, host: usize, life: u32) {
        let Some(hive) = self.hive(host, life).filter(|hive| !hive.frozen) else { return };
        let Some((target, run_id, replicas)) = hive.wish else { return };
        let watched = hive.watch.as_ref().and_then(|watch| watch.to).map(|to| to.0);
        let at = match target {
            Target::Own => Some(host),
            Target::Watched => watched,
        };
        let Some(at) = at.filter(|at| self.net.serves(host, *at)) else { return };
        let now = self.now;
        let redis = &mut self.hosts[at].redis;
        let other = redis.alive && redis.run_id != run_id;
        let taken = redis.serves(now) && redis.run_id == run_id;
        if taken {
            redis.min_replicas = replicas;
            self.tell(at, || format!("redis asks for {replicas} replicas to write"));
        }
        if let Some(hive) = self.hive(host, life).filter(|_| taken || other) {
            hive.wish = None;
        }
    }

    /// `CLIENT LIST` of the watched master: whether this hive has a connection there.
    pub fn tended(&mut self, host: usize, life: u32, addr: RedisAddr, node: NodeId) {
        let Some(hive) = self.hive(host, life).filter(|hive| !hive.frozen) else { return };
        let watch = hive.watch.as_ref().filter(|watch| watch.master.addr == addr);
        let Some((at, at_life)) = watch.and_then(|watch| watch.to) else { return };
        let redis = &self.hosts[at].redis;
        let answers = redis.serves(self.now) && redis.life == at_life;
        if !answers || !self.net.serves(host, at) {
            return;
        }
        let run_id = redis.run_id;
        // A process that is stopped keeps its connections; one that was killed has none.
        let connected = |other: &usize| {
            let hive = self.hosts[*other].hive.as_ref().filter(|hive| hive.me == node);
            hive.is_some_and(|hive| {
                let watches = hive.watch.as_ref().and_then(|w| w.to) == Some((at, at_life));
                *other == at || watches
            })
        };
        let tended = (0..self.hosts.len()).any(|other| connected(&other));
        self.input(500, host, life, Input::Tended { addr, run_id, node, tended });
    }

    /// A person asks a hive for something. The token of the question.
    pub fn ask(&mut self, host: usize, ask: Ask) -> u64 {
        let token = self.checks.asks.len() as u64 + 1;
        let Some(hive) = self.hosts[host].hive.as_ref() else { return token };
        let (life, since) = (hive.life, self.now);
        let asked = Asked { host, life, since, verdict: None, text: String::new(), void: false };
        self.checks.asks.push(asked);
        self.tell(host, || format!("is asked for {ask:?}, token {token}"));
        self.deliver(host, life, Input::Ask { token, ask });
        token
    }

    /// What a question was answered with.
    pub fn verdict(&self, token: u64) -> Option<Verdict> {
        self.checks.asks.get(token as usize - 1).and_then(|asked| asked.verdict)
    }
}
