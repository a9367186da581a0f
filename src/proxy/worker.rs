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
use tokio::time::{Instant, MissedTickBehavior};

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
/// A held route is confirmed after this also when replies are still out: clients wait meanwhile, and
/// who asks something slower than this may as well be cut (ELECTION 6.2).
const SETTLING: Duration = Duration::from_millis(50);
/// Relays woken at one time when a generation is over. Ten thousand at once would keep those that
/// have something to send waiting until all the others have let go of their old master.
const BATCH: usize = 32;

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
                () = control.overdue() => control.settled(),
                () = tokio::task::yield_now(), if control.is_waking() => control.wake_some(),
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
    pub(super) connecting: Semaphore,
    relays: RefCell<Relays>,
    /// A client without a master waits for the gate.
    gate_awaited: Cell<bool>,
    sweeps: Cell<u32>,
    probes: Cell<u32>,
    /// The generation whose master is being asked whether it still takes connections.
    doubted: Cell<Option<u64>>,
    /// Relays that are not settled.
    busy: Cell<usize>,
    /// A held route that is to be confirmed when none is busy any more.
    settling: Cell<Option<Settling>>,
    /// Sessions end at their next boundary.
    draining: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Settling {
    /// What to confirm it with.
    count: u64,
    /// When it is confirmed in any case.
    until: Instant,
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
    /// The next slot to be woken, while not all are that have to be.
    waking: Option<usize>,
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
            connecting: Semaphore::new(CONNECTING),
            relays: RefCell::default(),
            gate_awaited: Cell::new(false),
            sweeps: Cell::new(0),
            probes: Cell::new(0),
            doubted: Cell::new(None),
            busy: Cell::new(0),
            settling: Cell::new(None),
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
        self.tally().cut(why);
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

    /// The master of `generation` closed a connection. Finds out whether it still takes any; if
    /// not, everybody waits as in [`Worker::master_is_silent`].
    pub(super) fn doubt(self: &Rc<Worker>, generation: u64, master: RedisAddr) {
        if self.doubted.replace(Some(generation)) == Some(generation) {
            return;
        }
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            if socket::connect(master).await.is_err() {
                worker.master_is_silent(generation, master);
            }
            worker.doubted.set(None);
        });
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

    /// One more relay, or one less, is not settled.
    pub(super) fn count_busy(&self, more: bool) {
        let busy = self.busy.get();
        self.busy.set(if more { busy + 1 } else { busy.saturating_sub(1) });
        if self.busy.get() == 0 {
            self.settled();
        }
    }

    /// The bell: a new route, a touch, the beginning of the drain, or several of them.
    fn attend(&self) {
        let (count, current) = self.shared.routes.newest();
        let old = self.view.borrow().current.clone();
        let cut = old.generation != current.generation;
        let held = matches!(current.route, Route::Held { .. });
        // From here on every relay of an older generation finds itself outdated before it writes,
        // and where the newest route is held none passes on a new request.
        if held && !cut && self.busy.get() > 0 {
            self.settle(count);
        } else {
            self.settling.set(None);
            self.shared.routes.confirm(self.index, count);
        }
        if !Arc::ptr_eq(&old, &current) {
            if cut || !held {
                self.relays.borrow_mut().wake_kept();
            }
            self.view.send_replace(View { current, probe: 0 });
            if cut {
                self.relays.borrow_mut().waking = Some(0);
            }
        }
        self.unstall();
        if self.shared.draining.load(Ordering::SeqCst) && !self.draining.replace(true) {
            self.view.send_modify(|_| {});
            self.relays.borrow_mut().waking = Some(0);
        }
    }

    /// Whether this hive stops: sessions are closed at their next boundary.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Confirms the held route with this count when its replies are out.
    fn settle(&self, count: u64) {
        // Those before it are no more.
        self.shared.routes.confirm(self.index, count - 1);
        let until = match self.settling.get() {
            Some(settling) => settling.until,
            None => Instant::now() + SETTLING,
        };
        self.settling.set(Some(Settling { count, until }));
    }

    /// Confirms the held route that waits for it.
    fn settled(&self) {
        if let Some(settling) = self.settling.take() {
            self.shared.routes.confirm(self.index, settling.count);
        }
    }

    /// Returns when a held route is to be confirmed in any case.
    async fn overdue(&self) {
        match self.settling.get() {
            Some(settling) => tokio::time::sleep_until(settling.until).await,
            None => std::future::pending().await,
        }
    }

    fn is_waking(&self) -> bool {
        self.relays.borrow().waking.is_some()
    }

    fn wake_some(&self) {
        self.relays.borrow_mut().wake_some();
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

    /// The text of a script went by: other masters may lack it.
    pub(super) fn learn(&self, text: &[u8]) {
        self.shared.scripts.offer(text);
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
    /// Wakes the next ones of all.
    fn wake_some(&mut self) {
        let Some(from) = self.waking else { return };
        let rest = self.slots.get(from..).unwrap_or_default();
        rest.iter().take(BATCH).flatten().for_each(|slot| slot.waker.wake_by_ref());
        self.waking = (rest.len() > BATCH).then_some(from + BATCH);
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
