//! What `/metrics` tells besides the status: put together from the rooms.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::show::Sources;
use crate::discovery::ServiceState;
use crate::election::{CopyState, View};
use crate::http::Figures;
use crate::http::figures::{
    CopyFigures, DnsFigures, LinkFigures, ProxyFigures, ReplicationFigures, SecretFigures,
};
use crate::peer::PeerCounts;
use crate::proxy::{Counters, Why};
use crate::redis::{AccessAges, BootFence, Facts};
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
    pub fn read(&mut self, from: &Sources<'_>, links: PeerCounts, access: AccessAges) {
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
            copies: copies(&from.view),
            boot_fence: fenced(from.facts.boot_fence),
            secrets: self.secret_figures(access),
        };
        self.sender.send_replace(Arc::new(figures));
    }

    fn secret_figures(&mut self, access: AccessAges) -> SecretFigures {
        let secrets = self.keyring.secrets();
        if !Arc::ptr_eq(&secrets, &self.secrets.0) {
            self.secrets = (secrets, Instant::now());
        }
        let (secrets, since) = &self.secrets;
        let in_force = secrets.first().map(|_| since.elapsed());
        SecretFigures {
            ages: aged([("hive", in_force), ("redis", access.in_force)]),
            read_ages: aged([("hive", self.keyring.read_age()), ("redis", access.read)]),
            refused: access.refused,
            certificates: access.certificates,
        }
    }
}

fn aged(ages: [(&'static str, Option<Duration>); 2]) -> Vec<(&'static str, Duration)> {
    ages.into_iter().filter_map(|(whose, age)| Some((whose, age?))).collect()
}

/// A witness has no copy, and what a Redis held that does not answer may be gone.
fn copies(view: &View) -> CopyFigures {
    let own = view.copy.filter(|_| view.redis_answers);
    let others = view.peers.iter().filter(|peer| peer.reachable && peer.redis_answers);
    let mut found = CopyFigures::default();
    for copy in others.filter_map(|peer| peer.copy).chain(own) {
        match copy.state {
            CopyState::Complete if copy.current => found.current += 1,
            CopyState::Complete => found.complete += 1,
            CopyState::Coming => found.coming += 1,
            CopyState::Blank => found.blank += 1,
        }
    }
    found
}

fn fenced(fence: BootFence) -> Option<bool> {
    match fence {
        BootFence::Unknown => None,
        BootFence::Present => Some(true),
        BootFence::Missing => Some(false),
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
