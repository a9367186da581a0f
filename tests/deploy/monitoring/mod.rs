//! Alerts, dashboard and PodMonitor: they parse, name only what hives tell, and are explained.

mod alerts;
mod dashboard;
mod objects;
#[path = "../../support/queries.rs"]
mod queries;

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::documented::documented;
use crate::tools::{root, run, tool};
use queries::Query;

/// A file of `deploy/monitoring`.
fn file(name: &str) -> String {
    let path = root().join("deploy/monitoring").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = format!("redis-hive-monitoring-{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    /// What promtool says in this folder; `None` where there is no promtool.
    fn promtool(&self, arguments: &[&str]) -> Option<Output> {
        let promtool = tool("promtool")?;
        Some(run(Command::new(promtool).args(arguments).current_dir(&self.0), b""))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// What is wrong with these queries by docs/metrics.md, which a test compares with a running hive.
fn faults(queries: &[Query]) -> Vec<String> {
    let documented = documented();
    let labels_of = |name: &str| documented.get(name)?.labels.clone();
    queries.iter().flat_map(|query| queries::faults(query, labels_of)).collect()
}

#[test]
fn queries_name_only_what_hives_tell() {
    assert!(queries::of_rules().len() > 20 && queries::of_dashboard().len() > 30);
    assert_eq!(faults(&queries::all()), [""; 0]);
}

#[test]
fn queries_that_name_something_else_are_found() {
    let query = |text: &str, shown: &[&str]| Query {
        place: "a panel".to_owned(),
        text: text.to_owned(),
        shown: shown.iter().map(|it| (*it).to_owned()).collect(),
    };
    for (text, shown, word) in [
        ("redis_hive_rol == 1", &[][..], "no hive tells redis_hive_rol"),
        ("sum(rate(redis_hive_epoch_total[5m]))", &[], "redis_hive_epoch_total"),
        ("redis_hive_role{rolle=\"leader\"}", &[], "redis_hive_role has no rolle"),
        ("sum by (reason) (redis_hive_peers)", &[], "no label reason"),
        ("redis_hive_epoch", &["state"], "a label state"),
        ("redis_hive_epoch{le=\"1\"}", &[], "has no le"),
        ("1 + 2", &[], "names nothing"),
    ] {
        let found = faults(&[query(text, shown)]);
        let seen = found.iter().any(|fault| fault.contains(word.trim_start_matches("no label ")));
        assert!(seen, "{text}: {found:?}");
    }
    let good = "histogram_quantile(0.5, sum by (le, pod) (rate(redis_hive_failover_duration_seconds_bucket{job=\"a\"}[1d])))";
    assert_eq!(faults(&[query(good, &["pod"])]), [""; 0]);
}

#[test]
fn values_of_labels_are_looked_up() {
    let query = |text: &str| Query {
        place: "a panel".to_owned(),
        text: text.to_owned(),
        shown: Default::default(),
    };
    let page = "redis_hive_role{role=\"leader\"} 1\nredis_hive_role{role=\"witness\"} 0\n";
    let unknown = |text: &str| queries::unknown_values(&query(text), page);
    assert_eq!(unknown("redis_hive_role{job=\"x\", role=~\"leader|witness\"}"), [""; 0]);
    assert_eq!(unknown("redis_hive_role{role=~\"leader|boss\"}").len(), 1);
    assert_eq!(unknown("redis_hive_route{route=\"x\"}"), [""; 0], "no series to compare with");
}

/// The chart holds no file from outside of it.
#[test]
fn the_charts_copies_are_the_same_in_every_byte() {
    for name in ["prometheusrule.yaml", "dashboard.json"] {
        let copy = root().join("deploy/helm/redis-hive/files/monitoring").join(name);
        let copy = std::fs::read_to_string(copy).expect("a copy");
        assert!(
            copy == file(name),
            "copy deploy/monitoring/{name} to the chart's files/monitoring"
        );
    }
}
