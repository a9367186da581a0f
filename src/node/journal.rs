//! The last transitions, for `/status`, and their lines in the log.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::election::{RedisAddr, Report, ReportKind, View, Wall};
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
    /// When a step of a planned change was last reported, with no campaign since.
    change: Option<Wall>,
}

impl Journal {
    /// Logs a report, and keeps it if it changed who leads or whether anybody may. `view` is what
    /// the core shows after it.
    pub fn write(&mut self, report: &Report, view: &View) {
        log(report);
        let master = view.leadership.map(|leadership| socket(leadership.master.addr));
        match report.kind {
            ReportKind::Claim
            | ReportKind::Withdrawn
            | ReportKind::Granted
            | ReportKind::Warning => {}
            // Nobody asks for a leader in a planned change.
            ReportKind::Campaign => self.change = None,
            ReportKind::Change => self.change = Some(report.at),
            ReportKind::Paused => {
                let word = if view.paused { "paused" } else { "resumed" };
                self.keep(report, word, self.master, None);
            }
            ReportKind::Resigned => self.keep(report, "resigned", None, None),
            ReportKind::Leads { took_ms } => {
                let word = self.kind(report.at, "leads");
                self.keep(report, word, master, Some(took_ms));
            }
            ReportKind::Follows { took_ms } => {
                let word = self.kind(report.at, "follows");
                self.keep(report, word, master, Some(took_ms));
            }
        }
    }

    /// A new leadership ends a planned change, where one was under way.
    fn kind(&mut self, at: Wall, otherwise: &'static str) -> &'static str {
        let begun = self.change.take();
        let planned = begun.is_some_and(|begun| at.0.saturating_sub(begun.0) <= CHANGE_MAX_MS);
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
        ReportKind::Change => "planned change",
        ReportKind::Paused => "pause mode",
    };
    tracing::info!(%epoch, reason, "{told}");
}

/// A Redis address as a socket address.
pub(super) fn socket(addr: RedisAddr) -> SocketAddr {
    SocketAddr::new(addr.ip, addr.port)
}
