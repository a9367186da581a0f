//! What `/metrics` tells besides the status: put together from the rooms.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::show::Sources;
use crate::discovery::ServiceState;
use crate::http::Figures;
use crate::http::figures::{DnsFigures, LinkFigures, ProxyFigures, ReplicationFigures};
use crate::peer::PeerCounts;
use crate::proxy::{Counters, Why};
use crate::redis::Facts;
use crate::secrets::{Keyring, Secrets};

/// Reads all figures at once, for whoever asks next.
pub(super) struct Meter {
    started_at: f64,
    keyring: Keyring,
    /// The secrets in force, and since when.
    secrets: (Arc<Secrets>, Instant),
    sender: watch::Sender<Arc<Figures>>,
}

impl Meter {
    /// A meter, and what it shows.
    pub fn new(keyring: Keyring) -> (Meter, watch::Receiver<Arc<Figures>>) {
        let (sender, receiver) = watch::channel(Arc::default());
        let secrets = (keyring.secrets(), Instant::now());
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_at = started_at.as_secs_f64();
        (Meter { started_at, keyring, secrets, sender }, receiver)
    }

    /// Shows what is now.
    pub fn read(&mut self, from: &Sources<'_>, links: PeerCounts) {
        let secrets = self.keyring.secrets();
        if !Arc::ptr_eq(&secrets, &self.secrets.0) {
            self.secrets = (secrets, Instant::now());
        }
        let (secrets, since) = &self.secrets;
        let reachable = from.view.peers.iter().filter(|peer| peer.reachable).count();
        let figures = Figures {
            started_at: self.started_at,
            reachable: reachable as u64,
            master_offset: from.view.master_offset,
            told: from.journal.told().clone(),
            redis: replication(from.facts),
            dns: dns(&from.dns),
            write: endpoint(&from.proxy),
            read: from.reads.as_ref().map(|(counters, _)| endpoint(counters)),
            links: link_figures(&links),
            secret_age: secrets.first().map(|_| since.elapsed()),
        };
        self.sender.send_replace(Arc::new(figures));
    }
}

fn replication(facts: &Facts) -> ReplicationFigures {
    let syncs = facts.syncs;
    ReplicationFigures {
        full: syncs.full,
        partial: syncs.partial,
        partial_refused: syncs.partial_refused,
        master_silent: syncs.master_silent,
        acknowledged: facts.acknowledged.clone(),
    }
}

fn dns(services: &[ServiceState]) -> DnsFigures {
    services.iter().fold(DnsFigures::default(), |sum, service| DnsFigures {
        complete: sum.complete + service.rounds.complete,
        partly: sum.partly + service.rounds.partly,
        failed: sum.failed + service.rounds.failed,
    })
}

fn endpoint(counters: &Counters) -> ProxyFigures {
    ProxyFigures {
        clients: counters.clients,
        held: counters.held,
        attached: counters.attached,
        accepted: counters.accepted_total,
        over_limit: counters.over_limit_total,
        no_master: counters.refused_total.saturating_sub(counters.over_limit_total),
        moved: counters.moved_total,
        cut: Why::ALL.into_iter().map(reason).zip(counters.cut).collect(),
        up: counters.bytes_up,
        down: counters.bytes_down,
        spliced: counters.bytes_spliced,
    }
}

/// Why a session was cut, in one word.
fn reason(why: Why) -> &'static str {
    match why {
        Why::Stale => "stale",
        Why::Outstanding => "outstanding",
        Why::HalfRequest => "half_request",
        Why::Blocked => "blocked",
        Why::Transaction => "transaction",
        Why::Subscribed => "subscribed",
        Why::Tracking => "tracking",
        Why::Waited => "waited",
        Why::Script => "script",
        Why::Foreign => "foreign",
        Why::Bound => "bound",
        Why::Tunnel => "tunnel",
        Why::Refused => "refused",
        Why::Off => "off",
    }
}

fn link_figures(counts: &PeerCounts) -> LinkFigures {
    LinkFigures {
        links: counts.links as u64,
        frames_in: counts.frames_in,
        frames_out: counts.frames_out,
        bytes_in: counts.bytes_in,
        bytes_out: counts.bytes_out,
        closed: vec![
            ("foreign", counts.foreign),
            ("malformed", counts.malformed),
            ("mute", counts.mute),
            ("has_secret", counts.has_secret),
            ("no_secret", counts.no_secret),
            ("wrong_secret", counts.wrong_secret),
            ("forged", counts.forged),
            ("truncated", counts.truncated),
            ("old_secret", counts.old_secret),
            ("turned_away", counts.turned_away),
            ("duplicate", counts.duplicates),
            ("overflowed", counts.overflowed),
            ("idle", counts.idle),
        ],
    }
}
