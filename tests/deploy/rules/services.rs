//! Services, NetworkPolicy and PodDisruptionBudget.

use serde_json::Value;

use super::On::{Kind, Named};
use super::Rule;
use super::Want::{Absent, Holds, Is};

const PEERS: super::On = Named("Service", "-peers");
const BUDGET: super::On = Kind("PodDisruptionBudget");
const POLICY: super::On = Kind("NetworkPolicy");

#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    Rule { on: PEERS, at: "/spec/clusterIP", want: Is("\"None\""), broken: "null", why: "every hive is listed by its own address" },
    Rule { on: PEERS, at: "/spec/publishNotReadyAddresses", want: Is("true"), broken: "null", why: "hives find each other before they are ready" },
    Rule { on: Named("Service", "-write"), at: "/spec/ports/0/targetPort", want: Is("\"tcp-write\""), broken: "\"tcp-redis\"", why: "writes go through the hive" },
    Rule { on: Named("Service", "-write"), at: "/spec/publishNotReadyAddresses", want: Absent, broken: "true", why: "clients go to pods that are ready" },
    Rule { on: Named("Service", "-read"), at: "/spec/ports/0/targetPort", want: Holds(read_port), broken: "\"tcp-write\"", why: "reads go to copies" },
    Rule { on: Named("Service", "-read"), at: "/spec/publishNotReadyAddresses", want: Absent, broken: "true", why: "clients go to pods that are ready" },
    Rule { on: Named("Service", "-sentinel"), at: "/spec/publishNotReadyAddresses", want: Absent, broken: "true", why: "clients go to pods that are ready" },
    Rule { on: Named("Service", "-sentinel"), at: "/spec/ports/0/targetPort", want: Is("\"tcp-sentinel\""), broken: "\"tcp-redis\"", why: "a Redis is no Sentinel" },
    Rule { on: Kind("Service"), at: "/spec/type", want: Is("\"ClusterIP\""), broken: "\"NodePort\"", why: "nothing is open to the outside" },
    Rule { on: Kind("Service"), at: "/spec/ports", want: Holds(named_ports), broken: r#"[{"name": "redis", "port": 6379}]"#, why: "meshes go by tcp-" },
    Rule { on: Kind("Service"), at: "/metadata/annotations/config.linkerd.io~1opaque-ports", want: Holds(Value::is_string), broken: "null", why: "Linkerd waits for bytes of a client otherwise" },
    Rule { on: BUDGET, at: "/spec/maxUnavailable", want: Is("1"), broken: "2", why: "a drain takes one hive at a time" },
    Rule { on: BUDGET, at: "/spec", want: Holds(keeps_unready), broken: r#"{"unhealthyPodEvictionPolicy": "AlwaysAllow"}"#, why: "pods that are not ready may hold the last copies" },
    Rule { on: POLICY, at: "/spec/policyTypes", want: Is(r#"["Ingress", "Egress"]"#), broken: r#"["Ingress"]"#, why: "what is not named is closed, both ways" },
    Rule { on: POLICY, at: "/spec/ingress", want: Holds(known_senders), broken: r#"[{"ports": [{"port": 6379}]}]"#, why: "who may come in is named" },
    Rule { on: POLICY, at: "/spec/ingress", want: Holds(named_numbers), broken: r#"[{"from": [{"podSelector": {}}]}]"#, why: "where somebody may come in is named" },
    Rule { on: POLICY, at: "/spec/ingress", want: Holds(peers_only), broken: r#"[{"from": [{"podSelector": {}}], "ports": [{"port": 6390}]}]"#, why: "only hives speak the peer protocol" },
    Rule { on: POLICY, at: "/spec/ingress", want: Holds(watchers_only), broken: r#"[{"from": [{"podSelector": {}}], "ports": [{"port": 6391}]}]"#, why: "what a hive tells of itself is for those who watch it" },
    Rule { on: POLICY, at: "/spec/egress", want: Holds(dns), broken: r#"[{"ports": [{"protocol": "UDP", "port": 53}]}]"#, why: "names are asked for at 53 or 5353, by UDP and TCP, anywhere" },
    Rule { on: POLICY, at: "/spec/egress", want: Holds(named_numbers), broken: "[{}]", why: "nothing else goes out" },
];

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn read_port(port: &Value) -> bool {
    *port == 6379 || *port == "tcp-read"
}

fn named_ports(ports: &Value) -> bool {
    list(ports).iter().all(|port| port["name"].as_str().unwrap_or_default().starts_with("tcp-"))
}

/// The other policy is the default.
fn keeps_unready(budget: &Value) -> bool {
    budget["unhealthyPodEvictionPolicy"] != "AlwaysAllow"
}

fn known_senders(rules: &Value) -> bool {
    list(rules).iter().all(|rule| !list(&rule["from"]).is_empty())
}

fn named_numbers(rules: &Value) -> bool {
    list(rules).iter().all(|rule| {
        let ports = list(&rule["ports"]);
        !ports.is_empty() && ports.iter().all(|port| port["port"].is_u64())
    })
}

/// The peer protocol's port is open to pods of this hive and to single addresses of other sites.
fn peers_only(rules: &Value) -> bool {
    let hive_or_site = |sender: &Value| {
        let labels = &sender["podSelector"]["matchLabels"];
        let single = sender["ipBlock"]["cidr"].as_str().unwrap_or_default();
        labels["app.kubernetes.io/instance"].is_string() && sender["namespaceSelector"].is_null()
            || single.ends_with("/32")
            || single.ends_with("/128")
    };
    let peer = |rule: &&Value| list(&rule["ports"]).iter().any(|port| port["port"] == 6390);
    list(rules).iter().filter(peer).all(|rule| list(&rule["from"]).iter().all(hive_or_site))
}

/// The HTTP port is open to other namespaces that are named, and only there.
fn watchers_only(rules: &Value) -> bool {
    let http = |rule: &&Value| list(&rule["ports"]).iter().any(|port| port["port"] == 6391);
    let named = |sender: &Value| sender["namespaceSelector"]["matchLabels"].is_object();
    list(rules).iter().filter(http).all(|rule| list(&rule["from"]).iter().all(named))
}

fn dns(rules: &Value) -> bool {
    let wanted = [("UDP", 53), ("TCP", 53), ("UDP", 5353), ("TCP", 5353)];
    let anywhere = |rule: &&Value| rule["to"].is_null();
    let open = |(protocol, number)| {
        list(rules)
            .iter()
            .filter(anywhere)
            .flat_map(|rule| list(&rule["ports"]))
            .any(|port| port["protocol"] == protocol && port["port"] == number)
    };
    wanted.into_iter().all(open)
}
