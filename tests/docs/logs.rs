//! `docs/logs.md` has what the program logs at `info` and above, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use crate::log_table::{Kind, Kinds, documented};
use crate::markdown::root;

/// The lines that the sources log, by what stands in their macros.
fn logged(folder: &Path, kinds: &mut Kinds) {
    for path in std::fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path())
    {
        if path.is_dir() {
            logged(&path, kinds);
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source");
        // Tests come last in a file.
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for level in ["info", "warn", "error"] {
            for call in code.split(&format!("tracing::{level}!(")).skip(1) {
                let (message, fields) = read(call, &path);
                let fields = fields.into_iter().collect();
                let first = || Kind { fields: BTreeSet::clone(&fields), ..Kind::default() };
                let kind = kinds.entry(message).or_insert_with(first);
                assert_eq!(kind.fields, fields, "{}: fields as elsewhere", path.display());
                kind.levels.insert(level.to_owned());
            }
        }
    }
}

/// The message and the names of the fields of a call, which begins behind its parenthesis.
fn read(call: &str, path: &Path) -> (String, Vec<String>) {
    let mut arguments = arguments(call);
    let last = arguments.pop().unwrap_or_default();
    let message = last.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let message = message.unwrap_or_else(|| panic!("{}: no plain message: {last}", path.display()));
    assert!(!message.contains('{'), "{}: the message varies: {message}", path.display());
    let name = |field: &String| {
        let name = field.split('=').next().unwrap_or_default();
        name.trim().trim_start_matches(['%', '?']).to_owned()
    };
    let lines = message.split("\\\n").map(|line| line.trim_start());
    (lines.collect(), arguments.iter().map(name).collect())
}

/// What stands between the commas of a call, up to its closing parenthesis.
fn arguments(call: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let (mut found, mut argument) = (Vec::new(), String::new());
    for c in call.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ')' if depth == 0 => break,
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(c);
    }
    found.push(argument.trim().to_owned());
    found.retain(|argument| !argument.is_empty());
    found
}

#[test]
fn every_line_is_documented_and_every_documented_line_is_written() {
    let (documented, mut written) = (documented(), Kinds::new());
    logged(&root().join("src"), &mut written);
    assert!(written.len() > 40, "lines are found: {written:?}");
    for (message, kind) in &written {
        assert_eq!(documented.get(message), Some(kind), "docs/logs.md lacks: {message}");
    }
    let gone: Vec<_> = documented.keys().filter(|it| !written.contains_key(*it)).collect();
    assert!(gone.is_empty(), "nothing in src/ writes {gone:?}");
}

#[test]
fn calls_are_read_as_they_are_written() {
    let call = "%run_id, count = f(a, \"b)\"), reason = ?x, \"it, (so) \\\n        is\"); rest";
    let (message, fields) = read(call, Path::new("here"));
    assert_eq!(message, "it, (so) is");
    assert_eq!(fields, ["run_id", "count", "reason"]);
}
