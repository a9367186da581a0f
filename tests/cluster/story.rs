//! What hives tell of a change of the master, and what they count.

use std::net::SocketAddr;
use std::time::Duration;

use redis_hive::cli::dev::http;
use redis_hive::cli::dev::nodes::{HTTP_PORT, Part};

use super::asks::cli;
use super::clients::fill;
use super::harness::{Agreed, Hive, SOON, wait_until};

#[path = "../support/metrics.rs"]
mod documented;
#[path = "../support/queries.rs"]
mod queries;

/// Every hive names the old and the new master, the kind, how long it took and what was lost; the one
/// that led the way also what there was to choose from and who consented.
#[test]
fn every_hive_explains_a_failover_and_a_switchover() {
    let Some(mut hive) = Hive::of(3) else { return };
    let first = hive.settle();
    fill(&hive, first.leader, "kept", 100, 2);

    hive.kill(first.master, Part::Redis).expect("kill");
    let second = hive.settle();
    assert_ne!(second.master, first.master);
    hive.revive(first.master, Part::Redis).expect("revive");
    hive.settle();
    for host in 1..=3 {
        let told = explained(&hive, host, &[], "failover (unplanned)", first, second);
        assert!(told.contains("Lost: ") && !told.contains("not known"), "{told}");
    }
    let told = explained(&hive, second.leader, &[], "failover (unplanned)", first, second);
    assert!(told.contains("Offered: ") && told.contains(" consented to "), "{told}");
    assert!(told.contains("getting consent") && told.contains("promoting Redis"), "{told}");

    let said = cli(&hive, second.leader, &["switchover"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let third = hive.settle();
    for host in 1..=3 {
        let told = explained(&hive, host, &[], "switchover (planned)", second, third);
        assert!(told.contains("Lost: 0 bytes"), "{told}");
        assert!(told.contains("Clients of this hive waited for "), "{told}");
        let epoch = second.epoch.to_string();
        explained(&hive, host, &[&epoch], "failover (unplanned)", first, second);
    }
    let unknown = cli(&hive, 1, &["explain", "999"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.text.contains("of epoch 999; it knows epochs "), "{unknown:?}");
    for host in 1..=3 {
        counted(&hive, host);
    }
}

/// What a hive tells of this change, once it knows what was lost.
#[track_caller]
fn explained(
    hive: &Hive,
    host: u8,
    words: &[&str],
    kind: &str,
    before: Agreed,
    after: Agreed,
) -> String {
    let (from, to) = (hive.redis(before.master), hive.redis(after.master));
    let moved = format!("the master moved from {from} to {to}");
    wait_until(&format!("{host} tells of a {kind} to {to}"), SOON, || {
        let said = cli(hive, host, &[&["explain"], words].concat());
        // Lines are broken for people.
        let text = said.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let whole = ["Why: ", "It took ", "Lost: ", kind, &moved];
        let told = said.code == Some(0) && whole.iter().all(|part| text.contains(part));
        if !told {
            eprintln!("{host}: {text}");
        }
        told.then_some(text)
    })
}

/// What alerts and dashboard ask for is on this page, with these labels and values.
#[track_caller]
fn asked_for(page: &str) {
    let (served, documented) = (documented::served(page), documented::documented());
    // A family without a sample now, such as certificates where there are none.
    let labels_of = |name: &str| {
        let labels = served.get(name)?.labels.clone();
        labels.or_else(|| documented[name].labels.clone())
    };
    let faults = queries::all().into_iter().flat_map(|query| {
        let unknown = queries::unknown_values(&query, page);
        queries::faults(&query, labels_of).into_iter().chain(unknown)
    });
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0], "{page}");
}

/// Its metrics are those that are documented, and both changes are in them.
#[track_caller]
fn counted(hive: &Hive, host: u8) {
    let addr = SocketAddr::from((hive.ip(host), HTTP_PORT));
    let (code, page) = http::get(addr, "/metrics", Duration::from_secs(2)).expect("an answer");
    assert_eq!(code, 200);
    documented::assert_as_documented(&page);
    asked_for(&page);
    for name in ["failover", "switchover"] {
        let line = format!("redis_hive_{name}_duration_seconds_count 1");
        assert!(page.lines().any(|it| it == line), "{host}: no {line} in\n{page}");
    }
    let answers = page.lines().any(|it| it == "redis_hive_redis_up 1");
    let heard = page.lines().any(|it| it == "redis_hive_peers{state=\"reachable\"} 2");
    assert!(answers && heard, "{page}");
}
