//! What hives say to each other (ELECTION 4, Frames). The bytes are `peer::codec`'s affair.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::trouble::Troubles;
use super::types::{
    Copy, Epoch, HiveRole, Incarnation, Leadership, Master, NodeId, RedisAddr, Root, Version, Wall,
};

/// One frame: who says it, the how-manieth frame of that hive it is, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The speaker.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// Grows by one with every frame this incarnation makes; the same number goes to all peers.
    pub number: u64,
    /// What is said.
    pub message: Message,
}

/// The kinds of frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Every heartbeat, at every change, and at once in answer to a campaign.
    State(Box<State>),
    /// "I ask to lead this epoch."
    Claim(Claim),
    /// Consent to a claim.
    Grant(Grant),
    /// A claim is refused.
    Denial(Denial),
    /// A claim is taken back.
    Withdrawal(Withdrawal),
    /// A leader orders the receiver to lead.
    Order(Order),
    /// Stop forwarding at request boundaries (planned change).
    Hold(Hold),
    /// Forwarding has stopped.
    Held(Held),
    /// Ask the leader for a planned change.
    Request(Request),
    /// What became of a request, where the new leadership does not tell it.
    Answer(Answer),
}

/// All that a hive tells about itself and what it knows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The highest epoch it has seen.
    pub epoch: Epoch,
    /// Its role.
    pub role: HiveRole,
    /// Milliseconds since it started.
    pub start_age_ms: u64,
    /// It was told to stop.
    pub stopping: bool,
    /// It wants an answer now (a campaign began, or its question is repeated).
    pub asks: bool,
    /// It never makes a master.
    pub witness: bool,
    /// `--priority`
    pub priority: u32,
    /// It failed to promote its Redis within the last 30 s.
    pub failed_promotion: bool,
    /// Its own Redis.
    pub redis: Option<RedisAddr>,
    /// Its copy; `None` for a witness, and while its Redis has never answered or is gone.
    pub copy: Option<Copy>,
    /// Whether its Redis answers now: a hung one keeps its copy's state but cannot be promoted.
    pub redis_answers: bool,
    /// The leadership it follows or leads.
    pub follows: Option<Following>,
    /// Its election timestamp, while it has no leader.
    pub since: Option<Wall>,
    /// The claim it has promised not to disturb; its own, where it was ordered to lead.
    pub promise: Option<Promise>,
    /// The living master it sees (4.3), while it has no leader.
    pub living: Option<Living>,
    /// Leaderships known to have been resigned.
    pub resignations: Vec<Resignation>,
    /// Leaders it hears directly or through others.
    pub leaders: Vec<LeaderNews>,
    /// Fact sheets of two leaders that compare themselves, its own and those it passes on.
    pub sheets: Vec<FactSheet>,
    /// The hives it hears.
    pub hears: Vec<Heard>,
    /// The hives whose Redis ports it can use.
    pub usable: Vec<NodeId>,
    /// Pause mode.
    pub pause: Option<Pause>,
    /// How many hives could follow this one: those it reaches, directly or through one other (4.11).
    /// Since protocol 1.1; 0 from an older hive.
    pub reach: u16,
    /// Its clock when it said this; for people. Since protocol 1.2; 0 from an older hive.
    pub clock: Wall,
    /// The version of its program; for people. Since protocol 1.2; 0.0.0 from an older hive.
    pub version: Version,
    /// What it complains about; for people. Since protocol 1.3; none from an older hive.
    pub troubles: Troubles,
}

/// The leadership a hive follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Following {
    /// Which.
    pub leadership: Leadership,
    /// Milliseconds since its leader was heard directly; 0 for the leader itself, `None` if never.
    pub heard_ms: Option<u32>,
    /// What is left of its lease, in milliseconds (ELECTION 8).
    pub lease_ms: Option<u32>,
}

/// A running consent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// The epoch granted.
    pub epoch: Epoch,
    /// To whom.
    pub to: NodeId,
}

/// A master that answers as one while its leader is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Living {
    /// The epoch it was last known to be master in; 0 if unknown.
    pub epoch: Epoch,
    /// The master.
    pub master: Master,
    /// Its copy as read over the identified connection.
    pub offset: u64,
    /// `used_memory_dataset`, bytes.
    pub dataset_bytes: u64,
    /// Keys in all databases.
    pub keys: u64,
}

/// A leadership that was given up by its leader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resignation {
    /// Its number.
    pub epoch: Epoch,
    /// Who gave it up.
    pub leader: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// In whose favour.
    pub successor: Option<NodeId>,
}

/// A leader that was heard of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderNews {
    /// Its leadership.
    pub leadership: Leadership,
    /// Milliseconds since the leader itself said so.
    pub age_ms: u32,
}

/// The frozen facts of one leader about to settle with another one (ELECTION 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactSheet {
    /// Whose facts.
    pub leadership: Leadership,
    /// The leader they were frozen for.
    pub against: NodeId,
    /// Which run of that leader.
    pub against_incarnation: Incarnation,
    /// The epoch of that leader's leadership.
    pub against_epoch: Epoch,
    /// The master's history.
    pub root: Root,
    /// The master's `used_memory_dataset`, bytes.
    pub dataset_bytes: u64,
    /// The master's keys.
    pub keys: u64,
    /// Hives with a complete copy that follow it, itself included.
    pub holders: u32,
    /// The master's offset.
    pub offset: u64,
    /// The election timestamp it was elected with.
    pub since: Wall,
}

/// A hive that is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Which.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The newest frame number heard of it.
    pub number: u64,
}

/// Pause mode: (counter, node), the higher wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// Grows with every change.
    pub counter: u64,
    /// Who changed it.
    pub node: NodeId,
    /// Paused or resumed.
    pub paused: bool,
}

/// A candidate's request to lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The epoch it wants.
    pub epoch: Epoch,
    /// Its election timestamp.
    pub since: Wall,
    /// Its copy.
    pub copy: Option<Copy>,
    /// The living master it would be regent of; `None` asks for a succession.
    pub living: Option<Living>,
}

/// Consent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    /// The epoch granted.
    pub epoch: Epoch,
    /// The granter's copy: frozen, unless the claim was a regent's.
    pub copy: Option<Copy>,
}

/// Refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denial {
    /// The epoch refused.
    pub epoch: Epoch,
    /// Why.
    pub reason: DenialReason,
}

/// Why a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DenialReason {
    /// The denier has a leader: this one.
    HasLeader(Leadership),
    /// The denier ranks itself or another hive better: that one shall claim.
    Better(NodeId),
    /// The epoch is not above all the denier granted or followed: this is the highest.
    Epoch(Epoch),
    /// A promise to another claim is still running.
    Promised(Promise),
    /// The denier sees this living master.
    Living(Living),
    /// The denier cannot judge yet (it has just started, or does not hear the claimer's state).
    NotReady,
}

/// What the denier does, without its name.
impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenialReason::HasLeader(led) => write!(f, "follows {}", led.leader),
            DenialReason::Better(node) => write!(f, "ranks {node} before the claimer"),
            DenialReason::Epoch(epoch) => write!(f, "knows epoch {epoch}"),
            DenialReason::Promised(promise) => {
                write!(f, "promised epoch {} to {}", promise.epoch, promise.to)
            }
            DenialReason::Living(living) => {
                write!(f, "sees the living master {}", living.master.addr)
            }
            DenialReason::NotReady => f.write_str("cannot judge yet"),
        }
    }
}

/// A claim taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Withdrawal {
    /// The epoch that was claimed.
    pub epoch: Epoch,
    /// Who should claim instead, if that is the reason.
    pub in_favour: Option<NodeId>,
}

/// A leader gives its leadership to the receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// The epoch to lead: the highest seen + 1.
    pub epoch: Epoch,
    /// The leadership that ends with this order.
    pub from: Leadership,
    /// The master of the new one.
    pub master: Master,
    /// What is left of the lease, in milliseconds (ELECTION 8).
    pub lease_ms: Option<u32>,
}

/// Part of the planned change (ELECTION 6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// The leadership that holds.
    pub epoch: Epoch,
    /// `false` releases.
    pub hold: bool,
}

/// Answer to a hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// The leadership that asked.
    pub epoch: Epoch,
}

/// Ask the leader for something (ELECTION 6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// The epoch the asker saw.
    pub epoch: Epoch,
    /// The successor wished for.
    pub to: Option<NodeId>,
}

/// The answer to a [`Request`] that did not lead to a change. Since protocol 1.1.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The epoch the asker had stated.
    pub epoch: Epoch,
    /// What became of it.
    pub verdict: Verdict,
    /// In words, for people; at most 255 bytes.
    pub reason: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// It conflicts with what is: paused, another change is running, another epoch, not the leader.
    Conflict,
    /// Nobody is fit, or the one asked for is not, or is unknown.
    Unfit,
    /// It was begun and undone, or nothing was heard of it in time.
    Failed,
}
