//! The settings in manifests are settings of `redis-hive run`, with values it takes.

use std::collections::BTreeMap;

use clap::Args as _;
use redis_hive::cli::args::{self, Command};
use redis_hive::config::{Config, Flags, Outside};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::render::{self, Rendered, config_map, containers, workloads};

/// Settings about files of the pod: their names are checked, what the files hold is not known here.
const FILES: [&str; 7] = [
    "HIVE_REDIS_PASSWORD_FILE",
    "HIVE_SECRET_FILE",
    "HIVE_REDIS_TLS",
    "HIVE_REDIS_CA",
    "HIVE_REDIS_CERT",
    "HIVE_REDIS_KEY",
    "HIVE_REDIS_TLS_SERVER_NAME",
];

/// What is wrong with the settings of the hives, one sentence each.
pub fn faults(objects: &[Value]) -> Vec<String> {
    let hives = workloads(objects).flat_map(containers).filter(|c| c["name"] == "hive");
    hives.flat_map(|hive| judge(&environment(objects, hive))).collect()
}

/// The `HIVE_*` variables of a container.
fn environment(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let mut found = variables(objects, container);
    found.retain(|name, _| name.starts_with("HIVE_"));
    found
}

/// The variables of a container that have a value: those of its ConfigMap, then its own.
pub fn variables(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("the value of a variable is text").to_owned();
    let mut found = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let name = source["configMapRef"]["name"].as_str().expect("a ConfigMap");
        let data = config_map(objects, name).as_object().expect("data");
        found.extend(data.iter().map(|(name, value)| (name.clone(), text(value))));
    }
    for own in container["env"].as_array().into_iter().flatten() {
        if let Some(value) = own["value"].as_str() {
            found.insert(text(&own["name"]), value.to_owned());
        }
    }
    found
}

/// What is wrong with these variables of a hive, one sentence each.
pub fn judge(environment: &BTreeMap<String, String>) -> Vec<String> {
    let run = Flags::augment_args(clap::Command::new("run"));
    let known: Vec<_> = run.get_arguments().filter_map(|a| a.get_env()?.to_str()).collect();
    let mut line = vec!["redis-hive".to_owned(), "run".to_owned()];
    for (name, value) in environment {
        if FILES.contains(&name.as_str()) {
            continue;
        }
        if !known.contains(&name.as_str()) {
            return vec![format!("{name} is no setting")];
        }
        let flag = name.trim_start_matches("HIVE_").to_lowercase().replace('_', "-");
        line.push(format!("--{flag}={value}"));
    }
    let (cli, _) = args::parse(line).expect("a command line clap takes");
    let Command::Run(flags) = cli.command else { panic!("run was given") };
    let password = environment.contains_key("HIVE_REDIS_PASSWORD_FILE");
    let outside = Outside {
        pod_ip: Some("10.0.0.1".to_owned()),
        password_file: password.then(|| Ok(SecretString::from("a password"))),
        in_container: true,
        cpus: 2,
        ..Outside::default()
    };
    match Config::from_flags(&flags, &outside) {
        Ok(checked) => checked.warnings,
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn all_settings_are_taken_without_a_warning() {
    let Some(all) = render::all() else { return };
    for Rendered { name, objects, .. } in all {
        assert_eq!(faults(objects), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_wrong_setting_is_found() {
    let Some(base) = render::get("base") else { return };
    for (name, value, word) in [
        ("HIVE_QUORUMS", "2", "no setting"),
        ("HIVE_QUORUM", "two", "--quorum"),
        ("HIVE_PEER_TIMEOUT", "100ms", "--peer-timeout"),
    ] {
        let mut objects = base.objects.clone();
        let workload = objects.iter_mut().find(|object| object["kind"] == "Deployment");
        let own =
            workload.expect("a Deployment").pointer_mut("/spec/template/spec/containers/0/env");
        own.and_then(Value::as_array_mut)
            .expect("a list")
            .push(json!({"name": name, "value": value}));
        let found = faults(&objects);
        assert!(found.iter().any(|fault| fault.contains(word)), "{name}={value}: {found:?}");
    }
}

/// With a quorum a fourth hive for a moment is one too many.
#[test]
fn two_hives_are_more_than_half_wherever_two_are_asked_for() {
    let Some(all) = render::all() else { return };
    for Rendered { name, objects, .. } in all {
        let quorum = config_map(objects, "redis-hive-settings")["HIVE_QUORUM"].as_str();
        let Some(quorum) = quorum.map(|text| text.parse::<u64>().expect("a number")) else {
            continue;
        };
        let sites = u64::from(name.contains("multi-site")) * 2;
        let most: u64 = workloads(objects)
            .map(|workload| {
                let surge = &workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"];
                workload["spec"]["replicas"].as_u64().expect("a number")
                    + surge.as_u64().unwrap_or(0)
            })
            .sum();
        assert!(2 * quorum > most + sites, "{name}: {quorum} of {}", most + sites);
    }
}
