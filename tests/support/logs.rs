//! What `docs/logs.md` promises of the lines that a hive logs at `info` and above.

use std::collections::{BTreeMap, BTreeSet};

/// A kind of line: the levels it may have, and its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    pub levels: BTreeSet<String>,
    pub fields: BTreeSet<String>,
}

/// Lines by their message.
pub type Kinds = BTreeMap<String, Kind>;

/// The table of the page.
///
/// # Panics
///
/// A row has not its four columns, or a message is there twice.
pub fn documented() -> Kinds {
    let (_, table) = include_str!("../../docs/logs.md").split_once("## Messages").expect("a table");
    let mut kinds = Kinds::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, levels, fields, meaning] = cells[..] else {
            panic!("not four columns: {row}");
        };
        assert!(!meaning.is_empty(), "{row}");
        let words = |cell: &str| {
            let words = cell.split(',').map(|word| word.trim().trim_matches('`').to_owned());
            words.filter(|word| word != "-").collect::<BTreeSet<_>>()
        };
        let kind = Kind { levels: words(levels), fields: words(fields) };
        assert!(kinds.insert(message.trim_matches('`').to_owned(), kind).is_none(), "twice: {row}");
    }
    kinds
}
