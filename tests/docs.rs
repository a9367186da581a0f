//! The documents: links lead somewhere, what the program could write itself is as it would write it,
//! and what it says is explained.

#[path = "docs/json.rs"]
mod json;
#[path = "docs/links.rs"]
mod links;
#[path = "support/logs.rs"]
mod log_table;
#[path = "docs/logs.rs"]
mod logs;
#[path = "support/markdown.rs"]
mod markdown;
#[path = "docs/problems.rs"]
mod problems;
#[path = "docs/settings.rs"]
mod settings;
