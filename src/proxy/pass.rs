//! What a direction asks before it reads, and before every write.

use std::task::Poll;

use super::ledger::{self, Down, Ledger, Why};
use super::worker::Worker;
use crate::election::Time;

/// The questions of one direction.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) worker: &'a Worker,
    /// The only one this session may pass on bytes in.
    pub(super) generation: u64,
    pub(super) slot: u32,
    pub(super) way: Way,
}

/// Which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the master: what a held route stops.
    Requests,
    /// From the master to the client.
    Replies,
}

/// Bytes may be passed on now.
pub(super) struct Permit {
    /// The gate's reading of the clock.
    pub(super) now: Time,
    /// A planned change is under way.
    pub(super) held: bool,
}

/// What the ledger makes of bytes.
pub(super) struct Verdict {
    /// So many may be sent.
    pub(super) clear: usize,
    /// Behind them come so many that nobody needs to look at.
    pub(super) body: u64,
    /// Behind those that may be sent the direction ends.
    pub(super) stop: Option<Stop>,
    /// Who gets them learns nothing by them that counts.
    pub(super) lapsed: bool,
}

/// A direction ends by what was said in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The session is cut.
    Cut(Why),
    /// The master did not do what was asked.
    Undone,
}

/// Why a direction ends before its end of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The socket it reads from broke.
    Source,
    /// The socket it writes to broke.
    Sink,
    /// The route leads elsewhere.
    Outdated,
    /// The ledger says so.
    Stop(Stop),
}

impl Pass<'_> {
    /// Ready if bytes may go now; pending, with a wake-up, while the route is held or the gate is
    /// closed. `let_go`: the ledger has let them go already.
    pub(super) fn ask(&self, ledger: &Ledger, let_go: bool) -> Poll<Result<Permit, Fault>> {
        let shared = self.worker.shared();
        let stamp = shared.routes.stamp();
        if stamp.generation() != self.generation {
            return Poll::Ready(Err(Fault::Outdated));
        }
        let held = stamp.is_held();
        if held && self.is_stopped_by_hold(ledger, let_go) {
            return Poll::Pending;
        }
        match shared.gate.reading().or_else(|| self.worker.stall(self.slot)) {
            Some(now) => Poll::Ready(Ok(Permit { now, held })),
            None => Poll::Pending,
        }
    }

    /// Ready unless the route is held, or another relay waits for the gate already.
    pub(super) fn ask_to_read(&self, ledger: &Ledger) -> Poll<()> {
        let stamp = self.worker.shared().routes.stamp();
        if stamp.is_held() && self.is_stopped_by_hold(ledger, false) {
            return Poll::Pending;
        }
        if self.worker.is_stalled() && self.worker.stall(self.slot).is_none() {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// A hold stops requests, but not the rest of what was begun: that would leave half a request
    /// at the master. A tunnel has no requests, so any byte is as good a place to stop.
    pub(super) fn is_stopped_by_hold(&self, ledger: &Ledger, let_go: bool) -> bool {
        let begun = || ledger.is_midway() || (let_go && !ledger.is_tunnel());
        let stopped = self.way == Way::Requests && !begun();
        if stopped {
            self.worker.keep(self.slot);
        }
        stopped
    }

    /// Shows the ledger bytes that may be passed on.
    pub(super) fn judge(&self, ledger: &mut Ledger, input: &[u8], permit: &Permit) -> Verdict {
        match self.way {
            Way::Requests => {
                let now = permit.now.0 / 1_000;
                ledger.be_thrifty(self.worker.is_short());
                let up = if permit.held {
                    ledger.finish(input, now)
                } else {
                    ledger.requests(input, now)
                };
                if let Some(from) = up.scripts {
                    let sent = input.get(from..up.send).unwrap_or_default();
                    ledger::texts(sent).for_each(|text| self.worker.learn(&text));
                }
                if up.send > 0 {
                    let moves = self.worker.shared().settings.move_sessions;
                    let sent = input.get(..up.send).filter(|_| up.plain && moves);
                    ledger
                        .remember(sent.and_then(|sent| self.worker.recent.borrow_mut().note(sent)));
                }
                Verdict {
                    clear: up.send,
                    body: up.body,
                    stop: up.cut.map(Stop::Cut),
                    lapsed: false,
                }
            }
            Way::Replies => {
                let down = hear(self.worker, ledger, input, permit.held);
                let stop = down.undone.then_some(Stop::Undone);
                Verdict { clear: down.send, body: down.body, stop, lapsed: down.lapsed }
            }
        }
    }

    /// Whether replies are held back that need not be any more: the hold is over. Else this is woken
    /// when it is.
    pub(super) fn is_released(&self) -> bool {
        if self.way == Way::Requests {
            return false;
        }
        let held = self.worker.shared().routes.stamp().is_held();
        if held {
            self.worker.keep(self.slot);
        }
        !held
    }

    /// Tells the ledger of bytes of a body that nobody looked at.
    pub(super) fn skip(&self, ledger: &mut Ledger, bytes: usize) {
        match self.way {
            Way::Requests => ledger.skip_request(bytes as u64),
            Way::Replies => ledger.skip_reply(bytes as u64),
        }
    }

    /// Counts bytes passed on.
    pub(super) fn count(&self, bytes: usize) {
        let tally = self.worker.tally();
        let count = match self.way {
            Way::Requests => &tally.up,
            Way::Replies => &tally.down,
        };
        count.add(bytes as u64);
    }
}

/// Shows the ledger what a master said, and gives it back the requests that were not done.
pub(super) fn hear(worker: &Worker, ledger: &mut Ledger, said: &[u8], held: bool) -> Down {
    let down = ledger.replies(said, held);
    let Some(mark) = ledger.refused().filter(|_| down.undone) else { return down };
    if ledger.undo(worker.recent.borrow().get(mark)) {
        return down;
    }
    let rest = ledger.replies(said.get(down.send..).unwrap_or_default(), held);
    Down { send: down.send + rest.send, ..rest }
}
