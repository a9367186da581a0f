//! What it takes to be told by a hive: its pages, its events, its Sentinel port, and what the process is
//! with all of that on. `benches/README.md` says how to run it and how to read it.

#[path = "../../tests/cluster/clients.rs"]
#[allow(dead_code)]
mod clients;
mod events;
mod fifty;
#[path = "../support/figures.rs"]
#[allow(dead_code)]
mod figures;
#[path = "../../tests/cluster/harness.rs"]
#[allow(dead_code)]
mod harness;
mod pages;
mod sentinel;
#[path = "../support/usage.rs"]
#[allow(dead_code)]
mod usage;
mod whole;

use std::time::Duration;

use clap::Parser;
use figures::Figure;

const PARTS: [&str; 4] = ["pages", "events", "sentinel", "whole"];

/// Measures what a hive tells
#[derive(Parser)]
struct Arguments {
    /// Only these: pages, events, sentinel, whole
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long each row is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() -> anyhow::Result<()> {
    let command = std::iter::once("pages".to_owned()).chain(figures::arguments());
    let arguments = Arguments::parse_from(command);
    if let Some(unknown) = arguments.only.iter().find(|only| !PARTS.contains(&only.as_str())) {
        eprintln!("--only {unknown}: there are {}", PARTS.join(", "));
        std::process::exit(64);
    }
    let span = Duration::from_secs(arguments.seconds.max(1));
    let mut table: Vec<Figure> = Vec::new();
    if arguments.wants("pages") {
        table.extend(pages::measure(span)?);
    }
    if arguments.wants("events") {
        table.extend(events::measure(span)?);
    }
    if arguments.wants("sentinel") {
        table.extend(sentinel::measure(span)?);
    }
    if arguments.wants("whole") {
        table.extend(whole::measure(span)?);
    }
    figures::print("What a hive tells", &table);
    Ok(())
}
