//! Orders to a Redis: on their way, waiting inside a Redis that hangs, executed, answered or reset.

use redis_hive::election::{Input, OrderError, Passport, RedisOrder};

use crate::network::Port;
use crate::redis::Waiting;
use crate::world::{Event, MS, World};

impl World {
    pub fn order_arrives(&mut self, host: usize, life: u32, no: u32) {
        let (now, stuck) = (self.now, self.hosts[host].never_claims);
        let Some(hive) = self.hive(host, life).filter(|hive| hive.order_no == no) else { return };
        let Some(order) = hive.order.as_ref() else { return };
        let (run_id, what) = (order.run_id, order.order);
        let redis = &mut self.hosts[host].redis;
        if !redis.alive {
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
        } else {
            let outcome = self.apply_order(host, what);
            self.answer(host, life, no, outcome);
        }
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
        let Some(hive) = self.hive(host, life).filter(|hive| hive.order_no == no) else { return };
        let Some(order) = hive.order.take() else { return };
        self.deliver(host, life, Input::Done { id: order.id, outcome });
    }

    /// The order's deadline: one that hangs is given up by reset; while Redis is busy it stands.
    pub fn order_late(&mut self, host: usize, life: u32, no: u32) {
        let Some(hive) = self.hive(host, life).filter(|hive| hive.order_no == no) else { return };
        if hive.order.is_some() && self.hosts[host].redis.frozen {
            self.hosts[host].redis.waiting.retain(|w| *w != Waiting::Order { host, life, no });
            self.order_ends(host, life, no, Err(OrderError::Silent));
        }
    }

    pub fn fence_arrives(&mut self, host: usize, life: u32, no: u32) {
        let now = self.now;
        let Some(hive) = self.hive(host, life).filter(|hive| hive.fence_no == no) else { return };
        let Some(fence) = hive.fence.as_ref() else { return };
        let ((at, at_life), to) = (fence.at, fence.to);
        let open = self.net.open(host, at, Port::Redis);
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
                Waiting::Write { host, life, route_no } => {
                    let through = self.hive(host, life).map(|hive| hive.route_no);
                    if through == Some(route_no) {
                        self.execute_write(host, life, route_no, at);
                    }
                }
            }
        }
    }

    /// Executes an order on a Redis that takes commands; the passport read after it.
    pub fn apply_order(&mut self, host: usize, order: RedisOrder) -> Result<Passport, OrderError> {
        self.check_order(host, order);
        if matches!(order, RedisOrder::Promote { .. }) && self.hosts[host].cannot_promote {
            return Err(OrderError::Refused("NOPERM".into()));
        }
        self.tell(host, || format!("redis executes {order:?}"));
        let life = self.hosts[host].redis.life;
        let changed = match order {
            RedisOrder::PauseWrites { .. } | RedisOrder::ResumeWrites => false,
            RedisOrder::Park | RedisOrder::Rescue => {
                let redis = &mut self.hosts[host].redis;
                if redis.is_master() && redis.data.keys() > 0 {
                    redis.open_backlog(&mut self.rng);
                }
                redis.follow(redis_hive::election::RedisAddr::PARKED)
            }
            RedisOrder::Follow(to) => {
                let changed = self.hosts[host].redis.follow(to);
                if changed {
                    let link_no = self.hosts[host].redis.link_no;
                    self.after(300, Event::Connect { host, life, link_no });
                }
                changed
            }
            RedisOrder::Promote { first } => {
                if self.hosts[host].redis.data.is_blank() {
                    self.hosts[host].redis.data = self.all.found();
                }
                let redis = &mut self.hosts[host].redis;
                let changed = redis.promote(&mut self.rng);
                if first {
                    redis.open_backlog(&mut self.rng);
                }
                changed
            }
        };
        if changed {
            self.cut_replicas(host, life);
            self.redis_changed(host, 30 * MS);
        }
        let redis = &self.hosts[host].redis;
        Ok(redis.passport(self.now, 0))
    }
}
