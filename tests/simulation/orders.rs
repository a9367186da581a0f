//! Orders to a Redis: on their way, waiting inside a Redis that hangs, executed, answered or reset.

use redis_hive::election::{Input, OrderError, Passport, RedisAddr, RedisOrder, RunId, Target};

use crate::hive::Outstanding;
use crate::redis::Waiting;
use crate::world::{Event, MS, Micros, SEC, World};

/// How long an order over the connection to the watched master may remain unanswered.
const WATCHED_TIMEOUT: Micros = SEC;
/// The same for the local Redis.
const OWN_TIMEOUT: Micros = 7 * SEC;
/// A Redis that is told to save its copy lets no write in for so long.
const RESCUE_PAUSE: Micros = 10 * SEC;

impl World {
    /// A hive gives an order: one that is still out at the same Redis is given up.
    pub fn order(&mut self, host: usize, id: u64, at: Target, run_id: RunId, order: RedisOrder) {
        let own = (host, self.hosts[host].redis.life);
        let slow = self.hosts[host].order_delay.max(200);
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        hive.order_no += 1;
        let (life, no) = (hive.life, hive.order_no);
        let (there, timeout) = match at {
            Target::Own => (Some(own), OWN_TIMEOUT),
            Target::Watched => (hive.watch.as_ref().and_then(|w| w.to), WATCHED_TIMEOUT),
        };
        let slot = slot(at);
        hive.orders[slot] = Some(Outstanding { id, run_id, order, no, there, saved: false });
        let delay = self.rng.between(100, slow);
        self.after(delay, Event::Order { host, life, no });
        self.after(timeout, Event::OrderLate { host, life, no });
    }

    pub fn order_arrives(&mut self, host: usize, life: u32, no: u32) {
        let (now, stuck) = (self.now, self.hosts[host].never_claims);
        let Some(order) = self.outstanding(host, life, no) else { return };
        let (run_id, what, saved) = (order.run_id, order.order, order.saved);
        let Some((at, at_life)) = order.there else {
            return self.answer(host, life, no, Err(OrderError::Gone));
        };
        if !self.net.serves(host, at) {
            return self.after(50 * MS, Event::Order { host, life, no });
        }
        let redis = &mut self.hosts[at].redis;
        // The local Redis is asked for wherever it is; the other one has its connection.
        if !redis.alive || (at != host && redis.life != at_life) {
            return self.answer(host, life, no, Err(OrderError::Gone));
        }
        if redis.run_id != run_id {
            return self.answer(host, life, no, Err(OrderError::OtherRun));
        }
        if stuck && matches!(what, RedisOrder::Promote { .. }) {
            return;
        }
        if redis.frozen {
            redis.waiting.push(Waiting::Order { host, life, no });
        } else if redis.busy(now) || redis.loading() {
            self.after(50 * MS, Event::Order { host, life, no });
        } else if what == RedisOrder::Rescue && !saved {
            self.save(host, life, no, at);
        } else {
            let outcome = self.apply_order(at, what);
            self.answer(host, life, no, outcome);
        }
    }

    /// A rescue begins: a master's writes wait, and after a while the copy is saved.
    fn save(&mut self, host: usize, life: u32, no: u32, at: usize) {
        if self.hosts[at].redis.is_master() {
            self.pause_writes(at, RESCUE_PAUSE);
            self.hosts[at].redis.paused_to_save = true;
        }
        if let Some(order) = self.outstanding(host, life, no) {
            order.saved = true;
        }
        let span = self.rng.between(20 * MS, 300 * MS);
        self.after(span, Event::Order { host, life, no });
    }

    fn outstanding(&mut self, host: usize, life: u32, no: u32) -> Option<&mut Outstanding> {
        let hive = self.hive(host, life)?;
        hive.orders.iter_mut().flatten().find(|order| order.no == no)
    }

    fn answer(&mut self, host: usize, life: u32, no: u32, outcome: Result<Passport, OrderError>) {
        let slow = self.hosts[host].order_delay.max(300);
        let delay = self.rng.between(100, slow);
        self.after(delay, Event::OrderEnds { host, life, no, outcome: Box::new(outcome) });
    }

    pub fn order_ends(
        &mut self,
        host: usize,
        life: u32,
        no: u32,
        outcome: Result<Passport, OrderError>,
    ) {
        let Some(order) = self.outstanding(host, life, no) else { return };
        let (id, there) = (order.id, order.there);
        if let Some((at, _)) = there
            && !self.net.serves(host, at)
        {
            // The answer is stuck as well; the deadline ends this.
            let outcome = Box::new(outcome);
            return self.after(50 * MS, Event::OrderEnds { host, life, no, outcome });
        }
        self.order_done(host, life, no, id, outcome);
    }

    fn order_done(
        &mut self,
        host: usize,
        life: u32,
        no: u32,
        id: u64,
        outcome: Result<Passport, OrderError>,
    ) {
        let Some(hive) = self.hive(host, life) else { return };
        for order in &mut hive.orders {
            *order = order.take().filter(|order| order.no != no);
        }
        self.deliver(host, life, Input::Done { id, outcome });
    }

    /// The order's deadline: one that hangs is given up by reset; while Redis is busy it stands.
    pub fn order_late(&mut self, host: usize, life: u32, no: u32) {
        let Some(order) = self.outstanding(host, life, no) else { return };
        let (id, there) = (order.id, order.there);
        let Some((at, _)) = there else { return };
        if self.hosts[at].redis.frozen || !self.net.serves(host, at) {
            self.hosts[at].redis.waiting.retain(|w| *w != Waiting::Order { host, life, no });
            self.order_done(host, life, no, id, Err(OrderError::Silent));
        }
    }

    pub fn fence_arrives(&mut self, host: usize, life: u32, no: u32) {
        let now = self.now;
        let Some(hive) = self.hive(host, life).filter(|hive| hive.fence_no == no) else { return };
        let Some(fence) = hive.fence.as_ref() else { return };
        let ((at, at_life), to) = (fence.at, fence.to);
        let open = self.net.serves(host, at);
        let redis = &mut self.hosts[at].redis;
        if !redis.alive || redis.life != at_life {
            return;
        }
        if !open {
            // What a kernel does not acknowledge is dropped by the one that sent it.
            if let Some(hive) = self.hive(host, life) {
                hive.fence = None;
            }
        } else if redis.busy(now) || redis.loading() {
            self.after(50 * MS, Event::Fence { host, life, no });
        } else if redis.frozen {
            redis.waiting.push(Waiting::Fence { host, life, no });
        } else {
            self.tell(at, || format!("redis is fenced: follows {to}"));
            let _ = self.apply_order(at, RedisOrder::Follow(to));
            if let Some(hive) = self.hive(host, life) {
                hive.fence = None;
            }
        }
    }

    /// A Redis wakes: it executes what it had received, in order, except what was reset.
    pub fn execute_waiting(&mut self, at: usize) {
        let waiting = std::mem::take(&mut self.hosts[at].redis.waiting);
        for one in waiting {
            match one {
                Waiting::Order { host, life, no } => {
                    if self.hive(host, life).is_some() {
                        self.order_arrives(host, life, no);
                    }
                }
                Waiting::Fence { host, life, no } => self.fence_arrives(host, life, no),
                Waiting::Write(request) => {
                    let through = self.hive(request.host, request.life).map(|hive| hive.route_no);
                    if through == Some(request.route_no) {
                        self.execute_write(request, at);
                    }
                }
            }
        }
    }

    /// `CLIENT PAUSE ... WRITE`: an end that was set later stays.
    pub fn pause_writes(&mut self, at: usize, span: Micros) {
        let until = self.now + span;
        let redis = &mut self.hosts[at].redis;
        redis.paused_until = redis.paused_until.max(until);
        let (until, life) = (redis.paused_until, redis.life);
        self.at(until, Event::PauseOver { host: at, life });
    }

    fn resume_writes(&mut self, at: usize) {
        let redis = &mut self.hosts[at].redis;
        redis.paused_until = 0;
        let life = redis.life;
        self.pause_over(at, life);
    }

    /// Executes an order on a Redis that takes commands; the passport read after it.
    pub fn apply_order(&mut self, at: usize, order: RedisOrder) -> Result<Passport, OrderError> {
        self.check_order(at, order);
        if matches!(order, RedisOrder::Promote { .. }) && self.hosts[at].cannot_promote {
            return Err(OrderError::Refused("NOPERM".into()));
        }
        self.tell(at, || format!("redis executes {order:?}"));
        match order {
            RedisOrder::PauseWrites { ms } => self.pause_writes(at, Micros::from(ms) * MS),
            RedisOrder::ResumeWrites => self.resume_writes(at),
            RedisOrder::Park | RedisOrder::Rescue => self.park(at),
            RedisOrder::Follow(to) => self.follow(at, to),
            RedisOrder::Promote { first } => self.promote(at, first),
        }
        if self.hosts[at].redis.paused_to_save && !matches!(order, RedisOrder::PauseWrites { .. }) {
            self.hosts[at].redis.paused_to_save = false;
            self.resume_writes(at);
        }
        let replicas = self.replicas(at);
        Ok(self.hosts[at].redis.passport(self.now, replicas))
    }

    fn park(&mut self, at: usize) {
        let redis = &mut self.hosts[at].redis;
        if redis.is_master() && redis.data.keys() > 0 {
            redis.open_backlog(&mut self.rng);
        }
        if redis.follow(RedisAddr::PARKED) {
            self.redis_changed(at, 30 * MS);
        }
    }

    fn follow(&mut self, at: usize, to: RedisAddr) {
        let redis = &mut self.hosts[at].redis;
        if redis.follow(to) {
            let (life, link_no) = (redis.life, redis.link_no);
            self.after(300, Event::Connect { host: at, life, link_no });
            self.redis_changed(at, 30 * MS);
        }
    }

    fn promote(&mut self, at: usize, first: bool) {
        if self.hosts[at].redis.data.is_blank() {
            self.hosts[at].redis.data = self.all.found();
        }
        let redis = &mut self.hosts[at].redis;
        let (changed, life) = (redis.promote(&mut self.rng), redis.life);
        if first {
            redis.open_backlog(&mut self.rng);
        }
        if changed {
            self.cut_replicas(at, life);
            self.redis_changed(at, 30 * MS);
        }
    }
}

/// Where an order that is out is kept: one for each Redis it may be for.
fn slot(at: Target) -> usize {
    match at {
        Target::Own => 0,
        Target::Watched => 1,
    }
}
