//! What Helm says after an installation.

use std::path::Path;
use std::process::Command;

use super::chart::{EVERYTHING, RELEASE, dir};
use crate::tools::{stdout, tool};

/// Values, what is said then, and what is not.
const NOTES: &[(&str, &[&str], &[&str])] = &[
    (
        "{}",
        &["redis://redis-hive-write.default:6379", "create secret generic redis-hive", "helm test"],
        &["WARNING", "exporter-passwords.json", "TLS"],
    ),
    ("exporter: {enabled: true}", &["exporter-passwords.json=exporter-passwords"], &["WARNING"]),
    ("auth: {existingSecret: mine}", &["create secret generic mine"], &["WARNING"]),
    ("auth: {enabled: false}", &["WARNING: auth.enabled is false"], &["create secret"]),
    ("networkPolicy: {enabled: false}", &["WARNING: networkPolicy.enabled is false"], &[]),
    (
        "services: {write: {type: LoadBalancer}}",
        &["Service for writes is a LoadBalancer", "write.loadBalancerSourceRanges or", "Local"],
        &["for reads"],
    ),
    (
        "services: {read: {type: NodePort, externalTrafficPolicy: Local}}",
        &["Service for reads is a NodePort", "\nthem in networkPolicy.clients"],
        &["for writes", "SourceRanges", "Local"],
    ),
    (
        "services: {write: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8], \
         externalTrafficPolicy: Local}}",
        &[],
        &["WARNING"],
    ),
    ("{services: {write: {type: NodePort}}, networkPolicy: {enabled: false}}", &[], &["NodePort"]),
    ("security: {fsGroup: null}", &["WARNING: security.fsGroup is null"], &[]),
    ("replicas: 1", &["WARNING: there is one replica"], &[]),
    ("witness: {enabled: true}", &["WARNING: the witness decides nothing"], &[]),
    (
        EVERYTHING,
        &[
            "rediss://redis-hive-cache-write.default:6479",
            "redis-hive-cache-sentinel.default:26380",
            "WARNING: the password",
            "ca.pem",
        ],
        &["create secret", "0123456789abcdef"],
    ),
];

fn notes(helm: &Path, values: &str) -> String {
    let mut command = Command::new(helm);
    command.args(["install", RELEASE]).arg(dir()).args(["--values", "-", "--dry-run=client"]);
    let told = stdout(command.args(["--namespace", "default"]), values.as_bytes());
    told.split_once("NOTES:").expect("there are notes").1.to_owned()
}

/// With Helm 4 only: 3 asks a cluster before it says anything.
#[test]
fn notes_say_what_is_to_be_done_and_what_is_odd() {
    let Some(helm) = tool("helm-4") else { return };
    for (values, said, unsaid) in NOTES {
        let notes = notes(&helm, values);
        for words in *said {
            assert!(notes.contains(words), "{values}: no '{words}' in {notes}");
        }
        for words in *unsaid {
            assert!(!notes.contains(words), "{values}: '{words}' in {notes}");
        }
    }
}
