//! ELECTION 4.1 and 4.7: when a leader is lost, and whom a hive without one follows.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::cause::Cause;
use super::copies::same_history;
use super::frame::{Order, Resignation, State};
use super::hearing::Peer;
use super::io::{Action, RedisView, ReportKind};
use super::speak::age_ms;
use super::types::{Copy, CopyState, HiveRole, Leadership, Master, NodeId, RedisRole, Route, Time};
use super::{Core, Role};

/// A hive with a leader.
#[derive(Debug)]
pub(super) struct Follower {
    pub leadership: Leadership,
}

/// What stands against following a leader at once.
enum Obstacle {
    /// The own copy ranks above its master's: it may give way (4.8).
    Better,
    /// The same, of another root: never (2.8).
    Guarded,
}

impl Core {
    /// One turn of a follower.
    pub(super) fn following_turn(&mut self, gap: Duration, out: &mut Vec<Action>) {
        let Role::Following(follower) = &self.role else { return };
        let leadership = follower.leadership;
        if gap >= self.set.peer_timeout {
            // Nothing is forwarded until the leader is heard again.
            return self.start_anew(out);
        }
        if self.set.ablation.leave_heard_leader
            && let Some(other) = self.leaders().into_iter().max_by(Leadership::precedence)
            && other.precedence(&leadership) == Ordering::Greater
        {
            return self.adopt(other, out);
        }
        match self.lost(&leadership) {
            Some((cause, why)) => self.lose_leader(cause, why, out),
            None => {
                let newest = self.newest(&leadership);
                if newest != leadership {
                    self.adopt(newest, out);
                } else {
                    self.open_route(leadership, out);
                }
                self.look_ahead(&leadership, out);
            }
        }
    }

    /// A leader that has been silent for long is about to be lost: whether its master lives is asked
    /// early, so that the answers are there when it is.
    fn look_ahead(&mut self, leadership: &Leadership, out: &mut Vec<Action>) {
        let now = self.now();
        let early = self.early_silence();
        let peer = self.peers.heard(leadership.leader, now);
        if let Some(quiet) = peer.map(|peer| now.since(peer.heard)).filter(|quiet| *quiet >= early)
        {
            self.probe_all(now - (quiet - early), out);
        }
    }

    /// The silence of a leader after which its master is asked.
    pub(super) fn early_silence(&self) -> Duration {
        self.set.peer_timeout.saturating_sub(self.set.election_timeout * 2)
    }

    /// 4.1: why this leader is lost, if it is.
    fn lost(&self, leadership: &Leadership) -> Option<(Cause, String)> {
        let now = self.now();
        let leader = leadership.leader;
        if self.resigned(leadership).is_some() {
            return Some((Cause::Resigned, format!("{leader} resigned")));
        }
        if self.peers.is_ghost(leader, leadership.incarnation) {
            return Some((Cause::Restarted, format!("{leader} was restarted or replaced")));
        }
        if let Some(peer) = self.peers.heard(leader, now) {
            return match peer.leads(leader) {
                Some(_) => None,
                None => Some((Cause::Resigned, format!("{leader} says that it does not lead"))),
            };
        }
        // A broken link between two hives moves nothing. But where the leader was seen to go, only
        // what others say after that counts.
        let gone = self.peers.dead_since(leader);
        let through = self.peers.reachable(now).any(|(_, peer, state)| {
            gone.is_none_or(|gone| peer.received > gone)
                && self
                    .hears_directly(peer, state, now)
                    .is_some_and(|other| other.leader == leader && other.epoch >= leadership.epoch)
        });
        (!through).then(|| (Cause::Silent, format!("{leader} is silent or gone")))
    }

    /// The leadership a peer follows, if it heard its leader directly within the peer timeout.
    pub(super) fn hears_directly(
        &self,
        peer: &Peer,
        state: &State,
        now: Time,
    ) -> Option<Leadership> {
        let follows = state.follows?;
        let age = u64::from(follows.heard_ms?) + u64::from(age_ms(now, peer.received));
        let fresh = Duration::from_millis(age) < self.set.peer_timeout;
        (fresh && follows.leadership.leader != self.set.me).then_some(follows.leadership)
    }

    /// What this leader leads now: its epoch may have grown (5), its master's stream may have changed.
    fn newest(&self, leadership: &Leadership) -> Leadership {
        let now = self.now();
        let leader = leadership.leader;
        if let Some(peer) = self.peers.heard(leader, now) {
            return peer.leads(leader).unwrap_or(*leadership);
        }
        let told = self.peers.reachable(now).filter_map(|(_, peer, state)| {
            self.hears_directly(peer, state, now).filter(|other| {
                other.leader == leader && other.incarnation == leadership.incarnation
            })
        });
        told.chain([*leadership]).max_by_key(|other| other.epoch).unwrap_or(*leadership)
    }

    /// Becomes a candidate: a question that changes nothing (4.2).
    fn lose_leader(&mut self, cause: Cause, why: String, out: &mut Vec<Action>) {
        out.push(Action::Resolve);
        self.become_candidate(cause, why, out);
    }

    /// 4.7: follows a leader that is heard, if there is one to follow. `true`: it does now.
    pub(super) fn follow_somebody(&mut self, out: &mut Vec<Action>) -> bool {
        let best = self.leaders().into_iter().max_by(Leadership::precedence);
        let Some(leadership) = best else { return false };
        if let Some(promise) = &self.promise
            && (promise.to != leadership.leader || promise.epoch > leadership.epoch)
        {
            return false;
        }
        match self.obstacle(&leadership) {
            Some(Obstacle::Guarded) => {
                self.warn(
                    format!(
                        "the local copy is of another history and has more data than that of \
                         {leader}: not following it",
                        leader = leadership.leader
                    ),
                    out,
                );
                return false;
            }
            Some(Obstacle::Better) if !self.waited_to_be_chosen() => return false,
            Some(Obstacle::Better) | None => {}
        }
        self.adopt(leadership, out);
        true
    }

    /// The leaders a leaderless hive may follow: heard directly, or through a peer that hears it so
    /// and said it in answer to this hive's question.
    pub(super) fn leaders(&self) -> Vec<Leadership> {
        let now = self.now();
        let me = self.set.me;
        // Who slept knows only what it heard since.
        let direct = self.peers.all_heard(now).filter(|(_, peer)| self.heard_awake(peer));
        let direct = direct.filter(|(node, _)| {
            !self.set.ablation.no_one_way_deference || self.peers.reaches(*node, now)
        });
        let direct = direct.filter_map(|(node, peer)| peer.leads(node));
        let asked = self.asked_number();
        let told = self.peers.reachable(now).filter_map(|(_, peer, state)| {
            let fresh =
                self.peers.echo(state).is_some_and(|echo| echo >= asked) && self.heard_awake(peer);
            let leadership = self.hears_directly(peer, state, now).filter(|_| fresh)?;
            // One that is heard directly speaks for itself.
            self.peers.heard(leadership.leader, now).is_none().then_some(leadership)
        });
        let possible = direct.chain(told).filter(|leadership| {
            leadership.leader != me
                && self.resigned(leadership).is_none()
                && !self.peers.is_ghost(leadership.leader, leadership.incarnation)
        });
        possible.collect()
    }

    /// 4.7 and 2.8: what stands against following this leader.
    fn obstacle(&self, leadership: &Leadership) -> Option<Obstacle> {
        let own = self.local.copy().filter(|copy| copy.state == CopyState::Complete)?;
        if self.local.replicates(leadership.master.addr) && own.passport.link_up {
            return None;
        }
        if own.passport.run_id == leadership.master.run_id || self.gave_way_to(leadership) {
            return None;
        }
        let Some(master) = self.copy_of_master(leadership) else {
            // Not known yet what is there: a copy that could be lost waits until it is.
            let kin = own.root == Some(leadership.master.root);
            let guards = !kin && !self.set.ablation.no_root_guard;
            return Some(if guards { Obstacle::Guarded } else { Obstacle::Better });
        };
        let reach = self.reach();
        // Histories are weighed by a passport that was read after the leader was lost.
        let read = self.local.passport.is_some_and(|(_, read)| read >= self.lost_at);
        let foreign = !same_history(&own, &master);
        let guarded = reach.guarded(&own, &master) || (foreign && !read);
        if guarded && !self.set.ablation.no_root_guard {
            return Some(Obstacle::Guarded);
        }
        let better = reach.by_data(&own, &master) == Ordering::Greater;
        better.then_some(Obstacle::Better)
    }

    /// The copy of a leadership's master, as the watched connection or a probe shows it or as its
    /// hive states it: the newest of these, so one that was read after its promotion before others.
    pub(super) fn copy_of_master(&self, leadership: &Leadership) -> Option<Copy> {
        let master = leadership.master;
        let watched = self.watched.as_ref().and_then(|watched| watched.passport);
        let probed = self.look.at(master.addr, self.now()).and_then(|answer| match answer.view {
            RedisView::Up(passport) => Some(passport),
            _ => None,
        });
        let seen = watched.map(|(passport, _)| passport).into_iter().chain(probed);
        let seen = seen.map(|passport| Copy {
            passport,
            state: super::state_of(&passport),
            root: None,
            provisional: false,
            offset: passport.offset,
            current: true,
        });
        let states = self.peers.states(self.now());
        let told = states.filter_map(|(_, _, state)| state.copy);
        let of_run = seen.chain(told).filter(|copy| copy.passport.run_id == master.run_id);
        let newest =
            of_run.max_by_key(|copy| (copy.passport.role == RedisRole::Master, copy.offset));
        newest.map(|copy| Copy { root: Some(master.root), provisional: false, ..copy })
    }

    /// Whether this hive resigned in favour of that leader (5).
    fn gave_way_to(&self, leadership: &Leadership) -> bool {
        self.resignations.iter().any(|(resignation, _)| {
            resignation.leader == self.set.me
                && resignation.incarnation == self.set.incarnation
                && resignation.successor == Some(leadership.leader)
        })
    }

    /// Follows this leadership from now on.
    pub(super) fn adopt(&mut self, leadership: Leadership, out: &mut Vec<Action>) {
        let before = self.last;
        self.see_epoch(leadership.epoch);
        self.bound = self.bound.max(leadership.epoch);
        self.promise = None;
        self.withdraw(None, out);
        let news = before.is_none_or(|before| {
            before.leader != leadership.leader || before.master.run_id != leadership.master.run_id
        });
        if news || !matches!(self.role, Role::Following(_)) {
            let took_ms = match self.role {
                Role::Following(_) => 0,
                _ => self.now().since(self.lost_at).as_millis() as u64,
            };
            let reason = format!(
                "following {leader} with master {master}",
                leader = leadership.leader,
                master = leadership.master.addr
            );
            self.report(ReportKind::Follows { took_ms }, leadership.epoch, reason, out);
        }
        let other =
            before.is_some_and(|b| (b.leader, b.epoch) != (leadership.leader, leadership.epoch));
        if other && self.lease_lapsed() {
            // A reply that waited for the old lease must not pass by a later one of the same master.
            self.set_route(Route::Hold, out);
        }
        self.last = Some(leadership);
        self.role = Role::Following(Follower { leadership });
        self.warned.clear();
        self.open_route(leadership, out);
    }

    /// Sends clients to this leadership's master. Nothing is ever sent to a master of an older epoch:
    /// where this hive has forwarded in a later one, its leader goes on in a new epoch first (5).
    pub(super) fn open_route(&mut self, leadership: Leadership, out: &mut Vec<Action>) {
        if leadership.epoch < self.forwarded {
            return self.set_route(Route::Hold, out);
        }
        self.forwarded = leadership.epoch;
        let (epoch, Master { addr: master, run_id, .. }) = (leadership.epoch, leadership.master);
        let route = if self.holds_for(&leadership) {
            Route::Held { epoch, master, run_id }
        } else if self.change_demotes() {
            Route::Hold
        } else {
            Route::Forward { epoch, master, run_id }
        };
        self.set_route(route, out);
    }

    /// 4.3, 6: an order makes this hive leader, if it comes from the leader last followed and its
    /// epoch is above all this hive has seen.
    pub(super) fn obey_orders(&mut self, out: &mut Vec<Action>) {
        for (from, order, echo) in core::mem::take(&mut self.orders) {
            if self.order_stands(from, &order) {
                self.obey_order(from, order, echo, out);
            }
        }
    }

    fn obey_order(&mut self, from: NodeId, order: Order, echo: Option<u64>, out: &mut Vec<Action>) {
        let own = self.local.passport.map(|(passport, _)| passport);
        let own = own.filter(|own| own.run_id == order.master.run_id);
        let Some(own) = own.filter(|_| order.master.addr == self.set.redis && !self.stopping)
        else {
            return;
        };
        // Where the master stays (4.3) it must be one still: nobody has frozen anything.
        let stays = order.master.run_id == order.from.master.run_id;
        if stays && own.role != RedisRole::Master {
            return;
        }
        self.lease_from_order(&order, echo);
        // The order is its leader's resignation, whatever that one said a moment before.
        let resignation = Resignation {
            epoch: order.from.epoch,
            leader: from,
            incarnation: order.from.incarnation,
            successor: Some(self.set.me),
        };
        let now = self.now();
        self.note_resignation(resignation, now);
        if own.role == RedisRole::Replica {
            return self.promote_by(order, out);
        }
        self.withdraw(None, out);
        self.promise = None;
        let since = self.clock.wall;
        self.lead(order.epoch, order.master, since, "ordered by", Some(from), out);
    }

    fn order_stands(&self, from: NodeId, order: &Order) -> bool {
        let followed = self.last.is_some_and(|last| {
            last.leader == from && last.epoch == order.from.epoch && order.from.leader == from
        });
        let leads = matches!(self.role, Role::Leading(_));
        // The state that says "resigned in favour of you" comes right behind the order, and may be
        // read before the order is judged.
        let named = self.resignations.iter().any(|(resignation, _)| {
            resignation.leader == from
                && resignation.epoch == order.from.epoch
                && resignation.incarnation == order.from.incarnation
                && resignation.successor == Some(self.set.me)
        });
        let above = order.epoch > self.epoch || (named && order.epoch == self.epoch);
        let epoch = above && order.epoch > self.bound;
        followed && !leads && (epoch || self.set.ablation.no_order_epoch_check)
    }

    /// Whether a peer could be a candidate now: it has no leader.
    pub(super) fn leaderless(state: &State) -> bool {
        state.follows.is_none() && matches!(state.role, HiveRole::Candidate | HiveRole::Starting)
    }
}
