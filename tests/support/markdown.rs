//! Reads Markdown as far as the checks of the documents need it.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A document of the project.
pub struct Document {
    /// From the root of the project.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Text between two fences.
pub struct Block<'a> {
    /// What stands behind the opening fence, such as `sh cluster`.
    pub info: &'a str,
    /// The line of the opening fence, from 1.
    pub line: usize,
    /// What is between the fences, each line with its end.
    pub text: String,
}

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the project.
///
/// # Panics
///
/// Git does not list them.
pub fn documents() -> Vec<Document> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]);
    let listed = git.current_dir(root()).output().expect("git lists the files").stdout;
    let names = String::from_utf8(listed).expect("names are text");
    let read = |name: &str| {
        let text = std::fs::read_to_string(root().join(name)).ok()?;
        Some(Document { path: PathBuf::from(name), text })
    };
    let found: Vec<Document> = names.split_terminator('\0').filter_map(read).collect();
    assert!(found.iter().any(|it| it.path.ends_with("docs/data-safety.md")), "documents are found");
    found
}

/// The fenced blocks of a document.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (at, line) in text.lines().enumerate() {
        match (fence(line), &mut open) {
            (Some(info), None) => open = Some(Block { info, line: at + 1, text: String::new() }),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    found
}

/// The lines outside fenced blocks with their numbers, from 1.
pub fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut outside = |line: &str| {
        let fence = fence(line).is_some();
        inside ^= fence;
        !inside && !fence
    };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| outside(line)).collect()
}

fn fence(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("```").map(str::trim)
}
