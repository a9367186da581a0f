//! What goes into the core and what comes out of it.

use alloc::string::String;
use alloc::vec::Vec;

use alloc::boxed::Box;
use core::net::IpAddr;

use super::cause::Cause;
use super::frame::{Frame, Message, Verdict};
use super::types::{
    Epoch, Incarnation, Keep, Master, NodeId, Passport, RedisAddr, Route, RunId, Time, Wall,
};

/// Something that happened. An input only records facts; [`Input::Tick`] decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The deadline has come and no other input is waiting.
    Tick,
    /// DNS answered every question: these are the addresses (with the peer port) it lists.
    Dns(Vec<NodeId>),
    /// One address family answered, the other failed: only additions can be believed.
    DnsPartly(Vec<NodeId>),
    /// SERVFAIL, timeout, NXDOMAIN or an empty answer: no information.
    DnsFailed,
    /// An attempt to reach the peer port of an address ended so.
    Dialled {
        /// The address dialled.
        addr: NodeId,
        /// How it ended.
        outcome: Dialled,
    },
    /// The last link to this hive closed. A new dial was begun at once; its outcome follows as `Dialled`.
    LinkDown {
        /// The hive at its other end.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// A frame came in.
    Frame(Box<Frame>),
    /// What the connection to the local Redis says: at every change, and every heartbeat.
    Redis(RedisView),
    /// What the identified connection to the watched master says: at every change, and every other heartbeat.
    Watched {
        /// The master watched.
        addr: RedisAddr,
        /// What is seen there.
        view: RedisView,
    },
    /// The answer to [`Action::Probe`].
    Probed {
        /// The address asked.
        addr: RedisAddr,
        /// What is there.
        view: RedisView,
    },
    /// All proxy threads have confirmed this route: nothing is forwarded by an older one any more.
    Routed {
        /// The number given with [`Action::Route`].
        id: u64,
    },
    /// An order has ended.
    Done {
        /// The number given with [`Action::Redis`].
        id: u64,
        /// The passport read after the order on the same connection, or why it failed.
        outcome: Result<Passport, OrderError>,
    },
    /// The answer to [`Action::AskTended`]; none comes while that Redis does not answer.
    Tended {
        /// The master asked.
        addr: RedisAddr,
        /// The run that answered.
        run_id: RunId,
        /// The hive asked about.
        node: NodeId,
        /// Whether it has a connection to that Redis.
        tended: bool,
    },
    /// A person asks for something; [`Action::Answer`] with `token` follows, at the latest after ten seconds.
    Ask {
        /// Returned with the answer.
        token: u64,
        /// What.
        ask: Ask,
    },
    /// SIGTERM or SIGINT.
    Stop,
}

/// What a person may ask any hive for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A planned change of the master.
    Switchover {
        /// To the hive with this address; else to the best one.
        to: Option<IpAddr>,
    },
    /// Observe, do not fail over.
    Pause,
    /// The end of that.
    Resume,
}

/// Which Redis an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The local one.
    Own,
    /// The watched master, over the identified connection.
    Watched,
}

/// How a dial to a peer port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// A hive of this name answered: the node it calls itself.
    Hive {
        /// Its identity.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// It is this very hive.
    Myself,
    /// The connection was refused.
    Refused,
    /// No answer in time.
    Silent,
    /// Something accepted the connection and is no hive of this name and protocol.
    Foreign,
}

/// What a connection to a Redis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisView {
    /// It answered `INFO`.
    Up(Passport),
    /// It answered `-BUSY` (or `-LOADING` to `INFO`): alive, the last passport stands.
    Busy,
    /// It accepts connections (or the old one stays open) and does not answer within the deadline.
    Silent,
    /// A new connection was refused.
    Gone,
    /// It answers and is of no use: wrong password, no Redis, a Cluster node, older than 6.2.
    Unfit,
}

/// What a Redis is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisOrder {
    /// `REPLICAOF 127.0.0.1 1`. A master that has keys and no backlog gets its backlog first (2.5).
    Park,
    /// `REPLICAOF host port`
    Follow(RedisAddr),
    /// `REPLICAOF NO ONE`; then, if the copy was blank, one `PSYNC ? -1` is opened and closed (2.5).
    Promote {
        /// First promotion of a blank Redis.
        first: bool,
    },
    /// `CLIENT PAUSE ms WRITE`: writes wait, replication goes on.
    PauseWrites {
        /// For how long, in milliseconds.
        ms: u32,
    },
    /// `CLIENT UNPAUSE`
    ResumeWrites,
    /// Save the copy (`--rescue-dir`), then [`RedisOrder::Park`]: a master's writes are paused first.
    /// May take as long as the save makes progress. A save that fails is reported and does not keep
    /// Redis from being parked.
    Rescue,
}

/// Why an order did not succeed. The role is read again before anything else is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// The Redis has another run id than the order was meant for. Nothing was done.
    OtherRun,
    /// The connection broke or a new one is refused. Whether the order was executed is unknown.
    Gone,
    /// No answer by the order's deadline; the connection was reset. Whether it was executed is unknown.
    Silent,
    /// Redis refused it with this error. Nothing was done.
    Refused(String),
}

/// What the driver must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send one message to every linked peer.
    Broadcast(Frame),
    /// Send to one peer; dropped if there is no link.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        frame: Frame,
    },
    /// The addresses to keep links to. Links to others are left to their owners.
    Dial(Vec<NodeId>),
    /// Resolve the service now.
    Resolve,
    /// Set the route of all proxies; [`Input::Routed`] with `id` follows when every thread has it.
    Route {
        /// Returned with the confirmation.
        id: u64,
        /// The route.
        route: Route,
        /// Which sessions of the master before live on under it.
        keep: Keep,
    },
    /// An order for a Redis. Supersedes an order still out at the same one, whose connection is reset.
    /// Repeated while Redis is busy or loading. [`Input::Done`] with `id` follows unless superseded.
    Redis {
        /// Returned with the outcome.
        id: u64,
        /// Which one.
        at: Target,
        /// The run it is meant for.
        run_id: RunId,
        /// What.
        order: RedisOrder,
    },
    /// Keep an identified connection to this master, and to no other ([`Input::Watched`]).
    Watch(Option<Master>),
    /// Send the watched master `REPLICAOF to` over its identified connection and leave it standing
    /// there, unanswered if need be, until [`Action::LiftFence`].
    Fence {
        /// The master that is fenced off.
        master: Master,
        /// The master it shall follow.
        to: RedisAddr,
    },
    /// Give up standing fences, by reset.
    LiftFence,
    /// Ask the Redis at this address who it is; [`Input::Probed`] follows within the election timeout.
    Probe(RedisAddr),
    /// Set `min-replicas-to-write` of a master, and repeat it until that run has taken it. The
    /// newest number counts.
    MinReplicas {
        /// Which Redis.
        at: Target,
        /// The run it is meant for.
        run_id: RunId,
        /// The number.
        replicas: u32,
    },
    /// Ask the watched master whether this hive has a connection to it; [`Input::Tended`] follows.
    AskTended {
        /// The master.
        addr: RedisAddr,
        /// The hive.
        node: NodeId,
    },
    /// From now on nothing is passed on by the proxies, in either direction, after this moment on the
    /// boot-time clock; `None`: no lease. Comes before the route that it is for.
    Lease(Option<Time>),
    /// The answer to [`Input::Ask`].
    Answer {
        /// Given with the question.
        token: u64,
        /// What became of it.
        verdict: Verdict,
        /// In words, for people.
        text: String,
    },
    /// Something worth a line in the log and the journal.
    Report(Report),
    /// The hive has given up everything it held: the process may end once its clients are gone.
    Exit,
}

/// A line of the story, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When.
    pub at: Wall,
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// What happened.
    pub kind: ReportKind,
    /// In words.
    pub reason: String,
}

/// The kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// A campaign began: the leader is lost.
    Campaign {
        /// How.
        cause: Cause,
    },
    /// A claim was sent.
    Claim,
    /// A claim was refused or taken back.
    Withdrawn,
    /// A claim of another hive was granted.
    Granted,
    /// This hive leads, with the time its campaign took in milliseconds.
    Leads {
        /// Milliseconds from losing the leader to the announcement.
        took_ms: u64,
    },
    /// This hive follows another leader or master.
    Follows {
        /// Milliseconds from losing the leader to following this one.
        took_ms: u64,
    },
    /// This hive gave up its leadership.
    Resigned {
        /// What for.
        cause: Cause,
    },
    /// A step of a planned change, of its undoing, or of stopping (ELECTION 6).
    Change,
    /// Pause mode began or ended.
    Paused,
    /// Something a person should know of.
    Warning,
}

/// One input with the clocks at its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Monotonic; may stand still while the machine sleeps.
    pub now: Time,
    /// `CLOCK_BOOTTIME`, microseconds: runs through every sleep. Leases (ELECTION 8) count in it.
    pub boot: Time,
    /// Wall clock.
    pub wall: Wall,
}

impl Frame {
    /// The state this frame carries, if it is one.
    pub fn state(&self) -> Option<&super::frame::State> {
        match &self.message {
            Message::State(state) => Some(state),
            _ => None,
        }
    }
}
