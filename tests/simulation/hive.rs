//! A running hive process: its core, and what its driver and its proxies hold.

use std::collections::VecDeque;

use redis_hive::election::{
    Core, Epoch, HiveRole, Incarnation, Input, Leadership, Master, NodeId, RedisAddr, RedisOrder,
    Route, RunId, Target,
};

use crate::history::WriteId;
use crate::redis::Request;
use crate::world::Micros;

/// A running hive process.
pub struct Hive {
    pub core: Core,
    pub life: u32,
    pub me: NodeId,
    pub incarnation: Incarnation,
    pub inbox: VecDeque<Input>,
    pub frozen: bool,
    /// A throttled loop: when it runs again.
    pub wakes_at: Option<Micros>,
    /// A throttled loop: until when it runs unhindered.
    pub runs_until: Micros,
    pub tick_at: Micros,
    /// What its monotonic clock shows beyond virtual time.
    pub origin: u64,
    pub wanted: Vec<NodeId>,
    /// What the proxies do, and how often that changed.
    pub route: Route,
    pub route_no: u32,
    /// The newest route confirmed: an older one cannot overtake it.
    pub route_id: u64,
    /// When proxies pass nothing on any more; `None`: there is no lease.
    pub lease: Option<Micros>,
    /// Until when the proxies go on without a sign of life of the loop.
    pub fresh_until: Micros,
    /// Requests of clients, and replies to them, that came while it slept.
    pub asked: u32,
    pub replies: Vec<(Request, usize, RunId, WriteId)>,
    /// Orders to the local Redis and to the watched one that have not ended.
    pub orders: [Option<Outstanding>; 2],
    pub order_no: u32,
    /// `min-replicas-to-write` as it shall be.
    pub wish: Option<(Target, RunId, u32)>,
    /// When it was told to stop.
    pub stopping: Option<Micros>,
    /// It said that it may end.
    pub exits: bool,
    /// Since when clients are held for a planned change.
    pub held_since: Option<Micros>,
    /// The reason of its newest report.
    pub reported: String,
    /// What its proxies' sessions have seen.
    pub sessions: crate::sessions::Sessions,
    pub watch: Option<Watch>,
    pub fence: Option<Fence>,
    pub fence_no: u32,
    pub local_silent: Option<Micros>,
    /// What was seen of the core after its last step.
    pub seen: Seen,
    /// The highest epoch a route of this life went to.
    pub routed_epoch: Epoch,
    /// The highest epoch its newest state stated.
    pub said_epoch: Epoch,
    /// The number of that frame.
    pub said_number: u64,
}

/// An order that has not ended.
pub struct Outstanding {
    pub id: u64,
    pub run_id: RunId,
    pub order: RedisOrder,
    pub no: u32,
    /// Host and life of the Redis it goes to; `None`: there is no connection.
    pub there: Option<(usize, u32)>,
    /// The copy to be rescued is saved.
    pub saved: bool,
}

impl Hive {
    /// Whether its proxies pass anything on now.
    pub fn passes(&self, now: Micros) -> bool {
        !self.frozen && now < self.fresh_until && self.leased(now)
    }

    /// Whether it holds a lease, or needs none.
    pub fn leased(&self, now: Micros) -> bool {
        self.lease.is_none_or(|until| now < until)
    }

    /// An order that is out and matches.
    pub fn orders(&self, order: impl Fn(&RedisOrder) -> bool) -> bool {
        self.orders.iter().flatten().any(|out| order(&out.order))
    }
}

/// The connection to the watched master.
pub struct Watch {
    pub master: Master,
    /// The process at its other end, once it was identified.
    pub to: Option<(usize, u32)>,
    pub silent: Option<Micros>,
}

pub struct Fence {
    pub to: RedisAddr,
    pub at: (usize, u32),
}

/// The core's own account of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub role: HiveRole,
    pub epoch: Epoch,
    pub leadership: Option<Leadership>,
}
