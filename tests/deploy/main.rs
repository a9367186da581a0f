//! What is in `deploy/`, held against schemas, rules and the programs that read it.

mod compose;
mod docs;
#[path = "../support/metrics.rs"]
mod documented;
mod helm;
#[path = "../support/markdown.rs"]
mod markdown;
mod monitoring;
mod real;
mod render;
mod rollout;
mod rotation;
mod rules;
mod schemas;
mod scripts;
mod settings;
mod start;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod tools;
