//! ELECTION 5: two leaders settle it between themselves. Only the loser acts.

use alloc::format;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::time::Duration;

use super::cause::Cause;
use super::copies::given_up;
use super::frame::{FactSheet, Resignation};
use super::io::{Action, RedisView, ReportKind};
use super::types::{Copy, CopyState, Leadership, NodeId, Route, Time};
use super::{Core, Role};

/// Requests are held for so long at most while two leaders compare.
const HOLD: Duration = Duration::from_millis(250);

impl Core {
    /// Looks for other leaders, and settles with them.
    pub(super) fn settle(&mut self, out: &mut Vec<Action>) {
        let rivals = self.rivals();
        self.answer_resignations(rivals.is_empty(), out);
        let Role::Leading(leader) = &self.role else { return };
        let mine = leader.leadership;
        if let Some(winner) = self.deaf_rival(&rivals) {
            let why = format!("{} leads a later epoch and does not hear this hive", winner.leader);
            return self.yield_to(&winner, why, out);
        }
        for rival in &rivals {
            if rival.master.run_id == mine.master.run_id {
                // The same master: nothing is to be settled but the epoch.
                if rival.precedence(&mine) == Ordering::Greater {
                    let why = format!("{} leads the same master in a later epoch", rival.leader);
                    return self.resign(Cause::Rivals, why, Some(rival.leader), false, out);
                }
                continue;
            }
            let Some(sheet) = self.sheet_for(rival, out) else { continue };
            let Some(theirs) = self.sheet_of(rival) else { continue };
            if let Some(reason) = verdict(&theirs, &sheet) {
                let lost = self.bytes_given_up(rival).unwrap_or(sheet.offset);
                let why = format!(
                    "two leaders: {} wins ({reason}); {lost} bytes of this side are given up",
                    rival.leader
                );
                return self.yield_to(rival, why, out);
            }
        }
        self.hold_while_comparing(&rivals, out);
    }

    /// The bytes that the own master has and the rival's has not.
    fn bytes_given_up(&self, rival: &Leadership) -> Option<u64> {
        let (mine, theirs) = (self.master_copy()?, self.copy_of_master(rival)?);
        Some(given_up(&mine.passport, &theirs.passport))
    }

    /// The own master's copy, read after this rival was met and requests were held: what was read
    /// before may lack what clients have been told since. Not waited for for ever.
    fn fresh_copy(&mut self, rival: &Leadership, out: &mut Vec<Action>) -> Option<Copy> {
        let (now, patience) = (self.now(), self.set.election_timeout / 2);
        let Role::Leading(leader) = &mut self.role else { return None };
        let master = leader.leadership.master;
        let key = (rival.leader, rival.incarnation);
        let met = match leader.met.iter().find(|(known, _)| *known == key) {
            Some((_, met)) => *met,
            None => {
                leader.met.retain(|((node, _), _)| *node != rival.leader);
                leader.met.push((key, now));
                now
            }
        };
        self.look.want(master.addr, met, now, None, out);
        let read = self.look.at(master.addr, now).filter(|answer| answer.asked >= met);
        let copy = self.master_copy()?;
        match read.map(|answer| answer.view) {
            Some(RedisView::Up(passport)) if passport.run_id == master.run_id => {
                Some(Copy { passport, offset: passport.offset, ..copy })
            }
            None if now.since(met) < patience => None,
            _ => Some(copy),
        }
    }

    fn yield_to(&mut self, winner: &Leadership, why: alloc::string::String, out: &mut Vec<Action>) {
        let same = self.leadership().is_some_and(|l| l.master.run_id == winner.master.run_id);
        if same {
            self.resign(Cause::Rivals, why, Some(winner.leader), false, out);
        } else {
            self.step_down(Cause::Rivals, why, winner.leader, out);
        }
    }

    /// Other leaders, heard directly or through a peer, by news younger than the own promotion.
    fn rivals(&self) -> Vec<Leadership> {
        let Role::Leading(leader) = &self.role else { return Vec::new() };
        let now = self.now();
        let (me, began) = (self.set.me, leader.began);
        let direct = self
            .peers
            .all_heard(now)
            .filter_map(|(node, peer)| peer.leads(node).filter(|_| peer.received > began));
        let told = self.peers.states(now).flat_map(|(_, peer, state)| {
            state.leaders.iter().filter(move |news| {
                let at = peer.received - Duration::from_millis(u64::from(news.age_ms) + 1);
                let recent = now.since(at) < self.set.peer_timeout;
                at > began && recent
            })
        });
        let told = told
            .map(|news| news.leadership)
            .filter(|told| self.peers.heard(told.leader, now).is_none());
        let mut rivals: Vec<Leadership> = Vec::new();
        for rival in direct.chain(told) {
            let live = rival.leader != me
                && self.resigned(&rival).is_none()
                && !self.peers.is_ghost(rival.leader, rival.incarnation);
            if live && !rivals.iter().any(|known| known.leader == rival.leader) {
                rivals.push(rival);
            }
        }
        rivals
    }

    /// The own facts for this pair: frozen when it is first asked for.
    fn sheet_for(&mut self, rival: &Leadership, out: &mut Vec<Action>) -> Option<FactSheet> {
        let now = self.now();
        let Role::Leading(leader) = &self.role else { return None };
        let known = leader.sheets.iter().find(|(sheet, _)| {
            is_against(sheet, rival) && sheet.leadership.epoch == leader.leadership.epoch
        });
        if let Some((sheet, _)) = known {
            return Some(*sheet);
        }
        let (mine, since) = (leader.leadership, leader.since);
        let copy = self.fresh_copy(rival, out)?;
        let followers = self.peers.reachable(now).filter(|(_, _, state)| {
            let follows = state.follows.is_some_and(|f| f.leadership.leader == self.set.me);
            follows && state.copy.is_some_and(|copy| copy.state == CopyState::Complete)
        });
        let own = self.local.copy().is_some_and(|copy| copy.state == CopyState::Complete);
        let holders = followers.count() as u32 + u32::from(own);
        let (dataset_bytes, keys) = (copy.passport.dataset_bytes, copy.passport.keys);
        let sheet = FactSheet {
            leadership: mine,
            against: rival.leader,
            against_incarnation: rival.incarnation,
            against_epoch: rival.epoch,
            root: mine.master.root,
            dataset_bytes,
            keys,
            holders,
            offset: copy.offset,
            since,
        };
        if let Role::Leading(leader) = &mut self.role {
            leader.sheets.retain(|(sheet, _)| sheet.against != rival.leader);
            leader.sheets.push((sheet, now));
        }
        Some(sheet)
    }

    /// The rival's facts for this pair, from itself or passed on.
    fn sheet_of(&self, rival: &Leadership) -> Option<FactSheet> {
        let Role::Leading(leader) = &self.role else { return None };
        let mine = leader.leadership;
        let all = self.peers.states(self.now()).flat_map(|(_, _, state)| state.sheets.iter());
        let mut ours = all.filter(|sheet| {
            sheet.leadership.leader == rival.leader
                && sheet.leadership.incarnation == rival.incarnation
                && sheet.leadership.epoch == rival.epoch
                && is_against(sheet, &mine)
        });
        ours.next().copied()
    }

    /// Requests are held while two leaders compare, but not for longer than [`HOLD`].
    fn hold_while_comparing(&mut self, rivals: &[Leadership], out: &mut Vec<Action>) {
        let now = self.now();
        let Role::Leading(leader) = &mut self.role else { return };
        leader.sheets.retain(|(sheet, _)| rivals.iter().any(|r| r.leader == sheet.against));
        leader.met.retain(|((node, _), _)| rivals.iter().any(|r| r.leader == *node));
        let comparing = leader.met.iter().any(|(_, since)| now.since(*since) < HOLD);
        let leadership = leader.leadership;
        if comparing {
            self.set_route(Route::Hold, out);
        } else {
            self.open_route(leadership, out);
        }
    }

    /// The winner goes on as epoch max + 1, so that every route may follow; so does a leader whose
    /// follower has seen a later epoch than its own.
    fn answer_resignations(&mut self, alone: bool, out: &mut Vec<Action>) {
        let me = self.set.me;
        let Role::Leading(leader) = &self.role else { return };
        let led = leader.leadership.epoch;
        let mut fresh = self.resignations.iter().map(|(resignation, _)| *resignation);
        let won: Option<Resignation> = fresh.find(|resignation| {
            resignation.successor == Some(me)
                && resignation.epoch >= led
                && !leader.won.contains(resignation)
        });
        let ahead = self.peers.reachable(self.now()).find(|(_, _, state)| {
            let mine = state.follows.is_some_and(|follows| {
                follows.leadership.leader == me && follows.leadership.epoch == led
            });
            // With a rival the later epoch is the rival's: the verdict comes first, else the two
            // outbid each other.
            alone && mine && state.epoch > led
        });
        let reason = match (&won, ahead) {
            (Some(won), _) => format!("{} gave way: goes on in a new epoch", won.leader),
            (None, Some((node, _, _))) => {
                format!("{node} has seen a later epoch: goes on in a new one")
            }
            (None, None) => return,
        };
        let epoch = self.epoch.max(self.bound).next();
        if epoch >= super::Epoch::MAX {
            return;
        }
        (self.epoch, self.bound) = (epoch, epoch);
        let Role::Leading(leader) = &mut self.role else { return };
        leader.won.extend(won);
        leader.leadership.epoch = epoch;
        let leadership = leader.leadership;
        self.last = Some(leadership);
        self.report(ReportKind::Leads { took_ms: 0 }, epoch, reason, out);
        self.open_route(leadership, out);
    }

    /// A leader that for a peer timeout hears a leader of a higher epoch which does not hear it
    /// resigns in its favour.
    fn deaf_rival(&mut self, rivals: &[Leadership]) -> Option<Leadership> {
        let now = self.now();
        let timeout = self.set.peer_timeout;
        let deaf: Vec<Leadership> = rivals
            .iter()
            .filter(|rival| {
                let heard = self.peers.heard(rival.leader, now).is_some();
                heard && !self.peers.reaches(rival.leader, now)
            })
            .copied()
            .collect();
        let Role::Leading(leader) = &mut self.role else { return None };
        let epoch = leader.leadership.epoch;
        leader.deaf.retain(|(node, _)| deaf.iter().any(|rival| rival.leader == *node));
        for rival in deaf.iter().filter(|rival| rival.epoch > epoch) {
            let since = leader.deaf.iter().find(|(node, _)| *node == rival.leader);
            match since.map(|(_, since)| *since) {
                Some(since) if now.since(since) >= timeout => return Some(*rival),
                Some(_) => {}
                None => leader.deaf.push((rival.leader, now)),
            }
        }
        None
    }

    /// When this leader has something to do about another one next.
    pub(super) fn next_settling(&self) -> Option<Time> {
        let Role::Leading(leader) = &self.role else { return None };
        let now = self.now();
        let holds = leader.met.iter().map(|(_, since)| *since + HOLD);
        let deaf = leader.deaf.iter().map(|(_, since)| *since + self.set.peer_timeout);
        holds.chain(deaf).filter(|at| *at > now).min()
    }
}

fn is_against(sheet: &FactSheet, leadership: &Leadership) -> bool {
    sheet.against == leadership.leader
        && sheet.against_incarnation == leadership.incarnation
        && sheet.against_epoch == leadership.epoch
}

/// Why `theirs` wins over `mine`; `None`: it does not. Both sides reach the same verdict.
fn verdict(theirs: &FactSheet, mine: &FactSheet) -> Option<&'static str> {
    let weight = |sheet: &FactSheet| (sheet.dataset_bytes >> 20, sheet.keys);
    let node = |sheet: &FactSheet| -> NodeId { sheet.leadership.leader };
    let data =
        if theirs.root == mine.root { Ordering::Equal } else { weight(theirs).cmp(&weight(mine)) };
    let steps = [
        (data, "its history has more data"),
        (theirs.holders.cmp(&mine.holders), "more hives hold its copy"),
        (theirs.offset.cmp(&mine.offset), "its copy is further"),
        (Reverse(theirs.since).cmp(&Reverse(mine.since)), "it was elected earlier"),
        (Reverse(node(theirs)).cmp(&Reverse(node(mine))), "it has the lower address"),
    ];
    let (order, reason) = steps.into_iter().find(|(order, _)| *order != Ordering::Equal)?;
    (order == Ordering::Greater).then_some(reason)
}
