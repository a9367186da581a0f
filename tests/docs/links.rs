//! Links between files of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::markdown::{Document, documents, prose, root};

/// The targets of the links in a line, those to other sites left out.
fn targets(line: &str) -> Vec<&str> {
    let rest = line.split("](").skip(1);
    let targets = rest.filter_map(|rest| rest.split([')', ' ']).next());
    let elsewhere = |target: &&str| target.contains("://") || target.starts_with("mailto:");
    targets.filter(|target| !elsewhere(target)).collect()
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let anchor = anchor(title);
            let before = seen.entry(anchor.clone()).or_default();
            *before += 1;
            if *before == 1 { anchor } else { format!("{anchor}-{}", *before - 1) }
        })
        .collect()
}

/// The anchor of a heading: letters and digits, `-` for a blank.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Why a link in this document leads nowhere.
fn fault(document: &Document, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let folder = document.path.parent().unwrap_or(Path::new(""));
    let file = if path.is_empty() { document.path.clone() } else { folder.join(path) };
    let file = root().join(file);
    if !file.exists() {
        return Some(format!("there is no {path}"));
    }
    let anchor = anchor?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    (!anchors(&text).contains(anchor)).then(|| format!("no heading makes the anchor #{anchor}"))
}

#[test]
fn all_links_lead_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for document in documents() {
        for (number, line) in prose(&document.text) {
            for target in targets(&without_code(line)) {
                seen += 1;
                let fault = fault(&document, target);
                let place = format!("{}:{number}", document.path.display());
                faults.extend(fault.map(|fault| format!("{place}: {target}: {fault}")));
            }
        }
    }
    assert!(seen > 50, "links are found: {seen}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Who reads the README finds every other document.
#[test]
fn the_readme_names_every_document() {
    let documents = documents();
    let readme = documents.iter().find(|it| it.path == Path::new("README.md")).expect("a README");
    let missing: Vec<String> = documents
        .iter()
        .filter(|it| it.path.starts_with("docs"))
        .map(|it| it.path.display().to_string())
        .filter(|path| !readme.text.contains(&format!("]({path}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn broken_links_are_seen() {
    let document = |text: &str| Document { path: "docs/a.md".into(), text: text.to_owned() };
    let good = document("# A `--flag` of Redis\n\n## Two\n\n## Two\n");
    let line = "see [a](../README.md), [b](https://example.com/x) and [c](no-such.md#x) `[d](e)`";
    assert_eq!(targets(&without_code(line)), ["../README.md", "no-such.md#x"]);
    assert_eq!(fault(&good, "../README.md"), None);
    assert!(fault(&good, "no-such.md#x").is_some());
    assert!(fault(&good, "../README.md#no-such-heading").is_some());
    let expected = ["a---flag-of-redis", "two", "two-1"].map(str::to_owned);
    assert_eq!(anchors(&good.text), BTreeSet::from(expected));
}
