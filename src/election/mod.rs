//! Who may lead, and what may never happen to the data: the pure core.
//!
//! No clock, no socket, no thread and no randomness of its own: everything comes in as an argument.
//! The rules are numbered as in ELECTION.md; each is found by its number in one place:
//! 1 `hearing`, 2 `copies` and `blank` (2.7), 3 `time`, 4.1 and 4.7 `follow`, 4.2 and 4.4 `campaign`,
//! (the claim itself `claim`), 4.3 `look`, 4.5 `grant`, 4.6 `succession`, 4.8 `lead` and `resign`, 4.9 `start`, 5 `settle`,
//! 2.8, 2.10 and 7 `steer`.
//!
//! The contract with the driver:
//! 1. Call [`Core::handle`] with one input and the clocks, then execute all actions in their order.
//! 2. Read all input that waits; when none is left and [`Core::deadline`] has come, hand in [`Input::Tick`].
//! 3. Sleep until the next input or the deadline.
//!
//! An input only records facts; the tick judges them, so that all waiting input is read before any
//! timer is judged (ELECTION 3).

mod asks;
mod blank;
mod campaign;
mod cause;
mod change;
mod claim;
mod copies;
mod follow;
pub mod frame;
mod grant;
mod hearing;
mod hold;
mod invariants;
pub mod io;
mod keep;
mod lead;
mod lease;
mod look;
mod pause;
mod reach;
mod record;
mod regent;
mod replicas;
mod resign;
mod roster;
pub mod settings;
mod settle;
mod speak;
mod start;
mod steer;
mod stop;
mod succession;
mod successor;
mod time;
mod trouble;
pub mod types;
mod view;

pub use cause::Cause;
pub use copies::{given_up, state_of};
pub use frame::Verdict;
pub use frame::{Frame, Message};
pub use io::{
    Action, Ask, Clocks, Dialled, Input, OrderError, RedisOrder, RedisView, Report, ReportKind,
    Target,
};
pub use settings::*;
pub use trouble::{Trouble, Troubles};
pub use types::*;
pub use view::{PeerView, View};

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use asks::Waiting;
use campaign::Candidate;
use copies::Local;
use follow::Follower;
use frame::{Claim, Hold, Order, Pause, Request, Resignation, State};
use grant::Granting;
use hearing::Peers;
use hold::Holding;
use lead::Leader;
use lease::Lease;
use look::Look;
use reach::ReachTimer;
use roster::Roster;
use stop::Stopping;
use time::Clock;

/// The hives that others hear, and those that are gone, are looked through at most this often.
const ROSTER_EVERY: Duration = Duration::from_millis(50);

/// What a hive is, with the timers of that role inside: leaving the role drops them.
#[derive(Debug)]
enum Role {
    /// 4.9. Since its start.
    Starting,
    /// Without a leader.
    Candidate(Box<Candidate>),
    /// Has a leader.
    Following(Follower),
    /// Leads.
    Leading(Box<Leader>),
}

/// The master that is watched over an identified connection.
#[derive(Debug)]
struct Watched {
    master: Master,
    /// The newest passport of that run, and when it came.
    passport: Option<(Passport, Time)>,
    /// When it last answered anything.
    heard: Option<Time>,
    /// Since when it does not answer.
    silent_since: Option<Time>,
    /// It is gone, restarted, or another one.
    gone: bool,
    /// Since when another run answers at its address.
    replaced: Option<Time>,
}

/// An order to the own Redis that has not ended.
#[derive(Clone, Copy, Debug)]
struct OrderOut {
    id: u64,
    order: RedisOrder,
    since: Time,
}

/// The core of one hive.
#[derive(Debug)]
pub struct Core {
    set: Settings,
    clock: Clock,
    random: u64,
    started: Time,
    /// The end of the last long sleep, or the start.
    woke: Time,
    /// The first frame after that.
    woke_number: u64,
    peers: Peers,
    roster: Roster,
    local: Local,
    /// 4.8: candidates it gave way to, once per candidate and timestamp.
    gave_way: BTreeSet<(NodeId, Wall)>,
    /// The own Redis is master and gave way: nobody's living master any more.
    overruled: bool,
    watched: Option<Watched>,
    /// What the master of the proxies' sessions has stated.
    sessions: keep::Sessions,
    look: Look,
    /// The highest epoch seen anywhere.
    epoch: Epoch,
    /// The highest epoch granted, claimed or followed.
    bound: Epoch,
    role: Role,
    /// The leadership last followed or led.
    last: Option<Leadership>,
    promise: Option<Granting>,
    /// Claims that wait for this hive's own look.
    claims: Vec<(NodeId, Claim, Time)>,
    orders: Vec<(NodeId, Order, Option<u64>)>,
    resignations: Vec<(Resignation, Time)>,
    route: Route,
    route_id: u64,
    routed: u64,
    /// The highest epoch clients were sent on in.
    forwarded: Epoch,
    order: Option<OrderOut>,
    order_id: u64,
    /// The last order that was refused or failed, and when: not repeated at once.
    rebuffed: Option<(RedisOrder, Time)>,
    failed_promotion: Option<Time>,
    /// The last moment this hive knew of a copy anywhere (2.7).
    knew_copy: Time,
    number: u64,
    said: Option<State>,
    said_at: Time,
    answer_due: bool,
    dialled: Vec<NodeId>,
    /// What DNS or a dial said has not reached the list of addresses yet.
    roster_due: bool,
    roster_at: Time,
    /// What the last hour of a stopping hive waits for (6).
    stop: Stopping,
    stopping: bool,
    exited: bool,
    /// What people asked for, and who waits for what becomes of it.
    asked: Vec<(u64, Ask)>,
    waiting: Vec<Waiting>,
    requests: Vec<(NodeId, Request)>,
    holds: Vec<(NodeId, Hold)>,
    holding: Option<Holding>,
    /// After a change that was undone, not before.
    change_retry: Option<Time>,
    pause: Option<Pause>,
    pause_told: bool,
    /// What this hive complains about, for the others to show.
    troubles: Troubles,
    lease: Lease,
    /// The own Redis was told to keep its writers waiting (6, 8).
    writes_paused: bool,
    reach_timer: ReachTimer,
    min_replicas_said: Option<(RunId, u32)>,
    /// The copy that was saved before it is overwritten: run and offset.
    rescued: Option<(RunId, u64)>,
    warned: String,
    due: bool,
    lost_at: Time,
    leaderless_since: Wall,
}

impl Core {
    /// A hive that has just started.
    pub fn new(set: Settings, clocks: Clocks) -> Core {
        let clock = Clock::new(clocks, !set.ablation.no_gap_counting);
        let now = clock.awake();
        Core {
            random: set.seed | 1,
            started: now,
            woke: now,
            woke_number: 1,
            peers: Peers::new(set.me, set.incarnation, set.peer_timeout),
            roster: Roster::new(set.me, &set.fixed_peers, set.service, now),
            local: Local::default(),
            gave_way: BTreeSet::new(),
            overruled: false,
            watched: None,
            sessions: keep::Sessions::default(),
            look: Look::default(),
            epoch: Epoch(0),
            bound: Epoch(0),
            role: Role::Starting,
            last: None,
            promise: None,
            claims: Vec::new(),
            orders: Vec::new(),
            resignations: Vec::new(),
            route: Route::Hold,
            route_id: 0,
            routed: 0,
            forwarded: Epoch(0),
            order: None,
            order_id: 0,
            rebuffed: None,
            failed_promotion: None,
            knew_copy: now,
            number: 0,
            said: None,
            said_at: now,
            answer_due: true,
            dialled: Vec::new(),
            roster_due: true,
            roster_at: now,
            stop: Stopping::default(),
            stopping: false,
            exited: false,
            asked: Vec::new(),
            waiting: Vec::new(),
            requests: Vec::new(),
            holds: Vec::new(),
            holding: None,
            change_retry: None,
            pause: None,
            pause_told: false,
            troubles: Troubles::default(),
            lease: Lease::born_at(clocks.boot),
            writes_paused: false,
            reach_timer: ReachTimer::default(),
            min_replicas_said: None,
            rescued: None,
            warned: String::new(),
            due: true,
            lost_at: now,
            leaderless_since: clocks.wall,
            clock,
            set,
        }
    }

    /// Takes one input in. Whatever has to be done is pushed to `out`, in the order to do it.
    pub fn handle(&mut self, clocks: Clocks, input: Input, out: &mut Vec<Action>) {
        self.clock.advance(clocks);
        if input == Input::Tick {
            self.due = false;
            self.tick(out);
            self.check();
        } else {
            self.due = true;
            self.record(input);
        }
        let next = self.next_turn();
        self.clock.ask(next);
    }

    /// When a tick is wanted, on the driver's clock; at once after an input.
    pub fn deadline(&self) -> Time {
        self.clock.asked()
    }

    /// The copy of the local Redis, and whether that answers now.
    pub fn copy(&self) -> (Option<Copy>, bool) {
        (self.local.copy(), self.local.answers)
    }

    fn tick(&mut self, out: &mut Vec<Action>) {
        let mut gap = self.clock.take_gap();
        self.refresh(out);
        self.obey_holds(out);
        self.serve_asks(out);
        // What is told is what holds at the end of the turn.
        self.tell_pause(out);
        if self.stopping {
            self.stop(out);
        }
        // A turn may end in a role that has something to do at once: three is a leader that resigns,
        // becomes a candidate and follows its successor.
        for _ in 0..3 {
            let before = self.hive_role();
            match self.role {
                Role::Starting => self.starting_turn(out),
                Role::Candidate(_) => self.candidate_turn(gap, out),
                Role::Following(_) => self.following_turn(gap, out),
                Role::Leading(_) => self.leading_turn(gap, out),
            }
            if self.hive_role() == before {
                break;
            }
            gap = Duration::ZERO;
        }
        self.obey_orders(out);
        self.answer_claims(out);
        self.keep_promise(out);
        self.try_ports(out);
        self.steer(out);
        self.renew_lease(out);
        self.speak(out);
    }

    /// Brings what is derived from the facts up to date.
    fn refresh(&mut self, out: &mut Vec<Action>) {
        let now = self.now();
        if self.roster_due || now.since(self.roster_at) >= ROSTER_EVERY {
            (self.roster_due, self.roster_at) = (false, now);
            self.refresh_roster(now, out);
        }
        self.resignations.retain(|(_, at)| now.since(*at) < Duration::from_secs(60));
        self.refresh_copy(now);
    }

    /// Which addresses are dialled, and which hives are still on record.
    fn refresh_roster(&mut self, now: Time, out: &mut Vec<Action>) {
        let heard: Vec<NodeId> = self
            .peers
            .reachable(now)
            .flat_map(|(_, _, state)| state.hears.iter().map(|heard| heard.node))
            .collect();
        self.roster.told(heard.into_iter(), now);
        self.roster.prune(|node| self.peers.heard(node, now).is_some());
        let wanted = self.roster.wanted();
        if wanted != self.dialled {
            self.dialled = wanted.clone();
            out.push(Action::Dial(wanted));
        }
        self.forget_silent(now);
    }

    /// Hives that are gone for good and no longer listed leave the record.
    fn forget_silent(&mut self, now: Time) {
        let gone = self.peers.every().filter(|(node, peer)| {
            now.since(peer.heard) > Duration::from_secs(30) && !self.dialled.contains(node)
        });
        for node in gone.map(|(node, _)| node).collect::<Vec<_>>() {
            self.peers.forget(node);
        }
    }

    fn now(&self) -> Time {
        self.clock.awake()
    }

    fn see_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch.min(Epoch::MAX));
    }

    fn hive_role(&self) -> HiveRole {
        match self.role {
            Role::Starting => HiveRole::Starting,
            Role::Candidate(_) => HiveRole::Candidate,
            Role::Following(_) => HiveRole::Follower,
            Role::Leading(_) => HiveRole::Leader,
        }
    }

    /// The leadership this hive follows or leads now.
    fn leadership(&self) -> Option<Leadership> {
        match &self.role {
            Role::Following(follower) => Some(follower.leadership),
            Role::Leading(leader) => Some(leader.leadership),
            Role::Starting | Role::Candidate(_) => None,
        }
    }

    /// A wait of 5 to 40 ms (4.5).
    fn jitter(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(5 + self.random % 36)
    }

    fn report(&self, kind: ReportKind, epoch: Epoch, reason: String, out: &mut Vec<Action>) {
        out.push(Action::Report(Report { at: self.clock.wall, epoch, kind, reason }));
    }

    /// Warns once per reason.
    fn warn(&mut self, reason: String, out: &mut Vec<Action>) {
        if self.warned != reason {
            if !reason.is_empty() {
                self.report(ReportKind::Warning, self.epoch, reason.clone(), out);
            }
            self.warned = reason;
        }
    }
}
