//! Wrong values are refused, with words that lead to the mistake.

use super::chart::{KUBERNETES, helms, render, render_as};

/// Values that no schema may let pass, each with words that the refusal has. Both Helms name the
/// place, each in its own way, so a path is given in parts.
const NO_SUCH_VALUES: &[(&str, &[&str])] = &[
    ("replica: 3", &["replica", "not allowed"]),
    ("replicas: '3'", &["replicas", "string", "integer"]),
    ("replicas: 0", &["replicas", "1"]),
    ("replicas: 2.5", &["replicas", "number", "integer"]),
    ("kind: DaemonSet", &["kind", "Deployment", "StatefulSet"]),
    ("quorum: 0", &["quorum", "1"]),
    ("minReplicasToWrite: -1", &["minReplicasToWrite", "0"]),
    ("nativeSidecar: true", &["nativeSidecar", "auto", "always", "never"]),
    ("global: off", &["global", "boolean", "object"]),
    ("fullnameOverride: Not_A_Name", &["fullnameOverride", "pattern"]),
    ("fullnameOverride: my.cache", &["fullnameOverride", "pattern"]),
    ("fullnameOverride: 7up", &["fullnameOverride", "pattern"]),
    ("nameOverride: my.cache", &["nameOverride", "pattern"]),
    ("commonLabels: {team: 7}", &["commonLabels", "team", "string"]),
    ("podAnnotations: [a]", &["podAnnotations", "array", "object"]),
    ("witness: {replicas: 2}", &["witness", "replicas", "not allowed"]),
    ("witness: {enabled: 'yes'}", &["witness", "enabled", "boolean"]),
    ("sites: {peers: [redis.example.com]}", &["sites", "peers", "0", "pattern"]),
    ("sites: {peers: 10.0.0.7}", &["sites", "peers", "string", "array"]),
    ("auth: {existingsecret: mine}", &["auth", "existingsecret", "not allowed"]),
    ("auth: {keys: {password: p}}", &["auth", "keys", "password", "not allowed"]),
    ("auth: {redisPassword: p, hiveSecret: too short}", &["hiveSecret", "pattern"]),
    ("auth: {redisPassword: 12345}", &["redisPassword", "string"]),
    ("tls: {clientCertificates: maybe}", &["clientCertificates", "required", "optional", "none"]),
    ("sentinel: {port: 0}", &["sentinel", "port", "1"]),
    ("sentinel: {name: my master}", &["sentinel", "name", "pattern"]),
    ("sentinel: {announce: pod}", &["announce", "proxy", "master"]),
    ("monitoring: {podMonitor: {interval: 15}}", &["interval", "string"]),
    ("monitoring: {rules: {runbook: 'https://a/#b'}}", &["runbook", "pattern"]),
    ("monitoring: {dashboards: true}", &["monitoring", "dashboards", "not allowed"]),
    ("hive: {image: {tag: 1.0}}", &["hive", "image", "tag", "string"]),
    ("hive: {image: {digest: 'sha256:123'}}", &["hive", "image", "digest", "pattern"]),
    ("hive: {image: {pullPolicy: always}}", &["pullPolicy", "IfNotPresent"]),
    ("hive: {settings: {peer-timeout: 2}}", &["peer-timeout", "string"]),
    ("hive: {settings: {peer-timeout: 2 s}}", &["peer-timeout", "pattern"]),
    ("hive: {settings: {peerTimeout: 2s}}", &["settings", "peerTimeout", "not allowed"]),
    ("hive: {settings: {quorum: 2}}", &["settings", "quorum", "not allowed"]),
    ("hive: {settings: {priority: low}}", &["settings", "priority", "string", "integer"]),
    ("hive: {extraEnv: {A: b}}", &["extraEnv", "object", "array"]),
    ("hive: {extraEnv: [{name: A, valu: b}]}", &["extraEnv", "0", "valu", "not allowed"]),
    ("redis: {image: 'redis:8'}", &["redis", "image", "string", "object"]),
    ("redis: {image: {repository: 'redis:8'}}", &["repository", "pattern"]),
    ("redis: {config: {maxmemory: 1gb}}", &["redis", "config", "object", "string"]),
    ("redis: {maxmemoryPercent: 101}", &["maxmemoryPercent", "100"]),
    ("redis: {resources: {limit: {memory: 1Gi}}}", &["resources", "limit", "not allowed"]),
    ("redis: {resources: {limits: {memory: 1GB}}}", &["limits", "memory", "pattern"]),
    ("services: {write: {type: Headless}}", &["write", "type", "ClusterIP"]),
    ("services: {write: {port: 70000}}", &["write", "port", "535"]),
    ("services: {read: {throughHive: hive}}", &["throughHive", "boolean"]),
    ("services: {ipFamilies: [ipv6]}", &["ipFamilies", "0", "IPv6"]),
    ("services: {write: {loadBalancerSourceRanges: [10.0.0.1]}}", &["SourceRanges", "pattern"]),
    ("security: {runAsUser: 0}", &["runAsUser", "1"]),
    ("security: {runAsUser: root}", &["runAsUser", "string", "integer"]),
    ("security: {privileged: true}", &["security", "privileged", "not allowed"]),
    ("imagePullSecrets: [mine]", &["imagePullSecrets", "0", "string", "object"]),
    ("topologySpreadConstraints: [{maxSkew: 1}]", &["topologySpread", "topologyKey"]),
    ("extraVolumes: [{emptyDir: {}}]", &["extraVolumes", "0", "name"]),
    ("exporter: {enable: true}", &["exporter", "enable", "not allowed"]),
];

/// Values that do not go together, each with the reason that is given.
const NOT_TOGETHER: &[(&str, &[&str])] = &[
    (
        "monitoring: {scrapeAnnotations: true, podMonitor: {enabled: true}}",
        &["monitoring.scrapeAnnotations", "twice"],
    ),
    ("sentinel: {enabled: true, port: 6380}", &["sentinel.port: 6380", "26379"]),
    ("{replicas: 4, quorum: 2}", &["quorum: 2 is not more than half of 4 hives", "give 3"]),
    ("{replicas: 3, quorum: 2, witness: {enabled: true}}", &["half of 4 hives"]),
    ("{replicas: 3, quorum: 4}", &["quorum: 4 hives", "only 3"]),
    ("{replicas: 2, minReplicasToWrite: 2}", &["minReplicasToWrite: 2", "2 replicas"]),
    ("auth: {redisPassword: p}", &["give both", "invents no secrets"]),
    ("auth: {enabled: false, hiveSecret: 0123456789abcdef}", &["auth.enabled is false"]),
    (
        "auth: {existingSecret: e, redisPassword: p, hiveSecret: 0123456789abcdef}",
        &["auth.existingSecret"],
    ),
    ("auth: {enabled: false, username: hive}", &["auth.username", "password"]),
    ("redis: {config: 'rename-command CONFIG \"\"'}", &["rename-command CONFIG", "steers"]),
    ("redis: {config: \"maxclients 9\\n  Rename-Command  'replicaof' x\"}", &["steers", "ACL"]),
    ("redis: {config: '\"rename-command\" \"slaveof\" x'}", &["steers"]),
    ("redis: {config: 'include /more.conf'}", &["include /more.conf", "not checked"]),
    ("redis: {config: \"maxclients 9\\n 'Include'  more.conf\"}", &["not checked"]),
    (
        "redis: {maxmemoryPercent: 50, resources: {limits: {memory: null}}}",
        &["maxmemoryPercent", "redis.resources.limits.memory"],
    ),
    (
        "redis: {maxmemoryPercent: 50, resources: {limits: {memory: '1e9'}}}",
        &["redis.resources.limits.memory", "cannot read '1e9'"],
    ),
    (
        "redis: {resources: {requests: {ephemeral-storage: 32Gi}, limits: {memory: 16Gi}}}",
        &["limits.ephemeral-storage: 2Gi", "maxmemory of 8589934592", "at least 16384Mi"],
    ),
    (
        "redis: {resources: {requests: {ephemeral-storage: 1G}, limits: {ephemeral-storage: null}}}",
        &["requests.ephemeral-storage: 1G", "at least 1024Mi"],
    ),
    (
        "redis: {config: \"maxmemory 1mb\\n 'MaxMemory' 900mb\", resources: {limits: {ephemeral-storage: 1Gi}}}",
        &["limits.ephemeral-storage: 1Gi", "maxmemory of 943718400", "at least 1800Mi"],
    ),
    (
        "redis: {config: maxmemory 3gb, resources: {requests: {ephemeral-storage: 6Gi}, limits: {ephemeral-storage: 6Gi}}}",
        &["limits.memory: 1Gi", "too little for the data", "at least 3072Mi"],
    ),
    ("redis: {config: maxmemory 1gib}", &["maxmemory 1gib", "no unit 'gib'"]),
    ("hive: {extraEnv: [{name: HIVE_QUORUM, value: '2'}]}", &["HIVE_QUORUM", "hive.settings"]),
    ("hive: {extraEnv: [{name: POD_IP, value: 10.0.0.1}]}", &["POD_IP", "set by the chart"]),
    ("services: {write: {nodePort: 30000}}", &["services.write.nodePort", "NodePort or Load"]),
    (
        "services: {read: {externalTrafficPolicy: Local}}",
        &["services.read.externalTrafficPolicy", "it is ClusterIP"],
    ),
    (
        "services: {write: {type: NodePort, loadBalancerClass: internal}}",
        &["services.write.loadBalancerClass", "LoadBalancer", "it is NodePort"],
    ),
    ("services: {read: {loadBalancerSourceRanges: [10.0.0.0/8]}}", &["read.loadBalancerSource"]),
    ("commonLabels: {app.kubernetes.io/instance: mine}", &["commonLabels", "set by the chart"]),
    ("podLabels: {app.kubernetes.io/component: data}", &["podLabels", "io/component"]),
];

/// The twins of some of the above: what differs from them only in the mistake passes.
const PASSES: &[&str] = &[
    "{}",
    "global: {imageRegistry: registry.example.com}",
    "enabled: true",
    "{replicas: 5, quorum: 3}",
    "{replicas: 4, quorum: 2, sites: {peers: [10.1.0.7, 'fd00::7', 'fd00::8']}}",
    "auth: {redisPassword: p, hiveSecret: 0123456789abcdef}",
    "auth: {existingSecret: mine, keys: {redisPassword: password}}",
    "hive: {settings: {peer-timeout: 1.5s, splice: off, max-clients: 1000000}}",
    "redis: {config: 'rename-command DEBUG \"\"'}",
    "redis: {config: '# rename-command CONFIG \"\"'}",
    "security: {runAsUser: null, runAsGroup: null, fsGroup: null}",
    "redis: {maxmemoryPercent: 50, resources: {limits: {memory: 1073741824}}}",
    "redis: {config: maxmemory 900mb}",
    "services: {write: {type: NodePort, nodePort: 30000, externalTrafficPolicy: Local}}",
    "{commonLabels: {team: a}, podLabels: {app.kubernetes.io/other: b}}",
    "redis: {maxmemoryPercent: 0, resources: {limits: {memory: 64Gi}}}",
    "redis: {resources: {requests: {ephemeral-storage: 16Gi}, limits: {memory: 16Gi, ephemeral-storage: null}}}",
];

fn are_refused(cases: &[(&str, &[&str])]) {
    for helm in helms() {
        for (values, words) in cases {
            let Err(error) = render(&helm, values, KUBERNETES) else {
                panic!("{}: passes: {values}", helm.display());
            };
            for word in *words {
                assert!(
                    error.contains(word),
                    "{}: {values}: no '{word}' in {error}",
                    helm.display()
                );
            }
        }
    }
}

#[test]
fn the_schema_refuses_wrong_values() {
    are_refused(NO_SUCH_VALUES);
}

#[test]
fn values_that_do_not_go_together_are_refused_with_the_reason() {
    are_refused(NOT_TOGETHER);
}

/// Names that Helm and other objects may have, but no Service.
#[test]
fn names_of_releases_that_no_service_can_have_are_refused() {
    for helm in helms() {
        for release in ["7up", "my.cache"] {
            let made = |values| render_as([release, "default"], &helm, values, KUBERNETES);
            let error = made("{}").expect_err("no Service can be called so");
            assert!(error.contains("Set fullnameOverride"), "{}: {error}", helm.display());
            assert!(made("fullnameOverride: cache").is_ok(), "{}: {release}", helm.display());
        }
    }
}

#[test]
fn right_values_pass() {
    for helm in helms() {
        for values in PASSES {
            if let Err(error) = render(&helm, values, KUBERNETES) {
                panic!("{}: {values}: {error}", helm.display());
            }
        }
    }
}
