//! `/metrics`: two formats, documented names, and no more series than there may be.

use std::process::Command;

use redis_hive::http::figures::{
    Change, CopyFigures, Histogram, LinkFigures, ProxyFigures, SecretFigures,
};

use super::*;

#[path = "../support/metrics.rs"]
mod documented;
#[path = "../deploy/tools.rs"]
mod tools;

/// The head and the body of a page asked for with these lines more.
async fn metrics(site: &Site, head: &str) -> (String, String) {
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
    let answer = exchange(site.http.addr, asked.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n";

/// Something in every family, so that every label shows.
fn figures() -> Figures {
    let mut figures = Figures {
        copies: CopyFigures { current: 2, coming: 1, ..CopyFigures::default() },
        boot_fence: Some(true),
        secrets: SecretFigures {
            ages: vec![("hive", Duration::from_secs(5))],
            read_ages: vec![("redis", Duration::from_millis(1500))],
            refused: true,
            certificates: vec![("client", 1_900_000_000)],
        },
        master_offset: Some(200_000),
        read: Some(ProxyFigures { cut: vec![("stale", 1)], ..ProxyFigures::default() }),
        ..Figures::default()
    };
    figures.told.changes = vec![Change { kind: "failover", cause: "redis_lost", count: 3 }];
    figures.told.failovers = Histogram::default();
    figures.told.failovers.observe(Duration::from_millis(80));
    figures.redis.master_silent = Some(Duration::from_secs(1));
    figures.redis.acknowledged = vec![("10.0.0.3:6379".to_owned(), Duration::from_secs(2))];
    figures.write.cut = vec![("stale", 7)];
    figures.links = LinkFigures { closed: vec![("malformed", 2)], ..LinkFigures::default() };
    figures
}

fn whole() -> Site {
    let site = Site::start();
    site.set(|status| status.lease_ms = Some(1500));
    site.figures.send_replace(Arc::new(figures()));
    site
}

#[tokio::test]
async fn what_is_served_is_documented_and_the_other_way_round() {
    let (head, page) = metrics(&whole(), "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    documented::assert_as_documented(&page);
    let without: Vec<_> =
        documented::served(&page).into_iter().filter(|(_, it)| it.labels.is_none()).collect();
    assert!(without.is_empty(), "no sample of {without:?}");
    for line in [
        "redis_hive_role{role=\"follower\"} 1",
        "redis_hive_epoch 7",
        "redis_hive_lease_remaining_seconds 1.5",
        "redis_hive_leader_changes_total{kind=\"failover\",reason=\"redis_lost\"} 3",
        "redis_hive_failover_duration_seconds_bucket{le=\"0.1\"} 1",
        "redis_hive_failover_duration_seconds_bucket{le=\"0.05\"} 0",
        "redis_hive_failover_duration_seconds_bucket{le=\"+Inf\"} 1",
        "redis_hive_peer_heartbeat_age_seconds{peer=\"10.0.0.1:6390\"} 0.087",
        "redis_hive_peer_replication_lag_bytes{peer=\"10.0.0.1:6390\"} 76444",
        "redis_hive_proxy_sessions_cut_total{endpoint=\"write\",reason=\"stale\"} 7",
        "redis_hive_copies{state=\"current\"} 2",
        "redis_hive_boot_fence 1",
        "redis_hive_secret_age_seconds{secret=\"hive\"} 5.0",
        "redis_hive_secret_read_age_seconds{secret=\"redis\"} 1.5",
        "redis_hive_redis_credentials_refused 1",
        "redis_hive_certificate_expiry_timestamp_seconds{certificate=\"client\"} 1900000000",
        "redis_hive_replica_ack_age_seconds{replica=\"10.0.0.3:6379\"} 2.0",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn open_metrics_is_served_to_who_wants_it() {
    let site = whole();
    let (head, page) = metrics(&site, OPEN).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("# TYPE redis_hive_given_up_bytes counter\n"), "{page}");
    assert!(page.contains("# UNIT redis_hive_given_up_bytes bytes\n"), "{page}");
    for accepted in ["text/plain", "*/*", "application/openmetrics-text;q=0"] {
        let (head, page) = metrics(&site, &format!("Accept: {accepted}\r\n")).await;
        assert!(head.contains("text/plain; version=0.0.4"), "{accepted}: {head}");
        assert!(page.contains("# TYPE redis_hive_given_up_bytes_total counter\n"), "{page}");
        assert!(!page.contains("# EOF") && !page.contains("# UNIT"), "{page}");
    }
}

/// The page of 500 peers has the series of 64.
#[tokio::test]
async fn peers_do_not_grow_the_page_without_end() {
    let site = Site::start();
    let crowd = |count: u16| {
        site.set(|status| {
            let peer = status.peers[0].clone();
            status.peers = (0..count)
                .map(|n| http::status::PeerStatus {
                    addr: SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 6390)),
                    ..peer.clone()
                })
                .collect();
        });
    };
    let mut figures = figures();
    let replica = |n: u16| (format!("10.1.0.1:{n}"), Duration::ZERO);
    figures.redis.acknowledged = (0..500).map(replica).collect();
    site.figures.send_replace(Arc::new(figures));
    crowd(64);
    let lines = metrics(&site, "").await.1.lines().count();
    crowd(500);
    let (_, page) = metrics(&site, "").await;
    assert_eq!(page.lines().count(), lines);
    assert_eq!(page.matches("redis_hive_replica_ack_age_seconds{").count(), 64);
    assert!(page.contains("redis_hive_peers{state=\"silent\"} 500"), "{page}");
}

/// A replica says itself how it is called, and a master may list it twice.
fn strange() -> Site {
    let site = whole();
    let mut figures = figures();
    let ages = [("10.0.0.3:6379", 9), ("10.0.0.3:6379", 2), ("\"} 7\nredis_hive_epoch 8\\", 1)];
    let ages = ages.map(|(name, age)| (name.to_owned(), Duration::from_secs(age)));
    figures.redis.acknowledged = ages.into();
    site.figures.send_replace(Arc::new(figures));
    site
}

#[tokio::test]
async fn no_series_is_there_twice_whatever_replicas_are_called() {
    for open in ["", OPEN] {
        let (_, page) = metrics(&strange(), open).await;
        let ages = page.lines().filter(|it| it.starts_with("redis_hive_replica_ack_age_seconds{"));
        let expected = [
            r#"redis_hive_replica_ack_age_seconds{replica="\"} 7\nredis_hive_epoch 8\\"} 1.0"#,
            r#"redis_hive_replica_ack_age_seconds{replica="10.0.0.3:6379"} 2.0"#,
        ];
        assert_eq!(ages.collect::<Vec<_>>(), expected, "{page}");
        let epochs = page.lines().filter(|it| it.starts_with("redis_hive_epoch"));
        assert_eq!(epochs.collect::<Vec<_>>(), ["redis_hive_epoch 7"], "{page}");
        let samples = page.lines().filter(|it| !it.starts_with('#'));
        let series: Vec<_> = samples.filter_map(|it| it.rsplit_once(' ')).map(|it| it.0).collect();
        let different: std::collections::BTreeSet<_> = series.iter().collect();
        assert_eq!(different.len(), series.len(), "{page}");
    }
}

/// What Prometheus itself thinks of the page.
#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let Some(promtool) = tools::tool("promtool") else { return };
    let (_, page) = metrics(&strange(), "").await;
    let mut check = Command::new(promtool);
    assert_eq!(tools::stdout(check.args(["check", "metrics"]), page.as_bytes()), "");
}
