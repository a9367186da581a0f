//! What must hold of every object that is rendered: each rule is data, and each comes with a change
//! that it must find.

mod pods;
mod services;
mod whole;

use serde_json::Value;

use super::render::{self, Rendered};

/// What a rule is about: each such part of each object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum On {
    /// An object of this kind.
    Kind(&'static str),
    /// An object of this kind whose name ends so.
    Named(&'static str, &'static str),
    /// What makes pods.
    Workload,
    /// What makes the pods that hold data.
    DataWorkload,
    /// The specification of a pod, whether a workload makes it or not.
    Pod,
    /// Any container.
    Container,
    /// The containers of this name.
    Called(&'static str),
}

/// What must be at a place.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// This, as JSON.
    Is(&'static str),
    /// Nothing.
    Absent,
    /// Something of which this says yes.
    Holds(fn(&Value) -> bool),
    /// The same, or nothing.
    HoldsIfThere(fn(&Value) -> bool),
}

/// One thing that must hold.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it is about.
    pub on: On,
    /// Where in it, as a JSON pointer.
    pub at: &'static str,
    /// What must be there.
    pub want: Want,
    /// What the rule must find there, as JSON; `null` removes it.
    pub broken: &'static str,
    /// Why.
    pub why: &'static str,
}

/// Something that must hold between objects.
pub struct WholeRule {
    /// Why.
    pub why: &'static str,
    /// What is wrong, one sentence each.
    pub faults: fn(&[Value]) -> Vec<String>,
    /// A change that it must find; `false` where there is nothing to change.
    pub spoil: fn(&mut Vec<Value>) -> bool,
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    pods::RULES.iter().chain(services::RULES)
}

/// All that is wrong with these objects, one sentence each.
pub fn faults(objects: &[Value]) -> Vec<String> {
    let single = rules().flat_map(|rule| rule.faults(objects));
    let whole = whole::RULES.iter().flat_map(|rule| (rule.faults)(objects));
    single.chain(whole).collect()
}

impl Rule {
    fn faults(&self, objects: &[Value]) -> Vec<String> {
        let mut objects = objects.to_vec();
        let wrong = |(label, part): (String, &mut Value)| {
            let found = part.pointer(self.at);
            let holds = match self.want {
                Want::Is(json) => found == Some(&parse(json)),
                Want::Absent => found.is_none(),
                Want::Holds(holds) => found.is_some_and(holds),
                Want::HoldsIfThere(holds) => found.is_none_or(holds),
            };
            let shown = found.unwrap_or(&Value::Null);
            (!holds).then(|| format!("{label}: {} is {shown}: {}", self.at, self.why))
        };
        targets(self.on, &mut objects).into_iter().filter_map(wrong).collect()
    }

    /// Puts the fault into the first part that the rule is about.
    fn spoil(&self, objects: &mut [Value]) -> bool {
        let Some((_, part)) = targets(self.on, objects).into_iter().next() else { return false };
        match self.at {
            "" => *part = parse(self.broken),
            at => put(part, at, parse(self.broken)),
        }
        true
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Puts a value at a place, making the objects on the way to it; `null` removes what is there.
fn put(part: &mut Value, at: &str, value: Value) {
    let (parent, last) = at.rsplit_once('/').expect("a pointer");
    let mut place = part;
    for step in parent.split('/').skip(1) {
        let step = step.replace("~1", "/");
        place = match place {
            Value::Array(list) => &mut list[step.parse::<usize>().expect("an index")],
            _ => &mut place[step.as_str()],
        };
    }
    let last = last.replace("~1", "/");
    match (place, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(&last)),
        (Value::Array(list), value) => list[last.parse::<usize>().expect("an index")] = value,
        (place, value) => place[last.as_str()] = value,
    }
}

/// The parts that a rule is about, each with a name for people.
fn targets(on: On, objects: &mut [Value]) -> Vec<(String, &mut Value)> {
    let fits = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let workload = object["spec"]["template"].is_object();
        let pods = workload || object["kind"] == "Pod";
        match on {
            On::Kind(kind) => object["kind"] == kind,
            On::Named(kind, end) => object["kind"] == kind && name.ends_with(end),
            On::DataWorkload => {
                let labels = &object["spec"]["template"]["metadata"]["labels"];
                workload && labels["app.kubernetes.io/component"] == "data"
            }
            On::Workload => workload,
            On::Pod | On::Container | On::Called(_) => pods,
        }
    };
    let inside = |object| match on {
        On::Pod => vec![pod(object)],
        On::Container => containers(object, None),
        On::Called(name) => containers(object, Some(name)),
        _ => vec![named(object, "")],
    };
    objects.iter_mut().filter(|object| fits(object)).flat_map(inside).collect()
}

fn label(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Where the specification of an object's pods is: a pod by itself is one too.
fn pod_of(object: &Value) -> &'static str {
    if object["kind"] == "Pod" { "/spec" } else { "/spec/template/spec" }
}

fn pod(object: &mut Value) -> (String, &mut Value) {
    let at = pod_of(object);
    named(object, at)
}

fn named<'a>(object: &'a mut Value, at: &str) -> (String, &'a mut Value) {
    (label(object), object.pointer_mut(at).expect("it is there"))
}

fn containers<'a>(object: &'a mut Value, called: Option<&str>) -> Vec<(String, &'a mut Value)> {
    let label = label(object);
    let at = pod_of(object);
    let Some(Value::Object(spec)) = object.pointer_mut(at) else {
        return Vec::new();
    };
    let lists =
        spec.iter_mut().filter(|(key, _)| matches!(key.as_str(), "containers" | "initContainers"));
    lists
        .filter_map(|(_, list)| list.as_array_mut())
        .flatten()
        .filter(|container| called.is_none_or(|called| container["name"] == called))
        .map(|container| (format!("{label}, container {}", container["name"]), container))
        .collect()
}

#[test]
fn everything_that_is_rendered_keeps_the_rules() {
    let Some(all) = render::all() else { return };
    for Rendered { name, objects, .. } in all {
        assert_eq!(faults(objects), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_rule_finds_its_fault() {
    let Some(all) = render::all() else { return };
    for rule in rules() {
        let mut seen = false;
        for Rendered { name, objects, .. } in all {
            let mut spoiled = objects.clone();
            if rule.spoil(&mut spoiled) {
                seen = true;
                assert!(!rule.faults(&spoiled).is_empty(), "{name}: not found: {rule:?}");
            }
        }
        assert!(seen, "nothing is rendered that this is about: {rule:?}");
    }
}

#[test]
fn every_rule_between_objects_finds_its_fault() {
    let Some(all) = render::all() else { return };
    for rule in whole::RULES {
        let mut seen = false;
        for Rendered { name, objects, .. } in all {
            let mut spoiled = objects.clone();
            if (rule.spoil)(&mut spoiled) {
                seen = true;
                assert!(!(rule.faults)(&spoiled).is_empty(), "{name}: not found: {}", rule.why);
            }
        }
        assert!(seen, "nothing is rendered that this is about: {}", rule.why);
    }
}
