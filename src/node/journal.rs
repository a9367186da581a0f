//! The last transitions, for `/status`, and their lines in the log.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::election::{Leadership, RedisAddr, Report, ReportKind, Wall};
use crate::http::status::{Transition, timestamp};

/// So many transitions are kept.
const KEPT: usize = 256;
/// A planned change that has not ended by then was undone.
const CHANGE_MAX_MS: u64 = 10_000;

/// What happened lately.
#[derive(Default)]
pub(super) struct Journal {
    transitions: VecDeque<Transition>,
    master: Option<SocketAddr>,
    /// The newest change of leadership here.
    stands: Stands,
    /// When a step of a planned change was last reported.
    change: Option<Wall>,
    /// A campaign was begun since this hive last had a leader.
    campaigned: bool,
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
    /// Logs a report, and keeps it if it changed who leads or whether anybody may. `leadership` and
    /// `paused` are what holds after it.
    pub fn write(&mut self, report: &Report, leadership: Option<Leadership>, paused: bool) {
        log(report);
        let master = leadership.map(|leadership| socket(leadership.master.addr));
        match report.kind {
            ReportKind::Claim
            | ReportKind::Withdrawn
            | ReportKind::Granted
            | ReportKind::Warning => {}
            ReportKind::Campaign => self.campaigned = true,
            ReportKind::Change => self.change = Some(report.at),
            ReportKind::Paused => {
                self.keep(report, if paused { "paused" } else { "resumed" }, self.master, None);
            }
            ReportKind::Resigned => {
                self.stands = Stands::Resigned;
                self.keep(report, "resigned", None, None);
            }
            ReportKind::Leads { took_ms } => {
                let kind = self.enter(report.at, Stands::Leads, "leads");
                self.keep(report, kind, master, Some(took_ms));
            }
            ReportKind::Follows { took_ms } => {
                let kind = self.enter(report.at, Stands::Follows, "follows");
                self.keep(report, kind, master, Some(took_ms));
            }
        }
    }

    /// A new leadership. It ends a planned change where nobody had to campaign for it: the successor
    /// followed until it was ordered to lead, and who led had begun the change before it resigned.
    fn enter(&mut self, at: Wall, now: Stands, otherwise: &'static str) -> &'static str {
        let before = std::mem::replace(&mut self.stands, now);
        let begun = self.change.take();
        let begun = begun.is_some_and(|begun| at.0.saturating_sub(begun.0) <= CHANGE_MAX_MS);
        let ordered = before == Stands::Follows && now == Stands::Leads;
        let handed_over = before == Stands::Resigned && begun;
        let planned = !std::mem::take(&mut self.campaigned) && (ordered || handed_over);
        if planned { "switchover" } else { otherwise }
    }

    fn keep(&mut self, report: &Report, kind: &str, to: Option<SocketAddr>, took_ms: Option<u64>) {
        let from = std::mem::replace(&mut self.master, to);
        if self.transitions.len() >= KEPT {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition {
            at: timestamp(report.at.0),
            epoch: report.epoch.0,
            from,
            to,
            kind: kind.to_owned(),
            reason: report.reason.clone(),
            took_ms,
        });
    }

    /// Newest last.
    pub fn transitions(&self) -> Vec<Transition> {
        self.transitions.iter().cloned().collect()
    }
}

/// One line in the log.
fn log(report: &Report) {
    let Report { epoch, reason, .. } = report;
    let told = match report.kind {
        ReportKind::Warning => {
            tracing::warn!(%epoch, "{reason}");
            return;
        }
        // These say it all.
        ReportKind::Change | ReportKind::Paused => {
            tracing::info!(%epoch, "{reason}");
            return;
        }
        ReportKind::Leads { took_ms } => {
            tracing::info!(%epoch, reason, took_ms, "leads");
            return;
        }
        ReportKind::Follows { took_ms } => {
            tracing::info!(%epoch, reason, took_ms, "follows");
            return;
        }
        ReportKind::Campaign => "no leader: asking the others",
        ReportKind::Claim => "claim",
        ReportKind::Withdrawn => "claim taken back",
        ReportKind::Granted => "claim granted",
        ReportKind::Resigned => "resigned",
    };
    tracing::info!(%epoch, reason, "{told}");
}

/// A Redis address as a socket address.
pub(super) fn socket(addr: RedisAddr) -> SocketAddr {
    SocketAddr::new(addr.ip, addr.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Epoch;

    /// The kinds kept of these reports, one a second.
    fn kinds(reports: &[ReportKind]) -> Vec<String> {
        let mut journal = Journal::default();
        for (at, kind) in (1..).zip(reports) {
            let at = Wall(at * 1000);
            let report = Report { at, epoch: Epoch(1), kind: *kind, reason: String::new() };
            journal.write(&report, None, true);
        }
        journal.transitions().into_iter().map(|transition| transition.kind).collect()
    }

    const LEADS: ReportKind = ReportKind::Leads { took_ms: 1 };
    const FOLLOWS: ReportKind = ReportKind::Follows { took_ms: 1 };

    #[test]
    fn a_planned_change_ends_as_a_switchover_on_both_sides() {
        use ReportKind::*;
        assert_eq!(kinds(&[Campaign, FOLLOWS, LEADS]), ["follows", "switchover"]);
        let old = [Campaign, LEADS, Change, Resigned, FOLLOWS];
        assert_eq!(kinds(&old), ["leads", "resigned", "switchover"]);
    }

    #[test]
    fn an_election_is_no_switchover() {
        use ReportKind::*;
        let failover = [Campaign, FOLLOWS, Change, Campaign, Claim, LEADS, LEADS, FOLLOWS];
        assert_eq!(kinds(&failover), ["follows", "leads", "leads", "follows"]);
        let undone = [LEADS, Change, Warning, Resigned, Campaign, FOLLOWS];
        assert_eq!(kinds(&undone), ["leads", "resigned", "follows"]);
        let long_ago = [&[LEADS, Change][..], &[Warning; 10], &[Resigned, FOLLOWS]].concat();
        assert_eq!(kinds(&long_ago), ["leads", "resigned", "follows"]);
    }

    #[test]
    fn pause_mode_is_kept_and_changes_no_master() {
        assert_eq!(kinds(&[ReportKind::Paused]), ["paused"]);
    }
}
