//! PodMonitor and PrometheusRule: no schema of theirs can be had offline, so their fields are listed here.

use serde_json::Value;

use super::{Folder, file, said};
use crate::helm::chart::{EVERYTHING, KUBERNETES, helms, objects};
use crate::markdown::blocks;
use crate::render::{self, of_kind};

/// The fields that are used, of those that monitoring.coreos.com/v1 knows.
const POD_MONITOR: [&str; 3] = ["jobLabel", "selector", "podMetricsEndpoints"];
const ENDPOINT: [&str; 3] = ["port", "path", "interval"];
const GROUP: [&str; 2] = ["name", "rules"];
const RULE: [&str; 5] = ["alert", "expr", "for", "labels", "annotations"];

/// Fields of an object that are not in the list.
fn strange(object: &Value, known: &[&str]) -> Vec<String> {
    let fields = object.as_object().into_iter().flat_map(|fields| fields.keys());
    fields.filter(|field| !known.contains(&field.as_str())).cloned().collect()
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn is_span(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.len() > unit.len() && ["ms", "s", "m", "h", "d"].contains(&unit)
}

/// What is wrong with the objects of the operator, one sentence each.
fn faults(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for monitor in of_kind(objects, "PodMonitor") {
        found.extend(strange(&monitor["spec"], &POD_MONITOR));
        for endpoint in list(monitor, "/spec/podMetricsEndpoints") {
            found.extend(strange(endpoint, &ENDPOINT));
            found.extend((!is_span(&endpoint["interval"])).then(|| format!("{endpoint}")));
        }
    }
    for rules in of_kind(objects, "PrometheusRule") {
        found.extend(strange(&rules["spec"], &["groups"]));
        for group in list(rules, "/spec/groups") {
            found.extend(strange(group, &GROUP));
            for rule in list(group, "/rules") {
                found.extend(strange(rule, &RULE));
                let span = rule.get("for").is_none_or(is_span);
                let complete = rule["expr"].is_string() && rule["alert"].is_string();
                found.extend((!span || !complete).then(|| format!("{rule}")));
            }
        }
    }
    let ours =
        objects.iter().filter(|it| it["kind"] == "PodMonitor" || it["kind"] == "PrometheusRule");
    let versions = ours.filter(|it| it["apiVersion"] != "monitoring.coreos.com/v1");
    found.extend(versions.map(|it| format!("{}", it["apiVersion"])));
    found
}

#[test]
fn the_operator_knows_all_fields() {
    let Some(rendered) = render::get("overlays/monitoring") else { return };
    for kind in ["PodMonitor", "PrometheusRule"] {
        assert_eq!(of_kind(&rendered.objects, kind).count(), 1, "{kind}");
    }
    assert_eq!(faults(&rendered.objects), [""; 0]);
    for helm in helms() {
        assert_eq!(faults(&objects(&helm, EVERYTHING, KUBERNETES)), [""; 0]);
    }
}

#[test]
fn a_field_that_the_operator_does_not_know_is_found() {
    let Some(rendered) = render::get("overlays/monitoring") else { return };
    for (kind, at, value) in [
        ("PodMonitor", "/spec/podMetricEndpoints", Value::Null),
        ("PodMonitor", "/spec/podMetricsEndpoints/0/interval", "15".into()),
        ("PrometheusRule", "/spec/groups/0/rules/0/for", "five minutes".into()),
        ("PrometheusRule", "/spec/groups/0/rules/0/annotation", "x".into()),
        ("PrometheusRule", "/apiVersion", "monitoring.coreos.com/v1alpha1".into()),
    ] {
        let mut objects = rendered.objects.clone();
        let object = objects.iter_mut().find(|it| it["kind"] == kind).expect(kind);
        let (parent, field) = at.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("it is there")[field] = value;
        assert!(!faults(&objects).is_empty(), "{kind} {at}");
    }
}

/// For those without the operator.
#[test]
fn prometheus_takes_the_configuration_of_the_readme() {
    let readme = file("README.md");
    let block = blocks(&readme).into_iter().find(|block| block.info == "yaml").expect("a block");
    // A promtool of a distribution may know no Kubernetes.
    let pods = "kubernetes_sd_configs: [{role: pod}]";
    assert!(block.text.contains(pods));
    let config = block.text.replace(pods, "static_configs: [{targets: [\"10.0.0.1:6391\"]}]");
    let folder = Folder::new("config");
    folder.write("prometheus.yaml", &config);
    let Some(output) = folder.promtool(&["check", "config", "prometheus.yaml"]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    folder.write("wrong.yaml", &config.replace("action: keep", "action: hold"));
    let Some(output) = folder.promtool(&["check", "config", "wrong.yaml"]) else { return };
    assert!(!output.status.success(), "promtool takes anything");
}
