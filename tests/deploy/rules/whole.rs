//! Rules between objects.

use redis_hive::config::parse_size;
use serde_json::{Value, json};

use super::WholeRule;
use crate::render::{containers, of_kind, workloads};

/// A kind of object that is about pods, and where it says about which.
type About = (&'static str, &'static str);

const BUDGET: About = ("PodDisruptionBudget", "/spec/selector/matchLabels");
const POLICY: About = ("NetworkPolicy", "/spec/podSelector/matchLabels");
const MONITOR: About = ("PodMonitor", "/spec/selector/matchLabels");

pub const RULES: &[WholeRule] = &[
    WholeRule {
        why: "every Service leads to pods, and to a port they have",
        faults: lost_services,
        spoil: |objects| change(objects, "Service", "/spec/selector", json!({"app": "other"})),
    },
    WholeRule {
        why: "before Kubernetes 1.32 no port of an init container is found by its name",
        faults: lost_services,
        spoil: |objects| {
            let native = workloads(objects)
                .any(|workload| workload.pointer("/spec/template/spec/initContainers").is_some());
            native && change(objects, "Service", "/spec/ports/0/targetPort", json!("tcp-redis"))
        },
    },
    WholeRule {
        why: "the budget counts every pod",
        faults: |objects| uncovered(objects, BUDGET),
        spoil: |objects| cover_others(objects, BUDGET),
    },
    WholeRule {
        why: "the policy covers every pod",
        faults: |objects| uncovered(objects, POLICY),
        spoil: |objects| cover_others(objects, POLICY),
    },
    WholeRule {
        why: "every port of a pod may be reached by somebody, and no other",
        faults: closed_ports,
        spoil: |objects| {
            change(objects, "NetworkPolicy", "/spec/ingress/1/ports/1/port", json!(6399))
        },
    },
    WholeRule {
        why: "a pod has twice the memory and the disk that its data take",
        faults: cramped,
        spoil: |objects| {
            let found = objects.iter_mut().find(|object| object["data"]["redis.conf"].is_string());
            found.is_some_and(|map| {
                map["data"]["redis.conf"] = json!("maxmemory 100gb\n");
                true
            })
        },
    },
    WholeRule {
        why: "a PodMonitor finds every pod, and a port it has",
        faults: unwatched,
        spoil: |objects| {
            let port = "/spec/podMetricsEndpoints/0/port";
            change(objects, "PodMonitor", port, json!("metrics"))
        },
    },
    WholeRule {
        why: "annotations for scraping name the port and the path that tell metrics",
        faults: |objects| workloads(objects).filter_map(wrongly_annotated).collect(),
        spoil: |objects| {
            let at = "/spec/template/metadata/annotations/prometheus.io~1port";
            change(objects, "Deployment", at, json!("6390"))
        },
    },
    WholeRule {
        why: "pods are kept by what made them",
        faults: |objects| workloads(objects).filter_map(foreign_pods).collect(),
        spoil: |objects| {
            let labels = json!({"app.kubernetes.io/name": "other"});
            change(objects, "Deployment", "/spec/selector/matchLabels", labels)
        },
    },
];

/// Puts a value into the first object of a kind; `false` where there is none.
fn change(objects: &mut [Value], kind: &str, at: &str, value: Value) -> bool {
    let found = objects.iter_mut().find(|object| object["kind"] == kind);
    found.and_then(|object| object.pointer_mut(at)).is_some_and(|place| {
        *place = value;
        true
    })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn labels(workload: &Value) -> &Value {
    &workload["spec"]["template"]["metadata"]["labels"]
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
}

/// Services that lead nowhere.
fn lost_services(objects: &[Value]) -> Vec<String> {
    of_kind(objects, "Service").flat_map(|service| unreachable(objects, service)).collect()
}

fn unreachable(objects: &[Value], service: &Value) -> Vec<String> {
    let selected: Vec<&Value> =
        workloads(objects).filter(|w| selects(&service["spec"]["selector"], labels(w))).collect();
    if selected.is_empty() {
        return vec![format!("Service {} selects nothing", name(service))];
    }
    let open = |target: &Value| {
        selected.iter().any(|workload| {
            let main = &workload["spec"]["template"]["spec"]["containers"];
            let mut named = main.as_array().into_iter().flatten().flat_map(ports);
            let mut all = containers(workload).flat_map(ports);
            named.any(|port| port["name"] == *target)
                || all.any(|port| port["containerPort"] == *target)
        })
    };
    let targets = service["spec"]["ports"].as_array().into_iter().flatten();
    targets
        .map(|port| &port["targetPort"])
        .filter(|target| !open(target))
        .map(|target| format!("Service {} leads to {target}, which no pod has", name(service)))
        .collect()
}

fn ports(container: &Value) -> &[Value] {
    container["ports"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn unwatched(objects: &[Value]) -> Vec<String> {
    let Some(monitor) = of_kind(objects, "PodMonitor").next() else { return Vec::new() };
    let mut found = uncovered(objects, MONITOR);
    let open: Vec<&Value> =
        workloads(objects).flat_map(containers).flat_map(ports).map(|port| &port["name"]).collect();
    let endpoints = monitor["spec"]["podMetricsEndpoints"].as_array().into_iter().flatten();
    let strange = endpoints.map(|it| &it["port"]).filter(|port| !open.contains(port));
    found.extend(strange.map(|port| format!("the PodMonitor asks at {port}, which no pod has")));
    found
}

fn wrongly_annotated(workload: &Value) -> Option<String> {
    let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
    let told = |key: &str| annotations[format!("prometheus.io/{key}")].as_str();
    let right = (told("port"), told("path")) == (Some("6391"), Some("/metrics"));
    (told("scrape") == Some("true") && !right)
        .then(|| format!("{} is scraped elsewhere", name(workload)))
}

/// Makes it be about other pods.
fn cover_others(objects: &mut [Value], (kind, at): About) -> bool {
    change(objects, kind, at, json!({"app.kubernetes.io/component": "other"}))
}

fn uncovered(objects: &[Value], (kind, at): About) -> Vec<String> {
    let selector = of_kind(objects, kind).next().and_then(|object| object.pointer(at));
    let covered =
        |workload: &&Value| selector.is_some_and(|selector| selects(selector, labels(workload)));
    let left = workloads(objects).filter(|workload| !covered(workload));
    left.map(|workload| format!("no {kind} covers {}", name(workload))).collect()
}

fn closed_ports(objects: &[Value]) -> Vec<String> {
    let rules =
        of_kind(objects, "NetworkPolicy").flat_map(|policy| policy["spec"]["ingress"].as_array());
    let open: Vec<u64> =
        rules.flatten().flat_map(ports).filter_map(|port| port["port"].as_u64()).collect();
    let listened: Vec<u64> = workloads(objects)
        .flat_map(containers)
        .flat_map(ports)
        .filter_map(|port| port["containerPort"].as_u64())
        .collect();
    let closed = listened.iter().filter(|port| !open.contains(port));
    let strange = open.iter().filter(|port| !listened.contains(port));
    closed
        .map(|port| format!("nobody may reach port {port}"))
        .chain(strange.map(|port| format!("port {port} is open, and nothing listens there")))
        .collect()
}

/// Copying to a new replica may take as much memory again; a replica has the file beside the data.
fn cramped(objects: &[Value]) -> Vec<String> {
    let mut maps = of_kind(objects, "ConfigMap");
    let Some(conf) = maps.find_map(|map| map["data"]["redis.conf"].as_str()) else {
        return vec!["there is no redis.conf".to_owned()];
    };
    let given = conf.lines().find_map(|line| line.strip_prefix("maxmemory "));
    // Redis counts `mb` and `gb` by 1024.
    let as_redis = |text: &str| parse_size(&text.trim().replace("mb", "MiB").replace("gb", "GiB"));
    let Some(data_bytes) = given.and_then(as_redis) else {
        return vec!["redis.conf has no maxmemory".to_owned()];
    };
    let mut found = Vec::new();
    for redis in workloads(objects).flat_map(containers).filter(|c| c["name"] == "redis") {
        for at in [
            "/resources/limits/memory",
            "/resources/requests/ephemeral-storage",
            "/resources/limits/ephemeral-storage",
        ] {
            // Kubernetes writes `2G` for what is `2GB` elsewhere.
            let bytes = |text: &str| parse_size(text).or_else(|| parse_size(&format!("{text}B")));
            let room = redis.pointer(at).and_then(Value::as_str).and_then(bytes);
            if room.is_none_or(|bytes| bytes < 2 * data_bytes) {
                found.push(format!("{at} is {room:?} for {data_bytes} bytes of data"));
            }
        }
    }
    found
}

fn foreign_pods(workload: &Value) -> Option<String> {
    let selector = &workload["spec"]["selector"]["matchLabels"];
    (!selects(selector, labels(workload)))
        .then(|| format!("{} does not select its pods", name(workload)))
}
