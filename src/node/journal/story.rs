//! What this hive sees on the way from one leadership to the next.

use std::net::IpAddr;
use std::time::Duration;

use crate::election::frame::{Denial, Grant};
use crate::election::{Cause, Copy, CopyState, Epoch, NodeId, Time, View};
use crate::http::figures::PHASE_NAMES;
use crate::http::journal::{Offer, Phase, Vote};

/// Offers and votes kept of one story: more hives than that are not told one by one.
const KEPT: usize = 64;
/// A planned change that has not ended by then was undone.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// The phases, at the places of [`PHASE_NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Prepare,
    Hold,
    Handover,
    Ask,
    Consent,
    Freeze,
    Promote,
    Open,
}

/// The story of one change, as far as it has come.
pub(super) struct Story {
    me: IpAddr,
    priority: u32,
    pub cause: Option<Cause>,
    /// In words.
    pub why: String,
    running: Option<(Step, Time)>,
    began: Time,
    spent: [Duration; PHASE_NAMES.len()],
    claimed: Option<Epoch>,
    offers: Vec<Offer>,
    votes: Vec<Vote>,
}

impl Story {
    pub fn new(me: IpAddr, priority: u32) -> Story {
        Story {
            me,
            priority,
            cause: None,
            why: String::new(),
            running: None,
            began: Time(0),
            spent: Default::default(),
            claimed: None,
            offers: Vec::new(),
            votes: Vec::new(),
        }
    }

    /// The phase that runs.
    pub fn step(&self) -> Option<Step> {
        self.running.map(|(step, _)| step)
    }

    /// Ends the phase that runs and begins this one.
    pub fn enter(&mut self, step: Step, now: Time) {
        if self.step() == Some(step) {
            return;
        }
        self.end_step(now);
        self.running = Some((step, now));
    }

    /// Ends the phase that runs; returns it and how long it lasted.
    pub fn end_step(&mut self, now: Time) -> Option<(Step, Duration)> {
        let (step, since) = self.running.take()?;
        let lasted = now.since(since);
        self.spent[step as usize] += lasted;
        Some((step, lasted))
    }

    /// A planned change begins, or what looks like one.
    pub fn plan(&mut self, step: Step, now: Time) {
        match self.step() {
            None | Some(Step::Open) => {
                self.clear();
                self.began = now;
                self.enter(step, now);
            }
            Some(Step::Prepare) if now.since(self.began) < CHANGE_MAX => self.enter(step, now),
            Some(Step::Prepare) => {
                self.clear();
                self.plan(step, now);
            }
            Some(_) => {}
        }
    }

    /// The leader is lost, or this hive leads no more.
    pub fn lost(&mut self, cause: Cause, why: &str, now: Time) {
        let planned = matches!(self.step(), Some(Step::Prepare | Step::Hold));
        if planned && now.since(self.began) < CHANGE_MAX {
            self.enter(Step::Handover, now);
        } else {
            self.clear();
            self.enter(if cause == Cause::Planned { Step::Handover } else { Step::Ask }, now);
        }
        (self.cause, self.why) = (Some(cause), why.to_owned());
    }

    /// This hive claims, or consents to a claim: what it chose between is put down.
    pub fn chose(&mut self, claimed: Option<Epoch>, view: &View, now: Time) {
        self.claimed = claimed;
        self.enter(Step::Consent, now);
        self.offers.clear();
        let (me, priority) = (self.me, self.priority);
        self.offer(me, view.copy, priority);
        for peer in view.peers.iter().filter(|peer| peer.reachable) {
            self.offer(peer.node.ip, peer.copy, peer.priority);
        }
    }

    /// A claim of this hive is taken back.
    pub fn withdrew(&mut self, now: Time) {
        self.claimed = None;
        self.enter(Step::Ask, now);
    }

    /// Another hive consents to the claim of this one, with a frozen copy.
    pub fn granted_by(&mut self, by: NodeId, grant: &Grant) {
        if self.claimed == Some(grant.epoch) {
            self.vote(by.ip, self.me, grant.epoch, None);
            let priority = self.offers.iter().find(|offer| offer.node == by.ip);
            let priority = priority.map_or(0, |offer| offer.priority);
            if grant.copy.is_some() {
                self.offer(by.ip, grant.copy, priority);
            }
        }
    }

    /// Another hive refuses it.
    pub fn denied_by(&mut self, by: NodeId, denial: &Denial) {
        if self.claimed == Some(denial.epoch) {
            self.vote(by.ip, self.me, denial.epoch, Some(denial.reason.to_string()));
        }
    }

    /// This hive answers the claim of another one; where there is a leader that is no part of a story.
    pub fn answered(&mut self, to: NodeId, epoch: Epoch, refusal: Option<String>) {
        if self.cause.is_some() {
            self.vote(self.me, to.ip, epoch, refusal);
        }
    }

    /// Phases so far, in their order; those that did not happen are left out.
    pub fn phases(&self) -> Vec<Phase> {
        let spent = PHASE_NAMES.iter().zip(self.spent).filter(|(_, spent)| !spent.is_zero());
        let us = |spent: Duration| u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        spent.map(|(name, spent)| Phase { name: (*name).to_owned(), us: us(spent) }).collect()
    }

    /// How long all of it took so far.
    pub fn whole(&self) -> Duration {
        self.spent.iter().sum()
    }

    /// Each phase with its place and its length.
    pub fn spent(&self) -> impl Iterator<Item = (usize, Duration)> {
        self.spent.into_iter().enumerate().filter(|(_, spent)| !spent.is_zero())
    }

    /// There is a leader again: hands out what was gathered, and waits for clients to be let on.
    pub fn tell(&mut self, now: Time) -> (Vec<Offer>, Vec<Vote>) {
        let told = (std::mem::take(&mut self.offers), std::mem::take(&mut self.votes));
        self.clear();
        self.enter(Step::Open, now);
        told
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Story::new(self.me, self.priority);
    }

    fn offer(&mut self, node: IpAddr, copy: Option<Copy>, priority: u32) {
        let offer = Offer {
            node,
            state: copy.map(|copy| word(copy.state).to_owned()),
            offset: copy.map_or(0, |copy| copy.offset),
            keys: copy.map_or(0, |copy| copy.passport.keys),
            priority,
        };
        put(&mut self.offers, offer, |known| known.node == node);
    }

    fn vote(&mut self, by: IpAddr, to: IpAddr, epoch: Epoch, refusal: Option<String>) {
        let granted = refusal.is_none();
        let vote = Vote { by, to, epoch: epoch.0, granted, why: refusal.unwrap_or_default() };
        let key = (by, to, epoch.0);
        put(&mut self.votes, vote, |known| (known.by, known.to, known.epoch) == key);
    }
}

/// Replaces what is the same, or adds, as long as there is room.
fn put<T>(all: &mut Vec<T>, new: T, same: impl Fn(&T) -> bool) {
    match all.iter().position(same) {
        Some(at) => all[at] = new,
        None if all.len() < KEPT => all.push(new),
        None => {}
    }
}

/// The word of a copy's state.
pub(in crate::node) fn word(state: CopyState) -> &'static str {
    match state {
        CopyState::Blank => "blank",
        CopyState::Coming => "coming",
        CopyState::Complete => "complete",
    }
}
