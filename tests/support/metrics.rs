//! What `docs/metrics.md` promises, and what a page of `/metrics` has.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

/// A family: its type, and the labels of its samples; `None` where it has no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub kind: String,
    pub labels: Option<BTreeSet<String>>,
}

type Families = BTreeMap<String, Family>;

/// The table of the page, by whole names.
pub fn documented() -> Families {
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `redis_hive_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _unit, meaning, cure] = cells[..] else {
            panic!("not six columns: {line}");
        };
        assert!(!meaning.is_empty() && !cure.is_empty(), "{line}");
        let words = labels.split(',').map(|label| label.trim().trim_matches('`'));
        let labels = words.filter(|label| *label != "-").map(str::to_owned).collect();
        (name.trim_matches('`').to_owned(), Family { kind: kind.to_owned(), labels: Some(labels) })
    };
    rows.map(row).collect()
}

/// The families of a page in the text format 0.0.4.
pub fn served(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let family = Family { kind: kind.to_owned(), labels: None };
            assert!(families.insert(name.to_owned(), family).is_none(), "twice: {name}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let family = family_of(&families, name);
            let keys = labels.trim_end_matches('}').split(',').filter_map(|pair| {
                pair.split_once('=').map(|(key, _)| key.to_owned()).filter(|key| key != "le")
            });
            let keys: BTreeSet<String> = keys.collect();
            let known = &mut families.get_mut(&family).expect("described before").labels;
            assert!(known.as_ref().is_none_or(|known| *known == keys), "{line}");
            *known = Some(keys);
        }
    }
    families
}

/// The family a sample belongs to.
fn family_of(families: &Families, name: &str) -> String {
    let ends = ["", "_sum", "_count", "_bucket"];
    let mut found = ends.iter().filter_map(|end| name.strip_suffix(end));
    let family = found.find(|family| families.contains_key(*family));
    family.unwrap_or_else(|| panic!("{name} has no description")).to_owned()
}

/// Compares both ways; labels where there is a sample.
///
/// # Panics
///
/// Naming what is only on one side, or differs.
pub fn assert_as_documented(page: &str) {
    let (documented, served) = (documented(), served(page));
    let names = |families: &Families| families.keys().cloned().collect::<BTreeSet<_>>();
    let (written, told) = (names(&documented), names(&served));
    let missing: Vec<_> = written.difference(&told).collect();
    let silent: Vec<_> = told.difference(&written).collect();
    assert!(
        missing.is_empty() && silent.is_empty(),
        "only documented {missing:?}, only served {silent:?}"
    );
    for (name, family) in served {
        let promised = &documented[&name];
        assert_eq!(family.kind, promised.kind, "{name}");
        if family.labels.is_some() {
            assert_eq!(family.labels, promised.labels, "{name}");
        }
    }
}
