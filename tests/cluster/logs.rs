//! What hives log: short stories in documented words, nothing for a request, and no secret.

use std::collections::BTreeSet;

use redis_hive::cli::dev::nodes::Part;
use serde_json::{Map, Value};

use super::asks::cli;
use super::clients::fill;
use super::harness::{Agreed, Hive, SOON, password, wait_until};
use super::log_table;

const SECRET: &str = "battery-staple-of-these-hives";
/// The longest story of one hive (docs/logs.md).
const STORY: usize = 10;
/// Of the settings, before everything else.
const SETTINGS: [&str; 2] = ["the settings need care", "--max-clients do not fit: see ulimit -n"];
/// Ends every story.
const SERVED: &str = "clients are served";

/// A line at `info` or above.
struct Line(Map<String, Value>);

impl Line {
    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.0.get(field).and_then(Value::as_u64)
    }
}

/// All lines of a hive so far that count.
fn lines(hive: &mut Hive, host: u8) -> Vec<Line> {
    let log = hive.hive_log(host);
    // The last line may be half written.
    let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
    let parsed = whole.lines().map(|line| {
        let value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        Line(value)
    });
    parsed.filter(|line| ["INFO", "WARN", "ERROR"].contains(&line.text("level"))).collect()
}

/// How much every hive has said.
fn marks(hive: &mut Hive) -> [usize; 3] {
    [1, 2, 3].map(|host| lines(hive, host).len())
}

/// What this hive has said since, once its clients are served again and it is settled what was lost.
#[track_caller]
fn story(hive: &mut Hive, host: u8, marks: [usize; 3], ends: &[&str]) -> Vec<Line> {
    let told = wait_until(&format!("{host} has told {ends:?}"), SOON, || {
        let mut told = lines(hive, host).split_off(marks[usize::from(host) - 1]);
        told.retain(|line| !SETTINGS.contains(&line.text("message")));
        ends.iter().all(|end| told.iter().any(|line| line.text("message") == *end)).then_some(told)
    });
    let shown: Vec<String> = told.iter().map(|it| Value::from(it.0.clone()).to_string()).collect();
    // Where two claim at once, each claim in vain is told with its end.
    let in_vain = told.iter().filter(|line| line.text("message") == "leads not after all").count();
    assert!(told.len() <= STORY + 2 * in_vain, "{host} is long-winded:\n{}", shown.join("\n"));
    told
}

/// The story has these messages in this order, others may stand between them; gives the last one.
#[track_caller]
fn assert_tells<'a>(story: &'a [Line], messages: &[&str]) -> &'a Line {
    let mut rest = story.iter();
    let mut last = None;
    for message in messages {
        last = rest.find(|line| line.text("message") == *message);
        let all: Vec<_> = story.iter().map(|line| line.text("message")).collect();
        assert!(last.is_some(), "no {message:?} in its place of {messages:?}: {all:?}");
    }
    last.expect("a message")
}

/// Three hives with a password and a secret that say everything.
fn talkative() -> Option<Hive> {
    let mut hive = Hive::empty(|options| {
        options.auth = password();
        options.hive_args = ["--log-format=json", "--log-level=trace"].map(str::to_owned).into();
    })?;
    let file = hive.dir().join("secret");
    std::fs::write(&file, SECRET).expect("a file");
    let flags = ["--secret-file", file.to_str().expect("a path")];
    (1..=3).for_each(|host| hive.start_with(host, &flags, &[]).expect("start"));
    hive.settle();
    Some(hive)
}

#[test]
fn a_start_a_switchover_and_a_failover_are_short_stories() {
    let Some(mut hive) = talkative() else { return };
    let first = hive.settle();
    tells_of_its_start(&mut hive, first);

    let before = marks(&mut hive);
    fill(&hive, first.leader, "kept", 200, 2);
    assert_eq!(marks(&mut hive), before, "nothing is said about requests and clients");

    let secret = hive.dir().join("secret");
    let asked = ["switchover", "--secret-file", secret.to_str().expect("a path")];
    let said = cli(&hive, first.leader, &asked);
    assert_eq!(said.code, Some(0), "{said:?}");
    let second = hive.settle();
    tells_of_a_switchover(&mut hive, first, second, before);

    let before = marks(&mut hive);
    hive.kill(second.master, Part::Redis).expect("kill");
    let third = hive.settle();
    tells_of_a_failover(&mut hive, second, third, before);

    for host in 1..=3 {
        documented(&lines(&mut hive, host));
        let log = hive.hive_log(host);
        assert!(log.contains(r#""level":"DEBUG""#), "it says everything");
        for secret in [SECRET, "correct-horse"] {
            assert!(!log.contains(secret), "the log of {host} has {secret}");
        }
    }
}

#[track_caller]
fn tells_of_its_start(hive: &mut Hive, now: Agreed) {
    for host in 1..=3 {
        let told = story(hive, host, [0; 3], &[SERVED, "reads"]);
        let calm = told.iter().all(|line| line.text("level") == "INFO");
        assert!(calm, "a start is no reason to worry");
        if host == now.leader {
            let messages = ["started", "asks to lead", "Redis is promoted", "leads", SERVED];
            assert_tells(&told, &messages);
        } else {
            assert_tells(&told, &["started", "follows", SERVED]);
        }
    }
}

#[track_caller]
fn tells_of_a_switchover(hive: &mut Hive, before: Agreed, now: Agreed, marks: [usize; 3]) {
    for host in 1..=3 {
        let told = story(hive, host, marks, &[SERVED, "bytes given up"]);
        let settled = if host == now.leader {
            assert_tells(&told, &["Redis is promoted", "leads"])
        } else if host == before.leader {
            assert_tells(&told, &["planned change", "resigned", "follows"])
        } else {
            assert_tells(&told, &["without a leader", "follows"])
        };
        assert_eq!(settled.text("kind"), "switchover", "{host}");
        assert_eq!(settled.number("epoch"), Some(now.epoch), "{host}");
        assert_tells(&told, &["clients wait", SERVED]);
        assert_eq!(assert_tells(&told, &["bytes given up"]).number("bytes"), Some(0), "{host}");
    }
}

#[track_caller]
fn tells_of_a_failover(hive: &mut Hive, before: Agreed, now: Agreed, marks: [usize; 3]) {
    let master = hive.redis(now.master).to_string();
    for host in 1..=3 {
        let told = story(hive, host, marks, &[SERVED, "bytes given up"]);
        let settled = if host == now.leader {
            let lost = assert_tells(&told, &["without a leader"]);
            assert!(!lost.text("cause").is_empty() && !lost.text("reason").is_empty());
            assert_tells(&told, &["asks to lead", "Redis is promoted", "leads"])
        } else if host == before.leader {
            assert_tells(&told, &["Redis has a problem"]);
            assert_tells(&told, &["resigned", "follows"])
        } else {
            assert_tells(&told, &["without a leader", "consents", "follows"])
        };
        assert_eq!(settled.text("kind"), "failover", "{host}");
        assert_eq!(settled.text("master"), master, "{host}");
        assert!(settled.number("took_ms").is_some(), "{host}");
        let served = assert_tells(&told, &["clients wait", SERVED]);
        assert_eq!(served.text("master"), master, "{host}");
        assert!(served.number("held_ms").is_some(), "{host}");
    }
}

/// Every line is one of docs/logs.md, with just the fields it should have.
#[track_caller]
fn documented(lines: &[Line]) {
    let documented = log_table::documented();
    for Line(line) in lines {
        let message = line["message"].as_str().expect("a message");
        let kind = documented.get(message);
        let kind = kind.unwrap_or_else(|| panic!("docs/logs.md does not have {line:?}"));
        let level = line["level"].as_str().expect("a level").to_lowercase();
        assert!(kind.levels.contains(&level), "another level: {line:?}");
        let always = ["timestamp", "level", "message", "target"];
        let fields = line.keys().filter(|key| !always.contains(&key.as_str())).cloned();
        assert_eq!(fields.collect::<BTreeSet<_>>(), kind.fields, "{line:?}");
    }
}
