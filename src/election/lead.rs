//! ELECTION 4.8: leading, and when a leader resigns.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::cause::Cause;
use super::change::Change;
use super::copies::state_of;
use super::frame::{FactSheet, Resignation};
use super::io::{Action, ReportKind};
use super::regent::Tended;
use super::types::{
    Copy, CopyState, Epoch, Incarnation, Leadership, Master, NodeId, RedisRole, Time, Wall,
};
use super::{Core, Role};

/// A hive that leads.
#[derive(Debug)]
pub(super) struct Leader {
    pub leadership: Leadership,
    /// The election timestamp it was elected with.
    pub since: Wall,
    /// When it began to lead.
    pub began: Time,
    /// Its first frame as leader: what answers it was read after the promotion.
    first: u64,
    /// Other leaders it has heard of (5), and since when.
    pub met: Vec<((NodeId, Incarnation), Time)>,
    /// Frozen facts for every one of them, and since when.
    pub sheets: Vec<(FactSheet, Time)>,
    /// Leaders whose resignation in its favour it has answered.
    pub won: Vec<Resignation>,
    /// Leaders of a higher epoch that do not hear it, and since when (5).
    pub deaf: Vec<(NodeId, Time)>,
    /// The planned change under way (6).
    pub change: Option<Change>,
    /// What a regent's master says about the hive beside it (4.3).
    pub tended: Tended,
}

impl Core {
    /// Announces a leadership of this hive.
    pub(super) fn lead(
        &mut self,
        epoch: Epoch,
        master: Master,
        since: Wall,
        how: &str,
        by: Option<NodeId>,
        out: &mut Vec<Action>,
    ) {
        let leadership =
            Leadership { epoch, leader: self.set.me, incarnation: self.set.incarnation, master };
        let now = self.now();
        self.see_epoch(epoch);
        self.bound = self.bound.max(epoch);
        let took_ms = match self.role {
            Role::Following(_) => 0,
            _ => now.since(self.lost_at).as_millis() as u64,
        };
        let by = by.map(|node| format!(" {node}")).unwrap_or_default();
        let reason = format!("leads with master {addr}: {how}{by}", addr = master.addr);
        self.report(ReportKind::Leads { took_ms }, epoch, reason, out);
        if master.addr == self.set.redis {
            self.local.take_root(master.root);
            self.overruled = false;
        }
        self.last = Some(leadership);
        self.promise = None;
        self.warned.clear();
        self.role = Role::Leading(Box::new(Leader {
            leadership,
            since,
            began: now,
            first: self.number + 1,
            met: Vec::new(),
            sheets: Vec::new(),
            won: Vec::new(),
            deaf: Vec::new(),
            change: None,
            tended: Tended::default(),
        }));
        self.holding = None;
        self.change_retry = None;
        self.open_route(leadership, out);
    }

    /// One turn of a leader.
    pub(super) fn leading_turn(&mut self, gap: Duration, out: &mut Vec<Action>) {
        if gap >= self.set.peer_timeout {
            let why = String::from("this hive slept longer than the peer timeout");
            self.resign(Cause::Slept, why, None, true, out);
            return self.start_anew(out);
        }
        if let Some(why) = self.lease_lost() {
            self.pause_master(out);
            return self.resign(Cause::Lease, why, None, true, out);
        }
        if let Some(why) = self.master_lost() {
            return self.resign(Cause::Redis, why, None, true, out);
        }
        if self.pursue_change(out) {
            return;
        }
        self.follow_replid();
        if self.change().is_some() {
            if let Some(leadership) = self.leadership() {
                self.open_route(leadership, out);
            }
            return;
        }
        if self.paused() {
            if let Some(leadership) = self.leadership() {
                self.open_route(leadership, out);
            }
            return;
        }
        if let Some((node, why)) = self.better_candidate() {
            return self.step_down(Cause::Better, why, node, out);
        }
        if self.regent_turn(out) {
            return;
        }
        self.settle(out);
        self.relieve_caretaker(out);
        self.mind_reach(out);
    }

    /// 4.8: why the master is lost, if it is. A leader never puts right what somebody else did to it.
    fn master_lost(&self) -> Option<String> {
        let Role::Leading(leader) = &self.role else { return None };
        let master = leader.leadership.master;
        if master.addr == self.set.redis {
            self.own_master_lost(&master)
        } else {
            self.far_master_lost(&master)
        }
    }

    fn own_master_lost(&self, master: &Master) -> Option<String> {
        let now = self.now();
        if self.local.gone {
            return Some(String::from("the master's Redis is gone"));
        }
        let silent = |since| now.since(since) >= self.set.redis_timeout;
        if self.local.silent_since.is_some_and(silent) {
            return Some(String::from("the master's Redis does not answer"));
        }
        if self.set.ablation.keep_leading_after_restart {
            return None;
        }
        let (passport, _) = self.local.passport?;
        if passport.run_id != master.run_id {
            return Some(String::from("the master's Redis was restarted"));
        }
        if passport.role != RedisRole::Master && !self.change_demotes() {
            return Some(String::from("somebody demoted the master's Redis"));
        }
        None
    }

    fn far_master_lost(&self, master: &Master) -> Option<String> {
        // What is known of another run says nothing about this one.
        let watched = self.watched.as_ref().filter(|w| w.master.run_id == master.run_id)?;
        let now = self.now();
        if watched.gone {
            return Some(format!("the master {} is gone or restarted", watched.master.addr));
        }
        let silent = |since| now.since(since) >= self.set.redis_timeout;
        if watched.silent_since.is_some_and(silent) {
            return Some(format!("the master {} does not answer", watched.master.addr));
        }
        let demoted =
            watched.passport.is_some_and(|(passport, _)| passport.role != RedisRole::Master);
        (demoted && !self.change_demotes())
            .then(|| format!("somebody demoted the master {}", watched.master.addr))
    }

    /// 2.5: a replid that changes on a master with the same run id is news, not a lost history.
    fn follow_replid(&mut self) {
        let copy = self.master_copy();
        if let Role::Leading(leader) = &mut self.role
            && let Some(copy) = copy
            && copy.passport.run_id == leader.leadership.master.run_id
        {
            leader.leadership.master.replid = copy.passport.replid;
            self.last = Some(leader.leadership);
        }
    }

    /// The copy of the master this hive leads or follows, as far as it is known.
    pub(super) fn master_copy(&self) -> Option<Copy> {
        let leadership = self.leadership()?;
        let own = self.local.copy();
        match own.filter(|own| own.passport.run_id == leadership.master.run_id) {
            Some(own) => Some(own),
            None => self.copy_of_master(&leadership),
        }
    }

    /// When the master's copy was last read.
    fn master_read(&self) -> Option<Time> {
        let leadership = self.leadership()?;
        if leadership.master.addr == self.set.redis {
            return self.local.passport.map(|(_, at)| at);
        }
        self.watched.as_ref().and_then(|watched| watched.passport).map(|(_, at)| at)
    }

    /// 4.8: a reachable candidate, fit to promote, whose complete copy ranks above the master's by data.
    /// Both copies must be read after the promotion, the master's after the candidate's.
    fn better_candidate(&mut self) -> Option<(NodeId, String)> {
        if self.set.ablation.no_giving_way || self.set.ablation.ignore_passports {
            return None;
        }
        let master = self.master_copy()?;
        let read = self.master_read()?;
        let Role::Leading(leader) = &self.role else { return None };
        let (reach, now, me) = (self.reach(), self.now(), self.set.me);
        let found = self.peers.reachable(now).find_map(|(node, peer, state)| {
            let copy = state.copy.filter(|copy| copy.state == CopyState::Complete)?;
            let fit = Core::leaderless(state)
                && state.role == super::HiveRole::Candidate
                && state.redis_answers
                && !state.failed_promotion;
            let young = self.peers.echo(state).is_some_and(|echo| echo >= leader.first);
            // Its own leader's link up to this master: it can only be behind.
            let attached = copy.passport.upstream == Some(leader.leadership.master.addr)
                && copy.passport.link_up;
            let gave_way = state
                .resignations
                .iter()
                .any(|resignation| resignation.leader == node && resignation.successor == Some(me));
            let key = (node, state.since?);
            let compared = fit && young && !attached && !gave_way && peer.received <= read;
            let better = reach.by_data(&copy, &master) == Ordering::Greater;
            (compared && better && !self.gave_way.contains(&key)).then_some(key)
        });
        let key = found?;
        self.gave_way.retain(|(node, _)| *node != key.0);
        self.gave_way.insert(key);
        Some((key.0, format!("{} has a better copy", key.0)))
    }

    /// What is derived from copies: roots (2.4), whether the own copy is current (2.3), and the last
    /// moment a copy was known anywhere (2.7).
    pub(super) fn refresh_copy(&mut self, now: Time) {
        self.find_root();
        let run_id = self.local.run_id();
        self.local.leads = self.last.is_some_and(|last| Some(last.master.run_id) == run_id);
        if let Some((offset, at)) = self.stated_offset() {
            self.local.stated(offset, at);
        }
        let holds = |copy: Option<Copy>| copy.is_some_and(|copy| copy.state != CopyState::Blank);
        let heard = self.peers.states(now).any(|(_, _, state)| holds(state.copy));
        if heard || holds(self.local.copy()) {
            self.knew_copy = now;
        }
    }

    fn find_root(&mut self) {
        let Some((passport, _)) = self.local.passport else { return };
        if let Some(leadership) = self.leadership()
            && self.local.replicates(leadership.master.addr)
            && passport.link_up
            && state_of(&passport) == CopyState::Complete
        {
            return self.local.take_root(leadership.master.root);
        }
        if !self.local.unsure_of_root() {
            return;
        }
        let of_last = self.last.filter(|last| {
            last.master.run_id == passport.run_id
                || last.master.replid == passport.replid
                || last.master.replid == passport.replid2
        });
        let states = self.peers.states(self.now());
        let masters = states.flat_map(|(_, _, state)| {
            let follows = state.follows.map(|follows| follows.leadership.master);
            let kin = |id| id == passport.replid || id == passport.replid2;
            let copy = state
                .copy
                .filter(|copy| !copy.provisional && copy.passport.shares_history(&passport));
            let led = follows.filter(|m| kin(m.replid) || m.run_id == passport.run_id);
            led.map(|master| master.root).or(copy.and_then(|copy| copy.root))
        });
        match of_last.map(|last| last.master.root).or(masters.min()) {
            Some(root) => self.local.take_root(root),
            None => self.local.assume_root(),
        }
    }

    /// The newest offset stated by the master this hive follows, and when it was heard.
    fn stated_offset(&self) -> Option<(u64, Time)> {
        let leadership = self.leadership()?;
        if let Some((passport, at)) = self.watched.as_ref().and_then(|watched| watched.passport)
            && passport.run_id == leadership.master.run_id
        {
            return Some((passport.offset, at));
        }
        let peer = self.peers.heard(leadership.leader, self.now())?;
        let copy = peer.state.as_ref().and_then(|state| state.copy)?;
        (copy.passport.run_id == leadership.master.run_id).then_some((copy.offset, peer.received))
    }

    /// A sync begins: the copy that comes will be worth what its leader states now (2.2).
    pub(super) fn note_sync(&mut self) {
        let master = self.last.map(|last| last.master);
        if let Some(master) = master {
            let offset = self.stated_offset().map_or(0, |(offset, _)| offset);
            self.local.sync_begins(master.root, offset);
        }
    }
}
