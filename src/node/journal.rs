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
    /// The master of the newest leadership, also after that has ended.
    known: Option<SocketAddr>,
    /// When a step of a planned change was last reported.
    change: Option<Wall>,
    /// This hive has claimed or granted since it last had a leader.
    elected: bool,
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
            ReportKind::Campaign | ReportKind::Withdrawn | ReportKind::Warning => {}
            ReportKind::Claim | ReportKind::Granted => self.elected = true,
            ReportKind::Change => self.change = Some(report.at),
            ReportKind::Paused => {
                self.keep(report, if paused { "paused" } else { "resumed" }, self.master, None);
            }
            ReportKind::Resigned => {
                self.stands = Stands::Resigned;
                self.keep(report, "resigned", None, None);
            }
            ReportKind::Leads { took_ms } => {
                let moved = self.moved(report.at, Stands::Leads, master);
                self.keep(
                    report,
                    if moved { "switchover" } else { "leads" },
                    master,
                    Some(took_ms),
                );
            }
            ReportKind::Follows { took_ms } => {
                let moved = self.moved(report.at, Stands::Follows, master);
                let word = if moved { "switchover" } else { "follows" };
                self.keep(report, word, master, Some(took_ms));
            }
        }
    }

    /// A new leadership; whether a planned change ended with it. Then the master is another one and
    /// nobody was elected: the successor followed until it was ordered to lead, and who led before
    /// had begun the change and resigned.
    fn moved(&mut self, at: Wall, now: Stands, master: Option<SocketAddr>) -> bool {
        let before = std::mem::replace(&mut self.stands, now);
        let known = std::mem::replace(&mut self.known, master);
        let elected = std::mem::take(&mut self.elected);
        let begun = self.change.take();
        let begun = begun.is_some_and(|begun| at.0.saturating_sub(begun.0) <= CHANGE_MAX_MS);
        let ordered = before == Stands::Follows && now == Stands::Leads;
        let handed_over = before == Stands::Resigned && begun;
        known.is_some() && known != master && !elected && (ordered || handed_over)
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
    use super::ReportKind::*;
    use super::*;
    use crate::election::{Epoch, Id, Incarnation, Master, NodeId};

    /// What is kept of these reports, one a second, each with the master there is after it.
    fn kinds(reports: &[(ReportKind, u8)]) -> Vec<String> {
        let mut journal = Journal::default();
        for (at, (kind, master)) in (1..).zip(reports) {
            let (at, ip) = (Wall(at * 1000), [10, 0, 0, *master].into());
            let report = Report { at, epoch: Epoch(1), kind: *kind, reason: String::new() };
            let (addr, none) = (RedisAddr::new(ip, 6379), Id::NONE);
            let leadership = Leadership {
                epoch: Epoch(1),
                leader: NodeId::new(ip, 6390),
                incarnation: Incarnation(1),
                master: Master { addr, run_id: none, replid: none, root: none },
            };
            journal.write(&report, Some(leadership), true);
        }
        journal.transitions().into_iter().map(|transition| transition.kind).collect()
    }

    const LEADS: ReportKind = Leads { took_ms: 1 };
    const FOLLOWS: ReportKind = Follows { took_ms: 1 };

    #[test]
    fn a_planned_change_ends_as_a_switchover_on_both_sides() {
        let successor = [(Campaign, 0), (FOLLOWS, 1), (Campaign, 0), (LEADS, 2)];
        assert_eq!(kinds(&successor), ["follows", "switchover"]);
        let old = [(Claim, 0), (LEADS, 1), (Change, 1), (Resigned, 0), (Campaign, 0), (FOLLOWS, 2)];
        assert_eq!(kinds(&old), ["leads", "resigned", "switchover"]);
    }

    #[test]
    fn an_election_is_no_switchover() {
        let successor = [(FOLLOWS, 1), (Campaign, 0), (Claim, 0), (LEADS, 2)];
        assert_eq!(kinds(&successor), ["follows", "leads"]);
        let lost = [(LEADS, 1), (Change, 1), (Resigned, 0), (Granted, 0), (FOLLOWS, 2)];
        assert_eq!(kinds(&lost), ["leads", "resigned", "follows"]);
        let healed = [(LEADS, 1), (Resigned, 0), (FOLLOWS, 2)];
        assert_eq!(kinds(&healed), ["leads", "resigned", "follows"]);
        let undone = [&[(LEADS, 1), (Change, 1)][..], &[(Warning, 1); 10]].concat();
        let long_ago = [&undone[..], &[(Resigned, 0), (FOLLOWS, 2)]].concat();
        assert_eq!(kinds(&long_ago), ["leads", "resigned", "follows"]);
    }

    /// A regent gives its leadership to the hive beside the master.
    #[test]
    fn another_leader_of_the_same_master_is_no_switchover() {
        assert_eq!(kinds(&[(FOLLOWS, 1), (LEADS, 1)]), ["follows", "leads"]);
    }

    #[test]
    fn pause_mode_is_kept() {
        assert_eq!(kinds(&[(FOLLOWS, 1), (Paused, 1)]), ["follows", "paused"]);
    }
}
