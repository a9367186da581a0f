//! Inputs become facts here; nothing is judged before the tick (ELECTION 3).

use super::frame::{Frame, Message};
use super::io::{Dialled, Input, OrderError, RedisOrder, RedisView};
use super::types::{NodeId, Passport, RedisAddr, RedisRole, Time};
use super::{Core, Role};

impl Core {
    pub(super) fn record(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Tick => {}
            Input::Dns(addresses) => self.record_dns(&addresses, true, now),
            Input::DnsPartly(addresses) => self.record_dns(&addresses, false, now),
            Input::DnsFailed => {}
            Input::Dialled { addr, outcome } => self.record_dial(addr, outcome, now),
            Input::LinkDown { node, incarnation } => self.peers.link_down(node, incarnation),
            Input::Frame(frame) => self.record_frame(*frame, now),
            Input::Redis(view) => self.record_redis(view, now),
            Input::Watched { addr, view } => self.record_watched(addr, view, now),
            Input::Probed { addr, view } => self.record_probed(addr, view, now),
            Input::Routed { id } => self.routed = self.routed.max(id),
            Input::Done { id, outcome } => self.record_done(id, outcome, now),
            Input::Tended { addr, run_id, tended, .. } => self.note_tended(addr, run_id, tended),
            Input::Ask { token, ask } => self.asked.push((token, ask)),
            Input::Stop => self.stopping = true,
        }
    }

    fn record_dns(&mut self, addresses: &[NodeId], full: bool, now: Time) {
        self.roster_due = true;
        self.roster.resolved(addresses, full, now);
    }

    fn record_dial(&mut self, addr: NodeId, outcome: Dialled, now: Time) {
        match outcome {
            // News of a run that is over comes late sometimes.
            Dialled::Hive { node, incarnation } if self.peers.is_over(node, incarnation) => return,
            Dialled::Hive { node, incarnation } => self.peers.replaced_by(node, incarnation, now),
            Dialled::Refused => self.peers.refused(addr, now),
            Dialled::Myself | Dialled::Silent | Dialled::Foreign => {}
        }
        self.roster.dialled(addr, outcome, now);
    }

    fn record_frame(&mut self, mut frame: Frame, now: Time) {
        if !self.peers.accept(&mut frame, now) {
            return;
        }
        let from = frame.node;
        self.note_led_on(from);
        match frame.message {
            Message::State(state) => {
                self.see_epoch(state.epoch);
                self.answer_due |= state.asks;
                self.learn_pause(state.pause);
                self.note_led(from, frame.incarnation, &state);
                for resignation in &state.resignations {
                    self.note_resignation(*resignation, now);
                }
            }
            Message::Claim(claim) => {
                self.see_epoch(claim.epoch);
                self.note_claim(from, now);
                self.claims.retain(|(node, _, _)| *node != from);
                self.claims.push((from, claim, now));
            }
            Message::Grant(grant) => self.record_grant(from, grant),
            Message::Denial(denial) => self.record_denial(from, denial),
            Message::Withdrawal(withdrawal) => self.record_withdrawal(from, withdrawal),
            Message::Order(order) => {
                // Its lease counts from what its sender had heard when it was written.
                let state = self.peers.heard(from, now).and_then(|peer| peer.state.as_ref());
                let echo = state.and_then(|state| self.peers.echo(state));
                self.orders.push((from, order, echo));
            }
            Message::Hold(hold) => self.holds.push((from, hold)),
            Message::Held(held) => self.note_held(from, held.epoch),
            Message::Request(request) => self.requests.push((from, request)),
            Message::Answer(answer) => self.note_answer(from, answer),
        }
    }

    fn record_redis(&mut self, view: RedisView, now: Time) {
        match view {
            RedisView::Up(passport) => {
                self.see_passport(passport, now);
                self.sessions.heard(&passport, now);
            }
            RedisView::Busy => self.local.unanswered(false, now),
            RedisView::Silent => self.local.unanswered(true, now),
            // It refuses to be asked: the copy it last stated is still there.
            RedisView::Unfit if self.local.passport.is_some() => self.local.unanswered(true, now),
            RedisView::Gone | RedisView::Unfit => self.lose_redis(),
        }
    }

    fn see_passport(&mut self, passport: Passport, now: Time) {
        if self.local.run_id().is_some_and(|run_id| run_id != passport.run_id) {
            self.lose_redis();
        }
        if passport.role == RedisRole::Replica {
            self.overruled = false;
        }
        let before = self.local.passport.map(|(passport, _)| passport);
        let began = passport.syncing && !before.is_some_and(|before| before.syncing);
        self.local.see(passport, now);
        if began {
            self.note_sync();
        }
    }

    fn lose_redis(&mut self) {
        self.local.lost();
        self.order = None;
        self.writes_paused = false;
        self.overruled = false;
    }

    fn record_probed(&mut self, addr: RedisAddr, view: RedisView, now: Time) {
        self.look.answer(addr, view, now);
        if let (RedisView::Up(passport), Some(answer)) = (view, self.look.at(addr, now)) {
            self.sessions.read(&passport, answer.asked);
        }
    }

    fn record_watched(&mut self, addr: RedisAddr, view: RedisView, now: Time) {
        let Some(watched) = self.watched.as_mut().filter(|w| w.master.addr == addr) else { return };
        match view {
            RedisView::Up(passport) if passport.run_id == watched.master.run_id => {
                (watched.passport, watched.silent_since) = (Some((passport, now)), None);
                (watched.heard, watched.gone) = (Some(now), false);
                watched.replaced = None;
                self.sessions.heard(&passport, now);
            }
            RedisView::Busy => {
                (watched.silent_since, watched.gone) = (None, false);
                watched.heard = Some(now);
            }
            RedisView::Silent | RedisView::Unfit => {
                watched.silent_since.get_or_insert(now);
            }
            RedisView::Up(_) => {
                watched.gone = true;
                watched.replaced.get_or_insert(now);
            }
            RedisView::Gone => watched.gone = true,
        }
    }

    /// What an order of a planned change left behind.
    fn note_master(&mut self, outcome: Result<Passport, OrderError>, now: Time) {
        let Ok(passport) = outcome else { return };
        if let Some(sent) = self.change().map(|change| change.sent) {
            self.sessions.read(&passport, sent);
        }
        let own = self.local.run_id() == Some(passport.run_id);
        if own {
            self.see_passport(passport, now);
        } else if let Some(watched) = &mut self.watched
            && watched.master.run_id == passport.run_id
        {
            (watched.passport, watched.heard) = (Some((passport, now)), Some(now));
        }
    }

    fn record_done(&mut self, id: u64, outcome: Result<Passport, OrderError>, now: Time) {
        if self.note_change_done(id, &outcome) {
            return self.note_master(outcome, now);
        }
        let Some(done) = self.order.filter(|order| order.id == id) else { return };
        self.order = None;
        match &outcome {
            Ok(passport) => self.see_passport(*passport, now),
            Err(_) => self.rebuffed = Some((done.order, now)),
        }
        match (&done.order, &outcome) {
            (RedisOrder::Rescue, Ok(passport)) => {
                self.rescued = Some((passport.run_id, passport.offset));
            }
            (RedisOrder::Rescue, Err(_)) => {
                self.rescued = self.local.passport.map(|(p, _)| (p.run_id, p.offset));
            }
            // One that is refused is not repeated for ever: the pause ends by itself.
            (RedisOrder::ResumeWrites, _) => self.writes_paused = false,
            _ => {}
        }
        if let RedisOrder::Promote { .. } = done.order {
            let wanted = matches!(&self.role, Role::Candidate(candidate)
                if candidate.claim.as_ref().is_some_and(|claim| claim.promotes()));
            // A master that nobody leads with: `steer` parks it.
            self.overruled |= outcome.is_ok() && !wanted;
            self.record_promotion(outcome);
        }
    }
}
