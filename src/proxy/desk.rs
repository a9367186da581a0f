//! What the threads share, and where they reach each other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::ProxySettings;
use super::gate::Gate;
use super::ledger::Why;
use super::route::Routes;
use super::scripts::Scripts;
use super::visit::Entrance;
use crate::election::{RedisAddr, RunId};

/// Who may be the next master: a run of a Redis, and where it is.
pub(super) type Successor = (RedisAddr, RunId);

/// What all threads share.
pub(super) struct Shared {
    pub(super) routes: Routes,
    pub(super) gate: Gate,
    pub(super) settings: ProxySettings,
    /// Clients of this proxy and of the one that it hands clients over to.
    pub(super) seats: Arc<AtomicUsize>,
    /// Where clients go that there is no route for here.
    pub(super) elsewhere: Option<Entrance>,
    pub(super) desks: Vec<Desk>,
    pub(super) tally: CommonTally,
    pub(super) scripts: Scripts,
    pub(super) successors: Mutex<Arc<Vec<Successor>>>,
    /// This hive stops: sessions end at their next boundary.
    pub(super) draining: AtomicBool,
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// Tells all workers to look at the newest route.
    pub(super) fn ring(&self) {
        self.desks.iter().for_each(|desk| desk.bell.notify_one());
    }

    /// Who may be the next master; another one only where that has changed.
    pub(super) fn successors(&self) -> Arc<Vec<Successor>> {
        self.successors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These may be the next master; tells all workers if they are others than before. Where no session
    /// is moved nobody needs to know.
    pub(super) fn set_successors(&self, successors: Vec<Successor>) {
        if !self.settings.move_sessions {
            return;
        }
        let mut old = self.successors.lock().unwrap_or_else(PoisonError::into_inner);
        if **old != successors {
            *old = Arc::new(successors);
            drop(old);
            self.ring();
        }
    }
}

/// Counted by more than one thread.
pub(super) struct CommonTally {
    pub(super) clients: AtomicUsize,
    /// Of these, handed over by the proxy of the read endpoint.
    pub(super) visitors: AtomicUsize,
    /// Clients there may be, beside `--max-clients`.
    pub(super) limit: AtomicUsize,
    pub(super) turned_away: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Default for CommonTally {
    fn default() -> CommonTally {
        CommonTally {
            clients: AtomicUsize::new(0),
            visitors: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            turned_away: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

/// Where the other threads reach a worker.
pub(super) struct Desk {
    pub(super) bell: Notify,
    pub(super) inbox: mpsc::UnboundedSender<Job>,
    /// Clients this worker has.
    pub(super) load: AtomicUsize,
    /// One in so many visitors is to be sent home; 0: none.
    pub(super) send_home: AtomicU32,
    /// Set before a session waits for the gate: the next touch has to ring.
    stalled: AtomicBool,
    pub(super) tally: Tally,
}

/// What the acceptor hands over. The limit on clients bounds the inbox.
pub(super) enum Job {
    /// A client, counted in `clients` and `load`; a visitor in `visitors` too.
    Serve { client: std::net::TcpStream, visitor: bool },
    /// One too many, counted in `turned_away`.
    TurnAway(std::net::TcpStream),
}

impl Desk {
    /// Desks for this many workers, and the ends they read.
    pub(super) fn rows(workers: usize) -> (Vec<Desk>, Vec<mpsc::UnboundedReceiver<Job>>) {
        let row = |_| {
            let (inbox, jobs) = mpsc::unbounded_channel();
            let desk = Desk {
                bell: Notify::new(),
                inbox,
                load: AtomicUsize::new(0),
                send_home: AtomicU32::new(0),
                stalled: AtomicBool::new(false),
                tally: Tally::default(),
            };
            (desk, jobs)
        };
        (0..workers).map(row).unzip()
    }

    /// A session is about to wait for the gate and will look at it once more.
    pub(super) fn mark_stalled(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// The gate was touched: rings if a session may wait for it. Either this sees the session's
    /// flag, or the session, which sets the flag before it looks again, sees the touch.
    pub(super) fn touched(&self) {
        if self.stalled.swap(false, Ordering::SeqCst) {
            self.bell.notify_one();
        }
    }
}

/// Counted by one worker, read by anybody; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Tally {
    pub(super) held: Count,
    pub(super) attached: Count,
    pub(super) refused: Count,
    /// Sessions that went on with another master.
    pub(super) moved: Count,
    /// Sessions that were cut, in the order of [`Why::ALL`].
    cut: [Count; Why::ALL.len()],
    pub(super) up: Count,
    pub(super) down: Count,
    pub(super) spliced: Count,
}

impl Tally {
    /// A session is cut.
    pub(super) fn cut(&self, why: Why) {
        self.cut[why as usize].add(1);
    }

    /// Sessions cut for this reason.
    pub(super) fn cut_for(&self, why: Why) -> u64 {
        self.cut[why as usize].get()
    }
}

/// A number with a single writer, hence without locked instructions.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn take_one(&self) {
        self.0.store(self.get().saturating_sub(1), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
