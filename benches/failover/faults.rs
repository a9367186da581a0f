//! What is done to the leader's node, and what its clients may see of it.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;

use crate::figures::Budget;
use crate::harness::Hive;

/// One kind of fault.
pub struct Fault {
    /// For `--only`.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    deed: Deed,
    pub part: Part,
    /// For a client of another node's proxy, milliseconds.
    pub others: Budget,
    /// For a client of the node's own proxy that reconnects to another one; `None` where all it
    /// would measure is its own patience.
    pub own: Option<Budget>,
}

enum Deed {
    Kill,
    Terminate,
    Freeze,
}

/// Longer than two round trips on a busy machine is an interruption.
const NO_INTERRUPTION: Budget = Budget::median(10.0);
/// A planned change of the master.
pub const PLANNED: Budget = Budget::median(20.0);

pub const FAULTS: [Fault; 6] = [
    Fault {
        name: "node-killed",
        what: "node killed (both SIGKILL)",
        deed: Deed::Kill,
        part: Part::Both,
        others: Budget::both(100.0, 500.0),
        own: Some(Budget::both(100.0, 500.0)),
    },
    Fault {
        name: "redis-killed",
        what: "Redis killed",
        deed: Deed::Kill,
        part: Part::Redis,
        others: Budget::median(100.0),
        own: Some(Budget::median(100.0)),
    },
    Fault {
        name: "hive-killed",
        what: "hive killed",
        deed: Deed::Kill,
        part: Part::Hive,
        others: NO_INTERRUPTION,
        own: Some(Budget::median(100.0)),
    },
    Fault {
        name: "hive-terminated",
        what: "leader's hive stopped by SIGTERM, hands over",
        deed: Deed::Terminate,
        part: Part::Hive,
        others: PLANNED,
        own: Some(PLANNED),
    },
    Fault {
        name: "hive-frozen",
        what: "hive frozen (SIGSTOP)",
        deed: Deed::Freeze,
        part: Part::Hive,
        others: NO_INTERRUPTION,
        own: None,
    },
    Fault {
        name: "node-vanished",
        what: "node vanishes (both SIGSTOP)",
        deed: Deed::Freeze,
        part: Part::Both,
        others: Budget::worst(1300.0),
        own: None,
    },
];

impl Fault {
    /// Does it. What is killed is gone when this returns.
    pub fn strike(&self, hive: &mut Hive, host: u8) {
        let done = match self.deed {
            Deed::Kill => hive.kill(host, self.part),
            Deed::Terminate => hive.stop(host, self.part, Duration::ZERO).map(|_| ()),
            Deed::Freeze => hive.freeze(host, self.part),
        };
        done.expect("the node exists");
    }

    /// Whether the process goes on for a while and cuts its clients only then.
    pub fn ends_later(&self) -> bool {
        matches!(self.deed, Deed::Terminate)
    }

    /// Whether another Redis is the master afterwards: it is lost, or was handed over.
    pub fn moves_the_master(&self) -> bool {
        self.part != Part::Hive || self.hands_over()
    }

    /// Whether the leader sees to it that nothing is lost.
    pub fn hands_over(&self) -> bool {
        matches!(self.deed, Deed::Terminate)
    }
}
