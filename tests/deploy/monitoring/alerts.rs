//! The alerts: promtool runs their unit tests, and each has an entry in the runbook.

use std::collections::BTreeSet;

use serde_json::Value;

use super::queries::{RULES, named, of_rules};
use super::{Folder, file, said};
use crate::render::parse_yaml;
use crate::tools::root;

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
const RUNBOOK: &str = "https://github.com/OWNER/redis-hive/blob/main/docs/runbook.md";
/// What every entry says.
const PARTS: [&str; 3] = ["- **Means**: ", "- **Look at**: ", "- **Do**: "];

/// The rules as a file of Prometheus, as deploy/monitoring/README.md makes it.
fn plain() -> String {
    let (_, spec) = RULES.split_once("\nspec:\n").expect("a specification");
    spec.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// The alerts; `None` where nothing can parse them.
fn alerts() -> Option<Vec<Value>> {
    let rules = parse_yaml(RULES)?.remove(0);
    let groups = rules["spec"]["groups"].as_array().expect("groups").clone();
    let rules = groups.into_iter().flat_map(|group| group["rules"].as_array().cloned());
    Some(rules.flatten().collect())
}

fn text<'a>(alert: &'a Value, at: &str) -> &'a str {
    alert.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// What promtool says of these unit tests with these rules.
fn tested(name: &str, rules: &str, tests: &str) -> Option<(bool, String)> {
    let folder = Folder::new(name);
    folder.write("rules.yaml", rules);
    folder.write("rules.test.yaml", tests);
    let output = folder.promtool(&["test", "rules", "rules.test.yaml"])?;
    Some((output.status.success(), said(&output)))
}

#[test]
fn the_unit_tests_of_the_alerts_pass() {
    let Some((passed, said)) = tested("right", &plain(), &file("rules.test.yaml")) else { return };
    assert!(passed, "{said}");
}

#[test]
fn the_unit_tests_of_the_alerts_find_a_fault() {
    let tests = file("rules.test.yaml");
    let (few, _) = tests.split_once("\n  - name: two leaders").expect("the first ones");
    let (right, wrong) = ("(redis_hive_route{route=\"forward\"}) == 0", "(up) == 7");
    assert!(plain().contains(right));
    let rules = plain().replace(right, wrong);
    let Some((passed, said)) = tested("wrong", &rules, few) else { return };
    assert!(!passed && said.contains("RedisHiveNoWriteRoute"), "{said}");
}

/// Each alert fires in one of them, and all that alerts look at is there in the one without alerts.
#[test]
fn the_unit_tests_are_about_every_alert() {
    let tests = file("rules.test.yaml");
    let (healthy, faulty) =
        tests.split_once("\n  - name: all pods have gone").expect("the healthy one is the first");
    for alert in of_rules() {
        let name = &alert.place;
        let fires = faulty.contains(&format!("{{alertname=\"{name}\""))
            || faulty.contains(&format!("alertname: {name}\n"));
        assert!(fires, "{name} never fires");
        for selector in named(&alert.text).selectors {
            let there = healthy.contains(&format!("'{}{{", selector.name));
            assert!(there, "{name}: a healthy hive without {}", selector.name);
        }
    }
}

#[test]
fn every_alert_says_how_grave_it_is_and_what_to_do() {
    let Some(alerts) = alerts() else { return };
    let names: BTreeSet<&str> = alerts.iter().map(|alert| text(alert, "/alert")).collect();
    assert_eq!(names.len(), alerts.len(), "a name is used twice");
    for alert in &alerts {
        let name = text(alert, "/alert");
        assert!(name.starts_with("RedisHive"), "{name}");
        assert!(SEVERITIES.contains(&text(alert, "/labels/severity")), "{name}");
        let link = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(text(alert, "/annotations/runbook_url"), link);
        let (summary, description) =
            (text(alert, "/annotations/summary"), text(alert, "/annotations/description"));
        assert!(summary.len() > 10 && !summary.ends_with('.'), "{name}: {summary}");
        assert!(description.len() > 20 && description.ends_with('.'), "{name}: {description}");
    }
}

/// Entries of the runbook: title and text.
fn entries(runbook: &str) -> Vec<(&str, &str)> {
    let entries = runbook.split("\n## ").skip(1);
    entries.map(|entry| entry.split_once('\n').expect("a title")).collect()
}

fn runbook() -> String {
    std::fs::read_to_string(root().join("docs/runbook.md")).expect("the runbook")
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_the_other_way_round() {
    let Some(alerts) = alerts() else { return };
    let runbook = runbook();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| text(alert, "/alert")).collect();
    let titles: BTreeSet<&str> = entries(&runbook).into_iter().map(|(title, _)| title).collect();
    assert_eq!(names, titles);
    for (title, entry) in entries(&runbook) {
        let missing: Vec<_> = PARTS.iter().filter(|part| !entry.contains(**part)).collect();
        assert!(missing.is_empty(), "{title}: no {missing:?}");
        let alert = alerts.iter().find(|alert| text(alert, "/alert") == title).expect("an alert");
        let severity = format!("\n`{}`, ", text(alert, "/labels/severity"));
        assert!(entry.contains(&severity), "{title} is {severity}");
        assert!(runbook.contains(&format!("[{title}](#")), "{title} is not in the list");
    }
}

/// What reads the rules line by line in tests without a parser finds what a parser finds.
#[test]
fn queries_are_read_as_they_are() {
    let Some(alerts) = alerts() else { return };
    let parsed: Vec<(&str, &str)> =
        alerts.iter().map(|alert| (text(alert, "/alert"), text(alert, "/expr"))).collect();
    let read = of_rules();
    let read: Vec<(&str, &str)> =
        read.iter().map(|query| (query.place.as_str(), query.text.as_str())).collect();
    assert_eq!(read, parsed);
}
