//! A held route is confirmed when the replies are out.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;

/// A held route is confirmed after this also when replies are still out: clients wait meanwhile, and
/// who asks something slower than this may as well be cut (ELECTION 6.2).
const SETTLING: Duration = Duration::from_millis(50);

/// What a worker knows of the replies that are out.
#[derive(Default)]
pub(super) struct Replies {
    /// Relays that are not settled.
    busy: Cell<usize>,
    /// A held route that is to be confirmed when none is busy any more.
    settling: Cell<Option<Settling>>,
}

#[derive(Clone, Copy)]
struct Settling {
    /// What to confirm it with.
    count: u64,
    /// When it is confirmed in any case.
    until: Instant,
}

impl Worker {
    /// One more relay, or one less, is not settled.
    pub(in crate::proxy) fn count_busy(&self, more: bool) {
        let busy = self.replies.busy.get();
        self.replies.busy.set(if more { busy + 1 } else { busy.saturating_sub(1) });
        if self.replies.busy.get() == 0 {
            self.settled();
        }
    }

    /// This worker goes by the route with this count. `settles`: it is held, and confirmed only when
    /// the replies are out.
    pub(super) fn confirm(&self, count: u64, settles: bool) {
        if settles && self.replies.busy.get() > 0 {
            return self.settle(count);
        }
        self.replies.settling.set(None);
        self.shared.routes.confirm(self.index, count);
    }

    /// Confirms the held route with this count when its replies are out.
    fn settle(&self, count: u64) {
        // Those before it are no more.
        self.shared.routes.confirm(self.index, count - 1);
        let until = match self.replies.settling.get() {
            Some(settling) => settling.until,
            None => Instant::now() + SETTLING,
        };
        self.replies.settling.set(Some(Settling { count, until }));
    }

    /// Confirms the held route that waits for it.
    pub(super) fn settled(&self) {
        if let Some(settling) = self.replies.settling.take() {
            self.shared.routes.confirm(self.index, settling.count);
        }
    }

    /// Returns when a held route is to be confirmed in any case.
    pub(super) async fn overdue(&self) {
        match self.replies.settling.get() {
            Some(settling) => tokio::time::sleep_until(settling.until).await,
            None => std::future::pending().await,
        }
    }
}
