//! Compose and Swarm: nodes that are locked like pods, and find each other by one name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::render::parse_yaml;
use super::settings::judge;
use super::tools::root;

fn read(name: &str) -> Option<Value> {
    let text = std::fs::read_to_string(root().join("deploy/compose").join(name)).expect("the file");
    parse_yaml(&text)?.into_iter().next()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn services(file: &Value) -> impl Iterator<Item = (&str, &Value)> {
    file["services"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, service)| (name.as_str(), service))
}

/// What must hold of every container.
fn open_doors(file: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, service) in services(file) {
        let user = service["user"].as_str().unwrap_or_default();
        let checks = [
            (service["read_only"] == true, "its root can be written"),
            (list(&service["cap_drop"]) == ["ALL"], "it keeps capabilities"),
            (!user.is_empty() && !user.starts_with('0') && user != "root", "it runs as root"),
            (service["privileged"].is_null() && service["cap_add"].is_null(), "it has more rights"),
        ];
        let wrong = checks.into_iter().filter(|(holds, _)| !holds);
        found.extend(wrong.map(|(_, what)| format!("{name}: {what}")));
        found.extend(
            variables(service)
                .keys()
                .filter(|key| is_secret(key))
                .map(|key| format!("{name}: {key}")),
        );
    }
    found
}

fn is_secret(variable: &str) -> bool {
    let named = ["PASSWORD", "SECRET"].iter().any(|word| variable.contains(word));
    named && !variable.ends_with("_FILE")
}

fn variables(service: &Value) -> BTreeMap<String, String> {
    let pairs = service["environment"].as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

/// What must hold of the nodes of `compose.yaml`.
fn broken_nodes(file: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for node in 1..=3 {
        let service = |part: &str| &file["services"][format!("{part}-{node}")];
        let [pod, redis, hive] = ["pod", "redis", "hive"].map(service);
        let shared = format!("service:pod-{node}");
        let redis_name = format!("redis-{node}");
        let peers = variables(hive).get("HIVE_SERVICE").cloned().unwrap_or_default();
        let checks = [
            (
                redis["network_mode"] == *shared && hive["network_mode"] == *shared,
                "no common network",
            ),
            (
                list(&pod["networks"]["hive"]["aliases"]).iter().any(|name| *name == peers),
                "not found",
            ),
            (
                list(&hive["depends_on"]).iter().any(|name| *name == redis_name),
                "Redis may stop first",
            ),
            (hive["stop_grace_period"] == "600s", "killed while the last copy is copied"),
            (list(&pod["ports"]).iter().all(is_local), "open to the outside"),
        ];
        let wrong = checks.into_iter().filter(|(holds, _)| !holds);
        found.extend(wrong.map(|(_, what)| format!("node {node}: {what}")));
    }
    found
}

fn is_local(port: &Value) -> bool {
    port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:"))
}

#[test]
fn three_nodes_are_locked_and_find_each_other() {
    let Some(file) = read("compose.yaml") else { return };
    assert_eq!(services(&file).count(), 9);
    assert_eq!(open_doors(&file), Vec::<String>::new());
    assert_eq!(broken_nodes(&file), Vec::<String>::new());
}

#[test]
fn a_node_that_is_changed_is_found() {
    let Some(file) = read("compose.yaml") else { return };
    for (service, key, value) in [
        ("hive-2", "read_only", Value::Bool(false)),
        ("redis-1", "cap_drop", Value::Null),
        ("redis-3", "user", "0:0".into()),
        ("pod-1", "cap_add", serde_json::json!(["NET_ADMIN"])),
        ("hive-1", "environment", serde_json::json!({"HIVE_SECRET": "x"})),
    ] {
        let mut spoiled = file.clone();
        spoiled["services"][service][key] = value;
        assert!(!open_doors(&spoiled).is_empty(), "{service}: {key}");
    }
    for (service, key, value) in [
        ("redis-2", "network_mode", Value::Null),
        ("pod-3", "networks", serde_json::json!({"hive": {"aliases": ["other"]}})),
        ("hive-1", "depends_on", serde_json::json!(["pod-1"])),
        ("hive-2", "stop_grace_period", "10s".into()),
        ("pod-2", "ports", serde_json::json!(["7002:6380"])),
    ] {
        let mut spoiled = file.clone();
        spoiled["services"][service][key] = value;
        assert!(!broken_nodes(&spoiled).is_empty(), "{service}: {key}");
    }
}

#[test]
fn a_stack_lists_the_addresses_of_its_tasks() {
    let Some(file) = read("stack.yaml") else { return };
    assert_eq!(open_doors(&file), Vec::<String>::new());
    let node = &file["services"]["redis-hive"];
    assert_eq!(variables(node)["HIVE_SERVICE"], "tasks.redis-hive");
    assert_eq!(node["deploy"]["endpoint_mode"], "dnsrr");
    assert_eq!(node["deploy"]["update_config"]["parallelism"], 1);
    assert_eq!(node["stop_grace_period"], "600s");
    // An address of the whole service would hide its tasks.
    assert!(list(&node["ports"]).iter().all(|port| port["mode"] == "host"), "{}", node["ports"]);
    // DNS lists healthy tasks only, and nobody is healthy before he found the others.
    assert!(node["healthcheck"].is_null());
}

#[test]
fn their_settings_are_taken_without_a_warning() {
    for (name, hives) in [("compose.yaml", 3), ("stack.yaml", 1)] {
        let Some(file) = read(name) else { return };
        let mut seen = 0;
        for (service, part) in services(&file) {
            let mut settings = variables(part);
            settings.retain(|name, _| name.starts_with("HIVE_"));
            if !settings.is_empty() {
                seen += 1;
                assert_eq!(judge(&settings), Vec::<String>::new(), "{name}: {service}");
            }
        }
        assert_eq!(seen, hives, "{name}");
    }
}

#[test]
fn secrets_are_made_once_and_closed() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = std::env::temp_dir().join(format!("redis-hive-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    std::fs::copy(root().join("deploy/compose/secrets"), dir.join("secrets")).expect("a copy");
    let make = || {
        let status = std::process::Command::new("sh").arg(dir.join("secrets")).status();
        assert!(status.expect("a shell").success());
        ["redis-password", "hive-secret"]
            .map(|name| std::fs::read_to_string(dir.join("secret").join(name)).expect("a secret"))
    };
    let [password, secret] = make();
    assert!(password.len() == 64 && secret.len() == 64 && password != secret);
    assert!(password.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(make(), [password, secret], "kept");
    let mode = std::fs::metadata(dir.join("secret")).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::remove_dir_all(dir).expect("it is there");
}
