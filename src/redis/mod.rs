//! Drives the local Redis, watches the master's, and asks others who they are.
//!
//! Everything that is seen comes out as an [`Input`]; everything that is to be done goes in through
//! [`Redis`], whose methods never wait.

mod access;
mod attend;
mod board;
mod certificate;
mod connection;
mod contact;
mod copy;
mod fence;
mod info;
mod keeper;
mod mend;
mod orders;
mod remote;
mod renew;
mod rescue;
mod resync;
mod settings;
mod shelf;
mod stream;
mod tended;
mod tls;
mod wire;
mod wishes;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use access::{Access, AccessAges, AccessSettings, Password, TlsFiles, first_password};
pub use connection::{Endpoint, dial};
pub use info::{Attached, Clients, Info, InfoError, Memory, OLDEST, Syncs};
pub use settings::{BootFence, Crowd, Facts};
pub use stream::{Both, Stream};
pub use tls::{AccessError, Refusal, refusal};

use crate::election::{Input, Master, NodeId, OrderError, RedisAddr, RedisOrder, RunId, Target};
use access::Who;
use board::Board;
use connection::Dialer;
use keeper::{ANSWER_TIMEOUT, Charge, Command, Job, Keeper, Local, Stale};
use remote::Probes;
use shelf::Shelf;
use tended::Tending;
use wishes::MinReplicas;

/// What the names of all our connections begin with. A hive is known by the one to its own Redis,
/// where nothing comes before its node; others name their purpose.
const CLIENT_NAME: &str = "redis-hive-";

/// How to reach Redis servers.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The local Redis; a witness has none: there is no `Input::Redis` then.
    pub local: Option<Endpoint>,
    /// How every Redis of the hive is logged in to, and whether over TLS.
    pub access: Access,
    /// `--redis-timeout`; compared with the server's `busy-reply-threshold`.
    pub redis_timeout: Duration,
    /// `--election-timeout`: the deadline of a probe.
    pub election_timeout: Duration,
    /// `--heartbeat`: how often `INFO` is asked.
    pub heartbeat: Duration,
    /// Goes into `CLIENT SETNAME redis-hive-NAME`; no spaces.
    pub node_name: String,
    /// Where a copy is saved before it is given up ([`RedisOrder::Rescue`]); `None`: nowhere.
    pub rescue: Option<Rescue>,
}

/// Where copies are saved before they are given up.
#[derive(Clone, Debug)]
pub struct Rescue {
    /// `--rescue-dir`
    pub dir: PathBuf,
    /// `--rescue-max-bytes`: all saved copies together; the oldest make room for a new one.
    pub max_bytes: u64,
}

/// The handle of the room. Dropping it ends everything: connections are reset, fences lifted.
pub struct Redis {
    settings: RedisSettings,
    inputs: mpsc::Sender<Input>,
    local: Option<mpsc::UnboundedSender<Command>>,
    board: Board,
    facts: watch::Receiver<Facts>,
    watched: Mutex<Option<Watched>>,
    fences: Mutex<CancellationToken>,
    probes: Probes,
    tending: Tending,
    shelf: Option<Shelf>,
    end: CancellationToken,
}

struct Watched {
    addr: RedisAddr,
    commands: mpsc::UnboundedSender<Command>,
}

/// Starts to keep a connection to the local Redis. Must be called within a tokio runtime.
pub fn start(settings: RedisSettings, inputs: mpsc::Sender<Input>) -> Redis {
    settings.access.start(settings.local.is_some());
    let (board, facts) = Board::new();
    let end = CancellationToken::new();
    let shelf = settings.rescue.clone().map(|rescue| Shelf::new(rescue, &settings.node_name));
    if let Some(shelf) = shelf.clone() {
        spawn_blocking(move || shelf.sweep());
    }
    let local = settings.local.clone().map(|endpoint| {
        let (local, commands) = mpsc::unbounded_channel();
        let charge = Charge::Local(Box::new(Local {
            redis_timeout: settings.redis_timeout,
            stale: Stale::Refused,
        }));
        let dialer = dialer(&settings, endpoint, Some(Who::Local), "");
        let (board, inputs) = (board.clone(), inputs.clone());
        let mut keeper = Keeper::new(dialer, settings.heartbeat, charge, board, inputs, commands);
        keeper.shelf.clone_from(&shelf);
        tokio::spawn(end.clone().run_until_cancelled_owned(keeper.run()));
        local
    });
    let probes = Probes::new(settings.election_timeout, inputs.clone(), end.clone());
    let tending = Tending::new(inputs.clone(), end.clone());
    let fences = Mutex::new(end.child_token());
    Redis {
        settings,
        inputs,
        local,
        board,
        facts,
        watched: Mutex::new(None),
        fences,
        probes,
        tending,
        shelf,
        end,
    }
}

fn dialer(settings: &RedisSettings, endpoint: Endpoint, who: Option<Who>, purpose: &str) -> Dialer {
    Dialer {
        endpoint,
        access: settings.access.clone(),
        who,
        client_name: format!("{CLIENT_NAME}{purpose}{}", settings.node_name),
    }
}

impl Redis {
    /// Gives a Redis an order, if it is still the run that is meant. `Input::Done` with `id` follows,
    /// unless a newer order to the same Redis supersedes this one. It is repeated while Redis is busy
    /// or loading, and has failed when Redis answers nothing for a second, or when the master it is
    /// for is no longer watched.
    pub fn order(&self, id: u64, at: Target, run_id: RunId, order: RedisOrder) {
        let until = Instant::now() + ANSWER_TIMEOUT;
        if !self.command(at, Command::Order(Job { id, run_id, order, until })) {
            let inputs = self.inputs.clone();
            let gone = Input::Done { id, outcome: Err(OrderError::Gone) };
            let told = async move {
                // Nobody listening means that the hive is ending.
                let _ = inputs.send(gone).await;
            };
            tokio::spawn(self.end.clone().run_until_cancelled_owned(told));
        }
    }

    /// Hands a command to the keeper of that Redis; `false` where there is none.
    fn command(&self, at: Target, command: Command) -> bool {
        match at {
            Target::Own => self.local.as_ref().is_some_and(|local| local.send(command).is_ok()),
            Target::Watched => {
                let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                watched.as_ref().is_some_and(|watched| watched.commands.send(command).is_ok())
            }
        }
    }

    /// Sets `min-replicas-to-write` of a master, and repeats it until that run has taken it; the
    /// newest number counts. A wish for the watched master ends with the watch.
    pub fn min_replicas(&self, at: Target, run_id: RunId, replicas: u32) {
        self.command(at, Command::MinReplicas(MinReplicas { run_id, replicas }));
    }

    /// Asks the watched master whether this hive has a connection to it; `Input::Tended` follows,
    /// unless that Redis does not answer or is not watched.
    pub fn ask_tended(&self, addr: RedisAddr, node: NodeId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.as_ref().is_some_and(|watched| watched.addr == addr) {
            self.tending.begin(dialer(&self.settings, addr.into(), None, "tended-"), addr, node);
        }
    }

    /// Keeps an identified connection to this master and to no other; `Input::Watched` tells what is
    /// seen, every other heartbeat and at every change. Another run at the same address is reported, not judged.
    pub fn watch(&self, master: Option<Master>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(addr) = master.map(|master| master.addr) else {
            *watched = None;
            self.settings.access.watching(false);
            return;
        };
        if watched.as_ref().is_some_and(|watched| watched.addr == addr) {
            return;
        }
        self.settings.access.watching(true);
        let (commands, receiver) = mpsc::unbounded_channel();
        let dialer = dialer(&self.settings, addr.into(), Some(Who::Watched), "watch-");
        let mut keeper = Keeper::new(
            dialer,
            // Its end is seen at once anyway; asking half as often halves what it costs when idle.
            self.settings.heartbeat * 2,
            Charge::Watched(addr),
            self.board.clone(),
            self.inputs.clone(),
            receiver,
        );
        keeper.shelf.clone_from(&self.shelf);
        tokio::spawn(self.end.clone().run_until_cancelled_owned(keeper.run()));
        *watched = Some(Watched { addr, commands });
    }

    /// Sends `master` `REPLICAOF to` over the connection on which its run id was read, the watched
    /// one or the local one, and leaves it standing there until [`Redis::lift_fence`]. Nothing is
    /// sent where no connection to that run is open.
    pub fn fence(&self, master: Master, to: RedisAddr) {
        let lifted = {
            let fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
            fences.child_token()
        };
        let command = || Command::Fence { run_id: master.run_id, to, lifted: lifted.clone() };
        self.command(Target::Own, command());
        self.command(Target::Watched, command());
    }

    /// Resets the connections of all standing fences. A fence that has arrived in the kernel of a
    /// stopped Redis is executed all the same when that wakes.
    pub fn lift_fence(&self) {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        fences.cancel();
        *fences = self.end.child_token();
    }

    /// Asks the Redis at this address who it is; `Input::Probed` follows within the election timeout.
    pub fn probe(&self, addr: RedisAddr) {
        let until = Instant::now() + self.settings.election_timeout;
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watched.as_ref().filter(|watched| watched.addr == addr)
            && watched.commands.send(Command::Probe { until }).is_ok()
        {
            return;
        }
        self.probes.begin(dialer(&self.settings, addr.into(), None, "probe-"), addr);
    }

    /// Lets the present run of the local Redis serve data while its link is down; asked for when its
    /// copy was current for the first time. Asking again does nothing.
    pub fn serve_stale(&self) {
        self.command(Target::Own, Command::ServeStale);
    }

    /// How Redis servers are logged in to.
    pub fn access(&self) -> &Access {
        &self.settings.access
    }

    /// What is known of the local Redis beside its passport.
    pub fn facts(&self) -> watch::Receiver<Facts> {
        self.facts.clone()
    }

    /// Ends all connections, by reset. The same as dropping the handle.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
