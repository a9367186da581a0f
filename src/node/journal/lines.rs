//! The lines in the log that tell how leaderships come and go: a short story a hive, in words and fields
//! that stay the same (docs/logs.md).

use std::time::Duration;

use crate::election::{
    Action, Cause, Epoch, HiveRole, Input, RedisAddr, RedisOrder, Report, ReportKind, Route, Time,
    View,
};

/// A hive without a leader says so after this time if it ever had one,
const WITHOUT: Duration = Duration::from_secs(1);
/// else after this one: at the start of a pod nothing is late yet.
const WITHOUT_AT_START: Duration = Duration::from_secs(10);
/// It says so again as often as this.
const WITHOUT_AGAIN: Duration = Duration::from_secs(60);

/// What was said, as far as the next line depends on it.
#[derive(Default)]
pub(super) struct Lines {
    /// The order to promote a Redis that is out, and since when.
    promotion: Option<(u64, Time)>,
    /// Why this hive has just resigned.
    resigned: Option<String>,
    /// Where clients are led to.
    place: Option<(Epoch, RedisAddr)>,
    /// Nobody leads, as far as this hive knows: since when, and when that is worth a line.
    without: Option<(Time, Time)>,
    /// The newest leadership.
    epoch: Option<Epoch>,
}

impl Lines {
    /// A report that tells of no new leadership.
    pub fn report(&mut self, report: &Report, view: &View) {
        let (epoch, reason) = (report.epoch.0, report.reason.as_str());
        let resigned = self.resigned.take();
        match report.kind {
            ReportKind::Warning if view.stopping => tracing::warn!(epoch, reason, "attention"),
            // Without a leader that is only what it waits for; at the start everybody does.
            ReportKind::Warning if waits(view) && self.epoch.is_none() => {
                tracing::debug!(epoch, reason, "waits");
            }
            ReportKind::Warning if waits(view) => tracing::info!(epoch, reason, "waits"),
            ReportKind::Warning => tracing::warn!(epoch, reason, "attention"),
            ReportKind::Change => tracing::info!(epoch, reason, "planned change"),
            ReportKind::Paused => tracing::info!(epoch, paused = view.paused, "pause mode"),
            // Who resigns has said why.
            ReportKind::Campaign { .. } if resigned.as_deref() == Some(reason) => {}
            ReportKind::Campaign { cause: Cause::Started } => {
                tracing::debug!(epoch, "looks for a leader");
            }
            ReportKind::Campaign { cause } => {
                tracing::info!(epoch, cause = cause.word(), reason, "without a leader");
            }
            ReportKind::Claim => tracing::info!(epoch, reason, "asks to lead"),
            ReportKind::Withdrawn => tracing::info!(epoch, reason, "leads not after all"),
            ReportKind::Granted => tracing::info!(epoch, reason, "consents"),
            ReportKind::Resigned { cause } => {
                self.resigned = Some(reason.to_owned());
                tracing::info!(epoch, cause = cause.word(), reason, "resigned");
            }
            ReportKind::Leads { .. } | ReportKind::Follows { .. } => {}
        }
    }

    /// A new leadership, and what kind of a change it is.
    pub fn settled(&mut self, report: &Report, view: &View, kind: &'static str, cause: Cause) {
        let Some(leadership) = view.leadership else { return };
        let (epoch, cause) = (report.epoch.0, cause.word());
        let master = leadership.master.addr;
        match report.kind {
            ReportKind::Leads { took_ms } => {
                let reason = report.reason.as_str();
                tracing::info!(epoch, kind, cause, %master, took_ms, reason, "leads");
            }
            ReportKind::Follows { took_ms } => {
                let leader = leadership.leader;
                tracing::info!(epoch, kind, cause, %leader, %master, took_ms, "follows");
            }
            _ => {}
        }
        self.epoch = Some(report.epoch);
    }

    /// Looks at what goes into the core.
    pub fn saw(&mut self, input: &Input, now: Time) {
        if let Input::Done { id, outcome: Ok(_) } = input
            && let Some((_, since)) = self.promotion.take_if(|(order, _)| order == id)
        {
            tracing::info!(took_ms = millis(now.since(since)), "Redis is promoted");
        }
    }

    /// Looks at what comes out of it.
    pub fn did(&mut self, action: &Action, now: Time) {
        if let Action::Redis { id, order: RedisOrder::Promote { .. }, .. } = action {
            self.promotion = Some((*id, now));
        }
    }

    /// Clients are to go by this route.
    pub fn routed(&mut self, route: &Route, was_open: bool) {
        match route {
            Route::Forward { epoch, master, .. } => self.place = Some((*epoch, *master)),
            Route::Refuse { reason } => tracing::warn!(reason, "clients are turned away"),
            Route::Hold | Route::Held { .. } if was_open => tracing::info!("clients wait"),
            Route::Hold | Route::Held { .. } => {}
        }
    }

    /// They do, after they were held for so long.
    pub fn opened(&self, held: Duration) {
        let Some((epoch, master)) = self.place else { return };
        tracing::info!(epoch = epoch.0, %master, held_ms = millis(held), "clients are served");
    }

    /// So much of what the master before had stated is gone.
    pub fn given_up(&self, bytes: u64) {
        let epoch = self.epoch.unwrap_or_default().0;
        if bytes == 0 {
            tracing::info!(epoch, bytes, "bytes given up");
        } else {
            tracing::warn!(epoch, bytes, "bytes given up");
        }
    }

    /// Warns while there is no leader.
    pub fn overdue(&mut self, view: &View, now: Time) {
        if view.leadership.is_some() {
            self.without = None;
            return;
        }
        let patience = if self.epoch.is_some() { WITHOUT } else { WITHOUT_AT_START };
        let (since, due) = self.without.get_or_insert((now, now + patience));
        if now >= *due {
            *due = now + WITHOUT_AGAIN;
            let seconds = now.since(*since).as_secs();
            tracing::warn!(seconds, reason = view.waiting, "still without a leader");
        }
    }
}

/// Whether this hive looks for a leader.
fn waits(view: &View) -> bool {
    matches!(view.role, HiveRole::Starting | HiveRole::Candidate)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer};
    use tracing_subscriber::prelude::*;

    use super::super::tests::view;
    use super::*;
    use crate::election::Wall;

    /// Keeps lines at `info` and above: the level and the message.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.push_str(&format!(" {value:?}"));
            }
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Paper {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let level = *event.metadata().level();
            if level <= tracing::Level::INFO {
                let mut line = Line(level.to_string());
                event.record(&mut line);
                self.0.lock().expect("no panic").push(line.0);
            }
        }
    }

    /// What is written meanwhile.
    fn written(what: impl FnOnce(&mut Lines)) -> Vec<String> {
        let paper = Paper::default();
        let log = tracing_subscriber::registry().with(paper.clone());
        tracing::subscriber::with_default(log, || what(&mut Lines::default()));
        paper.0.lock().expect("no panic").clone()
    }

    fn report(kind: ReportKind, reason: &str) -> Report {
        Report { at: Wall(0), epoch: Epoch(1), kind, reason: reason.to_owned() }
    }

    fn at(ms: u64) -> Time {
        Time(ms * 1000)
    }

    fn alone(role: HiveRole) -> View {
        View { role, leadership: None, ..view(1) }
    }

    const CAMPAIGN: ReportKind = ReportKind::Campaign { cause: Cause::Redis };
    const RESIGNED: ReportKind = ReportKind::Resigned { cause: Cause::Redis };

    #[test]
    fn why_a_leader_resigned_is_said_once() {
        let told = written(|lines| {
            let view = alone(HiveRole::Candidate);
            lines.report(&report(RESIGNED, "its Redis is gone"), &view);
            lines.report(&report(CAMPAIGN, "its Redis is gone"), &view);
            lines.report(&report(CAMPAIGN, "its Redis is gone"), &view);
        });
        assert_eq!(told, ["INFO resigned", "INFO without a leader"]);
    }

    #[test]
    fn what_a_hive_waits_for_is_a_warning_when_it_leads_or_follows() {
        let warning = report(ReportKind::Warning, "something");
        let leads = ReportKind::Leads { took_ms: 1 };
        let told = written(|lines| {
            lines.report(&warning, &alone(HiveRole::Starting));
            lines.report(&warning, &alone(HiveRole::Candidate));
            lines.settled(&report(leads, ""), &view(1), "leads", Cause::Started);
            lines.report(&warning, &view(1));
            lines.report(&warning, &alone(HiveRole::Candidate));
            lines.report(&warning, &View { stopping: true, ..alone(HiveRole::Candidate) });
        });
        assert_eq!(told, ["INFO leads", "WARN attention", "INFO waits", "WARN attention"]);
    }

    #[test]
    fn a_hive_without_a_leader_says_so_after_a_while_and_every_minute() {
        let alone = alone(HiveRole::Candidate);
        let said = |known: bool, times: &[u64]| {
            let leads = ReportKind::Leads { took_ms: 1 };
            let told = written(|lines| {
                if known {
                    lines.settled(&report(leads, ""), &view(1), "leads", Cause::Started);
                }
                times.iter().for_each(|ms| lines.overdue(&alone, at(*ms)));
            });
            told.iter().filter(|line| *line == "WARN still without a leader").count()
        };
        assert_eq!(said(false, &[0, 9_999]), 0, "a start takes a while");
        assert_eq!(said(false, &[0, 10_000, 10_100, 69_999]), 1);
        assert_eq!(said(false, &[0, 10_000, 70_000]), 2);
        assert_eq!(said(true, &[0, 999]), 0, "an election is no reason to worry");
        assert_eq!(said(true, &[0, 1_000, 1_100]), 1);
        let told = written(|lines| {
            lines.overdue(&alone, at(0));
            lines.overdue(&view(1), at(9_000));
            lines.overdue(&alone, at(9_500));
            lines.overdue(&alone, at(19_000));
        });
        assert!(told.is_empty(), "it counts from the loss: {told:?}");
    }

    #[test]
    fn lost_bytes_are_a_warning() {
        let told = written(|lines| [0, 7].into_iter().for_each(|bytes| lines.given_up(bytes)));
        assert_eq!(told, ["INFO bytes given up", "WARN bytes given up"]);
    }
}
