//! What single values do: each with the places in the objects where it shows.

use serde_json::Value;

use super::chart::{EVERYTHING, KUBERNETES, helms, objects};

const DATA: &str = "Deployment/redis-hive/spec";
const POD: &str = "Deployment/redis-hive/spec/template/spec";

/// Values, the version of Kubernetes, and what is then where. The first two parts of a place are kind
/// and name of an object; `[NAME]` is the element of a list with that name. `null` is for nothing.
type Effect = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

#[rustfmt::skip]
const EFFECTS: &[Effect] = &[
    ("{}", KUBERNETES, &[
        (POD, "/initContainers/[redis]/restartPolicy", "\"Always\""),
        (POD, "/containers/[hive]/image", "\"redis-hive:0.1.0\""),
        (DATA, "/strategy/rollingUpdate/maxSurge", "1"),
        ("Deployment/redis-hive-witness", "", "null"),
        ("Secret/redis-hive", "", "null"),
    ]),
    // A distribution adds to the version.
    ("{}", "1.29.1-gke.1575000", &[(POD, "/initContainers/[redis]/restartPolicy", "\"Always\"")]),
    ("{}", "1.28.9", &[
        (POD, "/initContainers", "null"),
        (POD, "/containers/[redis]/restartPolicy", "null"),
        (POD, "/containers/[redis]/lifecycle/preStop/exec/command/1", "\"/etc/redis-hive/wait-for-hive.sh\""),
    ]),
    ("nativeSidecar: never", KUBERNETES, &[(POD, "/initContainers", "null")]),
    ("nativeSidecar: always", "1.28.9", &[(POD, "/initContainers/[redis]/restartPolicy", "\"Always\"")]),
    ("{}", "1.26.0", &[("PodDisruptionBudget/redis-hive/spec", "/unhealthyPodEvictionPolicy", "null")]),
    ("quorum: 2", KUBERNETES, &[
        (DATA, "/strategy/rollingUpdate/maxSurge", "0"),
        ("ConfigMap/redis-hive-settings/data", "/HIVE_QUORUM", "\"2\""),
    ]),
    ("auth: {existingSecret: mine, keys: {redisPassword: password, hiveSecret: hive}}", KUBERNETES, &[
        (POD, "/volumes/[redis-secrets]/secret/secretName", "\"mine\""),
        (POD, "/volumes/[hive-secrets]/secret/items/0/key", "\"password\""),
        (POD, "/volumes/[hive-secrets]/secret/items/0/path", "\"redis-password\""),
        (POD, "/volumes/[hive-secrets]/secret/items/1/key", "\"hive\""),
    ]),
    ("auth: {redisPassword: 'p\"w', hiveSecret: 0123456789abcdef}", KUBERNETES, &[
        ("Secret/redis-hive", "/stringData/redis-password", r#""p\"w""#),
        ("Secret/redis-hive", "/stringData/hive-secret", "\"0123456789abcdef\""),
    ]),
    ("auth: {enabled: false}", KUBERNETES, &[
        (POD, "/volumes/[redis-secrets]", "null"),
        (POD, "/volumes/[hive-secrets]", "null"),
        (POD, "/initContainers/[redis]/env", "null"),
        (POD, "/containers/[hive]/env/[HIVE_REDIS_PASSWORD_FILE]", "null"),
        ("ConfigMap/redis-hive-settings/data", "/HIVE_SECRET_FILE", "null"),
    ]),
    ("security: {runAsUser: null, runAsGroup: null, fsGroup: null}", KUBERNETES, &[
        (POD, "/securityContext", r#"{"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}"#),
    ]),
    ("security: {runAsUser: 1000680000}", KUBERNETES, &[(POD, "/securityContext/runAsUser", "1000680000")]),
    ("networkPolicy: {clients: [], metrics: []}", KUBERNETES, &[
        ("NetworkPolicy/redis-hive/spec", "/ingress/1/from/0/podSelector/matchLabels/app.kubernetes.io~1component", "\"test\""),
        ("NetworkPolicy/redis-hive/spec", "/ingress/2", "null"),
    ]),
    ("services: {read: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8]}}", KUBERNETES, &[
        ("NetworkPolicy/redis-hive/spec", "/ingress/4/from/0/ipBlock/cidr", "\"10.0.0.0/8\""),
        ("NetworkPolicy/redis-hive/spec", "/ingress/4/ports", r#"[{"protocol": "TCP", "port": 6379}]"#),
    ]),
    ("services: {read: {type: LoadBalancer, throughHive: true, loadBalancerSourceRanges: [10.0.0.0/8]}}", KUBERNETES, &[
        ("NetworkPolicy/redis-hive/spec", "/ingress/4/ports", r#"[{"protocol": "TCP", "port": 6381}]"#),
    ]),
    ("networkPolicy: {enabled: false}", KUBERNETES, &[("NetworkPolicy/redis-hive", "", "null")]),
    ("podDisruptionBudget: {enabled: false}", KUBERNETES, &[("PodDisruptionBudget/redis-hive", "", "null")]),
    ("services: {read: {enabled: false}}", KUBERNETES, &[("Service/redis-hive-read", "", "null")]),
    ("test: {enabled: false}", KUBERNETES, &[("Pod/redis-hive-test", "", "null")]),
    ("sentinel: {enabled: true}", KUBERNETES, &[
        ("ConfigMap/redis-hive-settings/data", "/HIVE_SENTINEL_PORT", "\"26379\""),
        (POD, "/containers/[hive]/ports/[tcp-sentinel]/containerPort", "26379"),
        ("Service/redis-hive-sentinel/spec", "/ports/0/targetPort", "\"tcp-sentinel\""),
        ("NetworkPolicy/redis-hive/spec", "/ingress/1/ports/3/port", "26379"),
    ]),
    ("monitoring: {scrapeAnnotations: true}", KUBERNETES, &[
        ("Deployment/redis-hive/spec/template/metadata", "/annotations/prometheus.io~1port", "\"6391\""),
        ("PodMonitor/redis-hive", "", "null"),
        ("PrometheusRule/redis-hive", "", "null"),
        ("ConfigMap/redis-hive-dashboard", "", "null"),
    ]),
    ("fullnameOverride: cache", KUBERNETES, &[
        ("Deployment/cache/spec/template/spec", "/volumes/[redis-secrets]/secret/secretName", "\"cache\""),
        ("ConfigMap/cache-settings/data", "/HIVE_SERVICE", "\"cache-peers\""),
        ("Service/cache-peers/spec", "/clusterIP", "\"None\""),
    ]),
    ("redis: {maxmemoryPercent: 0}", KUBERNETES, &[
        ("ConfigMap/redis-hive/data", "/redis.conf", "\"maxmemory-policy noeviction\\n\""),
    ]),
    ("redis: {config: 'MAXMEMORY 900mb'}", KUBERNETES, &[
        ("ConfigMap/redis-hive/data", "/redis.conf", "\"MAXMEMORY 900mb\\n\""),
    ]),
    ("redis: {maxmemoryPercent: 75, config: '', resources: {requests: {ephemeral-storage: 3Gi}, limits: {memory: 1.5Gi, ephemeral-storage: 3Gi}}}", KUBERNETES, &[
        ("ConfigMap/redis-hive/data", "/redis.conf", "\"maxmemory 1207959552\\n\""),
    ]),
    ("redis: {maxmemoryPercent: 50, config: '', resources: {limits: {memory: 1073741824}}}", KUBERNETES, &[
        ("ConfigMap/redis-hive/data", "/redis.conf", "\"maxmemory 536870912\\n\""),
    ]),
    ("hive: {settings: {max-clients: 1000000, splice: off}}", KUBERNETES, &[
        ("ConfigMap/redis-hive-settings/data", "/HIVE_MAX_CLIENTS", "\"1000000\""),
        ("ConfigMap/redis-hive-settings/data", "/HIVE_SPLICE", "\"off\""),
    ]),
    (EVERYTHING, KUBERNETES, &[
        ("Deployment/redis-hive-cache/metadata", "/labels/team", "\"a\""),
        ("Deployment/redis-hive-cache/metadata", "/annotations/owner", "\"7\""),
        ("Deployment/redis-hive-cache/spec/template/metadata", "/labels/team", "\"b\""),
        ("Deployment/redis-hive-cache/spec", "/replicas", "4"),
        ("Deployment/redis-hive-cache/spec/template/metadata", "/labels/cost", "\"1\""),
        ("Deployment/redis-hive-cache/spec/template/metadata", "/annotations/config.linkerd.io~1opaque-ports", "\"6379\""),
        ("Deployment/redis-hive-cache/spec/template/metadata", "/labels/helm.sh~1chart", "null"),
        ("Deployment/redis-hive-cache-witness/spec/template/spec", "/nodeSelector/disk", "\"none\""),
        ("Deployment/redis-hive-cache-witness/spec/template/spec", "/tolerations/0/key", "\"only\""),
        ("Deployment/redis-hive-cache-witness/spec/template/spec", "/containers/[hive]/env/[HIVE_REDIS_CA]/value", "\"\""),
        ("Deployment/redis-hive-cache-witness/spec/template/spec", "/volumes/[tls]", "null"),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_SERVICE", "\"redis-hive-cache-peers,cache.other.example.com\""),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_PEER", "\"192.0.2.10,2001:db8::10\""),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_NAME", "\"cache\""),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_REDIS_TLS_SERVER_NAME", "\"redis-hive-cache\""),
        ("ConfigMap/redis-hive-cache/data", "/redis.conf", r#""maxmemory 1200000000\nmaxclients 20000\nrename-command DEBUG \"\"\n""#),
        ("Secret/redis-hive-cache/stringData", "/redis-password", "\"first\\nsecond\""),
        ("Secret/redis-hive-cache/stringData", "/exporter.json", r#""{\"rediss://127.0.0.1:6379\":\"first\"}""#),
        ("Service/redis-hive-cache-write/spec", "/type", "\"LoadBalancer\""),
        ("Service/redis-hive-cache-write/spec", "/ports/0/nodePort", "30479"),
        ("Service/redis-hive-cache-write/spec", "/loadBalancerSourceRanges/0", "\"10.0.0.0/8\""),
        ("Service/redis-hive-cache-write/spec", "/externalTrafficPolicy", "\"Local\""),
        ("Service/redis-hive-cache-write/metadata", "/annotations/c", "\"d\""),
        ("Service/redis-hive-cache-write/metadata", "/annotations/config.linkerd.io~1opaque-ports", "\"6479\""),
        ("Service/redis-hive-cache-read/spec", "/ports/0/targetPort", "\"tcp-read\""),
        ("Service/redis-hive-cache-sentinel/spec", "/ports/0/port", "26380"),
        ("Service/redis-hive-cache-sentinel/metadata", "/annotations/g", "\"h\""),
        ("PodMonitor/redis-hive-cache/metadata", "/labels/release", "\"prometheus\""),
        ("PodMonitor/redis-hive-cache/spec", "/selector/matchLabels/app.kubernetes.io~1name", "\"cache\""),
        ("PodMonitor/redis-hive-cache/spec", "/podMetricsEndpoints/1/port", "\"http-metrics\""),
        ("PodMonitor/redis-hive-cache/spec", "/podMetricsEndpoints/1/interval", "\"30s\""),
        ("PrometheusRule/redis-hive-cache/metadata", "/labels/release", "\"prometheus\""),
        ("PrometheusRule/redis-hive-cache/spec", "/groups/0/rules/0/annotations/runbook_url", "\"https://wiki.example.com/hive#redishiveabsent\""),
        ("ConfigMap/redis-hive-cache-dashboard/metadata", "/labels/dashboards", "\"yes\""),
        ("ConfigMap/redis-hive-cache-dashboard/metadata", "/annotations/grafana_folder", "\"Data\""),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_SENTINEL_NAME", "\"cache\""),
        ("ConfigMap/redis-hive-cache-settings/data", "/HIVE_SENTINEL_ANNOUNCE", "\"master\""),
        ("Service/redis-hive-cache-peers/spec", "/ipFamilies", r#"["IPv6", "IPv4"]"#),
        ("Service/redis-hive-cache-peers/spec", "/ipFamilyPolicy", "\"RequireDualStack\""),
        ("NetworkPolicy/redis-hive-cache/spec", "/ingress/1/from/0/namespaceSelector/matchLabels/team", "\"a\""),
        ("NetworkPolicy/redis-hive-cache/spec", "/ingress/2/from/1/ipBlock/cidr", "\"2001:db8::10/128\""),
        ("NetworkPolicy/redis-hive-cache/spec", "/ingress/4/from/1/ipBlock/cidr", "\"2001:db8::/32\""),
        ("NetworkPolicy/redis-hive-cache/spec", "/ingress/4/ports", r#"[{"protocol": "TCP", "port": 6380}]"#),
        ("NetworkPolicy/redis-hive-cache/spec", "/ingress/5/ports/0/port", "6380"),
        ("NetworkPolicy/redis-hive-cache/spec", "/egress/3/to/0/ipBlock/cidr", "\"203.0.113.0/24\""),
    ]),
    (EVERYTHING, KUBERNETES, &[
        (CACHE, "/priorityClassName", "\"high\""),
        (CACHE, "/runtimeClassName", "\"gvisor\""),
        (CACHE, "/schedulerName", "\"other\""),
        (CACHE, "/imagePullSecrets/0/name", "\"pull\""),
        (CACHE, "/nodeSelector/disk", "\"fast\""),
        (CACHE, "/tolerations/0/key", "\"only\""),
        (CACHE, "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey", "\"kubernetes.io/hostname\""),
        (CACHE, "/topologySpreadConstraints", "null"),
        (CACHE, "/hostAliases/0/ip", "\"192.0.2.1\""),
        (CACHE, "/dnsConfig/options/0/name", "\"ndots\""),
        (CACHE, "/initContainers/0/name", "\"before\""),
        (CACHE, "/initContainers/1/name", "\"redis\""),
        (CACHE, "/initContainers/[redis]/image", "\"valkey/valkey:9-alpine\""),
        (CACHE, "/initContainers/[redis]/env/[TZ]/value", "\"UTC\""),
        (CACHE, "/initContainers/[redis]/env/[HIVE_REDIS_USERNAME]/value", "\"hive\""),
        (CACHE, "/initContainers/[redis]/volumeMounts/[modules]/mountPath", "\"/modules\""),
        (CACHE, "/containers/[hive]/image", "\"registry.example.com:5000/redis-hive@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""),
        (CACHE, "/containers/[hive]/imagePullPolicy", "\"Always\""),
        (CACHE, "/containers/[hive]/env/[RUST_BACKTRACE]/value", "\"1\""),
        (CACHE, "/containers/[hive]/env/[HIVE_REDIS_USERNAME]/value", "\"hive\""),
        (CACHE, "/containers/[hive]/env/[HIVE_RESCUE_MAX_BYTES]/value", "\"2GiB\""),
        (CACHE, "/containers/[hive]/envFrom/1/configMapRef/name", "\"more\""),
        (CACHE, "/containers/[hive]/volumeMounts/[rescue]/mountPath", "\"/rescue\""),
        (CACHE, "/containers/[exporter]/env/[REDIS_ADDR]/value", "\"rediss://127.0.0.1:6379\""),
        (CACHE, "/containers/[exporter]/env/[REDIS_EXPORTER_LOG_FORMAT]/value", "\"json\""),
        (CACHE, "/containers/[more]/image", "\"busybox:1\""),
        (CACHE, "/volumes/[rescue]/emptyDir", "{}"),
        (CACHE, "/volumes/[tls]/secret/secretName", "\"certificates\""),
        (CACHE, "/volumes/[tls]/secret/items/0/key", "\"ca.pem\""),
        (CACHE, "/volumes/[exporter-secrets]/secret/items/0/key", "\"exporter.json\""),
        (CACHE, "/securityContext/runAsUser", "1001"),
        (CACHE, "/securityContext/fsGroup", "null"),
    ]),
];

/// The pods of [`EVERYTHING`].
const CACHE: &str = "Deployment/redis-hive-cache/spec/template/spec";

/// What is at a place; a step `[NAME]` goes to the element of a list that has this name.
fn look<'a>(objects: &'a [Value], object: &str, at: &str) -> Option<&'a Value> {
    let mut parts = object.splitn(3, '/');
    let (kind, name) = (parts.next().expect("a kind"), parts.next().expect("a name"));
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let found = objects.iter().find(is_it)?;
    let inner = parts.next().into_iter().flat_map(|inner| inner.split('/'));
    inner.chain(at.split('/').skip(1)).try_fold(found, |value, step| {
        match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) {
            Some(name) => value.as_array()?.iter().find(|element| element["name"] == name),
            None => value.pointer(&format!("/{step}")),
        }
    })
}

#[test]
fn values_do_what_they_say() {
    for helm in helms() {
        for (values, kubernetes, places) in EFFECTS {
            let objects = objects(&helm, values, kubernetes);
            for (object, at, wanted) in *places {
                let wanted: Value = serde_json::from_str(wanted).expect(wanted);
                let found = look(&objects, object, at).unwrap_or(&Value::Null);
                assert_eq!(*found, wanted, "{} {object}{at} with {values}", helm.display());
            }
        }
    }
}

/// The pod of `helm test` is locked like the others, and no Service leads to it.
#[test]
fn the_test_pod_is_locked() {
    for helm in helms() {
        let objects = objects(&helm, "{}", KUBERNETES);
        let see = |object: &str, at: &str| look(&objects, object, at).cloned();
        let test = "Pod/redis-hive-test/spec";
        for at in ["/securityContext", "/automountServiceAccountToken", "/enableServiceLinks"] {
            assert!(see(test, at).is_some(), "{at}");
            assert_eq!(see(test, at), see(POD, at), "{at}");
        }
        let locked = "/containers/0/securityContext";
        assert_eq!(see(test, locked), see(POD, locked));
        let name = "/metadata/labels/app.kubernetes.io~1name";
        assert_eq!(see("Pod/redis-hive-test", name), Some("redis-hive-test".into()));
    }
}
