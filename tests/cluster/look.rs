//! `redis-hive status` of a real hive: the same from everywhere, healthy or with the reason why not.

use std::time::Duration;

use redis_hive::cli::dev::nodes::Part;
use redis_hive::http::Status;

use super::asks::cli;
use super::harness::{Hive, SOON, wait_until};

/// A hive that is gone is told of after five seconds of silence.
const NOTICED: Duration = Duration::from_secs(15);

/// What all hives show alike, without the lag, which moves between two answers.
fn shared(page: &str) -> String {
    let shared = page.split("\nas 127.").next().unwrap_or_default();
    let bare = |line: &str| match line.split_once(" replica ") {
        Some((row, rest)) => {
            format!("{row} replica {}", rest.split_whitespace().next().unwrap_or_default())
        }
        None => line.to_owned(),
    };
    shared.lines().map(bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_hive_shows_the_same_and_what_is_wrong() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let healthy = wait_until("all are healthy and say the same", SOON, || {
        let said = [1, 2, 3].map(|host| cli(&hive, host, &["status"]));
        let same = said.iter().all(|it| shared(&it.text) == shared(&said[0].text));
        let healthy = said.iter().all(|it| it.code == Some(0) && it.text.contains(": healthy\n"));
        (same && healthy).then(|| said[0].text.clone())
    });
    let rows = healthy.lines().filter(|line| line.ends_with(" B") || line.ends_with('-'));
    assert_eq!(rows.count(), 3, "{healthy}");

    let json = cli(&hive, 1, &["status", "--json"]);
    let status: Status = serde_json::from_str(&json.text).expect("a status");
    for peer in &status.peers {
        assert_eq!(peer.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert!(peer.clock_ahead_ms.is_some_and(|ms| ms.abs() < 1_000), "{peer:?}");
        assert!(peer.redis.as_ref().is_some_and(|it| it.current && it.version.is_some()));
    }
    assert!(status.redis.memory.is_some_and(|it| it.used > 0 && it.system > 0), "{status:?}");

    let lost = hive.follower(before);
    let ip = hive.ip(lost);
    hive.kill(lost, Part::Both).expect("kill");
    let ill = wait_until("one hive is missed", NOTICED, || {
        let said = cli(&hive, before.leader, &["status"]);
        let missed = said.text.contains(&format!("{ip}  silent"));
        let told = said.text.starts_with("! one replica only");
        (said.code == Some(1) && missed && told).then_some(said.text)
    });
    assert!(ill.contains(&format!("! {ip}:")), "{ill}");
    assert!(ill.lines().all(|line| line.chars().count() <= 80), "{ill}");
}

/// One Redis of three is started without the boot fence. Only its own hive can see that, and all tell it.
#[test]
fn what_is_wrong_with_one_hive_every_hive_tells() {
    let Some(mut hive) = Hive::of(2) else { return };
    hive.start_with(3, &[], &["--replicaof", "no", "one"]).expect("start");
    hive.settle();
    let sentence = format!("the Redis of {} has no boot fence", hive.ip(3));
    let third = format!("{}:6390", hive.ip(3));
    for host in 1..=3 {
        wait_until(&format!("{host} says it, and nothing of the others"), SOON, || {
            let status = hive.status(host)?;
            let mut problems = status["problems"].as_array()?.iter().filter_map(|it| it.as_str());
            let said = problems.any(|it| it.starts_with(&sentence));
            let troubled: Vec<_> = status["peers"]
                .as_array()?
                .iter()
                .filter(|peer| peer["troubles"].as_array().is_some_and(|it| !it.is_empty()))
                .filter_map(|peer| peer["addr"].as_str())
                .collect();
            let own = status["troubles"].to_string();
            let fits = match host {
                3 => own.contains("\"boot_fence\"") && troubled.is_empty(),
                _ => own == "[]" && troubled == [&*third],
            };
            (said && fits).then_some(())
        });
        let said = cli(&hive, host, &["status"]);
        assert!(said.code == Some(1) && said.text.contains(&format!("! {sentence}")), "{said:?}");
    }
}
