//! `GET /metrics`: what a hive counts and measures, for Prometheus.
//!
//! OpenMetrics where it is asked for, else the older text format. Every name is documented in
//! `docs/metrics.md`. Labels come from fixed sets, but for peers and replicas, of which the first
//! [`PEERS_MAX`] are told: what is told does not grow with the load.

mod encode;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::{Registry, Unit};

use super::figures::{Figures, Histogram, PHASE_NAMES, ProxyFigures};
use super::status::{Role, RouteKind, Status};
use super::{Answer, answer};
use encode::{About, Page, classic, labelled};

/// Peers, and replicas, with figures of their own.
const PEERS_MAX: usize = 64;
const PREFIX: &str = "redis_hive";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One moment, to be written.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub status: Arc<Status>,
    pub figures: Arc<Figures>,
    /// Who listens to `/events`.
    pub listeners: usize,
}

/// The page in the format that was asked for.
pub(super) fn page(moment: Moment, headers: &HeaderMap) -> Answer {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(moment));
    let mut page = String::new();
    if let Err(error) = text::encode(&mut page, &registry) {
        return super::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n"));
    }
    if wants_open_metrics(headers) {
        answer(StatusCode::OK, OPEN_METRICS, page.into())
    } else {
        answer(StatusCode::OK, CLASSIC, classic(&page).into())
    }
}

/// Whether OpenMetrics is named among what is accepted, and not as what is not (`q=0`).
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
        named && !refused
    })
}

impl Collector for Moment {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut page = Page::new(encoder);
        self.hive(&mut page)?;
        self.secrets(&mut page)?;
        self.leadership(&mut page)?;
        self.peers(&mut page)?;
        self.links(&mut page)?;
        self.redis(&mut page)?;
        self.dns(&mut page)?;
        self.proxy(&mut page)?;
        self.sessions(&mut page)
    }
}

type Written = Result<(), std::fmt::Error>;

/// Each name once, with its smallest age: a master lists a replica twice when the end of its first
/// connection was not seen, and Prometheus takes no page that has a series twice.
fn youngest(ages: &[(String, Duration)]) -> impl Iterator<Item = (&str, Duration)> {
    let mut youngest = BTreeMap::new();
    for (name, age) in ages {
        let kept = youngest.entry(name.as_str()).or_insert(*age);
        *kept = (*age).min(*kept);
    }
    youngest.into_iter()
}

impl Moment {
    fn hive(&self, page: &mut Page<'_>) -> Written {
        let (status, figures) = (&*self.status, &*self.figures);
        page.gauge(
            About::of("build_info", "Which version runs; always 1"),
            [(labelled([("version", env!("CARGO_PKG_VERSION"))]), 1)],
        )?;
        let about = About::of("start_timestamp", "When this hive started").unit(Unit::Seconds);
        page.gauge(about, [(Vec::new(), figures.started_at)])?;
        use Role::*;
        let roles = [Starting, Follower, Candidate, Leader, Draining, Witness];
        page.gauge(
            About::of("role", "What this hive is: 1 at its role"),
            roles.map(|role| (labelled([("role", role.word())]), u64::from(status.role == role))),
        )?;
        let routes = [
            ("hold", RouteKind::Hold),
            ("forward", RouteKind::Forward),
            ("refuse", RouteKind::Refuse),
        ];
        page.gauge(
            About::of("route", "What the proxy does with clients: 1 at what it does"),
            routes.map(|(word, route)| {
                (labelled([("route", word)]), u64::from(status.route == route))
            }),
        )?;
        page.single("paused", "Whether fail-over is paused", u64::from(status.paused))?;
        let problems = status.problems.len() as u64;
        page.single("problems", "Problems that /status lists", problems)?;
        page.single("event_listeners", "Connections that listen to /events", self.listeners as u64)
    }

    fn leadership(&self, page: &mut Page<'_>) -> Written {
        let (status, told) = (&*self.status, &self.figures.told);
        page.single("epoch", "The epoch of the leadership, or the highest seen", status.epoch)?;
        let lease = status.lease_ms.map(|ms| (Vec::new(), ms as f64 / 1000.0));
        let about = About::of("lease_remaining", "What is left of the lease; only with --quorum");
        page.gauge(about.unit(Unit::Seconds), lease)?;
        page.counter(
            About::of("leader_changes", "Changes of the leadership"),
            told.changes.iter().map(|change| {
                (labelled([("kind", change.kind), ("reason", change.cause)]), change.count)
            }),
        )?;
        let seconds = |name, help| About::of(name, help).unit(Unit::Seconds);
        let whole = |histogram| [(Vec::new(), histogram)];
        page.histogram(
            seconds("failover_duration", "From losing the leader to another master, unplanned"),
            whole(told.failovers),
        )?;
        page.histogram(
            seconds("switchover_duration", "The same where it was planned"),
            whole(told.switchovers),
        )?;
        page.histogram(
            seconds("write_hold_duration", "How long clients were held or turned away"),
            whole(told.holds),
        )?;
        let phases: Vec<(encode::Labels, Histogram)> = PHASE_NAMES
            .iter()
            .zip(told.phases)
            .map(|(name, histogram)| (labelled([("phase", *name)]), histogram))
            .collect();
        page.histogram(seconds("election_phase_duration", "The phases of all changes"), phases)?;
        let help = "Bytes that old masters had stated and new ones did not have";
        page.counter(About::of("given_up", help).unit(Unit::Bytes), [(Vec::new(), told.given_up)])
    }

    fn peers(&self, page: &mut Page<'_>) -> Written {
        let (status, figures) = (&*self.status, &*self.figures);
        let silent = (status.peers.len() as u64).saturating_sub(figures.reachable);
        page.gauge(
            About::of("peers", "Other hives, by whether they are heard and hear this one"),
            [("reachable", figures.reachable), ("silent", silent)]
                .map(|(state, count)| (labelled([("state", state)]), count)),
        )?;
        let mut peers: Vec<_> = status.peers.iter().collect();
        peers.sort_by_key(|peer| peer.addr);
        peers.truncate(PEERS_MAX);
        let of = |addr: std::net::SocketAddr| vec![("peer", addr.to_string())];
        let ages = peers.iter().filter_map(|peer| Some((peer.addr, peer.last_heard_ms?)));
        page.gauge(
            About::of("peer_heartbeat_age", "Time since a peer's last frame").unit(Unit::Seconds),
            ages.map(|(addr, ms)| (of(addr), ms as f64 / 1000.0)),
        )?;
        let master = figures.master_offset;
        let lags =
            peers.iter().filter_map(|peer| Some((peer.addr, master?.saturating_sub(peer.offset?))));
        page.gauge(
            About::of("peer_replication_lag", "What a peer's copy lacks of the master's stream")
                .unit(Unit::Bytes),
            lags.map(|(addr, lag)| (of(addr), lag)),
        )
    }

    fn links(&self, page: &mut Page<'_>) -> Written {
        let links = &self.figures.links;
        page.single("peer_links", "Live links to other hives", links.links)?;
        let both = |received, sent| {
            [("in", received), ("out", sent)]
                .map(|(direction, count)| (labelled([("direction", direction)]), count))
        };
        page.counter(
            About::of("peer_frames", "Frames of the peer protocol"),
            both(links.frames_in, links.frames_out),
        )?;
        page.counter(
            About::of("peer", "Bytes of the peer protocol, without hellos").unit(Unit::Bytes),
            both(links.bytes_in, links.bytes_out),
        )?;
        page.counter(
            About::of("peer_connections_closed", "Connections to the peer port that were closed"),
            links.closed.iter().map(|(reason, count)| (labelled([("reason", *reason)]), *count)),
        )
    }

    fn redis(&self, page: &mut Page<'_>) -> Written {
        let (redis, figures) = (&self.status.redis, &self.figures.redis);
        // What was known of one that does not answer says nothing about now.
        let now = |what: bool| u64::from(redis.up && what);
        let is = |word: &str| now(redis.role.as_deref() == Some(word));
        page.single("redis_up", "Whether the local Redis answers", u64::from(redis.up))?;
        page.gauge(
            About::of("redis_role", "The role of the local Redis: 1 at its role"),
            ["master", "replica"].map(|word| (labelled([("role", word)]), is(word))),
        )?;
        let (complete, current) = (now(redis.complete), now(redis.current));
        page.single("copy_complete", "Whether the local copy is whole", complete)?;
        page.single("copy_current", "Whether the local copy is whole and up to date", current)?;
        let fence = self.figures.boot_fence.map(|fence| (Vec::new(), u64::from(fence)));
        let help = "Whether the local Redis started so that it cannot be a master by accident";
        page.gauge(About::of("boot_fence", help), fence)?;
        let known = self.figures.copies;
        let states = [
            ("current", known.current),
            ("complete", known.complete),
            ("coming", known.coming),
            ("blank", known.blank),
        ];
        page.gauge(
            About::of("copies", "Copies that this hive knows of, its own and those in reach"),
            states.map(|(state, count)| (labelled([("state", state)]), count)),
        )?;
        let bytes = |name, help| About::of(name, help).unit(Unit::Bytes);
        page.gauge(
            bytes("replication_offset", "Where the local Redis is in the stream"),
            redis.role.as_ref().map(|_| (Vec::new(), redis.offset)),
        )?;
        page.gauge(
            bytes("replication_lag", "What the local copy lacks of the master's stream"),
            redis.lag_bytes.map(|lag| (Vec::new(), lag)),
        )?;
        page.gauge(
            About::of("master_silence", "Of a replica: time since its master sent anything")
                .unit(Unit::Seconds),
            figures.master_silent.map(|span| (Vec::new(), span.as_secs_f64())),
        )?;
        page.gauge(
            About::of("replica_ack_age", "Of a master: time since a replica's acknowledgement")
                .unit(Unit::Seconds),
            youngest(&figures.acknowledged)
                .take(PEERS_MAX)
                .map(|(replica, age)| (vec![("replica", replica.to_owned())], age.as_secs_f64())),
        )?;
        let kinds = [
            ("full", figures.full),
            ("partial", figures.partial),
            ("partial_refused", figures.partial_refused),
        ];
        page.counter(
            About::of("resyncs", "Copies the local Redis gave, since the start of that Redis"),
            kinds.map(|(kind, count)| (labelled([("kind", kind)]), count)),
        )
    }

    fn dns(&self, page: &mut Page<'_>) -> Written {
        let dns = self.figures.dns;
        let outcomes = [("complete", dns.complete), ("partly", dns.partly), ("failed", dns.failed)];
        page.counter(
            About::of("dns_lookups", "Rounds of DNS questions for a --service"),
            outcomes.map(|(outcome, count)| (labelled([("outcome", outcome)]), count)),
        )?;
        let age = self.status.dns.as_ref().map(|dns| (Vec::new(), dns.age_ms as f64 / 1000.0));
        let about = About::of("dns_answer_age", "Time since the last round of DNS questions");
        page.gauge(about.unit(Unit::Seconds), age)
    }

    fn proxy(&self, page: &mut Page<'_>) -> Written {
        page.gauge(
            About::of("proxy_connections", "Clients connected now, by what they have"),
            self.by_endpoint(|it| {
                let other = it.clients.saturating_sub(it.held + it.attached);
                vec![
                    ("state", "held", it.held),
                    ("state", "attached", it.attached),
                    ("state", "other", other),
                ]
            }),
        )?;
        page.counter(
            About::of("proxy_connections_accepted", "Connections of clients, refused ones too"),
            self.by_endpoint(|it| vec![("", "", it.accepted)]),
        )?;
        page.counter(
            About::of("proxy_connections_refused", "Clients that got an error and were closed"),
            self.by_endpoint(|it| {
                vec![("reason", "limit", it.over_limit), ("reason", "no_master", it.no_master)]
            }),
        )?;
        page.counter(
            About::of("proxy", "Bytes passed on").unit(Unit::Bytes),
            self.by_endpoint(|it| {
                vec![("direction", "to_master", it.up), ("direction", "to_client", it.down)]
            }),
        )?;
        page.counter(
            About::of("proxy_path", "The same bytes by how they were moved").unit(Unit::Bytes),
            self.by_endpoint(|it| {
                let copied = (it.up + it.down).saturating_sub(it.spliced);
                vec![("path", "copy", copied), ("path", "splice", it.spliced)]
            }),
        )
    }

    fn sessions(&self, page: &mut Page<'_>) -> Written {
        page.counter(
            About::of("proxy_sessions_moved", "Sessions that went on with another master"),
            self.by_endpoint(|it| vec![("", "", it.moved)]),
        )?;
        page.counter(
            About::of("proxy_sessions_cut", "Sessions that lost their master and were closed"),
            self.by_endpoint(|it| {
                it.cut.iter().map(|(reason, count)| ("reason", *reason, *count)).collect()
            }),
        )
    }

    /// Samples of both endpoints, each with one label more; without a key it has none.
    fn by_endpoint(
        &self,
        of: impl Fn(&ProxyFigures) -> Vec<(&'static str, &'static str, u64)>,
    ) -> Vec<(encode::Labels, u64)> {
        let read = self.figures.read.as_ref().map(|read| ("read", read));
        let endpoints = std::iter::once(("write", &self.figures.write)).chain(read);
        endpoints
            .flat_map(|(endpoint, figures)| {
                of(figures).into_iter().map(move |(key, value, count)| {
                    let mut labels = labelled([("endpoint", endpoint)]);
                    if !key.is_empty() {
                        labels.push((key, value.to_owned()));
                    }
                    (labels, count)
                })
            })
            .collect()
    }
}
