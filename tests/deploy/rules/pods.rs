//! Pods: locked as the restricted profile asks, and started and stopped in the order that keeps data.

use serde_json::Value;

use super::On::{Called, Container, DataWorkload, Kind, Pod, Workload};
use super::Rule;
use super::Want::{Absent, Holds, HoldsIfThere, Is};

const HIVE: super::On = Called("hive");
const REDIS: super::On = Called("redis");
/// The mode 0440.
const OWNER_AND_GROUP_READ: u64 = 0o440;

#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // The restricted profile of pod security, and what a review asks besides it.
    Rule { on: Pod, at: "/automountServiceAccountToken", want: Is("false"), broken: "null", why: "nothing here asks the API server" },
    Rule { on: Pod, at: "/serviceAccountName", want: Absent, broken: "\"admin\"", why: "nothing here asks the API server" },
    Rule { on: Pod, at: "/enableServiceLinks", want: Is("false"), broken: "null", why: "HIVE_*_PORT variables would come from Services" },
    Rule { on: Pod, at: "/securityContext/runAsNonRoot", want: Is("true"), broken: "null", why: "no root" },
    Rule { on: Pod, at: "/securityContext/runAsUser", want: Holds(no_root), broken: "0", why: "no root" },
    Rule { on: Pod, at: "/securityContext/fsGroup", want: Holds(no_root), broken: "0", why: "secrets are readable for a group" },
    Rule { on: Pod, at: "/securityContext/seccompProfile/type", want: Is("\"RuntimeDefault\""), broken: "\"Unconfined\"", why: "fewer system calls" },
    Rule { on: Pod, at: "/hostNetwork", want: Absent, broken: "true", why: "a network of its own" },
    Rule { on: Pod, at: "/hostPID", want: Absent, broken: "true", why: "processes of its own" },
    Rule { on: Pod, at: "/hostIPC", want: Absent, broken: "true", why: "shared memory of its own" },
    Rule { on: Pod, at: "/shareProcessNamespace", want: Absent, broken: "true", why: "Redis sees nothing of the hive" },
    Rule { on: Pod, at: "/volumes", want: Holds(only_harmless_volumes), broken: r#"[{"name": "x", "hostPath": {"path": "/"}}]"#, why: "nothing of the node" },
    Rule { on: Pod, at: "/volumes", want: Holds(secrets_are_closed), broken: r#"[{"name": "x", "secret": {"secretName": "x", "defaultMode": 420}}]"#, why: "secrets are readable for their group only" },
    Rule { on: Pod, at: "/volumes", want: Holds(no_size_limit), broken: r#"[{"name": "x", "emptyDir": {"sizeLimit": "1Gi"}}]"#, why: "a pod over its limit is evicted, and its copy with it" },
    Rule { on: Container, at: "/securityContext/allowPrivilegeEscalation", want: Is("false"), broken: "null", why: "no new privileges" },
    Rule { on: Container, at: "/securityContext/readOnlyRootFilesystem", want: Is("true"), broken: "false", why: "nothing to leave behind" },
    Rule { on: Container, at: "/securityContext/capabilities", want: Is(r#"{"drop": ["ALL"]}"#), broken: r#"{"drop": ["ALL"], "add": ["SYS_PTRACE"]}"#, why: "no capability" },
    Rule { on: Container, at: "/securityContext/privileged", want: Absent, broken: "true", why: "no capability" },
    Rule { on: Container, at: "/securityContext/runAsUser", want: Absent, broken: "0", why: "the pod says who" },
    Rule { on: Container, at: "/securityContext/seccompProfile", want: Absent, broken: r#"{"type": "Unconfined"}"#, why: "the pod says which" },
    Rule { on: Container, at: "/image", want: Holds(fixed_image), broken: "\"redis:latest\"", why: "a restart runs what was tested" },
    Rule { on: Container, at: "/ports", want: HoldsIfThere(named_ports), broken: r#"[{"name": "redis", "containerPort": 6379}]"#, why: "meshes go by tcp- and http" },
    Rule { on: Container, at: "/ports", want: HoldsIfThere(no_host_ports), broken: r#"[{"name": "tcp-redis", "containerPort": 6379, "hostPort": 6379}]"#, why: "nothing of the node" },
    // Secrets come in files, never as variables or arguments.
    Rule { on: Container, at: "", want: Holds(no_secret_in_environment), broken: r#"{"env": [{"name": "HIVE_SECRET", "value": "x"}]}"#, why: "a secret is a file" },
    Rule { on: Container, at: "", want: Holds(no_secret_in_environment), broken: r#"{"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "x"}}}]}"#, why: "a secret is a file" },
    Rule { on: Container, at: "", want: Holds(no_secret_in_environment), broken: r#"{"envFrom": [{"secretRef": {"name": "x"}}]}"#, why: "a secret is a file" },
    Rule { on: Container, at: "", want: Holds(no_secret_in_arguments), broken: r#"{"command": ["redis-server", "--requirepass", "x"]}"#, why: "everybody on the node can read arguments" },
    Rule { on: Container, at: "/volumeMounts", want: HoldsIfThere(no_sub_path), broken: r#"[{"name": "x", "mountPath": "/x", "subPath": "x"}]"#, why: "a rotated secret must arrive" },
    // Room.
    Rule { on: Container, at: "/resources/requests/cpu", want: Holds(given), broken: "null", why: "a place on a node" },
    Rule { on: Container, at: "/resources/requests/memory", want: Holds(given), broken: "null", why: "a place on a node" },
    Rule { on: Container, at: "/resources/limits/memory", want: Holds(given), broken: "null", why: "one pod cannot starve a node" },
    Rule { on: Container, at: "/resources/limits/cpu", want: Absent, broken: "\"1\"", why: "a throttled hive answers late" },
    Rule { on: Container, at: "/resources/requests/ephemeral-storage", want: Holds(given), broken: "null", why: "a copy goes through the disk" },
    // Order of start and stop, and life.
    Rule { on: Pod, at: "/terminationGracePeriodSeconds", want: Is("600"), broken: "30", why: "the last copy lives while it is being copied" },
    Rule { on: Pod, at: "", want: Holds(redis_stops_last), broken: r#"{"containers": [{"name": "redis"}]}"#, why: "without Redis there is nothing to hand over" },
    Rule { on: Pod, at: "", want: Holds(hive_knows_the_limit_of_redis), broken: r#"{"containers": [{"name": "redis"}, {"name": "hive"}]}"#, why: "Redis knows the memory of its machine only" },
    Rule { on: REDIS, at: "/startupProbe", want: Holds(port_only), broken: r#"{"exec": {"command": ["redis-cli", "ping"]}}"#, why: "the hive that makes Redis current starts after it" },
    Rule { on: REDIS, at: "/livenessProbe", want: Absent, broken: r#"{"tcpSocket": {"port": 6379}}"#, why: "the hive knows better when Redis is dead" },
    Rule { on: REDIS, at: "/readinessProbe", want: Absent, broken: r#"{"tcpSocket": {"port": 6379}}"#, why: "the hive says when a copy is current" },
    Rule { on: HIVE, at: "/readinessProbe/httpGet/path", want: Is("\"/readyz\""), broken: "\"/livez\"", why: "traffic goes to pods with a copy" },
    Rule { on: HIVE, at: "/readinessProbe/periodSeconds", want: Is("2"), broken: "10", why: "a pod that is current is used soon" },
    Rule { on: HIVE, at: "/livenessProbe/httpGet/path", want: Is("\"/livez\""), broken: "\"/readyz\"", why: "an election is no reason to restart" },
    Rule { on: HIVE, at: "/livenessProbe/terminationGracePeriodSeconds", want: Is("5"), broken: "null", why: "a hive that hangs has nothing to hand over" },
    Rule { on: HIVE, at: "/lifecycle", want: Absent, broken: r#"{"preStop": {"sleep": {"seconds": 5}}}"#, why: "a hive stops at once, and slowly, by itself" },
    Rule { on: HIVE, at: "/env", want: Holds(pod_address), broken: "[]", why: "peers know a hive by its pod's address" },
    // Placement and rollout.
    Rule { on: Pod, at: "/topologySpreadConstraints", want: Holds(soft_spread), broken: r#"[{"whenUnsatisfiable": "DoNotSchedule"}]"#, why: "apart where possible, on one node where not" },
    Rule { on: Kind("Deployment"), at: "/spec/progressDeadlineSeconds", want: Is("3600"), broken: "600", why: "a big copy takes its time" },
    Rule { on: Kind("Deployment"), at: "/spec/strategy/type", want: Is("\"RollingUpdate\""), broken: "\"Recreate\"", why: "data live in memory" },
    Rule { on: Kind("Deployment"), at: "/spec/strategy/rollingUpdate/maxUnavailable", want: Is("1"), broken: "0", why: "pods that are not ready make way" },
    Rule { on: Kind("StatefulSet"), at: "/spec/podManagementPolicy", want: Is("\"Parallel\""), broken: "null", why: "a rollout that hangs gives way to the next one" },
    Rule { on: Kind("StatefulSet"), at: "/spec/updateStrategy/type", want: Is("\"RollingUpdate\""), broken: "\"OnDelete\"", why: "a change arrives" },
    Rule { on: Kind("StatefulSet"), at: "/spec/volumeClaimTemplates", want: Absent, broken: "[]", why: "an old disk holds an old copy" },
    Rule { on: DataWorkload, at: "/spec/template/metadata/annotations/kubectl.kubernetes.io~1default-container", want: Is("\"redis\""), broken: "null", why: "kubectl exec means Redis" },
    Rule { on: Workload, at: "/spec/template/metadata/annotations/config.linkerd.io~1opaque-ports", want: Holds(given), broken: "null", why: "Linkerd waits for bytes of a client otherwise" },
];

fn given(value: &Value) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| !text.is_empty())
}

fn no_root(value: &Value) -> bool {
    value.as_u64().is_some_and(|id| id > 0)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn only_harmless_volumes(volumes: &Value) -> bool {
    let harmless = ["name", "emptyDir", "configMap", "secret", "projected"];
    list(volumes)
        .iter()
        .filter_map(Value::as_object)
        .all(|volume| volume.keys().all(|kind| harmless.contains(&kind.as_str())))
}

fn secrets_are_closed(volumes: &Value) -> bool {
    list(volumes)
        .iter()
        .map(|volume| &volume["secret"])
        .filter(|secret| secret.is_object())
        .all(|secret| secret["defaultMode"] == OWNER_AND_GROUP_READ && secret["optional"] != true)
}

fn no_size_limit(volumes: &Value) -> bool {
    list(volumes).iter().all(|volume| volume["emptyDir"]["sizeLimit"].is_null())
}

/// A digest, or a tag that names a version.
fn fixed_image(image: &Value) -> bool {
    let image = image.as_str().unwrap_or_default();
    let file = image.rsplit('/').next().unwrap_or_default();
    let tag = file.split_once(':').map(|(_, tag)| tag);
    image.contains("@sha256:") || tag.is_some_and(|tag| tag.contains(|c: char| c.is_ascii_digit()))
}

fn named_ports(ports: &Value) -> bool {
    list(ports).iter().all(|port| {
        let name = port["name"].as_str().unwrap_or_default();
        name.starts_with("tcp-") || name == "http" || name.starts_with("http-")
    })
}

fn no_host_ports(ports: &Value) -> bool {
    list(ports).iter().all(|port| port["hostPort"].is_null() && port["hostIP"].is_null())
}

fn no_secret_in_environment(container: &Value) -> bool {
    let plain = |variable: &Value| {
        let name = variable["name"].as_str().unwrap_or_default().to_uppercase();
        let secret = ["PASSWORD", "SECRET", "TOKEN"].iter().any(|word| name.contains(word));
        variable["valueFrom"]["secretKeyRef"].is_null() && (!secret || name.ends_with("_FILE"))
    };
    list(&container["env"]).iter().all(plain)
        && list(&container["envFrom"]).iter().all(|source| source["secretRef"].is_null())
}

fn no_secret_in_arguments(container: &Value) -> bool {
    let words = ["requirepass", "masterauth", "password", "secret"];
    ["command", "args"].iter().flat_map(|key| list(&container[key])).all(|argument| {
        let argument = argument.as_str().unwrap_or_default().to_lowercase();
        !words.iter().any(|word| argument.contains(word))
    })
}

fn no_sub_path(mounts: &Value) -> bool {
    list(mounts).iter().all(|mount| mount["subPath"].is_null() && mount["subPathExpr"].is_null())
}

/// Redis, where there is one, is a native sidecar, or waits for the hive before it stops.
fn redis_stops_last(pod: &Value) -> bool {
    let redis = |key: &str| list(&pod[key]).iter().find(|container| container["name"] == "redis");
    let native = redis("initContainers").is_none_or(|redis| redis["restartPolicy"] == "Always");
    let waits = redis("containers").is_none_or(|redis| {
        let command = &redis["lifecycle"]["preStop"]["exec"]["command"];
        list(command).iter().any(|word| word == "/etc/redis-hive/wait-for-hive.sh")
    });
    native && waits
}

/// A witness has no Redis. Kubernetes finds init containers by their name too.
fn hive_knows_the_limit_of_redis(pod: &Value) -> bool {
    let all = || ["initContainers", "containers"].into_iter().flat_map(|key| list(&pod[key]));
    let hive = all().filter(|container| container["name"] == "hive");
    let told = hive.flat_map(|hive| list(&hive["env"])).any(|variable| {
        let source = &variable["valueFrom"]["resourceFieldRef"];
        variable["name"] == "HIVE_REDIS_MEMORY_LIMIT"
            && (&source["containerName"], &source["resource"])
                == (&"redis".into(), &"limits.memory".into())
    });
    told || !all().any(|container| container["name"] == "redis")
}

fn port_only(probe: &Value) -> bool {
    probe["tcpSocket"].is_object() && probe["exec"].is_null() && probe["httpGet"].is_null()
}

fn pod_address(environment: &Value) -> bool {
    list(environment).iter().any(|variable| {
        variable["name"] == "POD_IP"
            && variable["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    })
}

fn soft_spread(constraints: &Value) -> bool {
    let constraints = list(constraints);
    !constraints.is_empty()
        && constraints.iter().all(|one| one["whenUnsatisfiable"] == "ScheduleAnyway")
}
