//! The read endpoint: when its clients are at the local Redis, and how they come back to it.
//!
//! At a replica reads need no lease: they are stale by nature. As soon as the local Redis is a
//! master, or may become one, the route and the lease of the write endpoint hold here too, and no
//! connection is cut for it. The master elsewhere is reached through the write endpoint's proxy.

use std::time::{Duration, Instant};

use super::judge::{BATCH_EVERY, Judge, Local, Place};
use super::room::{Room, Share};
use crate::election::{Epoch, Keep, RedisAddr, RedisOrder, Route, Time};
use crate::proxy::{Counters, Proxy};

/// On top of `--peer-timeout`: how long a copy that is not current any more is read from. A failover
/// takes no longer, and the copy is what the next master goes on with.
const GRACE: Duration = Duration::from_secs(1);

/// The read endpoint's proxy and where it leads to.
pub(super) struct Reads {
    proxy: Proxy,
    local: RedisAddr,
    judge: Judge,
    /// The write endpoint's route and lease.
    write: Route,
    lease: Option<Time>,
    /// What the proxy goes by.
    place: Place,
    route: Route,
    epoch: Epoch,
    next_batch: Instant,
    room: Room,
}

impl Reads {
    /// For a local Redis at the address by which the hive's routes name it.
    pub fn new(proxy: Proxy, local: RedisAddr, peer_timeout: Duration) -> Reads {
        Reads {
            proxy,
            local,
            judge: Judge::new(peer_timeout + GRACE),
            write: Route::Hold,
            lease: None,
            place: Place::Away,
            route: Route::Hold,
            epoch: Epoch::default(),
            next_batch: Instant::now(),
            room: Room::default(),
        }
    }

    /// The write endpoint has this route now. It is confirmed with `id`.
    pub fn routed(&mut self, id: u64, route: &Route, local: Option<Local>) {
        self.write = route.clone();
        if let Route::Forward { epoch, .. } | Route::Held { epoch, .. } = route {
            self.epoch = self.epoch.max(*epoch);
        }
        self.look(id, local);
    }

    /// The write endpoint has this lease now.
    pub fn leased(&mut self, until: Option<Time>) {
        self.lease = until;
        if self.place != Place::Copy {
            self.proxy.lease(until);
        }
    }

    /// The local Redis is about to get this order.
    pub fn ordered(&mut self, order: &RedisOrder, local: Option<Local>) {
        match order {
            RedisOrder::Promote { .. } => self.judge.promoted(true),
            RedisOrder::Park | RedisOrder::Follow(_) => self.judge.promoted(false),
            _ => return,
        }
        self.look(0, local);
    }

    /// A turn of the loop. Bytes are passed on until `fresh`; `write` has the visitors.
    pub fn turn(&mut self, fresh: Instant, local: Option<Local>, write: &Proxy) {
        self.look(0, local);
        self.proxy.touch(fresh);
        let now = Instant::now();
        if self.place != Place::Copy || now < self.next_batch {
            return;
        }
        if let Some(one_in) = self.judge.send_home(now)
            && write.counters().visitors > 0
        {
            self.next_batch = now + BATCH_EVERY;
            write.send_home(one_in);
        }
    }

    /// Keeps some connections of the local Redis for whoever looks after it.
    pub fn make_room(&mut self, share: Share) {
        let attached = self.proxy.counters().attached;
        if let Some(limit) = self.room.limit(Instant::now(), attached, share) {
            self.proxy.limit(limit);
        }
    }

    /// Whether new clients go to the local Redis.
    pub fn is_local(&self) -> bool {
        matches!(self.route, Route::Forward { .. })
    }

    /// Whether the local Redis is the master that the write endpoint leads to.
    pub fn is_at_master(&self) -> bool {
        self.place == Place::Master
    }

    /// The figures now, without those who are at the write endpoint's proxy.
    pub fn counters(&self) -> Counters {
        self.proxy.counters()
    }

    /// Closes the listener, and every session at its next request boundary.
    pub fn drain(&self) {
        self.proxy.stop_accepting();
        self.proxy.drain();
    }

    /// Cuts every client.
    pub fn shutdown(&self) {
        self.proxy.shutdown();
    }

    fn look(&mut self, id: u64, local: Option<Local>) {
        let place = self.judge.judge(Instant::now(), local, &self.write);
        let here = local.map(|local| (self.epoch, self.local, local.run_id));
        let route = match (place, here) {
            (Place::Master, _) => self.write.clone(),
            (Place::Copy, Some((epoch, master, run_id))) => {
                Route::Forward { epoch, master, run_id }
            }
            (Place::Waiting, Some((epoch, master, run_id))) => {
                Route::Held { epoch, master, run_id }
            }
            _ => Route::Hold,
        };
        if (place == Place::Away) != (self.place == Place::Away) {
            tracing::info!(from = place.text(), "reads");
        } else if place != self.place {
            tracing::debug!(from = place.text(), "reads");
        }
        self.place = place;
        if place != Place::Copy {
            self.proxy.lease(self.lease);
        }
        if route != self.route || id != 0 {
            self.route = route.clone();
            self.proxy.route(id, route, Keep::None);
        }
        if place == Place::Copy {
            self.proxy.lease(None);
        }
    }
}
