//! The last transitions, for `/status`, `/transitions`, `/events` and `/metrics`, and their lines in the log.
//!
//! The core only says what changed. How it came to that is read from what goes into it and comes out of
//! it: who offered, who consented, how long each phase took, what the old master had stated.

mod lines;
mod loss;
pub(super) mod story;

use std::net::{IpAddr, SocketAddr};

use crate::election::{
    Action, Cause, HiveRole, Input, Leadership, Message, RedisAddr, RedisOrder, Report, ReportKind,
    Route, RunId, Target, Time, View, Wall,
};
use crate::http::figures::{Change, KINDS, Told};
use crate::http::journal::{Journal as Pages, Transition};
use crate::http::status::timestamp;
use lines::Lines;
use loss::{Estimate, Loss};
use story::{Step, Story};

/// A planned change that has not ended by then was undone.
const CHANGE_MAX_MS: u64 = 10_000;

/// What happened lately.
pub(super) struct Journal {
    pages: Pages,
    told: Told,
    story: Story,
    lines: Lines,
    loss: Loss,
    holds: Holds,
    /// The entry that is complete when clients are let on.
    unopened: Option<u64>,
    master: Option<SocketAddr>,
    /// The newest change of leadership here.
    stands: Stands,
    /// The master of the newest leadership, also after that has ended.
    known: Option<(RunId, SocketAddr)>,
    /// When a step of a planned change was last reported.
    change: Option<Wall>,
    /// This hive has claimed or granted since it last had a leader.
    elected: bool,
}

/// Since when clients are held, and which route lets them on.
#[derive(Default)]
struct Holds {
    opened_once: bool,
    since: Option<Time>,
    /// The route that opens, when all threads go by it.
    opening: Option<u64>,
}

/// How this hive stands to the leadership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stands {
    #[default]
    Outside,
    Follows,
    Leads,
    Resigned,
}

impl Journal {
    /// Of the hive at this address with this `--priority`.
    pub fn new(pages: Pages, me: IpAddr, priority: u32) -> Journal {
        let every = KINDS.into_iter().flat_map(|kind| Cause::ALL.map(|cause| (kind, cause.word())));
        let changes = every.map(|(kind, cause)| Change { kind, cause, count: 0 }).collect();
        Journal {
            pages,
            told: Told { changes, ..Told::default() },
            story: Story::new(me, priority),
            lines: Lines::default(),
            loss: Loss::default(),
            holds: Holds::default(),
            unopened: None,
            master: None,
            stands: Stands::default(),
            known: None,
            change: None,
            elected: false,
        }
    }

    /// What was counted so far.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The last ones, newest last, without their details.
    pub fn last(&self, count: usize) -> Vec<Transition> {
        self.pages.last(count)
    }

    /// Looks at what goes into the core.
    pub fn saw(&mut self, input: &Input, now: Time) {
        self.lines.saw(input, now);
        if let Some(estimate) = self.loss.saw(input) {
            self.estimated(estimate);
        }
        match input {
            Input::Frame(frame) => match &frame.message {
                Message::Grant(grant) => self.story.granted_by(frame.node, grant),
                Message::Denial(denial) => self.story.denied_by(frame.node, denial),
                _ => {}
            },
            Input::Routed { id } if self.holds.opening == Some(*id) => self.opened(now),
            _ => {}
        }
    }

    /// Looks at what comes out of the core, but for reports.
    pub fn did(&mut self, action: &Action, now: Time) {
        self.lines.did(action, now);
        match action {
            Action::Send { to, frame } => match &frame.message {
                Message::Grant(grant) => self.story.answered(*to, grant.epoch, None),
                Message::Denial(denial) => {
                    self.story.answered(*to, denial.epoch, Some(denial.reason.to_string()));
                }
                _ => {}
            },
            Action::Route { id, route, .. } => self.routed(*id, route, now),
            Action::Redis { at: Target::Own, order, .. } => match (order, self.story.step()) {
                (RedisOrder::Park, Some(Step::Consent)) => self.story.enter(Step::Freeze, now),
                (RedisOrder::Promote { .. }, Some(step))
                    if step > Step::Hold && step < Step::Open =>
                {
                    self.story.enter(Step::Promote, now);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Logs a report, and keeps it if it changed who leads or whether anybody may. `view` is what holds
    /// after it.
    pub fn write(&mut self, report: &Report, view: &View, now: Time) {
        self.lines.report(report, view);
        match report.kind {
            ReportKind::Warning => {}
            ReportKind::Campaign { cause } => self.lost(cause, &report.reason, now),
            ReportKind::Claim => {
                self.elected = true;
                self.story.chose(Some(report.epoch), view, now);
            }
            ReportKind::Granted => {
                self.elected = true;
                self.story.chose(None, view, now);
            }
            ReportKind::Withdrawn => self.story.withdrew(now),
            ReportKind::Change => {
                self.change = Some(report.at);
                if view.role == HiveRole::Leader && !view.change.is_empty() {
                    self.story.plan(Step::Prepare, now);
                }
            }
            ReportKind::Paused => {
                let kind = if view.paused { "paused" } else { "resumed" };
                self.pages.push(entry(report, kind, self.master, self.master, None));
            }
            ReportKind::Resigned { cause } => {
                self.stands = Stands::Resigned;
                let from = self.master.take();
                let mut entry = entry(report, "resigned", from, None, None);
                entry.cause = cause.word().to_owned();
                self.pages.push(entry);
            }
            ReportKind::Leads { took_ms } => {
                self.settled(report, Stands::Leads, took_ms, view, now);
            }
            ReportKind::Follows { took_ms } => {
                self.settled(report, Stands::Follows, took_ms, view, now);
            }
        }
    }

    /// Says in the log that there is no leader, where that lasts. To be called now and then.
    pub fn overdue(&mut self, view: &View, now: Time) {
        self.lines.overdue(view, now);
    }

    fn lost(&mut self, cause: Cause, why: &str, now: Time) {
        self.unopened = None;
        self.story.lost(cause, why, now);
    }

    /// There is a leader again, or another one.
    fn settled(
        &mut self,
        report: &Report,
        now_stands: Stands,
        took_ms: u64,
        view: &View,
        now: Time,
    ) {
        let Some(leadership) = view.leadership else { return };
        let before = self.known;
        if matches!(self.story.step(), Some(Step::Open)) {
            self.story.clear();
        }
        self.story.end_step(now);
        let kind = self.kind(report.at, now_stands, leadership);
        let cause = match (self.story.cause, before) {
            _ if kind == "switchover" => Cause::Planned,
            (Some(cause), _) => cause,
            (None, None) => Cause::Started,
            (None, Some(_)) if now_stands == Stands::Leads => Cause::Rivals,
            (None, Some(_)) => Cause::Slept,
        };
        self.lines.settled(report, view, kind, cause);
        self.count(kind, cause, took_ms);
        let master = socket(leadership.master.addr);
        let from = before.map(|(_, addr)| addr);
        let mut entry = entry(report, kind, from, Some(master), Some(took_ms));
        entry.leader = Some(leadership.leader.ip);
        entry.cause = cause.word().to_owned();
        entry.why = std::mem::take(&mut self.story.why);
        entry.phases = self.story.phases();
        (entry.offers, entry.votes) = self.story.tell(now);
        let seq = self.pages.push(entry);
        self.unopened = Some(seq);
        self.master = Some(master);
        if let Some(estimate) = self.loss.changed(seq, leadership.master, view) {
            self.estimated(estimate);
        }
    }

    /// What a new leadership is. A planned change ended with it if the master is another one and
    /// nobody was elected: the successor followed until it was ordered to lead, and who led before
    /// had begun the change and resigned.
    fn kind(&mut self, at: Wall, now: Stands, leadership: Leadership) -> &'static str {
        let master = leadership.master;
        let before = std::mem::replace(&mut self.stands, now);
        let known = self.known.replace((master.run_id, socket(master.addr)));
        let elected = std::mem::take(&mut self.elected);
        let begun = self.change.take();
        let begun = begun.is_some_and(|begun| at.0.saturating_sub(begun.0) <= CHANGE_MAX_MS);
        let ordered = before == Stands::Follows && now == Stands::Leads;
        let handed_over = before == Stands::Resigned && begun;
        let held = self.story.spent().any(|(step, _)| step == Step::Handover as usize);
        let moved = known.is_some_and(|(run_id, _)| run_id != master.run_id);
        match (moved, elected, now) {
            (true, false, _) if ordered || handed_over || held => "switchover",
            (true, ..) => "failover",
            (false, _, Stands::Leads) => "leads",
            (false, ..) => "follows",
        }
    }

    fn count(&mut self, kind: &'static str, cause: Cause, took_ms: u64) {
        let mut changes = self.told.changes.iter_mut();
        if let Some(change) = changes.find(|it| it.kind == kind && it.cause == cause.word()) {
            change.count += 1;
        }
        for (at, spent) in self.story.spent() {
            self.told.phases[at].observe(spent);
        }
        match kind {
            "failover" => self.told.failovers.observe(std::time::Duration::from_millis(took_ms)),
            "switchover" => self.told.switchovers.observe(self.story.whole()),
            _ => {}
        }
    }

    fn estimated(&mut self, (seq, bytes): Estimate) {
        self.lines.given_up(bytes);
        self.told.given_up += bytes;
        self.pages.amend(seq, |entry| entry.bytes_given_up = Some(bytes));
    }

    fn routed(&mut self, id: u64, route: &Route, now: Time) {
        self.lines.routed(route, self.holds.opened_once && self.holds.since.is_none());
        match route {
            Route::Forward { .. } => self.holds.opening = Some(id),
            Route::Hold | Route::Held { .. } | Route::Refuse { .. } => {
                self.holds.opening = None;
                if self.holds.opened_once {
                    self.holds.since.get_or_insert(now);
                }
                if matches!(route, Route::Held { .. }) {
                    self.story.plan(Step::Hold, now);
                }
            }
        }
    }

    /// Clients go on.
    fn opened(&mut self, now: Time) {
        self.holds.opening = None;
        let first = !std::mem::replace(&mut self.holds.opened_once, true);
        let held = self.holds.since.take().map(|since| now.since(since));
        if first || held.is_some() {
            self.lines.opened(held.unwrap_or_default());
        }
        if let Some(held) = held {
            self.told.holds.observe(held);
        }
        let step = self.story.step();
        let Some(seq) = self.unopened.take_if(|_| step == Some(Step::Open)) else {
            // A planned change that was undone.
            if matches!(step, Some(Step::Prepare | Step::Hold)) {
                self.story.clear();
            }
            return;
        };
        if let Some((step, lasted)) = self.story.end_step(now) {
            self.told.phases[step as usize].observe(lasted);
        }
        let opened = self.story.phases();
        self.story.clear();
        self.pages.amend(seq, |entry| {
            entry.phases.extend(opened);
            entry.held_us = held.map(|held| held.as_micros() as u64);
        });
    }
}

fn entry(
    report: &Report,
    kind: &str,
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    took_ms: Option<u64>,
) -> Transition {
    Transition {
        at: timestamp(report.at.0),
        epoch: report.epoch.0,
        from,
        to,
        kind: kind.to_owned(),
        reason: report.reason.clone(),
        took_ms,
        ..Transition::default()
    }
}

/// A Redis address as a socket address.
pub(super) fn socket(addr: RedisAddr) -> SocketAddr {
    SocketAddr::new(addr.ip, addr.port)
}

#[cfg(test)]
mod tests;
