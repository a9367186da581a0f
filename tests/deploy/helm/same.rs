//! For the same choice the chart makes the same objects as kustomize.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::{KUBERNETES, examples, file, helms, objects};
use crate::render::{self, Rendered, config_map, of_kind, without_hash};

/// What Helm adds, and a hash that does for rollouts what kustomize does by names.
const OF_HELM: [&str; 5] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "checksum/config",
    "checksum/settings",
    "helm.sh/chart",
];

/// The nodes of the overlay `multi-site`, in the order of its sites.
const SITES: [&str; 3] = ["192.0.2.10", "198.51.100.10", "203.0.113.10"];

/// The values of the chart for an overlay: the example of its name. That of several sites is for the
/// first one; the others differ in addresses.
fn values_for(overlay: &str) -> String {
    let example = overlay.trim_start_matches("overlays/").split('/').next().expect("a first part");
    let example = if example == "base" { "defaults" } else { example };
    let found = examples().into_iter().find(|(name, _)| name == example);
    let (_, values) = found.unwrap_or_else(|| panic!("there is no example for {overlay}"));
    let site = ["site-a", "site-b", "site-c"].iter().position(|site| overlay.ends_with(site));
    let site = site.unwrap_or_default();
    let own = SITES[site];
    let others: Vec<&str> = SITES.into_iter().filter(|address| *address != own).collect();
    // Two steps, as an address may take the place of another one.
    values
        .replace(SITES[0], "OWN")
        .replace(SITES[1], "OTHER")
        .replace(SITES[2], others[1])
        .replace("OWN", own)
        .replace("OTHER", others[0])
}

/// The lines of a redis.conf that mean something, sizes in bytes.
fn settings_of_redis(text: &str) -> Vec<String> {
    let bytes = |word: &str| match word.strip_suffix("mb").and_then(|mb| mb.parse::<u64>().ok()) {
        Some(mb) => (mb << 20).to_string(),
        None => word.to_owned(),
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(bytes).collect::<Vec<_>>().join(" ")).collect()
}

/// Writes every leaf below a value with the path to it, without what may differ.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            for (key, value) in inner.iter().filter(|(key, _)| !OF_HELM.contains(&key.as_str())) {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(inner) if !inner.is_empty() => {
            for (at, value) in inner.iter().enumerate() {
                leaves(value, &format!("{path}/{at}"), found);
            }
        }
        Value::String(text) if path.ends_with(".conf") => {
            found.insert(path.to_owned(), settings_of_redis(text).join("\n"));
        }
        Value::String(text) => {
            found.insert(path.to_owned(), without_hash(text).to_owned());
        }
        other => {
            found.insert(path.to_owned(), other.to_string());
        }
    }
}

/// All leaves of all objects but their namespace.
fn all_leaves(objects: &[Value]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().expect("an object has a name");
        let path = format!("{}/{}", object["kind"].as_str().expect("a kind"), without_hash(name));
        leaves(object, &path, &mut found);
        found.remove(&format!("{path}/metadata/namespace"));
    }
    found
}

/// The leaves that only one of two has, or that differ.
fn differences(one: &[Value], other: &[Value]) -> Vec<String> {
    let (one, other) = (all_leaves(one), all_leaves(other));
    let mut found = Vec::new();
    for (path, value) in &one {
        match other.get(path) {
            Some(same) if same == value => {}
            Some(differs) => found.push(format!("{path}: {value} | {differs}")),
            None => found.push(format!("{path}: {value} | nothing")),
        }
    }
    let only_there = other.iter().filter(|(path, _)| !one.contains_key(*path));
    found.extend(only_there.map(|(path, value)| format!("{path}: nothing | {value}")));
    found
}

/// What is applied: not what the sites of an overlay have in common.
fn applied() -> Option<impl Iterator<Item = &'static Rendered>> {
    Some(render::all()?.iter().filter(|rendered| !rendered.name.ends_with("/common")))
}

/// The chart's objects for an overlay, without those of `helm test`.
fn objects_for(helm: &std::path::Path, overlay: &str) -> Vec<Value> {
    let kubernetes = if overlay.ends_with("old-clusters") { "1.25.0" } else { KUBERNETES };
    objects(helm, &(values_for(overlay) + "\ntest: {enabled: false}\n"), kubernetes)
}

#[test]
fn the_chart_makes_what_kustomize_makes() {
    for helm in helms() {
        let Some(applied) = applied() else { return };
        for Rendered { name, objects, .. } in applied {
            let found = differences(objects, &objects_for(&helm, name));
            assert_eq!(found, [""; 0], "{} for {name}", helm.display());
        }
    }
}

/// With a witness, whose pods are others.
#[test]
fn components_reach_the_witness_too() {
    let overlay = "overlays/two-and-witness";
    let Some(made) = render::with_components(overlay, &["sentinel", "scrape-annotations"]) else {
        return;
    };
    let more = "\nsentinel: {enabled: true}\nmonitoring: {scrapeAnnotations: true}\n\
                test: {enabled: false}\n";
    for helm in helms() {
        let ours = objects(&helm, &(values_for(overlay) + more), KUBERNETES);
        assert_eq!(differences(&made, &ours), [""; 0], "{}", helm.display());
    }
}

/// The twin of the above: overlays differ from each other.
#[test]
fn differences_are_found() {
    let Some(base) = render::get("base") else { return };
    let Some(applied) = applied() else { return };
    for Rendered { name, objects, .. } in applied.filter(|rendered| rendered.name != "base") {
        assert!(!differences(&base.objects, objects).is_empty(), "{name} is like the base");
    }
}

/// The scripts are copies, as a chart holds no file from outside of it; and what Helm makes of them in
/// a ConfigMap is byte for byte the same.
#[test]
fn scripts_are_the_same_in_every_byte() {
    let places = [
        ("overlays/old-clusters", "start-redis.sh"),
        ("overlays/old-clusters", "wait-for-hive.sh"),
        ("base", "start-redis.sh"),
    ];
    for (overlay, script) in places {
        let Some(rendered) = render::get(overlay) else { return };
        let original = &config_map(&rendered.objects, "redis-hive")[script];
        assert_eq!(original.as_str(), Some(file(&format!("files/{script}")).as_str()), "{script}");
        for helm in helms() {
            let ours = objects_for(&helm, overlay);
            assert_eq!(&config_map(&ours, "redis-hive")[script], original, "{script}");
        }
    }
}

/// The chart knows no secrets of its own.
#[test]
fn two_renderings_are_the_same() {
    let Some(helm) = helms().pop() else { return };
    for (name, values) in examples() {
        let render = || objects(&helm, &values, KUBERNETES);
        let (one, other) = (render(), render());
        assert_eq!(one, other, "{name}");
        assert_eq!(of_kind(&one, "Secret").count(), 0, "{name}");
    }
}
