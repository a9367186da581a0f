//! The dashboard: JSON as Grafana takes it, and queries that Prometheus can read.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::queries::{DASHBOARD, of_dashboard};
use super::{Folder, said};
use crate::render;

/// Grafana divides the width into so many columns.
const COLUMNS: u64 = 24;

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Those that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row")
}

/// The cells that a panel covers.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let number = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
    let (x, y, w, h) = (number("x"), number("y"), number("w"), number("h"));
    assert!(x + w <= COLUMNS, "{}", panel["title"]);
    (y..y + h).flat_map(|row| (x..x + w).map(move |column| (column, row))).collect()
}

#[test]
fn panels_have_their_place_and_say_what_they_show() {
    let dashboard = dashboard();
    let (mut ids, mut covered) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64()), "the number of {title} is used twice");
        for cell in cells(panel) {
            assert!(covered.insert(cell), "{title} covers another one at {cell:?}");
        }
    }
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        let words = panel["description"].as_str().unwrap_or_default();
        assert!(words.len() > 20 && words.ends_with('.'), "{title}: {words}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!list(&panel["targets"]).is_empty(), "{title}");
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

/// Every query is about the hive that was chosen.
#[test]
fn queries_are_about_one_hive() {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"]["list"]);
    let names: Vec<&str> = variables.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "namespace", "job"]);
    for query in of_dashboard() {
        for selector in super::queries::named(&query.text).selectors {
            for (label, value) in [("namespace", "$namespace"), ("job", "$job")] {
                let chosen = (label.to_owned(), value.to_owned());
                assert!(selector.matchers.contains(&chosen), "{}: {}", query.place, query.text);
            }
        }
    }
}

fn recorded(queries: impl Iterator<Item = String>) -> String {
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, query) in queries.enumerate() {
        let query = Value::from(query);
        writeln!(rules, "      - {{record: 'panel:{number}', expr: {query}}}").expect("a string");
    }
    rules
}

#[test]
fn prometheus_can_read_the_queries() {
    let folder = Folder::new("dashboard");
    let texts = || of_dashboard().into_iter().map(|query| query.text);
    folder.write("rules.yaml", &recorded(texts()));
    let Some(output) = folder.promtool(&["check", "rules", "rules.yaml"]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    folder.write("wrong.yaml", &recorded(texts().map(|text| text.replacen(')', "", 1))));
    let Some(output) = folder.promtool(&["check", "rules", "wrong.yaml"]) else { return };
    assert!(!output.status.success(), "a parenthesis is missing, and nobody sees it");
}

/// Two hives: the master's stream grows by 100 bytes a second; the other Redis restarts and copies the
/// data again, and its hive has not heard the other one for a minute.
const SERIES: [(&str, &str, &str); 6] = [
    ("redis_hive_replication_offset_bytes", "pod=\"a\", instance=\"a\"", "5000000+1500x80"),
    (
        "redis_hive_replication_offset_bytes",
        "pod=\"b\", instance=\"b\"",
        "5000000+1500x40 _x2 0x2 5067500+1500x40",
    ),
    ("redis_hive_redis_role", "pod=\"a\", instance=\"a\", role=\"master\"", "1x80"),
    ("redis_hive_redis_role", "pod=\"b\", instance=\"b\", role=\"master\"", "0x80"),
    (
        "redis_hive_peer_heartbeat_age_seconds",
        "pod=\"a\", instance=\"a\", peer=\"b:6390\"",
        "0.1x80",
    ),
    (
        "redis_hive_peer_heartbeat_age_seconds",
        "pod=\"b\", instance=\"b\", peer=\"a:6390\"",
        "60x80",
    ),
];

/// Unit tests of the panels "Writes" and "Heartbeat age", for promtool.
fn panel_tests(change: impl Fn(String) -> String) -> String {
    let query = |place: &str| {
        let query = of_dashboard().into_iter().find(|it| it.place == place).expect(place);
        let text = query.text.replace("$namespace", "shop").replace("$job", "cache");
        change(text)
    };
    let series = SERIES.map(|(name, labels, values)| {
        let series = format!("{name}{{namespace=\"shop\", job=\"cache\", {labels}}}");
        json!({ "series": series, "values": values })
    });
    let silent = "redis_hive_peer_heartbeat_age_seconds{namespace=\"shop\", job=\"cache\", \
                  pod=\"b\", instance=\"b\", peer=\"a:6390\"}";
    let expected = [
        (format!("round({})", query("Writes")), json!([{ "labels": "{}", "value": 100 }])),
        (query("Heartbeat age"), json!([{ "labels": silent, "value": 60 }])),
    ];
    let checks = expected.map(
        |(query, samples)| json!({ "expr": query, "eval_time": "12m", "exp_samples": samples }),
    );
    let test = json!({ "interval": "15s", "input_series": series, "promql_expr_test": checks });
    json!({ "tests": [test] }).to_string()
}

#[test]
fn a_redis_that_restarts_is_no_burst_of_writes_and_who_is_silent_is_named() {
    let folder = Folder::new("panels");
    folder.write("panels.yaml", &panel_tests(|query| query));
    let Some(output) = folder.promtool(&["test", "rules", "panels.yaml"]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let of_all = |query: String| query.replace("role=\"master\"} == 1", "role=\"master\"} >= 0");
    folder.write("wrong.yaml", &panel_tests(of_all));
    let Some(output) = folder.promtool(&["test", "rules", "wrong.yaml"]) else { return };
    assert!(!output.status.success(), "the replica's restart is not seen");
}

#[test]
fn the_config_map_holds_the_dashboard() {
    let Some(rendered) = render::get("overlays/monitoring") else { return };
    let map = render::config_map(&rendered.objects, "redis-hive-dashboard");
    assert_eq!(map["redis-hive.json"], DASHBOARD);
}
