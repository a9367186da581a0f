//! What the chart makes passes lint, fits the schemas of Kubernetes, and obeys the rules that hold for
//! the manifests.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::chart::{EVERYTHING, KUBERNETES, dir, examples, helms, objects, render_as, rendered};
use crate::rules;
use crate::schemas::{OLD_VERSIONS, VERSIONS, distinct, validate};
use crate::settings;
use crate::tools::run;

fn lint(helm: &Path, values: &str) -> Output {
    let mut command = Command::new(helm);
    command.args(["lint", "--strict", "--values", "-"]).arg(dir());
    run(&mut command, values.as_bytes())
}

/// The examples, and values with all that the chart can do.
fn all_values() -> Vec<(String, String)> {
    let everything = ("everything".to_owned(), EVERYTHING.to_owned());
    examples().into_iter().chain([everything]).collect()
}

#[test]
fn lint_is_content() {
    for helm in helms() {
        for (name, values) in all_values() {
            let output = lint(&helm, &values);
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !told.contains("[WARNING]"), "{name}: {told}");
        }
        assert!(!lint(&helm, "replicas: three").status.success(), "lint sees nothing");
    }
}

/// What holds for what one Helm makes, holds for the other.
#[test]
fn both_helms_make_the_same() {
    let helms = helms();
    let [old, new] = helms.as_slice() else { return };
    for (name, values) in all_values() {
        let made = |helm: &Path| objects(helm, &values, KUBERNETES);
        let mut pair = [made(old), made(new)];
        // They differ in the order in which they print objects of a kind.
        for objects in &mut pair {
            objects
                .sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
        }
        assert_eq!(pair[0], pair[1], "{name}");
    }
}

#[test]
fn everything_fits_the_schemas_of_kubernetes() {
    let Some(helm) = helms().pop() else { return };
    for version in VERSIONS.iter().chain(&OLD_VERSIONS) {
        let text: Vec<String> = all_values()
            .iter()
            .map(|(_, values)| rendered(&helm, values, &format!("{version}.0")))
            .collect();
        let manifests = distinct(text.iter().map(String::as_str));
        let Some(output) = validate(version, &manifests) else { return };
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Names that YAML reads as numbers or truth values unless they are quoted.
#[test]
fn names_stay_text_whatever_they_look_like() {
    let odd = "
fullnameOverride: 'on'
nameOverride: '123'
auth: {existingSecret: '0123', keys: {redisPassword: '1', hiveSecret: '2'}, username: '3'}
tls: {enabled: true, existingSecret: '4', keys: {ca: '5', cert: '6', key: '7'}, serverName: '8'}
exporter: {enabled: true, passwordsKey: '9'}
witness: {enabled: true}
priorityClassName: '1e3'
runtimeClassName: '11'
schedulerName: '12'
";
    let secret = "{fullnameOverride: 'on', auth: {redisPassword: '1', hiveSecret: '0123456789012345', keys: {hiveSecret: '2'}}}";
    for helm in helms() {
        let made =
            |values| render_as(["7", "12345"], &helm, values, KUBERNETES).expect("right values");
        let text = [made(odd), made(secret)].join("\n---\n");
        let Some(output) = validate(VERSIONS[1], &text) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", helm.display());
    }
}

#[test]
fn the_hives_take_all_settings() {
    // A ConfigMap of somebody else, which the values name.
    let foreign = json!({"kind": "ConfigMap", "metadata": {"name": "more"}, "data": {}});
    let Some(helm) = helms().pop() else { return };
    for (name, values) in all_values() {
        let mut objects = objects(&helm, &values, KUBERNETES);
        objects.push(foreign.clone());
        assert_eq!(settings::faults(&objects), [""; 0], "{name}");
    }
}

/// What [`EVERYTHING`] asks for against the rules: each is part of a fault.
const ASKED_FOR: &[&str] = &[
    "/securityContext/fsGroup is null",
    "/topologySpreadConstraints is null",
    "Service redis-hive-cache-write: /spec/type is \"LoadBalancer\"",
    "Service redis-hive-cache-read: /spec/type is \"NodePort\"",
    // `networkPolicy.extraEgress` without ports, and `networkPolicy.metrics` that lets nobody in.
    "NetworkPolicy redis-hive-cache: /spec/egress is",
    "nobody may reach port 6391",
    "nobody may reach port 9121",
    // 60 per cent of the memory.
    "/resources/limits/memory is Some(2000000000) for 1200000000 bytes",
];

#[test]
fn everything_breaks_no_rules_but_those_it_is_told_to() {
    let Some(helm) = helms().pop() else { return };
    let mut found = rules::faults(&objects(&helm, EVERYTHING, KUBERNETES));
    for asked in ASKED_FOR {
        assert!(found.iter().any(|fault| fault.contains(asked)), "not asked for: {asked}");
    }
    found.retain(|fault| !ASKED_FOR.iter().any(|asked| fault.contains(asked)));
    assert_eq!(found, [""; 0]);
}

/// The pod of `helm test` is one of the objects, and under the same rules as all others.
#[test]
fn the_rules_are_about_the_test_pod_too() {
    let Some(helm) = helms().pop() else { return };
    let mut objects = objects(&helm, "{}", KUBERNETES);
    let pod = objects.iter_mut().find(|object| object["kind"] == "Pod").expect("the test pod");
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(true);
    let found = rules::faults(&objects);
    assert!(found.iter().any(|fault| fault.contains("privileged is true")), "{found:?}");
}

/// As for the manifests, also with a redis_exporter beside Redis.
#[test]
fn the_rules_are_kept() {
    let exporter = ("exporter".to_owned(), "exporter: {enabled: true}".to_owned());
    let Some(helm) = helms().pop() else { return };
    for (name, values) in examples().into_iter().chain([exporter]) {
        let found = rules::faults(&objects(&helm, &values, KUBERNETES));
        assert_eq!(found, [""; 0], "{name}");
    }
}
