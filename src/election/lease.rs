//! ELECTION 8: with `--quorum N > 1` nobody acknowledges a write without a lease, and no two leases
//! of different leaders run at one time. Leases count on the clock that never stands still.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{Order, State};
use super::io::{Action, Dialled, RedisOrder, RedisView, Target};
use super::types::{HiveRole, Incarnation, NodeId, RedisAddr, Time};
use super::{Core, Role};

/// The send times of so many own frames are remembered.
const SENT: usize = 1024;
/// The writes of a master whose lease ended wait for so long by themselves.
const PAUSE_MS: u32 = 2_000;

/// What is remembered for leases, all on the boot-time clock.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// When the newest own frames were made.
    sent: VecDeque<(u64, Time)>,
    /// Whose lease this is.
    of: Option<(NodeId, Incarnation)>,
    /// When it ends.
    until: Time,
    /// What the proxies were told last.
    said: Option<Time>,
    /// The end that was last stated to others.
    spoken: Time,
    /// The route that all threads must have first.
    after: u64,
    /// The last frame of a leader: which, and when.
    led: BTreeMap<NodeId, (Incarnation, super::Epoch, Time)>,
    /// The last grant: to whom, and when.
    granted: Option<(NodeId, super::Epoch, Time)>,
    /// When this hive started, or knows again what it knew.
    born: Time,
}

impl Lease {
    /// Of a hive that starts now: it may have voted a moment ago, before it restarted.
    pub fn born_at(boot: Time) -> Lease {
        Lease { born: boot, ..Lease::default() }
    }
}

impl Core {
    /// Whether leases are needed at all.
    pub(super) fn needs_quorum(&self) -> bool {
        self.set.quorum > 1
    }

    /// A lease is worth this much from the send time of the frame it stands on.
    fn lease_span(&self) -> Duration {
        self.set.peer_timeout * 6 / 10
    }

    /// Remembers when a frame was made.
    pub(super) fn note_sent(&mut self, number: u64) {
        if self.needs_quorum() {
            self.lease.sent.push_back((number, self.clock.boot));
            if self.lease.sent.len() > SENT {
                self.lease.sent.pop_front();
            }
        }
    }

    /// When the own frame with this number was made, or an older one.
    fn sent_at(&self, number: u64) -> Option<Time> {
        let at = self.lease.sent.partition_point(|(sent, _)| *sent <= number);
        self.lease.sent.get(at.checked_sub(1)?).map(|(_, at)| *at)
    }

    /// A leader's frame came in: it may hold a lease by this hive's consent.
    pub(super) fn note_led(&mut self, from: NodeId, incarnation: Incarnation, state: &State) {
        if let Some(follows) = state.follows
            && self.needs_quorum()
            && state.role == HiveRole::Leader
            && follows.leadership.leader == from
        {
            let epoch = follows.leadership.epoch;
            let boot = self.clock.boot;
            self.lease.led.retain(|_, (_, _, at)| boot.since(*at) < Duration::from_secs(60));
            self.lease.led.insert(from, (incarnation, epoch, boot));
        }
    }

    /// This hive consented to a claim.
    pub(super) fn note_granted(&mut self, to: NodeId, epoch: super::Epoch) {
        self.lease.granted = Some((to, epoch, self.clock.boot));
    }

    /// A consent was handed back.
    pub(super) fn free_grant(&mut self, from: NodeId, epoch: super::Epoch) {
        self.lease.granted.take_if(|(to, granted, _)| *to == from && *granted == epoch);
    }

    /// A frame of any kind came in from a leader: its lease may stand on the answer to it.
    pub(super) fn note_led_on(&mut self, from: NodeId) {
        let boot = self.clock.boot;
        if let Some((_, _, at)) = self.lease.led.get_mut(&from) {
            let state = self.peers.heard(from, self.clock.awake()).and_then(|p| p.state.as_ref());
            if state.is_some_and(|state| state.role == HiveRole::Leader) {
                *at = boot;
            }
        }
    }

    /// Whether the lease this hive went by has ended.
    pub(super) fn lease_lapsed(&self) -> bool {
        self.needs_quorum() && self.lease.until <= self.clock.boot
    }

    /// Whether the lease by which this hive led still runs.
    pub(super) fn own_lease_runs(&self) -> bool {
        self.needs_quorum()
            && !self.set.ablation.no_lease
            && self.lease.of == Some((self.set.me, self.set.incarnation))
            && self.lease.until > self.clock.boot
    }

    /// When this hive may vote for `node`; `None`: now. Whoever led by its consent, or was granted a
    /// leadership, may go on for a while without hearing of anybody.
    pub(super) fn may_vote_at(&self, node: NodeId) -> Option<Time> {
        if !self.needs_quorum() || self.set.ablation.no_lease {
            return None;
        }
        let led = self.lease.led.iter().filter(|(leader, (incarnation, epoch, _))| {
            let itself = **leader == node && self.incarnation_of(node) == Some(*incarnation);
            !itself && !self.gave_up_freely(**leader, *incarnation, *epoch)
        });
        let led = led.map(|(_, (_, _, at))| *at);
        let granted = self.lease.granted.filter(|(to, _, _)| *to != node).map(|(_, _, at)| at);
        let last = led.chain(granted).chain([self.lease.born]).max()?;
        let until = last + self.set.peer_timeout;
        (until > self.clock.boot).then_some(until)
    }

    fn incarnation_of(&self, node: NodeId) -> Option<Incarnation> {
        if node == self.set.me {
            return Some(self.set.incarnation);
        }
        self.peers.every().find(|(other, _)| *other == node).map(|(_, peer)| peer.incarnation)
    }

    /// A leader that resigned without a successor had no lease any more, or a master that takes no writes.
    fn gave_up_freely(
        &self,
        leader: NodeId,
        incarnation: Incarnation,
        epoch: super::Epoch,
    ) -> bool {
        self.resignations.iter().any(|(resignation, _)| {
            resignation.leader == leader
                && resignation.incarnation == incarnation
                && resignation.epoch >= epoch
                && resignation.successor.is_none()
        })
    }

    /// Every hive that counts: an address counts until it said that it stops, refuses both ports, or
    /// left DNS and is not heard.
    fn all_hives(&self) -> usize {
        let now = self.now();
        let mut all: BTreeSet<NodeId> = BTreeSet::new();
        for (addr, address) in self.roster.listed() {
            // One hive at two addresses is one, also while it is silent.
            let node = address.hive.unwrap_or(addr);
            let redis = self.redis_at(addr);
            let gone = self.look.last(redis) == Some(RedisView::Gone);
            let refused = self.roster.outcome(addr) == Some(Dialled::Refused);
            if !(refused && gone) || self.peers.heard(node, now).is_some() {
                all.insert(node);
            }
        }
        all.extend(self.peers.states(now).map(|(node, _, _)| node));
        let stops = |node: &NodeId| {
            let peer = self.peers.every().find(|(other, _)| other == node).map(|(_, peer)| peer);
            peer.and_then(|peer| peer.state.as_ref()).is_some_and(|state| state.stopping)
        };
        all.retain(|node| *node != self.set.me && !stops(node));
        all.len() + usize::from(!self.stopping)
    }

    /// 8: why nobody may lead with this quorum, if so: it must be more than half of all hives.
    pub(super) fn quorum_too_small(&self) -> Option<String> {
        if !self.needs_quorum() {
            return None;
        }
        let (all, quorum) = (self.all_hives(), self.set.quorum as usize);
        (quorum * 2 <= all).then(|| {
            format!(
                "--quorum {quorum} is not more than half of the {all} hives there are: nobody leads"
            )
        })
    }

    /// Why a claim has no chance now, if so; else nothing.
    pub(super) fn quorum_out_of_reach(&self) -> Option<String> {
        if let Some(why) = self.quorum_too_small() {
            return Some(why);
        }
        if !self.needs_quorum() {
            return None;
        }
        let now = self.now();
        let others = self.peers.reachable(now).filter(|(_, _, state)| !state.stopping).count();
        let (have, quorum) = (others + usize::from(!self.stopping), self.set.quorum as usize);
        (have < quorum).then(|| format!("{have} hives are in reach, --quorum {quorum} are needed"))
    }

    /// Whether these consents, and the own one, are enough.
    pub(super) fn is_quorum(&self, granters: impl Iterator<Item = NodeId>) -> bool {
        let now = self.now();
        let goes_on = |node: &NodeId| {
            let state = self.peers.heard(*node, now).and_then(|peer| peer.state.as_ref());
            state.is_some_and(|state| !state.stopping)
        };
        let consents = granters.filter(goes_on).count() + usize::from(!self.stopping);
        consents >= self.set.quorum as usize
    }

    /// A new leadership of this hive begins on the claim that was sent then.
    pub(super) fn lease_from_claim(&mut self, sent: Time) {
        self.lease.of = Some((self.set.me, self.set.incarnation));
        self.lease.until = sent + self.lease_span();
    }

    /// An ordered leadership has what was left of the old lease, counted from the own frame that the
    /// old leader had heard when it said so.
    pub(super) fn lease_from_order(&mut self, order: &Order, echo: Option<u64>) {
        let base = echo.and_then(|number| self.sent_at(number)).unwrap_or_default();
        let rest = order.lease_ms.map_or(Duration::ZERO, |ms| Duration::from_millis(ms.into()));
        self.lease.of = Some((self.set.me, self.set.incarnation));
        self.lease.until = if rest.is_zero() { Time(0) } else { base + rest };
    }

    /// Brings the lease up to date and tells the proxies. Before every open route, and every turn.
    pub(super) fn renew_lease(&mut self, out: &mut Vec<Action>) {
        if !self.needs_quorum() {
            return;
        }
        self.refresh_lease();
        let until = if self.routed < self.lease.after { Time(0) } else { self.lease.until };
        let said = if self.set.ablation.no_lease { Time(u64::MAX >> 1) } else { until };
        if self.lease.said != Some(said) {
            self.lease.said = Some(said);
            out.push(Action::Lease(Some(said)));
        }
    }

    /// Nothing is passed on before all threads have the route with this number.
    pub(super) fn lease_after(&mut self, route_id: u64) {
        self.lease.after = route_id;
    }

    fn refresh_lease(&mut self) {
        let Some(leadership) = self.leadership() else { return };
        let key = (leadership.leader, leadership.incarnation);
        if self.lease.of != Some(key) {
            (self.lease.of, self.lease.until) = (Some(key), Time(0));
        }
        let until = match &self.role {
            Role::Leading(_) => self.lease_by_echoes(),
            _ => self.lease_by_statements(),
        };
        self.lease.until = self.lease.until.max(until.unwrap_or_default());
    }

    /// The newest own frame that enough followers have echoed.
    fn lease_by_echoes(&self) -> Option<Time> {
        let leadership = self.leadership()?;
        let mut echoes: Vec<u64> = self
            .peers
            .states(self.now())
            .filter(|(_, _, state)| {
                !state.stopping
                    && state.follows.is_some_and(|f| {
                        f.leadership.leader == leadership.leader
                            && f.leadership.incarnation == leadership.incarnation
                            && f.leadership.epoch == leadership.epoch
                    })
            })
            .filter_map(|(_, _, state)| self.peers.echo(state))
            .collect();
        echoes.sort_unstable_by(|a, b| b.cmp(a));
        let others = (self.set.quorum as usize).saturating_sub(usize::from(!self.stopping));
        let sent = match others.checked_sub(1) {
            Some(last) => self.sent_at(*echoes.get(last)?)?,
            None => self.clock.boot,
        };
        Some(sent + self.lease_span())
    }

    /// What the leader, or a peer that follows it too, says is left, from the own frame it had heard.
    fn lease_by_statements(&self) -> Option<Time> {
        let leadership = self.leadership()?;
        let stated = self.peers.states(self.now()).filter_map(|(_, _, state)| {
            let follows = state.follows.filter(|f| {
                f.leadership.leader == leadership.leader
                    && f.leadership.incarnation == leadership.incarnation
            })?;
            let rest = follows.lease_ms.filter(|ms| *ms > 0)?;
            let sent = self.sent_at(self.peers.echo(state)?)?;
            Some(sent + Duration::from_millis(rest.into()))
        });
        stated.max()
    }

    /// Whether the lease has grown by so much that the followers should hear of it now: theirs is as
    /// old as the newest frame they have heard.
    pub(super) fn lease_is_news(&self) -> bool {
        let leads = matches!(self.role, Role::Leading(_)) && self.needs_quorum();
        leads && self.lease.until > self.lease.spoken + self.set.heartbeat / 2
    }

    /// A frame states the lease as it is.
    pub(super) fn lease_spoken(&mut self) {
        self.lease.spoken = self.lease.until;
    }

    /// What is left of the lease, for frames.
    pub(super) fn lease_ms(&self) -> Option<u32> {
        let left = self.lease_left()?;
        Some(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }

    /// What is left of the lease of the leadership there is.
    pub(super) fn lease_left(&self) -> Option<Duration> {
        let led = self.leadership().filter(|_| self.needs_quorum())?;
        let mine = self.lease.of == Some((led.leader, led.incarnation));
        Some(if mine { self.lease.until.since(self.clock.boot) } else { Duration::ZERO })
    }

    /// Why a leader must not go on: its lease has ended, or nobody may lead.
    pub(super) fn lease_lost(&mut self) -> Option<String> {
        if !self.needs_quorum() || self.set.ablation.no_lease {
            return None;
        }
        self.refresh_lease();
        if self.lease_left().is_none_or(|left| left.is_zero()) {
            return Some(format!("its lease ended: fewer than {} hives follow", self.set.quorum));
        }
        self.quorum_too_small()
    }

    /// The master of an ended lease takes no more writes.
    pub(super) fn pause_master(&mut self, out: &mut Vec<Action>) {
        let Some(leadership) = self.leadership() else { return };
        let own = leadership.master.addr == self.set.redis;
        let order = RedisOrder::PauseWrites { ms: PAUSE_MS };
        if own {
            self.writes_paused = true;
            return self.order_redis(order, out);
        }
        self.order_id += 1;
        let (id, run_id) = (self.order_id, leadership.master.run_id);
        out.push(Action::Redis { id, at: Target::Watched, run_id, order });
    }

    /// When the lease ends, in time awake; or when this hive may vote again.
    pub(super) fn next_of_lease(&self) -> Option<Time> {
        if !self.needs_quorum() {
            return None;
        }
        let boot = match self.role {
            Role::Leading(_) => Some(self.lease.until),
            Role::Candidate(_) => self.may_vote_at(self.set.me),
            Role::Starting | Role::Following(_) => None,
        };
        boot.filter(|at| *at > self.clock.boot).map(|at| self.now() + at.since(self.clock.boot))
    }

    /// Whether a Redis at this address may still take writes, as far as can be told.
    pub(super) fn master_may_write(&self, master: RedisAddr) -> bool {
        if master == self.set.redis {
            let role = self.local.passport.map(|(passport, _)| passport.role);
            return !self.local.gone && role != Some(super::RedisRole::Replica);
        }
        self.watched.as_ref().is_none_or(|watched| {
            let demoted = watched
                .passport
                .is_some_and(|(passport, _)| passport.role == super::RedisRole::Replica);
            !watched.gone && !demoted
        })
    }
}
