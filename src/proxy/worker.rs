//! A worker: one thread, one runtime, and all that its sessions share.

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

use super::desk::{Desk, Job, Shared, Tally};
use super::ledger::Why;
use super::route::Current;
use super::splice::Pipes;
use super::{session, socket};
use crate::election::{RedisAddr, Route, Time};

/// Bytes moved with one receive and one send.
const BUFFER: usize = 64 * 1024;
/// Connections to a master that a worker opens at one time: a whole held crowd at once would
/// overflow the master's queue and be dropped by its kernel.
const CONNECTING: usize = 32;
/// First and longest wait between two questions whether a master takes connections again.
const PROBE_FIRST: Duration = Duration::from_millis(50);
const PROBE_LONGEST: Duration = Duration::from_millis(500);
/// How often half-closed sessions are asked whether anything moves.
const SWEEP: Duration = Duration::from_secs(10);

/// Starts the thread of worker `index`.
///
/// # Errors
///
/// What the system says about the thread or its runtime.
pub(super) fn spawn(
    shared: Arc<Shared>,
    index: usize,
    inbox: mpsc::UnboundedReceiver<Job>,
) -> io::Result<JoinHandle<()>> {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let thread =
        std::thread::Builder::new().name(format!("hive-proxy-{index}")).spawn(move || {
            // Tasks woken by other threads go first: a change of route waits for one task at most.
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .global_queue_interval(1)
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _ = report.send(Ok(()));
                    runtime.block_on(run(shared, index, inbox));
                    // Dropping the runtime drops all sessions, which resets their connections.
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended")))?;
    Ok(thread)
}

async fn run(shared: Arc<Shared>, index: usize, mut inbox: mpsc::UnboundedReceiver<Job>) {
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
                _ = sweep.tick() => control.sweep(),
            }
        }
    });
    tokio::task::spawn_local(async move {
        while let Some(job) = inbox.recv().await {
            worker.take(job);
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
    /// Relays whose ledger is not settled.
    pub(super) busy: Cell<usize>,
    pub(super) connecting: Semaphore,
    relays: RefCell<Relays>,
    /// A client without a master waits for the gate.
    gate_awaited: Cell<bool>,
    sweeps: Cell<u32>,
    probes: Cell<u32>,
}

/// What a session without a master goes by.
#[derive(Clone)]
pub(super) struct View {
    /// The route this worker has confirmed.
    pub(super) current: Arc<Current>,
    /// The number of the probe at work while the master takes no connections, else 0.
    pub(super) probe: u32,
}

/// The running relays of a worker, by slot.
#[derive(Default)]
struct Relays {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Slots that wait for the gate.
    stalled: Vec<u32>,
    /// Slots whose requests wait for the end of a held route.
    kept: Vec<u32>,
}

struct Slot {
    waker: Waker,
    stalled: bool,
    kept: bool,
    half_closed: bool,
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
            busy: Cell::new(0),
            connecting: Semaphore::new(CONNECTING),
            relays: RefCell::default(),
            gate_awaited: Cell::new(false),
            sweeps: Cell::new(0),
            probes: Cell::new(0),
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

    /// The master of `generation` did not take a connection: everybody waits for one probe
    /// instead of trying alone.
    pub(super) fn master_is_silent(self: &Rc<Worker>, generation: u64, master: RedisAddr) {
        let view = self.view.borrow().clone();
        if view.current.generation != generation || view.probe != 0 {
            return;
        }
        let probe = self.probes.get().checked_add(1).unwrap_or(1);
        self.probes.set(probe);
        self.view.send_modify(|view| view.probe = probe);
        tokio::task::spawn_local(self.clone().probe(probe, master));
    }

    async fn probe(self: Rc<Worker>, probe: u32, master: RedisAddr) {
        let mut wait = PROBE_FIRST;
        loop {
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(PROBE_LONGEST);
            if self.view.borrow().probe != probe {
                return;
            }
            if socket::connect(master).await.is_ok() {
                self.view.send_if_modified(|view| {
                    let mine = view.probe == probe;
                    if mine {
                        view.probe = 0;
                    }
                    mine
                });
                return;
            }
        }
    }

    /// The bell: a new route, a touch, or both.
    fn attend(&self) {
        let (count, current) = self.shared.routes.newest();
        // From here on every relay of an older generation finds itself cut before it writes, and
        // where the newest route is held none passes on a request.
        self.shared.routes.confirm(self.index, count);
        let old = self.view.borrow().current.clone();
        if !Arc::ptr_eq(&old, &current) {
            let cut = old.generation != current.generation;
            let held = matches!(current.route, Route::Held { .. });
            self.view.send_replace(View { current, probe: 0 });
            if cut {
                self.relays.borrow_mut().wake_all();
            } else if !held {
                self.relays.borrow_mut().wake_kept();
            }
        }
        self.unstall();
    }

    /// Wakes who waits for the gate, if it is open.
    fn unstall(&self) {
        let mut relays = self.relays.borrow_mut();
        if relays.stalled.is_empty() && !self.gate_awaited.get() {
            return;
        }
        if !self.shared.gate.is_open() {
            self.desk().mark_stalled();
            if !self.shared.gate.is_open() {
                return;
            }
        }
        for slot in std::mem::take(&mut relays.stalled) {
            if let Some(slot) = relays.get(slot) {
                slot.stalled = false;
                slot.waker.wake_by_ref();
            }
        }
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
        let mut relays = self.relays.borrow_mut();
        if relays.get(slot).is_some_and(|slot| !std::mem::replace(&mut slot.kept, true)) {
            relays.kept.push(slot);
        }
    }

    /// Whether a relay waits for the gate: then nobody needs to read what it could not pass on.
    pub(super) fn is_stalled(&self) -> bool {
        !self.relays.borrow().stalled.is_empty()
    }

    /// Makes the relay in `slot` wait for the gate, unless it has opened meanwhile: then the time.
    pub(super) fn stall(&self, slot: u32) -> Option<Time> {
        let mut relays = self.relays.borrow_mut();
        if relays.stalled.is_empty() {
            self.desk().mark_stalled();
            if let Some(now) = self.shared.gate.reading() {
                return Some(now);
            }
        }
        if relays.get(slot).is_some_and(|slot| !std::mem::replace(&mut slot.stalled, true)) {
            relays.stalled.push(slot);
        }
        None
    }

    /// A relay became busy (its ledger is not settled), or ceased to be.
    pub(super) fn count_busy(&self, more: bool) {
        let busy = self.busy.get();
        self.busy.set(if more { busy + 1 } else { busy.saturating_sub(1) });
        if busy == 1 && !more {
            self.settled();
        }
    }

    /// No relay is busy any more.
    fn settled(&self) {}

    /// The text of a script went by: other masters may lack it.
    pub(super) fn learn(&self, text: &[u8]) {
        let _ = text;
    }

    /// Counts a session that is cut.
    pub(super) fn count_cut(&self, why: Why) {
        let _ = why;
        self.tally().cut.add(1);
    }

    /// A slot for a relay that is to be woken when the route changes.
    pub(super) fn enrol(&self, waker: Waker) -> u32 {
        let mut relays = self.relays.borrow_mut();
        let slot = Some(Slot { waker, stalled: false, kept: false, half_closed: false });
        if let Some(index) = relays.free.pop() {
            relays.slots[index as usize] = slot;
            return index;
        }
        relays.slots.push(slot);
        (relays.slots.len() - 1) as u32
    }

    /// Gives the slot back.
    pub(super) fn leave(&self, slot: u32) {
        let mut relays = self.relays.borrow_mut();
        let old = relays.slots.get_mut(slot as usize).and_then(Option::take);
        if let Some(old) = old {
            relays.free.push(slot);
            if old.stalled {
                relays.stalled.retain(|&other| other != slot);
            }
            if old.kept {
                relays.kept.retain(|&other| other != slot);
            }
        }
    }

    /// The relay in `slot` moves bytes in one direction only: it takes part in sweeps.
    pub(super) fn half_closed(&self, slot: u32) {
        if let Some(slot) = self.relays.borrow_mut().get(slot) {
            slot.half_closed = true;
        }
    }

    /// How often half-closed relays have been woken to look at themselves.
    pub(super) fn sweeps(&self) -> u32 {
        self.sweeps.get()
    }

    fn sweep(&self) {
        self.pipes.borrow_mut().forgive();
        self.sweeps.set(self.sweeps.get().wrapping_add(1));
        let relays = self.relays.borrow();
        let half = relays.slots.iter().flatten().filter(|slot| slot.half_closed);
        half.for_each(|slot| slot.waker.wake_by_ref());
    }

    fn take(self: &Rc<Worker>, job: Job) {
        match job {
            Job::Serve(stream) => {
                let seat = Seat(self.clone());
                if let Ok(stream) = TcpStream::from_std(stream) {
                    tokio::task::spawn_local(session::serve(stream, seat));
                }
            }
            Job::TurnAway(stream) => {
                let worker = self.clone();
                tokio::task::spawn_local(async move {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        session::too_many(stream, &worker).await;
                    }
                    worker.shared.tally.turned_away.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    }

    fn desk(&self) -> &Desk {
        // The index comes from the enumeration of these desks.
        &self.shared.desks[self.index]
    }
}

impl Relays {
    /// Nobody is left waiting for the gate or the route: who still has to will ask again.
    fn wake_all(&mut self) {
        self.stalled.clear();
        self.kept.clear();
        for slot in self.slots.iter_mut().flatten() {
            (slot.stalled, slot.kept) = (false, false);
            slot.waker.wake_by_ref();
        }
    }

    /// Lets requests go on.
    fn wake_kept(&mut self) {
        for slot in std::mem::take(&mut self.kept) {
            if let Some(slot) = self.get(slot) {
                slot.kept = false;
                slot.waker.wake_by_ref();
            }
        }
    }

    fn get(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }
}

/// The place of one client at a worker, counted as long as it is kept.
pub(super) struct Seat(Rc<Worker>);

impl Seat {
    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.desk().load.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.tally.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
