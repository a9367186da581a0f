//! ELECTION 4.3: looking for a living master, by asking Redis servers who they are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::copies::{Reach, same_history, state_of, weight_of};
use super::frame::Living;
use super::io::{Action, RedisView};
use super::types::{
    Copy, CopyState, Epoch, Id, Master, NodeId, Passport, RedisAddr, RedisRole, Time,
};
use super::{Core, Role};

/// More Redis addresses than this are not asked at once.
const TARGETS_MAX: usize = 64;
/// An answer older than this says nothing about now.
const STALE: Duration = Duration::from_millis(1500);
/// A question that the driver never answered is asked again after this.
const LOST: Duration = Duration::from_secs(2);

/// One address that was asked.
#[derive(Debug, Default)]
struct Probe {
    /// The question that is out, and the best copy known when it was sent.
    out: Option<(Time, Option<Copy>)>,
    /// The newest answer.
    answer: Option<Answer>,
}

/// What was found at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub view: RedisView,
    /// When the question was sent: everything in the answer is younger.
    pub asked: Time,
    /// The best copy known when the question was sent: a living master is not behind it.
    pub bar: Option<Copy>,
    heard: Time,
}

/// All probes.
#[derive(Debug, Default)]
pub(super) struct Look {
    probes: BTreeMap<RedisAddr, Probe>,
}

impl Look {
    /// Asks this address, unless an answer to a question at least as young as `after` is there or out.
    pub fn want(
        &mut self,
        addr: RedisAddr,
        after: Time,
        now: Time,
        bar: Option<Copy>,
        out: &mut Vec<Action>,
    ) {
        let probe = self.probes.entry(addr).or_default();
        let asked = probe.out.is_some_and(|(at, _)| now.since(at) < LOST);
        let answered = probe.answer.is_some_and(|answer| answer.asked >= after);
        if !asked && !answered {
            probe.out = Some((now, bar));
            out.push(Action::Probe(addr));
        }
    }

    /// An answer came.
    pub fn answer(&mut self, addr: RedisAddr, view: RedisView, now: Time) {
        if let Some(probe) = self.probes.get_mut(&addr)
            && let Some((asked, bar)) = probe.out.take()
        {
            probe.answer = Some(Answer { view, asked, bar, heard: now });
        }
    }

    /// The newest answer, if it still says something.
    pub fn at(&self, addr: RedisAddr, now: Time) -> Option<Answer> {
        let answer = self.probes.get(&addr)?.answer?;
        (now.since(answer.heard) < STALE).then_some(answer)
    }

    /// The newest answer of at most this age.
    pub fn heard(&self, addr: RedisAddr, now: Time, within: Duration) -> Option<RedisView> {
        let answer = self.probes.get(&addr)?.answer?;
        (now.since(answer.heard) < within).then_some(answer.view)
    }

    /// The newest answer, however old.
    pub fn last(&self, addr: RedisAddr) -> Option<RedisView> {
        self.probes.get(&addr)?.answer.map(|answer| answer.view)
    }

    /// Whether this address answered a question at least as young as `after`.
    pub fn answered(&self, addr: RedisAddr, after: Time) -> bool {
        let answer = self.probes.get(&addr).and_then(|probe| probe.answer);
        answer.is_some_and(|answer| answer.asked >= after)
    }

    /// Keeps only these addresses.
    pub fn keep(&mut self, targets: &BTreeSet<RedisAddr>) {
        self.probes.retain(|addr, _| targets.contains(addr));
    }

    fn answers(&self, now: Time) -> impl Iterator<Item = (RedisAddr, Answer)> {
        self.probes.keys().filter_map(move |addr| Some((*addr, self.at(*addr, now)?)))
    }
}

impl Core {
    /// 4.3: where a master might be: the last one known, what the own Redis replicates and so on up
    /// the chain, what others see, and every listed address.
    pub(super) fn targets(&self) -> BTreeSet<RedisAddr> {
        let now = self.now();
        let mut targets = BTreeSet::new();
        targets.extend(self.last.map(|last| last.master.addr));
        targets.extend(self.local.passport.and_then(|(passport, _)| passport.upstream));
        for (_, answer) in self.look.answers(now) {
            if let RedisView::Up(passport) = answer.view {
                targets.extend(passport.upstream);
            }
        }
        for (_, _, state) in self.peers.states(now) {
            targets.extend(state.living.map(|living| living.master.addr));
            targets.extend(state.redis);
            targets.extend(state.follows.map(|follows| follows.leadership.master.addr));
        }
        for (addr, _) in self.roster.listed() {
            targets.insert(self.redis_at(addr));
        }
        targets.remove(&RedisAddr::PARKED);
        targets.remove(&self.set.redis);
        while targets.len() > TARGETS_MAX {
            targets.pop_last();
        }
        targets
    }

    /// The Redis beside a hive: what the hive says, else its address with the own Redis's port.
    pub(super) fn redis_at(&self, addr: NodeId) -> RedisAddr {
        let node = self.roster.hive_at(addr);
        let state = self.peers.heard(node, self.now()).and_then(|peer| peer.state.as_ref());
        let stated = state.and_then(|state| state.redis);
        stated.unwrap_or(RedisAddr::new(addr.ip, self.set.redis.port))
    }

    /// Asks every target that has no answer younger than `after`.
    pub(super) fn probe_all(&mut self, after: Time, out: &mut Vec<Action>) {
        self.probe_each(|_, _| after, out);
    }

    fn probe_each(&mut self, after: impl Fn(&Core, RedisAddr) -> Time, out: &mut Vec<Action>) {
        let (now, targets, bar) = (self.now(), self.targets(), self.best_copy(None));
        self.look.keep(&targets);
        for addr in targets {
            let after = after(self, addr);
            self.look.want(addr, after, now, bar, out);
        }
    }

    /// Answers to older questions say nothing about whether a master lives.
    pub(super) fn looks_since(&self) -> Time {
        match &self.role {
            Role::Starting => self.woke.max(self.now() - self.set.heartbeat * 3),
            Role::Candidate(candidate) => candidate.began,
            Role::Following(_) | Role::Leading(_) => self.now() - STALE,
        }
    }

    /// Asks what is not known since the campaign began. That nobody answered a little earlier, when
    /// the leader was silent already, counts as well: silence costs the whole election timeout.
    pub(super) fn probe_for_campaign(&mut self, began: Time, out: &mut Vec<Action>) {
        let again = self.now() - self.set.heartbeat * 2;
        let after = |core: &Core, addr| {
            if core.was_silent(addr, began) { core.early(began) } else { began }.max(again)
        };
        self.probe_each(after, out);
    }

    /// Whether the search of a campaign that began then has given what it can.
    pub(super) fn looked_for_campaign(&self, began: Time) -> bool {
        let lately = began - self.set.heartbeat * 2;
        let replicas: BTreeSet<RedisAddr> = self
            .peers
            .states(self.now())
            .filter(|(_, peer, state)| {
                let replica = |copy: Copy| copy.passport.role == RedisRole::Replica;
                peer.received >= lately && state.copy.is_some_and(replica)
            })
            .filter_map(|(_, _, state)| state.redis)
            .collect();
        // A replica whose hive is heard is no living master: its answer is not waited for.
        self.targets().into_iter().all(|addr| {
            self.look.answered(addr, began)
                || self.was_silent(addr, began)
                || replicas.contains(&addr)
        })
    }

    fn early(&self, began: Time) -> Time {
        began - self.set.election_timeout * 3
    }

    fn was_silent(&self, addr: RedisAddr, began: Time) -> bool {
        let nobody = |view| matches!(view, RedisView::Silent | RedisView::Gone);
        let early = self.early(began);
        self.look.at(addr, self.now()).is_some_and(|a| a.asked >= early && nobody(a.view))
    }

    /// Whether all targets answered a question at least as young as `after`. With `not_silent`, those
    /// that were silent the last time are not waited for.
    pub(super) fn looked(&self, after: Time, not_silent: bool) -> bool {
        self.targets().into_iter().all(|addr| {
            let silent =
                || self.look.at(addr, self.now()).is_some_and(|a| a.view == RedisView::Silent);
            self.look.answered(addr, after) || (not_silent && silent())
        })
    }

    /// The best complete copy by data among this hive's and those of the hives in reach that were
    /// stated before `until`.
    fn best_copy(&self, until: Option<Time>) -> Option<Copy> {
        let reach = self.reach();
        let others = self.peers.reachable(self.now()).filter(|(_, peer, state)| {
            until.is_none_or(|until| peer.received <= until) && state.redis_answers
        });
        let copies = others.filter_map(|(_, _, state)| state.copy).chain(self.local.copy());
        copies.filter(|copy| copy.state == CopyState::Complete).max_by(|a, b| reach.by_data(a, b))
    }

    /// Everything in reach, for weighing histories.
    pub(super) fn reach(&self) -> Reach {
        let others = self.peers.states(self.now()).filter_map(|(_, _, state)| state.copy);
        Reach(others.chain(self.local.copy()).collect())
    }

    /// 4.3: the living master this hive sees: the one of the highest epoch, then by data.
    pub(super) fn living(&self) -> Option<Living> {
        if self.set.ablation.no_living_master {
            return None;
        }
        let (now, since) = (self.now(), self.looks_since());
        let young = self.look.answers(now).filter(|(_, answer)| answer.asked >= since);
        let found = young.filter_map(|(addr, answer)| {
            let passport = match answer.view {
                RedisView::Up(passport) => passport,
                RedisView::Busy => self.watched_passport(addr)?,
                _ => return None,
            };
            self.living_at(addr, &passport, answer.bar)
        });
        let living = found.chain(self.own_living());
        living.max_by_key(|l| (l.epoch, l.dataset_bytes >> 20, l.offset, l.master.addr))
    }

    fn own_living(&self) -> Option<Living> {
        let (passport, read) = self.local.passport?;
        // An order that is still out may change what the passport says.
        let settled = self.order.is_none() && self.local.silent_since.is_none();
        if self.overruled || self.local.gone || !settled {
            return None;
        }
        self.living_at(self.set.redis, &passport, self.best_copy(Some(read)))
    }

    fn living_at(&self, addr: RedisAddr, passport: &Passport, bar: Option<Copy>) -> Option<Living> {
        let complete = state_of(passport) == CopyState::Complete;
        if passport.role != RedisRole::Master || !complete || !self.is_ours(addr, passport) {
            return None;
        }
        let root = self.root_of(passport);
        let copy = Copy {
            passport: *passport,
            state: CopyState::Complete,
            root: Some(root),
            provisional: false,
            offset: passport.offset,
            current: true,
        };
        if let Some(bar) = bar {
            let same = same_history(&bar, &copy);
            let behind = same && bar.offset > copy.offset;
            let lighter = !same && weight_of(&bar.passport) > weight_of(passport);
            if behind || lighter {
                return None;
            }
        }
        Some(Living {
            epoch: self.epoch_of(passport.run_id),
            master: Master { addr, run_id: passport.run_id, replid: passport.replid, root },
            offset: passport.offset,
            dataset_bytes: passport.dataset_bytes,
            keys: passport.keys,
        })
    }

    /// 2.10 and 7: a Redis is one of ours when its run was known as a master, when a hive that is
    /// heard calls it its own, or when it continues a history we hold. An address alone proves nothing.
    pub(super) fn is_ours(&self, addr: RedisAddr, passport: &Passport) -> bool {
        if addr == self.set.redis {
            return true;
        }
        let known = self.last.is_some_and(|last| last.master.run_id == passport.run_id);
        let mine = self.local.passport.is_some_and(|(own, _)| own.shares_history(passport));
        known
            || mine
            || self.peers.states(self.now()).any(|(_, _, state)| {
                let copy = state.copy.map(|copy| copy.passport);
                let own = copy.is_some_and(|own| {
                    own.run_id == passport.run_id || own.shares_history(passport)
                });
                let master = |id: Id| id == passport.run_id;
                own || state.living.is_some_and(|living| master(living.master.run_id))
                    || state.follows.is_some_and(|f| master(f.leadership.master.run_id))
            })
    }

    /// 2.4: the root of a copy found by asking: whoever shares its history knows, else its replid.
    fn root_of(&self, passport: &Passport) -> Id {
        if let Some(last) = self.last
            && last.master.run_id == passport.run_id
        {
            return last.master.root;
        }
        let reach = self.reach();
        let kin = reach.0.iter().filter(|copy| copy.passport.shares_history(passport));
        kin.min_by_key(|copy| copy.provisional)
            .and_then(|copy| copy.root)
            .unwrap_or(passport.replid)
    }

    /// The highest epoch in which this run was master, as far as anybody in reach knows.
    fn epoch_of(&self, run_id: Id) -> Epoch {
        let mine = self.last.filter(|last| last.master.run_id == run_id).map(|last| last.epoch);
        let others = self.peers.states(self.now()).flat_map(|(_, _, state)| {
            let living = state.living.map(|living| (living.master, living.epoch));
            let follows = state.follows.map(|f| (f.leadership.master, f.leadership.epoch));
            living.into_iter().chain(follows)
        });
        let others = others.filter(|(master, _)| master.run_id == run_id).map(|(_, epoch)| epoch);
        others.chain(mine).max().unwrap_or_default()
    }

    fn watched_passport(&self, addr: RedisAddr) -> Option<Passport> {
        let watched = self.watched.as_ref().filter(|watched| watched.master.addr == addr)?;
        watched.passport.map(|(passport, _)| passport)
    }
}
