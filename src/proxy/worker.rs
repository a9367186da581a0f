//! A worker: one thread, one runtime, and all that its sessions share.

mod hold;
mod probe;
mod relays;
mod seat;
mod supply;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::accept::{Entry, Hall};
use super::desk::{Desk, Job, Shared, Tally};
use super::ledger::Why;
use super::recent::Recent;
use super::route::Current;
use super::session;
use super::splice::Pipes;
use crate::election::{Route, Time};
use hold::Replies;
use probe::Probes;
use relays::Relays;
pub(super) use seat::{Door, Seat};
use supply::Supply;

/// Bytes moved with one receive and one send.
const BUFFER: usize = 64 * 1024;
/// Connections to a master that a worker opens at one time: a whole held crowd at once would
/// overflow the master's queue and be dropped by its kernel.
const CONNECTING: usize = 32;
/// Bytes that the sessions of a worker may wait with for the rest of their requests, before they pass
/// on what they have: who sends much and never ends it must not be able to fill the memory.
const WAITING: usize = 4 * 1024 * 1024;
/// How often half-closed sessions are asked whether anything moves.
const SWEEP: Duration = Duration::from_secs(10);

/// Starts the thread of worker `index`, which accepts where it has an `entry`.
///
/// # Errors
///
/// What the system says about the thread, its runtime or the listeners.
pub(super) fn spawn(
    shared: Arc<Shared>,
    index: usize,
    inbox: mpsc::UnboundedReceiver<Job>,
    entry: Option<Entry>,
) -> io::Result<JoinHandle<()>> {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let thread =
        std::thread::Builder::new().name(format!("hive-proxy-{index}")).spawn(move || {
            // Tasks woken by other threads go first: a change of route waits for one task at most.
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .global_queue_interval(1)
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            runtime.block_on(async {
                let (hall, said) = match entry.map(Entry::watched).transpose() {
                    Ok(hall) => (hall, Ok(())),
                    Err(error) => (None, Err(error)),
                };
                let works = said.is_ok();
                let _ = report.send(said);
                if works {
                    run(shared, index, inbox, hall).await;
                }
            });
            // Dropping the runtime drops all sessions, which resets their connections.
        })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended")))?;
    Ok(thread)
}

async fn run(
    shared: Arc<Shared>,
    index: usize,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    hall: Option<Hall>,
) {
    let stop = shared.stop.clone();
    let worker = Rc::new(Worker::new(shared, index));
    let control = worker.clone();
    tokio::task::spawn_local(async move {
        let mut sweep = tokio::time::interval(SWEEP);
        // A process that was stopped has not watched anybody meanwhile.
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = control.desk().bell.notified() => control.attend(),
                () = control.overdue() => control.settled(),
                () = tokio::task::yield_now(), if control.is_waking() => control.wake_some(),
                _ = sweep.tick() => control.sweep(),
            }
        }
    });
    let [own, visitors] = [false, true].map(|visitors| {
        let worker = worker.clone();
        Rc::new(Door { worker, visitors })
    });
    if let Some(hall) = hall {
        hall.open(&own);
    }
    tokio::task::spawn_local(async move {
        while let Some(job) = inbox.recv().await {
            match job {
                Job::Serve { client, visitor } => {
                    let door = if visitor { &visitors } else { &own };
                    door.admit(TcpStream::from_std(client));
                }
                Job::TurnAway(client) => worker.turn_away(client),
            }
        }
    });
    stop.cancelled().await;
}

/// The state of a worker's thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    view: watch::Sender<View>,
    /// Through which every small chunk goes: an idle session has no buffer.
    pub(super) buffer: RefCell<Box<[u8]>>,
    /// Through which bulk goes.
    pub(super) pipes: RefCell<Pipes>,
    /// What can be sent again.
    pub(super) recent: RefCell<Recent>,
    pub(super) connecting: Semaphore,
    relays: RefCell<Relays>,
    /// A client without a master waits for the gate.
    gate_awaited: Cell<bool>,
    sweeps: Cell<u8>,
    probes: Probes,
    replies: Replies,
    supply: Supply,
    /// Bytes that sessions wait with.
    waiting: Cell<usize>,
    /// Sessions end at their next boundary.
    draining: Cell<bool>,
}

/// What a session without a master goes by.
#[derive(Clone)]
pub(super) struct View {
    /// The route this worker has confirmed.
    pub(super) current: Arc<Current>,
    /// The number of the probe at work while the master takes no connections, else 0.
    pub(super) probe: u32,
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Worker {
        let (_, current) = shared.routes.newest();
        Worker {
            shared,
            index,
            view: watch::Sender::new(View { current, probe: 0 }),
            buffer: RefCell::new(vec![0; BUFFER].into_boxed_slice()),
            pipes: RefCell::new(Pipes::new()),
            recent: RefCell::new(Recent::new()),
            connecting: Semaphore::new(CONNECTING),
            relays: RefCell::default(),
            gate_awaited: Cell::new(false),
            sweeps: Cell::new(0),
            probes: Probes::default(),
            replies: Replies::default(),
            supply: Supply::default(),
            waiting: Cell::new(0),
            draining: Cell::new(false),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Follows the route and the state of its master.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.desk().tally
    }

    /// Counts a session that is cut.
    pub(super) fn count_cut(&self, why: Why) {
        tracing::debug!(?why, "a session is cut");
        self.tally().cut(why);
    }

    /// A session waits with so many bytes instead of so many.
    pub(super) fn count_waiting(&self, before: u32, now: u32) {
        let others = self.waiting.get().saturating_sub(before as usize);
        self.waiting.set(others + now as usize);
    }

    /// Whether sessions wait with more than there is memory for.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.get() > WAITING
    }

    /// Milliseconds of the clock that ledgers count in.
    pub(super) fn millis(&self) -> u64 {
        self.shared.settings.origin.elapsed().as_millis() as u64
    }

    /// Whether bytes may go to the master of `generation` now: new requests, that is, not the rest
    /// of one.
    pub(super) fn may_ask(&self, generation: u64) -> bool {
        let stamp = self.shared.routes.stamp();
        stamp.generation() == generation && !stamp.is_held() && self.shared.gate.is_open()
    }

    /// The bell: a new route, a touch, other successors, the beginning of the drain, or several of them.
    fn attend(&self) {
        let (count, current) = self.shared.routes.newest();
        let old = self.view.borrow().current.clone();
        let cut = old.generation != current.generation;
        let held = matches!(current.route, Route::Held { .. });
        // From here on every relay of an older generation finds itself outdated before it writes,
        // and where the newest route is held none passes on a new request.
        self.confirm(count, held && !cut);
        if !Arc::ptr_eq(&old, &current) {
            if cut || !held {
                self.relays.borrow_mut().wake_kept();
            }
            self.view.send_replace(View { current, probe: 0 });
            if cut {
                self.relays.borrow_mut().begin_waking();
            }
        }
        match self.desk().send_home.swap(0, Ordering::SeqCst) {
            0 => {}
            one_in => self.relays.borrow_mut().send_home(one_in),
        }
        self.follow_successors();
        self.unstall();
        if self.shared.draining.load(Ordering::SeqCst) && !self.draining.replace(true) {
            self.view.send_modify(|_| {});
            self.relays.borrow_mut().begin_waking();
        }
    }

    /// Whether this hive stops: sessions are closed at their next boundary.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    fn is_waking(&self) -> bool {
        self.relays.borrow().is_waking()
    }

    fn wake_some(&self) {
        self.relays.borrow_mut().wake_some();
    }

    /// Wakes who waits for the gate, if it is open.
    fn unstall(&self) {
        let mut relays = self.relays.borrow_mut();
        if !relays.is_stalled() && !self.gate_awaited.get() {
            return;
        }
        if !self.shared.gate.is_open() {
            self.desk().mark_stalled();
            if !self.shared.gate.is_open() {
                return;
            }
        }
        relays.wake_stalled();
        if self.gate_awaited.take() {
            // Nothing in it has changed, but who follows it looks again.
            self.view.send_modify(|_| {});
        }
    }

    /// Whether the gate is open. If not, the view changes when it is, for a client that waits
    /// without a master.
    pub(super) fn gate_is_open(&self) -> bool {
        if self.shared.gate.is_open() {
            return true;
        }
        self.desk().mark_stalled();
        let open = self.shared.gate.is_open();
        if !open {
            self.gate_awaited.set(true);
        }
        open
    }

    /// Makes the requests of the relay in `slot` wait for the end of a held route. No wake-up is
    /// lost: the bell of the route that ends it rings after this thread has seen it held.
    pub(super) fn keep(&self, slot: u32) {
        self.relays.borrow_mut().keep(slot);
    }

    /// Whether a relay waits for the gate: then nobody needs to read what it could not pass on.
    pub(super) fn is_stalled(&self) -> bool {
        self.relays.borrow().is_stalled()
    }

    /// Makes the relay in `slot` wait for the gate, unless it has opened meanwhile: then the time.
    pub(super) fn stall(&self, slot: u32) -> Option<Time> {
        let mut relays = self.relays.borrow_mut();
        if !relays.is_stalled() {
            self.desk().mark_stalled();
            if let Some(now) = self.shared.gate.reading() {
                return Some(now);
            }
        }
        relays.stall(slot);
        None
    }

    /// The text of a script went by: other masters may lack it.
    pub(super) fn learn(&self, text: &[u8]) {
        self.shared.scripts.offer(text);
    }

    /// A slot for a relay that is to be woken when the route changes.
    pub(super) fn enrol(&self, waker: Waker, visitor: bool) -> u32 {
        self.tally().attached.add(1);
        self.relays.borrow_mut().enrol(waker, visitor)
    }

    /// Gives the slot back.
    pub(super) fn leave(&self, slot: u32) {
        if self.relays.borrow_mut().leave(slot) {
            self.tally().attached.take_one();
        }
    }

    /// The relay in `slot` moves bytes in one direction only: it takes part in sweeps.
    pub(super) fn half_closed(&self, slot: u32) {
        self.relays.borrow_mut().half_closed(slot);
    }

    /// Whether the relay in `slot` is a visitor's that is to end with its last reply.
    pub(super) fn is_sent_home(&self, slot: u32) -> bool {
        self.relays.borrow().is_sent_home(slot)
    }

    /// How often half-closed relays have been woken to look at themselves.
    pub(super) fn sweeps(&self) -> u8 {
        self.sweeps.get()
    }

    fn sweep(&self) {
        self.pipes.borrow_mut().forgive();
        self.sweeps.set(self.sweeps.get().wrapping_add(1));
        self.relays.borrow().wake_half_closed();
    }

    fn turn_away(self: &Rc<Worker>, client: std::net::TcpStream) {
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            if let Ok(client) = TcpStream::from_std(client) {
                session::too_many(client, &worker).await;
            }
            worker.shared.tally.turned_away.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn desk(&self) -> &Desk {
        // The index comes from the enumeration of these desks.
        &self.shared.desks[self.index]
    }
}
