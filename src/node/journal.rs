//! The last transitions, for `/status`, and their lines in the log.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::election::{Leadership, RedisAddr, Report, ReportKind};
use crate::http::status::{Transition, timestamp};

/// So many transitions are kept.
const KEPT: usize = 256;

/// What happened lately.
#[derive(Default)]
pub(super) struct Journal {
    transitions: VecDeque<Transition>,
    master: Option<SocketAddr>,
}

impl Journal {
    /// Logs a report, and keeps it if it changed who leads.
    pub fn write(&mut self, report: &Report, leadership: Option<Leadership>) {
        let Report { epoch, reason, .. } = report;
        let (word, took_ms) = match report.kind {
            ReportKind::Campaign => {
                tracing::info!(%epoch, reason, "no leader: asking the others");
                return;
            }
            ReportKind::Claim => {
                tracing::info!(%epoch, reason, "claim");
                return;
            }
            ReportKind::Withdrawn => {
                tracing::info!(%epoch, reason, "claim taken back");
                return;
            }
            ReportKind::Granted => {
                tracing::info!(%epoch, reason, "claim granted");
                return;
            }
            ReportKind::Change => {
                tracing::info!(%epoch, reason, "planned change");
                return;
            }
            ReportKind::Paused => {
                tracing::info!(%epoch, reason, "pause mode");
                return;
            }
            ReportKind::Warning => {
                tracing::warn!(%epoch, "{reason}");
                return;
            }
            ReportKind::Leads { took_ms } => {
                tracing::info!(%epoch, reason, took_ms, "leads");
                ("leads", Some(took_ms))
            }
            ReportKind::Follows { took_ms } => {
                tracing::info!(%epoch, reason, took_ms, "follows");
                ("follows", Some(took_ms))
            }
            ReportKind::Resigned => {
                tracing::info!(%epoch, reason, "resigned");
                ("resigned", None)
            }
        };
        let to = match report.kind {
            ReportKind::Resigned => None,
            _ => leadership.map(|leadership| socket(leadership.master.addr)),
        };
        let from = std::mem::replace(&mut self.master, to);
        if self.transitions.len() >= KEPT {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition {
            at: timestamp(report.at.0),
            epoch: epoch.0,
            from,
            to,
            kind: word.to_owned(),
            reason: reason.clone(),
            took_ms,
        });
    }

    /// Newest last.
    pub fn transitions(&self) -> Vec<Transition> {
        self.transitions.iter().cloned().collect()
    }
}

/// A Redis address as a socket address.
pub(super) fn socket(addr: RedisAddr) -> SocketAddr {
    SocketAddr::new(addr.ip, addr.port)
}
