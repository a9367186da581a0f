//! `values.yaml`, the schema and the table in the README say the same.

use std::fmt::Write as _;

use serde_json::Value;

use super::chart::{dir, file};
use crate::render::parse_yaml;

/// Between these lines of the README is the table.
const MARKS: [&str; 2] = ["<!-- values: begin -->\n", "<!-- values: end -->\n"];

/// With this variable set the test writes the table instead of comparing it.
const WRITE: &str = "HIVE_WRITE_TABLE";

/// Properties that only the schema knows: what charts that use this one as a part may set in it.
const SCHEMA_ONLY: &[&str] = &["/enabled"];

/// A value with a description.
struct Row {
    /// From the top, such as `["redis", "config"]`.
    path: Vec<String>,
    /// What the comment above it says.
    description: String,
}

/// The described values of `values.yaml`, in its order.
fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    // The keys that lead to the current line, each with its indentation.
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut description: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(start) = bare.strip_prefix("# -- ") {
            description = Some(start.to_owned());
        } else if let Some(more) = bare.strip_prefix("# ") {
            if let Some(description) = &mut description {
                write!(description, " {more}").expect("a string takes it");
            }
        } else if let Some((key, _)) = bare.split_once(':') {
            above.retain(|(outer, _)| *outer < indent);
            above.push((indent, key.to_owned()));
            if let Some(description) = description.take() {
                let path = above.iter().map(|(_, key)| key.clone()).collect();
                rows.push(Row { path, description });
            }
        }
    }
    rows
}

/// The values, or `None` where nothing can parse them.
fn values() -> Option<Value> {
    parse_yaml(&file("values.yaml")).map(|mut documents| documents.remove(0))
}

fn schema() -> Value {
    serde_json::from_str(&file("values.schema.json")).expect("it is JSON")
}

fn pointer(path: &[String]) -> String {
    path.iter().fold(String::new(), |all, key| all + "/" + key)
}

fn table(rows: &[Row], values: &Value) -> String {
    let mut table = "| value | meaning | default |\n|---|---|---|\n".to_owned();
    for Row { path, description } in rows {
        let default = values.pointer(&pointer(path)).expect("a described value is there");
        writeln!(table, "| `{}` | {description} | `{default}` |", path.join("."))
            .expect("a string takes it");
    }
    table
}

#[test]
fn the_readme_lists_all_values() {
    let Some(values) = values() else { return };
    let table = table(&rows(&file("values.yaml")), &values);
    let readme = file("README.md");
    let (before, rest) = readme.split_once(MARKS[0]).expect("the table begins");
    let (old, after) = rest.split_once(MARKS[1]).expect("the table ends");
    if std::env::var_os(WRITE).is_some() {
        let new = [before, MARKS[0], &table, MARKS[1], after].concat();
        std::fs::write(dir().join("README.md"), new).expect("the README is written");
    } else {
        assert_eq!(old, table, "run with {WRITE}=1 to write the table anew");
    }
}

/// The values below this one that neither have a description nor are part of one that has.
fn undescribed(value: &Value, path: &str, described: &[String], found: &mut Vec<String>) {
    if described.iter().any(|row| row == path) {
        return;
    }
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            for (key, value) in inner {
                undescribed(value, &format!("{path}/{key}"), described, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_value_has_a_description() {
    let Some(values) = values() else { return };
    let described: Vec<String> =
        rows(&file("values.yaml")).iter().map(|row| pointer(&row.path)).collect();
    let mut found = Vec::new();
    undescribed(&values, "", &described, &mut found);
    assert_eq!(found, [""; 0]);
}

/// The schema of a value, with what it refers to.
fn resolved<'a>(schema: &'a Value, all: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => all.pointer(name.trim_start_matches('#')).expect("the reference leads there"),
        None => schema,
    }
}

/// Where the properties of the schema and the keys of `values.yaml` differ.
fn differences(value: &Value, schema: &Value, all: &Value, path: &str, found: &mut Vec<String>) {
    let schema = resolved(schema, all);
    let (Some(properties), Some(keys)) =
        (schema.get("properties").and_then(Value::as_object), value.as_object())
    else {
        return;
    };
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        found.push(format!("{path} takes anything"));
    }
    for (key, value) in keys {
        let path = format!("{path}/{key}");
        match properties.get(key) {
            Some(schema) => differences(value, schema, all, &path, found),
            None => found.push(format!("{path} is not in the schema")),
        }
    }
    for key in properties.keys().filter(|key| !keys.contains_key(*key)) {
        found.push(format!("{path}/{key} is not in values.yaml"));
    }
}

/// Values without a default of their own: each is one of a list that the schema gives.
fn is_free(difference: &str) -> bool {
    let free = ["/hive/settings/", "/resources/", "/requests/", "/limits/"];
    free.iter().any(|part| difference.contains(part))
        || SCHEMA_ONLY.iter().any(|path| difference == format!("{path} is not in values.yaml"))
}

#[test]
fn the_schema_knows_exactly_the_values() {
    let Some(values) = values() else { return };
    let schema = schema();
    let mut found = Vec::new();
    differences(&values, &schema, &schema, "", &mut found);
    found.retain(|difference| !is_free(difference));
    assert_eq!(found, [""; 0]);
}

/// Flags that other values of the chart are for, or that make no sense in a pod.
#[rustfmt::skip]
const NO_SETTINGS: &[&str] = &[
    "advertise", "dns-server", "http-port", "min-replicas-to-write", "name", "peer", "peer-port",
    "proxy-port", "quorum", "read-port", "redis", "redis-ca", "redis-cert", "redis-key",
    "redis-memory-limit", "redis-password-file", "redis-tls", "redis-tls-server-name",
    "redis-username", "secret-file", "sentinel-announce", "sentinel-name", "sentinel-port",
    "service", "witness",
];

/// `hive.settings` has the names of all flags but those.
#[test]
fn the_settings_are_flags() {
    use clap::Args as _;
    let command = redis_hive::config::Flags::augment_args(clap::Command::new("run"));
    let flags: Vec<&str> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
    let schema = schema();
    let settings = schema
        .pointer("/properties/hive/properties/settings/properties")
        .and_then(Value::as_object)
        .expect("the schema lists the settings");
    for name in settings.keys() {
        assert!(flags.contains(&name.as_str()), "there is no flag --{name}");
    }
    for flag in flags.into_iter().filter(|flag| !NO_SETTINGS.contains(flag)) {
        assert!(settings.contains_key(flag), "hive.settings does not know --{flag}");
    }
}
