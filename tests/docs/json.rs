//! `docs/json.md` lists what programs get, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::markdown::root;

fn document() -> String {
    std::fs::read_to_string(root().join("docs/json.md")).expect("the document")
}

/// The names in the first column of the table under this heading.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let (_, rest) = document.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let section = rest.split("\n##").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = rows.flat_map(|cell| cell.split(['`', ',', ' ']).filter(|name| !name.is_empty()));
    names.map(str::to_owned).collect()
}

/// Every field, as `peers[].redis.up`.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                paths(inner, &path, found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| paths(item, &format!("{path}[]"), found));
        }
        _ => {}
    }
}

/// Those of the journal have a document of their own, and the Redis of a peer is like the local one.
fn told_elsewhere(path: &str) -> bool {
    path.starts_with("transitions[].") || path.starts_with("peers[].redis.")
}

#[test]
fn every_field_of_a_status_is_listed_and_no_other() {
    let example = include_str!("../support/status.json");
    let status: redis_hive::http::Status = serde_json::from_str(example).expect("a status");
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(status).expect("JSON"), "", &mut found);
    found.retain(|path| !told_elsewhere(path));
    assert_eq!(listed(&document(), "## `redis-hive status --json`"), found);
}

#[test]
fn every_word_of_a_trouble_is_listed_and_no_other() {
    let words = redis_hive::election::Trouble::ALL.into_iter().map(|it| it.word().to_owned());
    assert_eq!(listed(&document(), "### Troubles"), words.collect());
}

/// The ids of findings in a source: lower-case words with a point between them.
fn ids(source: &str) -> impl Iterator<Item = String> {
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let code = source.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    let strings: Vec<String> = code.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    strings.into_iter().filter(move |text| {
        text.split_once('.').is_some_and(|(subject, trouble)| word(subject) && word(trouble))
    })
}

#[test]
fn every_id_of_a_finding_is_listed_and_no_other() {
    let folder: &Path = &root().join("src/cli/check");
    let sources = std::fs::read_dir(folder).expect("the folder");
    let sources = sources.map(|entry| entry.expect("an entry").path());
    let found: BTreeSet<String> = sources
        .flat_map(|path| ids(&std::fs::read_to_string(path).expect("a source")).collect::<Vec<_>>())
        .collect();
    assert!(found.len() > 20, "{found:?}");
    let listed = listed(&document(), "## `redis-hive check --json`");
    let troubles: BTreeSet<String> = listed.into_iter().filter(|id| id.contains('.')).collect();
    let named = troubles.iter().filter(|id| *id != "setting.NAME").cloned().collect();
    assert_eq!(found, named);
    assert!(troubles.contains("setting.NAME"));
}
