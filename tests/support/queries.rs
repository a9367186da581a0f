//! The queries in `deploy/monitoring`: which metrics and labels they name.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeSet;

use serde_json::Value;

/// The alerts, as they are applied.
pub const RULES: &str = include_str!("../../deploy/monitoring/prometheusrule.yaml");
/// The dashboard.
pub const DASHBOARD: &str = include_str!("../../deploy/monitoring/dashboard.json");

/// Labels that scraping gives to every series.
const OF_TARGETS: [&str; 4] = ["namespace", "job", "pod", "instance"];
/// What no hive tells: Prometheus itself does.
const OF_PROMETHEUS: [&str; 1] = ["up"];
/// Words that are followed by labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are neither metrics nor followed by a parenthesis at once.
const OPERATORS: [&str; 11] =
    ["and", "or", "unless", "offset", "bool", "sum", "min", "max", "avg", "count", "topk"];

/// A query, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The alert, or the panel.
    pub place: String,
    /// The expression.
    pub text: String,
    /// Labels that texts beside it show.
    pub shown: BTreeSet<String>,
}

/// A series that a query names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// What it must match: a label and the values, `|` between them.
    pub matchers: Vec<(String, String)>,
}

/// What a query names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Series.
    pub selectors: Vec<Selector>,
    /// Labels that it groups or joins by.
    pub groupings: BTreeSet<String>,
}

/// All of them.
pub fn all() -> Vec<Query> {
    let mut all = of_rules();
    all.extend(of_dashboard());
    all
}

/// The alerts' queries.
pub fn of_rules() -> Vec<Query> {
    let alerts = RULES.split("        - alert: ").skip(1);
    alerts.map(alert).collect()
}

fn alert(text: &str) -> Query {
    let (name, rest) = text.split_once('\n').expect("a name");
    let (_, rest) = rest.split_once("expr: ").expect("an expression");
    let (first, more) = rest.split_once('\n').expect("more lines");
    let deeper = more.lines().take_while(|line| line.starts_with("            "));
    let text = match first {
        "|-" => deeper.map(|line| &line[12..]).collect::<Vec<_>>().join("\n"),
        one => one.to_owned(),
    };
    Query { place: name.to_owned(), text, shown: shown(more, "$labels.") }
}

/// The dashboard's queries, `$__rate_interval` replaced by a span.
pub fn of_dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let query = |place: &Value, query: &Value, legend: &Value| Query {
        place: text(place),
        text: text(query).replace("$__rate_interval", "5m"),
        shown: shown(&text(legend), "{{"),
    };
    let mut found = Vec::new();
    for panel in list(&dashboard["panels"]) {
        let targets = list(&panel["targets"]).into_iter();
        found.extend(targets.map(|it| query(&panel["title"], &it["expr"], &it["legendFormat"])));
    }
    for note in list(&dashboard["annotations"]["list"]) {
        found.push(query(&note["name"], &note["expr"], &note["titleFormat"]));
    }
    found
}

/// The words behind this mark.
fn shown(text: &str, mark: &str) -> BTreeSet<String> {
    let word = |rest: &str| {
        let rest = rest.trim_start();
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    text.split(mark).skip(1).map(word).filter(|word| !word.is_empty()).collect()
}

/// What a query names.
pub fn named(query: &str) -> Named {
    let mut named = Named::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '"' | '\'') {
            rest = rest[1..].split_once(first).map_or("", |(_, rest)| rest);
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, rest)| rest);
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = take(word, behind.trim_start(), &mut named);
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    named
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

/// Notes what a word is; what stands behind it.
fn take<'a>(word: &str, behind: &'a str, named: &mut Named) -> &'a str {
    let is_number = word.starts_with(|c: char| c.is_ascii_digit());
    if GROUPINGS.contains(&word) {
        let (inside, rest) = behind[1..].split_once(')').expect("labels end");
        let labels = inside.split(',').map(str::trim).filter(|label| !label.is_empty());
        named.groupings.extend(labels.map(str::to_owned));
        return rest;
    }
    if is_number || OPERATORS.contains(&word) || behind.starts_with('(') {
        return behind;
    }
    let mut selector = Selector { name: word.to_owned(), matchers: Vec::new() };
    let Some(inside) = behind.strip_prefix('{') else {
        named.selectors.push(selector);
        return behind;
    };
    let (inside, rest) = inside.split_once('}').expect("matchers end");
    for matcher in inside.split(", ") {
        let (label, value) = matcher.split_once('"').expect("a value");
        let label = label.trim_end_matches(['=', '~', '!']).to_owned();
        selector.matchers.push((label, value.trim_end_matches('"').to_owned()));
    }
    named.selectors.push(selector);
    rest
}

/// What is wrong with a query, one sentence each. `labels_of` has the labels of each family.
pub fn faults(query: &Query, labels_of: impl Fn(&str) -> Option<BTreeSet<String>>) -> Vec<String> {
    let Named { selectors, groupings } = named(&query.text);
    let mut known: BTreeSet<String> = OF_TARGETS.map(str::to_owned).into();
    let mut found = Vec::new();
    for Selector { name, matchers } in &selectors {
        let ends = ["", "_bucket", "_sum", "_count"];
        let mut families = ends.iter().filter_map(|end| labels_of(name.strip_suffix(end)?));
        let Some(mut labels) = families.next().or(of_prometheus(name)) else {
            found.push(format!("{}: no hive tells {name}", query.place));
            continue;
        };
        if name.ends_with("_bucket") {
            labels.insert("le".to_owned());
        }
        labels.extend(OF_TARGETS.map(str::to_owned));
        let strange = matchers.iter().filter(|(label, _)| !labels.contains(label));
        found.extend(strange.map(|(label, _)| format!("{}: {name} has no {label}", query.place)));
        known.extend(labels);
    }
    if selectors.is_empty() {
        found.push(format!("{}: {} names nothing", query.place, query.text));
    }
    let named = groupings.iter().chain(&query.shown);
    let strange = named.filter(|label| !known.contains(*label));
    found.extend(strange.map(|label| format!("{}: nothing has a label {label}", query.place)));
    found
}

fn of_prometheus(name: &str) -> Option<BTreeSet<String>> {
    OF_PROMETHEUS.contains(&name).then(BTreeSet::new)
}

/// Values of labels in a query that a page of `/metrics` does not have, where it has any series of that
/// name.
pub fn unknown_values(query: &Query, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for Selector { name, matchers } in named(&query.text).selectors {
        let start = format!("{name}{{");
        let series: Vec<&str> = page.lines().filter(|line| line.starts_with(&start)).collect();
        let own = matchers.iter().filter(|(label, _)| !OF_TARGETS.contains(&label.as_str()));
        for (label, values) in own.filter(|_| !series.is_empty()) {
            let missing = values.split('|').map(|value| format!("{label}=\"{value}\""));
            let missing = missing.filter(|pair| !series.iter().any(|line| line.contains(pair)));
            found.extend(missing.map(|pair| format!("{}: no {name} has {pair}", query.place)));
        }
    }
    found
}
