//! Service names -> addresses of hives, by DNS (DESIGN 3.1).
//!
//! DNS is a hint: an answer adds peers to dial, and only a whole answer may take one away. So A and
//! AAAA are asked separately and judged separately, nothing is cached, and every failure stays a
//! failure: NXDOMAIN, an empty answer, SERVFAIL and silence all mean "no information".

mod ask;
mod names;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::election::{Input, NodeId};

use ask::{ask, resolver};

pub use names::{Search, absolute_name};

/// Two rounds start at least this far apart, however often somebody asks.
const ROUND_GAP: Duration = Duration::from_millis(20);
/// A changed outcome is logged at most this often; what came between is counted.
const LOG_GAP: Duration = Duration::from_secs(5);
const FIRST_WARNING: Duration = Duration::from_secs(10);
const NEXT_WARNING: Duration = Duration::from_secs(60);

/// What to resolve, and how.
#[derive(Clone, Debug)]
pub struct DiscoverySettings {
    /// The services as given; short names are expanded by `search`.
    pub services: Vec<String>,
    /// The port every address found gets.
    pub peer_port: u16,
    /// Asked instead of the system's name servers.
    pub nameserver: Option<SocketAddr>,
    /// The search list; [`Search::system`] outside of tests.
    pub search: Search,
    /// From the start of one round to the start of the next.
    pub interval: Duration,
}

/// Resolution cannot even be begun.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// `/etc/resolv.conf` is missing, unreadable or names no server.
    #[error("--service: cannot find out which DNS server to ask (/etc/resolv.conf): {0}")]
    NoServer(#[source] NetError),
}

/// Why a name gave no (whole) answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// NXDOMAIN.
    NoSuchName,
    /// The name exists and has no address.
    NoAddress,
    /// SERVFAIL, REFUSED and the like.
    ServerFailure,
    /// No answer in time, or no server could be reached.
    Silence,
    /// More addresses than can be hives.
    TooMany,
}

impl Failure {
    /// In words, for a sentence such as "DNS: ...".
    pub fn describe(self) -> &'static str {
        match self {
            Failure::NoSuchName => "no such name (NXDOMAIN)",
            Failure::NoAddress => "the name has no address",
            Failure::ServerFailure => "the DNS server reports a failure",
            Failure::Silence => "no answer from the DNS server",
            Failure::TooMany => "more addresses than can be hives",
        }
    }
}

/// How one round ended for one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both address families answered and there is at least one address.
    Complete,
    /// There are addresses, but one family failed: only additions can be believed.
    Partly(Failure),
    /// No information.
    Failed(Failure),
}

/// What is known of one service.
#[derive(Clone, Debug)]
pub struct ServiceState {
    /// The name as given.
    pub service: String,
    /// The absolute name that answered; `None` until one did.
    pub name: Option<String>,
    /// How the last round ended; `None` before the first.
    pub outcome: Option<Outcome>,
    /// The addresses of the last round.
    pub addresses: Vec<IpAddr>,
    /// How the rounds ended so far.
    pub rounds: Rounds,
    /// When the last round ended.
    pub at: Instant,
}

/// Rounds, by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// [`Outcome::Complete`]
    pub complete: u64,
    /// [`Outcome::Partly`]
    pub partly: u64,
    /// [`Outcome::Failed`]
    pub failed: u64,
}

impl Rounds {
    fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Complete => &mut self.complete,
            Outcome::Partly(_) => &mut self.partly,
            Outcome::Failed(_) => &mut self.failed,
        } += 1;
    }
}

/// The running resolution; ends when dropped.
#[derive(Debug)]
pub struct Discovery {
    wake: Arc<Notify>,
    last: Arc<Mutex<Vec<ServiceState>>>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Discovery {
    /// Resolves at once, or right after the round that is under way.
    pub fn resolve_now(&self) {
        self.wake.notify_one();
    }

    /// What is known of every service, in the order given.
    pub fn last(&self) -> Vec<ServiceState> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Begins to resolve: at once, then every interval, and whenever asked.
///
/// Every round puts one of [`Input::Dns`], [`Input::DnsPartly`] and [`Input::DnsFailed`] into
/// `inputs`. Without services nothing is ever put in. Needs a tokio runtime.
///
/// # Errors
///
/// [`DiscoveryError::NoServer`] where the system names no DNS server.
pub fn start(
    settings: DiscoverySettings,
    inputs: mpsc::Sender<Input>,
) -> Result<Discovery, DiscoveryError> {
    let wake = Arc::new(Notify::new());
    let services: Vec<Service> =
        settings.services.iter().map(|name| Service::new(name, &settings.search)).collect();
    let last = Arc::new(Mutex::new(services.iter().map(|s| s.state.clone()).collect()));
    if services.is_empty() {
        return Ok(Discovery { wake, last, _task: None });
    }
    let resolver = resolver(settings.nameserver)?;
    let worker = Worker {
        resolver,
        services,
        settings,
        inputs,
        wake: Arc::clone(&wake),
        last: Arc::clone(&last),
    };
    let task = AbortOnDropHandle::new(tokio::spawn(worker.run()));
    Ok(Discovery { wake, last, _task: Some(task) })
}

/// One round for every service, for whoever only wants to look. Takes about a second at most.
///
/// # Errors
///
/// As [`start`].
pub async fn resolve_once(
    settings: &DiscoverySettings,
) -> Result<Vec<ServiceState>, DiscoveryError> {
    let resolver = resolver(settings.nameserver)?;
    let mut states = Vec::new();
    for name in &settings.services {
        let mut service = Service::new(name, &settings.search);
        service.round(&resolver).await;
        states.push(service.state);
    }
    Ok(states)
}

struct Worker {
    resolver: TokioResolver,
    services: Vec<Service>,
    settings: DiscoverySettings,
    inputs: mpsc::Sender<Input>,
    wake: Arc<Notify>,
    last: Arc<Mutex<Vec<ServiceState>>>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let started = Instant::now();
            self.round().await;
            let input = verdict(&self.services, self.settings.peer_port);
            if self.inputs.send(input).await.is_err() {
                return; // The hive is gone.
            }
            tokio::select! {
                () = tokio::time::sleep_until(started + self.settings.interval) => {}
                () = self.wake.notified() => {}
            }
            tokio::time::sleep_until(started + ROUND_GAP).await;
        }
    }

    async fn round(&mut self) {
        let resolver = &self.resolver;
        let mut rounds = tokio::task::JoinSet::new();
        for (at, mut service) in std::mem::take(&mut self.services).into_iter().enumerate() {
            let resolver = resolver.clone();
            rounds.spawn(async move {
                service.round(&resolver).await;
                service.tell();
                (at, service)
            });
        }
        let mut done = rounds.join_all().await;
        done.sort_by_key(|(at, _)| *at);
        self.services = done.into_iter().map(|(_, service)| service).collect();
        let states = self.services.iter().map(|service| service.state.clone()).collect();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = states;
    }
}

/// What all services together say.
fn verdict(services: &[Service], peer_port: u16) -> Input {
    let mut nodes: Vec<NodeId> = services
        .iter()
        .flat_map(|service| &service.state.addresses)
        .map(|ip| NodeId::new(*ip, peer_port))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    let whole = services.iter().all(|s| s.state.outcome == Some(Outcome::Complete));
    match (nodes.is_empty(), whole) {
        (true, _) => Input::DnsFailed,
        (false, true) => Input::Dns(nodes),
        (false, false) => Input::DnsPartly(nodes),
    }
}

/// One service: its candidates until one has answered, then that one.
struct Service {
    candidates: Vec<String>,
    state: ServiceState,
    began: Instant,
    next_warning: Instant,
    told: Option<Outcome>,
    told_at: Option<Instant>,
    untold: u32,
}

impl Service {
    fn new(given: &str, search: &Search) -> Service {
        let now = Instant::now();
        Service {
            candidates: names::candidates(given, search),
            state: ServiceState {
                service: given.to_owned(),
                name: None,
                outcome: None,
                addresses: Vec::new(),
                rounds: Rounds::default(),
                at: now,
            },
            began: now,
            next_warning: now + FIRST_WARNING,
            told: None,
            told_at: None,
            untold: 0,
        }
    }

    /// Asks for all candidates at once. The first in order that has addresses is kept for good,
    /// provided those before it are known not to exist: a failing server must not make a hive
    /// settle on a stranger's name.
    async fn round(&mut self, resolver: &TokioResolver) {
        let mut asked = tokio::task::JoinSet::new();
        for (at, name) in self.candidates.iter().enumerate() {
            let (resolver, name) = (resolver.clone(), name.clone());
            asked.spawn(async move { (at, ask(&resolver, &name).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(at, _)| *at);

        let missing =
            |outcome| matches!(outcome, Outcome::Failed(Failure::NoSuchName | Failure::NoAddress));
        let decisive = answers.into_iter().find(|(_, (outcome, _))| !missing(*outcome));
        let (outcome, addresses) = match decisive {
            Some((at, (outcome, addresses))) => {
                if !addresses.is_empty() && self.state.name.is_none() {
                    let name = self.candidates.swap_remove(at);
                    self.candidates = vec![name.clone()];
                    self.state.name = Some(name);
                }
                (outcome, addresses)
            }
            None => (Outcome::Failed(Failure::NoSuchName), Vec::new()),
        };
        self.state.rounds.count(outcome);
        self.state.outcome = Some(outcome);
        self.state.addresses = addresses;
        self.state.at = Instant::now();
    }

    /// A line when the outcome changes, and a warning while the name has never resolved.
    fn tell(&mut self) {
        let Some(outcome) = self.state.outcome else { return };
        let service = self.state.service.as_str();
        let now = self.state.at;
        if self.state.name.is_none() && now >= self.next_warning {
            self.next_warning = now + NEXT_WARNING;
            let (Outcome::Failed(why) | Outcome::Partly(why)) = outcome else { return };
            tracing::warn!(
                service,
                seconds = now.duration_since(self.began).as_secs(),
                reason = why.describe(),
                asked_for = self.candidates.join(", "),
                "the --service has not resolved: check the name, that the headless Service exists in \
                 this namespace with publishNotReadyAddresses: true and a selector that matches, and \
                 that DNS works",
            );
        }
        let quiet = self.told_at.is_some_and(|at| now.duration_since(at) < LOG_GAP);
        if self.told == Some(outcome) {
            return;
        }
        if quiet {
            self.untold = self.untold.saturating_add(1);
            return;
        }
        let (addresses, untold) = (self.state.addresses.len(), self.untold);
        match outcome {
            Outcome::Complete => tracing::info!(service, addresses, untold, "DNS answers"),
            Outcome::Partly(why) => {
                let reason = why.describe();
                tracing::warn!(service, addresses, untold, reason, "DNS answers in part");
            }
            // A new Service takes a while to be told of; a warning follows where it takes longer.
            Outcome::Failed(why) if self.state.name.is_none() => {
                tracing::info!(service, reason = why.describe(), "waits for DNS");
            }
            Outcome::Failed(why) => {
                let reason = why.describe();
                tracing::warn!(service, untold, reason, "DNS tells nothing: known peers are kept");
            }
        }
        (self.told, self.told_at, self.untold) = (Some(outcome), Some(now), 0);
    }
}
