//! `docs/operations.md` explains what `/status` complains about, in the words that are really used.

use std::path::Path;

use crate::markdown::root;

/// The heading above the table of problems, and the next one.
const HEADINGS: [&str; 2] = ["## What `/status` complains about\n", "\n## "];

/// What is shorter is no sentence.
const SENTENCE: usize = 16;

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Source with every string on one line, and `…` for what is put into it.
fn spoken(source: &str) -> String {
    let mut joined = String::new();
    for line in source.lines() {
        match line.strip_suffix('\\') {
            Some(begun) if joined.ends_with('\u{1}') => {
                joined.pop();
                joined.push_str(begun.trim_start());
                joined.push('\u{1}');
            }
            Some(begun) => {
                joined.push_str(begun);
                joined.push('\u{1}');
            }
            None if joined.ends_with('\u{1}') => {
                joined.pop();
                joined.push_str(line.trim_start());
                joined.push('\n');
            }
            None => {
                joined.push_str(line);
                joined.push('\n');
            }
        }
    }
    let mut told = String::new();
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        told.push_str(before);
        let inside = after.split_once('}').filter(|(inside, _)| placeholder(inside));
        rest = inside.map_or(after, |(_, rest)| rest);
        told.push(if inside.is_some() { '…' } else { '{' });
    }
    told + rest
}

fn placeholder(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '?'))
}

/// The sources, as [`spoken`] gives them.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut all = String::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            all += &sources(&path);
        } else {
            all += &spoken(&std::fs::read_to_string(path).expect("a source"));
        }
    }
    all
}

/// What the table quotes.
fn quoted(document: &str) -> Vec<&str> {
    let (_, rest) = document.split_once(HEADINGS[0]).expect("the table begins");
    let table = rest.split(HEADINGS[1]).next().unwrap_or_default();
    let firsts = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The sentences in a file whose functions collect problems, without its tests.
fn sentences(shown: &str) -> Vec<String> {
    let code = shown.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let strings = code.split('"').skip(1).step_by(2);
    strings.filter(|it| it.len() >= SENTENCE && it.contains(' ')).map(str::to_owned).collect()
}

#[test]
fn what_is_explained_is_what_is_said() {
    let document = text("docs/operations.md");
    let said = sources(&root().join("src"));
    let quoted = quoted(&document);
    assert!(quoted.len() > 20, "problems are found: {quoted:?}");
    for words in quoted {
        assert!(said.contains(words), "nothing in src/ says: {words}");
    }
}

#[test]
fn what_is_said_is_explained() {
    let document = text("docs/operations.md");
    let quoted = quoted(&document);
    for file in ["src/node/problems.rs", "src/node/troubles.rs", "src/redis/contact.rs"] {
        let sentences = sentences(&spoken(&text(file)));
        assert!(sentences.len() > 5, "sentences are found: {sentences:?}");
        for sentence in sentences {
            let explained = quoted.iter().any(|words| sentence.contains(words));
            assert!(explained, "docs/operations.md does not explain: {sentence}");
        }
    }
}

#[test]
fn strings_are_read_as_they_are_said() {
    let source = "x(format!(\n    \"one {two} \\\n     three {}\", y));\nfn a() {}\n";
    let told = spoken(source);
    assert!(told.contains("\"one … three …\""), "{told}");
    assert!(told.contains("fn a() …\n"), "{told}");
}
