//! The only one that knows all rooms: takes one input, runs the core, executes its actions in order.

mod announce;
mod asks;
mod confirms;
mod descriptors;
#[cfg(test)]
mod examples;
mod figures;
mod journal;
mod judge;
mod problems;
mod reads;
mod room;
mod settings;
mod show;
mod stopping;
mod successors;
mod troubles;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::alarm::Alarm;
use crate::config::Config;
use crate::discovery::{self, Discovery, Search};
use crate::election::{
    Action, Clocks, Core, Incarnation, Input, RedisAddr, Route, RunId, Target, Time, View, Wall,
};
use crate::http::{self, Asked, History, Http, Pulse, Sources};
use crate::peer::{self, Peers};
use crate::proxy::Proxy;
use crate::redis::{self, Facts, Redis};
use crate::secrets::Keyring;
use announce::Announcer;
use asks::Asks;
use confirms::Confirms;
use figures::Meter;
use journal::Journal;
use judge::Local;
use reads::Reads;
use room::{Room, Share};
use settings::Endpoint;
use show::Shown;
use stopping::{Phase, Stopping};

pub use settings::access as redis_access;

/// Inputs that wait; while it is full, links and connections are not read.
const INPUTS: usize = 1024;
/// Questions of people that wait for the loop.
const ASKED: usize = 16;
/// A draining hive looks after its clients so often.
const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// `/status` is renewed at most this often.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Runs the sidecar until it is told to stop by SIGTERM or SIGINT; a second one ends it at once.
///
/// # Errors
///
/// A port that is taken, an address that cannot be found out, a name server that is not configured:
/// each names the flag. Nothing is left running.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut node = Node::start(config).await?;
    node.turn_until_stopped().await;
    node.end().await;
    Ok(())
}

/// All rooms of one hive.
struct Node {
    core: Core,
    inputs: mpsc::Receiver<Input>,
    routed: mpsc::UnboundedReceiver<(Endpoint, u64)>,
    confirms: Confirms,
    asked: mpsc::Receiver<Asked>,
    asks: Asks,
    peers: Peers,
    redis: Redis,
    proxy: Proxy,
    reads: Option<Reads>,
    room: Room,
    discovery: Discovery,
    _http: Http,
    announcer: Option<Announcer>,
    /// The route has changed since that was told.
    route_due: bool,
    pulse: Arc<Pulse>,
    terminate: Signal,
    interrupt: Signal,
    journal: Journal,
    shown: Shown,
    keyring: Keyring,
    status: watch::Sender<Arc<http::status::Status>>,
    history: History,
    status_at: Instant,
    meter: Meter,
    origin: Instant,
    /// How long the data plane may go on without a sign of life of this loop.
    fresh_for: Duration,
    stopping: Stopping,
    /// The local Redis as the hive's routes name it.
    local: RedisAddr,
    /// When the core wants its next turn.
    alarm: Alarm,
    /// The run whose copy was current once.
    current_run: Option<RunId>,
    out: Vec<Action>,
}

impl Node {
    async fn start(config: Config) -> anyhow::Result<Node> {
        let search = Search::system();
        let me = settings::identity(&config, &search).await?;
        let incarnation = Incarnation(settings::random());
        let name = settings::hive_name(&config, &search);
        let (sender, inputs) = mpsc::channel(INPUTS);
        let keyring = Keyring::start(config.secrets.clone());
        let links =
            settings::peer_settings(&config, me, incarnation, name.clone(), keyring.clone());
        let peers = peer::start(links, sender.clone()).await?;
        let (routed_in, routed) = mpsc::unbounded_channel();
        let origin = Instant::now();
        let (proxy, reads) = settings::start_proxies(&config, origin, &routed_in)?;
        let local = RedisAddr::new(me.ip, config.redis.port());
        let reads = reads.map(|read| Reads::new(read, local, config.timing.peer_timeout));
        let redis = redis::start(settings::redis_settings(&config, me)?, sender.clone());
        let discovery = discovery::start(settings::discovery_settings(&config, search), sender)?;
        let core = Core::new(settings::core_settings(&config, me, incarnation), clocks(origin));
        let shown = Shown::new(me, incarnation, name.clone(), &config);
        let pulse = Arc::new(Pulse::default());
        let (status, shown_now) = watch::channel(Arc::new(shown.first()));
        let (asked_in, asked) = mpsc::channel(ASKED);
        let pages = http::Journal::new(format!("{:016x}", incarnation.0));
        let (meter, figures) = Meter::new(keyring.clone());
        let history = History::default();
        let sources = Sources {
            status: shown_now,
            figures,
            journal: pages.clone(),
            history: history.clone(),
            pulse: pulse.clone(),
        };
        let (bind, port) = (config.bind, config.http_port);
        let http = http::start(bind, port, sources, asked_in, keyring.clone())?;
        if config.is_open() {
            tracing::warn!(what = problems::OPEN, "the settings need care");
        }
        let announcer = Announcer::start(&config, me, incarnation, name.clone(), keyring.clone())?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), node = %me, name,
            proxy_port = config.proxy_port, http_port = config.http_port, "started"
        );
        Ok(Node {
            core,
            inputs,
            routed,
            confirms: Confirms::new(reads.is_some()),
            asked,
            asks: Asks::default(),
            peers,
            redis,
            proxy,
            reads,
            room: Room::default(),
            discovery,
            _http: http,
            announcer,
            route_due: false,
            pulse,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            journal: Journal::new(pages, me.ip, config.priority),
            shown,
            keyring,
            status,
            history,
            status_at: origin,
            meter,
            origin,
            fresh_for: config.timing.peer_timeout - config.timing.heartbeat,
            stopping: Stopping::new(config.timing.drain_timeout),
            local,
            alarm: Alarm::new(),
            current_run: None,
            out: Vec::new(),
        })
    }

    /// One input, then its actions; when none is left and the deadline has come, a tick.
    async fn turn_until_stopped(&mut self) {
        while !self.may_end() {
            let deadline = self.origin + Duration::from_micros(self.core.deadline().0);
            tokio::select! {
                biased;
                _ = self.terminate.recv() => self.told_to_stop(),
                _ = self.interrupt.recv() => self.told_to_stop(),
                Some(asked) = self.asked.recv() => {
                    if let Some(input) = self.asks.take(asked) {
                        self.take(input);
                    }
                }
                Some(input) = self.inputs.recv() => {
                    self.take(input);
                    // A flood of inputs must not keep the timers and the signals waiting.
                    self.take_waiting();
                }
                Some((endpoint, id)) = self.routed.recv() => self.confirmed(endpoint, id),
                () = self.alarm.reached(deadline) => {
                    waiting::let_others_read().await;
                    if !self.take_waiting() {
                        self.tick();
                    }
                }
                () = tokio::time::sleep(DRAIN_EVERY), if self.stopping.draining() => {}
            }
        }
    }

    /// Takes everything that waits; `false`: nothing did.
    fn take_waiting(&mut self) -> bool {
        let mut any = false;
        while let Ok((endpoint, id)) = self.routed.try_recv() {
            self.confirmed(endpoint, id);
            any = true;
        }
        // A peer that never stops talking must not keep the timers from being judged.
        for _ in 0..INPUTS {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.take(input);
            any = true;
        }
        let due = self.origin + Duration::from_micros(self.core.deadline().0) <= Instant::now();
        if any && due {
            self.tick();
        }
        any
    }

    fn tick(&mut self) {
        self.take(Input::Tick);
        self.pulse.beat();
        // After the actions: a loop that slept has replaced its route before anything moves again.
        let fresh = Instant::now() + self.fresh_for;
        self.proxy.touch(fresh);
        let local = Local::of(self.core.copy());
        if let Some(reads) = &mut self.reads {
            reads.turn(fresh, local, &self.proxy);
        }
        self.open_local();
        if self.stopping.says_why(Instant::now()) {
            let change = self.core.view().change;
            if !change.is_empty() {
                tracing::info!(reason = change, "stopping, and still serving");
            }
        }
        self.show();
    }

    /// Lets a run of the local Redis serve data without a link, once its copy was current.
    fn open_local(&mut self) {
        let (copy, _) = self.core.copy();
        let current = copy.filter(|copy| copy.current).map(|copy| copy.passport.run_id);
        if current.is_some() && current != self.current_run {
            self.current_run = current;
            self.redis.serve_stale();
        }
    }

    /// One endpoint goes by this route.
    fn confirmed(&mut self, endpoint: Endpoint, id: u64) {
        if let Some(id) = self.confirms.take(endpoint, id) {
            self.take(Input::Routed { id });
        }
    }

    fn take(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        let clocks = clocks(self.origin);
        self.journal.saw(&input, clocks.now);
        self.core.handle(clocks, input, &mut out);
        for action in out.drain(..) {
            self.journal.did(&action, clocks.now);
            self.execute(action, clocks.now);
        }
        self.out = out;
        if std::mem::take(&mut self.route_due)
            && let Some(announcer) = &mut self.announcer
        {
            announcer.publish(&self.core.view());
        }
    }

    fn execute(&mut self, action: Action, now: Time) {
        match action {
            Action::Broadcast(frame) => self.peers.broadcast(&frame),
            Action::Send { to, frame } => self.peers.send(to, &frame),
            Action::Dial(addresses) => self.peers.dial(addresses),
            Action::Resolve => self.discovery.resolve_now(),
            Action::Route { id, route, keep } => {
                tracing::debug!(id, ?route, ?keep, "route");
                self.shown.routed(&route);
                self.route_due = true;
                if let Some(reads) = &mut self.reads {
                    reads.routed(id, &route, Local::of(self.core.copy()));
                }
                self.proxy.route(id, route, keep);
            }
            Action::Redis { id, at, run_id, order } => {
                tracing::debug!(?at, ?order, "order to a Redis");
                if let (Some(reads), Target::Own) = (&mut self.reads, at) {
                    reads.ordered(&order, Local::of(self.core.copy()));
                }
                self.redis.order(id, at, run_id, order);
            }
            Action::MinReplicas { at, run_id, replicas } => {
                self.redis.min_replicas(at, run_id, replicas);
            }
            Action::AskTended { addr, node } => self.redis.ask_tended(addr, node),
            Action::Lease(until) => {
                self.proxy.lease(until);
                if let Some(reads) = &mut self.reads {
                    reads.leased(until);
                }
            }
            Action::Answer { token, verdict, text } => self.asks.answer(token, verdict, text),
            Action::Watch(master) => self.redis.watch(master),
            Action::Fence { master, to } => {
                tracing::warn!(master = %master.addr, "the old master is silent: a fence is left there");
                self.redis.fence(master, to);
            }
            Action::LiftFence => self.redis.lift_fence(),
            Action::Probe(addr) => self.redis.probe(addr),
            Action::Report(report) => {
                self.journal.write(&report, &self.core.view(), now);
                self.status_at = self.origin;
            }
            Action::Exit => self.stopping.release(Instant::now()),
        }
    }

    fn told_to_stop(&mut self) {
        if self.stopping.told() > 1 {
            tracing::warn!("told to stop again: ends at once");
        }
        self.take(Input::Stop);
    }

    /// Whether the process may end; lets the clients go when it is time to.
    fn may_end(&mut self) -> bool {
        let readers = self.reads.as_ref().map_or(0, |reads| reads.counters().clients);
        let clients = self.proxy.counters().clients + readers;
        let phase = self.stopping.phase(Instant::now(), clients);
        if phase == Phase::Drain {
            self.reads.iter().for_each(Reads::drain);
            self.proxy.stop_accepting();
            self.proxy.drain();
        }
        phase == Phase::End
    }

    fn show(&mut self) {
        if self.status_at.elapsed() < SHOW_EVERY && self.status_at != self.origin {
            return;
        }
        let view = self.core.view();
        self.journal.overdue(&view, clocks(self.origin).now);
        self.status_at = Instant::now();
        if let Some(announcer) = &mut self.announcer {
            announcer.publish(&view);
        }
        let facts = self.redis.facts().borrow().clone();
        self.make_room(&view, &facts);
        self.proxy.successors(successors::of(&view, self.local));
        let sources = show::Sources {
            view,
            facts: &facts,
            access: self.redis.access().problems(SystemTime::now()),
            proxy: self.proxy.counters(),
            reads: self.reads.as_ref().map(|reads| (reads.counters(), reads.is_local())),
            dns: self.discovery.last(),
            journal: &self.journal,
            secret: self.keyring.problem(),
            current_run: self.current_run,
        };
        self.meter.read(&sources, self.peers.counters(), self.redis.access().ages());
        let troubles = self.shown.troubles(&sources);
        let status = self.shown.status(sources, troubles);
        self.history.note(&status, self.status_at);
        self.status.send_replace(Arc::new(status));
        self.core.tell(troubles);
    }

    /// Leaves connections of the master and of the local Redis to others (DESIGN 2.2, `--max-clients`).
    fn make_room(&mut self, view: &View, facts: &Facts) {
        let run = view.route.run_id();
        let mut crowds = [facts.crowd, facts.master_crowd].into_iter().flatten();
        let crowd = crowds.find(|crowd| Some(crowd.run_id) == run);
        let hives = 1 + view.peers.iter().filter(|peer| peer.reachable).count() as u64;
        let local = self.reads.as_ref().is_some_and(Reads::is_at_master);
        // Both endpoints of this hive lead to the same Redis then.
        let share = Share { crowd, among: if local { 2 * hives } else { hives } };
        let attached = self.proxy.counters().attached;
        if let Some(limit) = self.room.limit(Instant::now(), attached, share) {
            self.proxy.limit(limit);
        }
        if let Some(reads) = &mut self.reads {
            reads.make_room(if local { share } else { Share { crowd: facts.crowd, among: 1 } });
        }
    }

    async fn end(&mut self) {
        self.reads.iter().for_each(Reads::shutdown);
        self.proxy.shutdown();
        self.peers.shutdown().await;
        tracing::info!("stopped");
    }
}

fn clocks(origin: Instant) -> Clocks {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let boot = boot.tv_sec as u64 * 1_000_000 + boot.tv_nsec as u64 / 1_000;
    Clocks {
        now: Time(origin.elapsed().as_micros() as u64),
        boot: Time(boot),
        wall: Wall(wall.as_millis() as u64),
    }
}

/// Whether there is a live master to send clients to, if only after a planned change.
fn is_open(route: &Route) -> bool {
    matches!(route, Route::Forward { .. } | Route::Held { .. })
}
