//! The only one that knows all rooms: takes one input, runs the core, executes its actions in order.

mod journal;
mod show;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::{self, Config};
use crate::discovery::{self, Discovery, DiscoverySettings, Search};
use crate::election::{
    Action, Clocks, Core, Incarnation, Input, NodeId, RedisAddr, Route, RunId, Settings, Time, Wall,
};
use crate::http::{self, Http, Pulse};
use crate::peer::{self, PeerSettings, Peers};
use crate::proxy::{self, Proxy, ProxySettings};
use crate::redis::{self, Redis, RedisSettings};
use journal::Journal;
use show::Shown;

/// Inputs that wait; while it is full, links and connections are not read.
const INPUTS: usize = 1024;
/// A stopping hive keeps accepting for so long: Services take a while to leave it out.
const STILL_ACCEPTING: Duration = Duration::from_secs(5);
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
    routed: mpsc::UnboundedReceiver<u64>,
    peers: Peers,
    redis: Redis,
    proxy: Proxy,
    discovery: Discovery,
    _http: Http,
    pulse: Arc<Pulse>,
    terminate: Signal,
    interrupt: Signal,
    journal: Journal,
    shown: Shown,
    status: watch::Sender<Arc<http::status::Status>>,
    status_at: Instant,
    origin: Instant,
    /// How long the data plane may go on without a sign of life of this loop.
    fresh_for: Duration,
    drain_timeout: Duration,
    stopping: Option<Instant>,
    kills: u32,
    /// The run whose copy was current once.
    current_run: Option<RunId>,
    out: Vec<Action>,
}

impl Node {
    async fn start(config: Config) -> anyhow::Result<Node> {
        let search = Search::system();
        let me = identity(&config, &search).await?;
        let incarnation = Incarnation(random());
        let name = config.name.clone().unwrap_or_else(|| match config.services.first() {
            Some(service) => discovery::absolute_name(service, &search),
            None => config::defaults::NAME.to_owned(),
        });
        let (sender, inputs) = mpsc::channel(INPUTS);
        let timing = config.timing;
        let peers = peer::start(
            PeerSettings {
                me,
                incarnation,
                name: name.clone(),
                bind: config.bind,
                heartbeat: timing.heartbeat,
                peer_timeout: timing.peer_timeout,
            },
            sender.clone(),
        )
        .await?;
        let (routed_in, routed) = mpsc::unbounded_channel();
        let proxy = start_proxy(&config, routed_in)?;
        let redis = redis::start(redis_settings(&config, me), sender.clone());
        let discovery = discovery::start(
            DiscoverySettings {
                services: config.services.clone(),
                peer_port: config.peer_port,
                nameserver: config.dns_server,
                search,
                interval: Duration::from_secs(1),
            },
            sender,
        )?;
        let origin = Instant::now();
        let core = Core::new(core_settings(&config, me, incarnation), clocks(origin));
        let shown = Shown::new(me, incarnation, name.clone(), &config);
        let pulse = Arc::new(Pulse::default());
        let first = shown.first();
        let (status, receiver) = watch::channel(Arc::new(first));
        let http = http::start(config.bind, config.http_port, receiver, pulse.clone())?;
        tracing::info!(
            node = %me, name, proxy_port = config.proxy_port, http_port = config.http_port,
            "redis-hive {} started", env!("CARGO_PKG_VERSION")
        );
        Ok(Node {
            core,
            inputs,
            routed,
            peers,
            redis,
            proxy,
            discovery,
            _http: http,
            pulse,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            journal: Journal::default(),
            shown,
            status,
            status_at: origin,
            origin,
            fresh_for: timing.peer_timeout - timing.heartbeat,
            drain_timeout: timing.drain_timeout,
            stopping: None,
            kills: 0,
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
                Some(input) = self.inputs.recv() => {
                    self.take(input);
                    // A flood of inputs must not keep the timers and the signals waiting.
                    self.take_waiting();
                }
                Some(id) = self.routed.recv() => self.take(Input::Routed { id }),
                () = tokio::time::sleep_until(deadline.into()) => {
                    // What waits in the kernel is read before a timer is judged (ELECTION 3).
                    tokio::task::yield_now().await;
                    if !self.take_waiting() {
                        self.tick();
                    }
                }
            }
        }
    }

    /// Takes everything that waits; `false`: nothing did.
    fn take_waiting(&mut self) -> bool {
        let mut any = false;
        while let Ok(id) = self.routed.try_recv() {
            self.take(Input::Routed { id });
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
        self.proxy.touch(Instant::now() + self.fresh_for);
        self.show();
    }

    fn take(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        self.core.handle(clocks(self.origin), input, &mut out);
        for action in out.drain(..) {
            self.execute(action);
        }
        self.out = out;
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Broadcast(frame) => self.peers.broadcast(&frame),
            Action::Send { to, frame } => self.peers.send(to, &frame),
            Action::Dial(addresses) => self.peers.dial(addresses),
            Action::Resolve => self.discovery.resolve_now(),
            Action::Route { id, route } => {
                self.shown.routed(&route);
                self.proxy.route(id, route);
            }
            Action::Redis { id, at, run_id, order } => {
                tracing::debug!(?at, ?order, "order to a Redis");
                self.redis.order(id, at, run_id, order);
            }
            Action::MinReplicas { at, run_id, replicas } => {
                self.redis.min_replicas(at, run_id, replicas);
            }
            Action::AskTended { addr, node } => self.redis.ask_tended(addr, node),
            Action::Lease(until) => self.proxy.lease(until),
            Action::Answer { .. } => {}
            Action::Watch(master) => self.redis.watch(master),
            Action::Fence { master, to } => {
                tracing::warn!(master = %master.addr, "the old master is silent: a fence is left at it");
                self.redis.fence(master, to);
            }
            Action::LiftFence => self.redis.lift_fence(),
            Action::Probe(addr) => self.redis.probe(addr),
            Action::Report(report) => {
                self.journal.write(&report, self.core.view().leadership);
                self.status_at = self.origin;
            }
            Action::Exit => self.stopping = Some(Instant::now()),
        }
    }

    fn told_to_stop(&mut self) {
        self.kills += 1;
        tracing::info!(kills = self.kills, "told to stop");
        self.take(Input::Stop);
    }

    /// A stopping hive keeps accepting for a while, then ends when its last client has gone, at the
    /// latest after the drain timeout.
    fn may_end(&mut self) -> bool {
        let Some(since) = self.stopping else { return false };
        let stopped = since.elapsed();
        let accepting = STILL_ACCEPTING.min(self.drain_timeout);
        if stopped >= accepting {
            self.proxy.stop_accepting();
        }
        let idle = stopped >= accepting && self.proxy.counters().clients == 0;
        idle || stopped >= self.drain_timeout || self.kills > 1
    }

    fn show(&mut self) {
        if self.status_at.elapsed() < SHOW_EVERY && self.status_at != self.origin {
            return;
        }
        let view = self.core.view();
        let current = view.copy.filter(|copy| copy.current).map(|copy| copy.passport.run_id);
        if current.is_some() && current != self.current_run {
            self.current_run = current;
            self.redis.serve_stale();
        }
        self.status_at = Instant::now();
        let status = self.shown.status(show::Sources {
            view,
            facts: &self.redis.facts().borrow().clone(),
            proxy: self.proxy.counters(),
            dns: self.discovery.last(),
            journal: &self.journal,
            current_run: self.current_run,
        });
        self.status.send_replace(Arc::new(status));
    }

    async fn end(&mut self) {
        self.proxy.shutdown();
        self.peers.shutdown().await;
        tracing::info!("stopped");
    }
}

/// Who this hive is towards its peers: told, found out from DNS, or the address of the default route.
async fn identity(config: &Config, search: &Search) -> anyhow::Result<NodeId> {
    if let Some(ip) = config.advertise {
        return Ok(NodeId::new(ip, config.peer_port));
    }
    let settings = DiscoverySettings {
        services: config.services.clone(),
        peer_port: config.peer_port,
        nameserver: config.dns_server,
        search: search.clone(),
        interval: Duration::from_secs(1),
    };
    let states = discovery::resolve_once(&settings).await?;
    let mut listed: Vec<IpAddr> = states.into_iter().flat_map(|state| state.addresses).collect();
    listed.extend(config.peers.iter().map(|peer| peer.ip));
    match config::advertised(&listed) {
        Some(ip) => Ok(NodeId::new(ip, config.peer_port)),
        None => anyhow::bail!(
            "--advertise: no address of this machine is known to others; give it, or POD_IP"
        ),
    }
}

fn start_proxy(config: &Config, routed: mpsc::UnboundedSender<u64>) -> anyhow::Result<Proxy> {
    let settings = |ip: IpAddr| ProxySettings {
        listen: vec![SocketAddr::new(ip, config.proxy_port)],
        threads: config.proxy_threads,
        hold_timeout: config.timing.hold_timeout,
        max_clients: config.max_clients,
        freshness: true,
    };
    let confirm: proxy::Routed = Arc::new(move |id| {
        // The receiver only goes with the whole node.
        let _ = routed.send(id);
    });
    match proxy::start(settings(config.bind), confirm.clone()) {
        // Where there is no IPv6 the dual-stack default means IPv4.
        Err(proxy::ProxyError::Listen { source, .. })
            if config.bind == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
                && source.kind() != std::io::ErrorKind::AddrInUse =>
        {
            Ok(proxy::start(settings(Ipv4Addr::UNSPECIFIED.into()), confirm)?)
        }
        started => Ok(started?),
    }
}

fn redis_settings(config: &Config, me: NodeId) -> RedisSettings {
    let redis = RedisAddr::new(config.redis.ip(), config.redis.port());
    RedisSettings {
        local: Some(redis.into()),
        username: config.redis_username.clone(),
        password: config.redis_password.clone(),
        redis_timeout: config.timing.redis_timeout,
        election_timeout: config.timing.election_timeout,
        heartbeat: config.timing.heartbeat,
        node_name: me.to_string(),
        rescue: None,
    }
}

fn core_settings(config: &Config, me: NodeId, incarnation: Incarnation) -> Settings {
    let timing = config.timing;
    Settings {
        me,
        incarnation,
        // Others reach the local Redis at this hive's own address.
        redis: RedisAddr::new(me.ip, config.redis.port()),
        priority: config.priority,
        witness: false,
        fixed_peers: config.peers.clone(),
        service: !config.services.is_empty(),
        heartbeat: timing.heartbeat,
        peer_timeout: timing.peer_timeout,
        redis_timeout: timing.redis_timeout,
        election_timeout: timing.election_timeout,
        bootstrap_timeout: timing.bootstrap_timeout,
        last_copy_timeout: Duration::from_secs(60),
        quorum: 1,
        min_replicas: 0,
        rescue: false,
        seed: random(),
        ablation: Default::default(),
    }
}

/// A number that differs from start to start and from hive to hive.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
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

/// Whether clients are let through.
fn is_open(route: &Route) -> bool {
    matches!(route, Route::Forward { .. })
}
