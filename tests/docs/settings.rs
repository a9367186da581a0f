//! `docs/configuration.md` lists the flags that the program takes.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory as _};
use redis_hive::cli::args::Cli;

use crate::markdown::root;

/// With this variable set the test writes the tables instead of comparing them.
const WRITE: &str = "HIVE_WRITE_TABLE";

/// Between these lines are the tables.
const MARKS: [&str; 2] = ["<!-- settings: begin -->\n", "<!-- settings: end -->\n"];

fn file() -> PathBuf {
    root().join("docs/configuration.md")
}

/// What a person may give to a command.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && arg.get_long().is_some_and(|long| !matches!(long, "help" | "version"))
    })
}

/// The help text on one line, and the default that it tells at its end, if any.
fn help(arg: &Arg) -> (String, Option<String>) {
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match text.split_once(" [default: ") {
        Some((text, default)) => (text.to_owned(), Some(default.trim_end_matches(']').to_owned())),
        None => (text, None),
    }
}

/// Whether the flag is enough, and a value may follow.
fn may_stand_alone(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() == 0)
}

fn default(arg: &Arg, told: Option<String>) -> String {
    if !arg.get_action().takes_values() || may_stand_alone(arg) {
        return "off".to_owned();
    }
    let values = arg.get_default_values().iter().filter_map(|value| value.to_str());
    let values: Vec<&str> = values.collect();
    match (values.is_empty(), told) {
        (false, _) => format!("`{}`", values.join(",")),
        (true, Some(told)) => told,
        (true, None) => "none".to_owned(),
    }
}

fn row(arg: &Arg) -> String {
    let flag = arg.get_long().unwrap_or_default();
    let taken = arg.get_action().takes_values();
    let value = arg.get_value_names().filter(|_| taken).and_then(|names| names.first());
    let value = value.map(|value| value.replace('|', "\\|"));
    let value = match value {
        None => String::new(),
        Some(value) if may_stand_alone(arg) => format!("[={value}]"),
        Some(value) => format!(" {value}"),
    };
    let variable = arg.get_env().and_then(|name| name.to_str());
    let variable = variable.map(|name| format!("`{name}`")).unwrap_or_default();
    let (help, told) = help(arg);
    format!("| `--{flag}{value}` | {variable} | {} | {help} |\n", default(arg, told))
}

/// A table for each command that takes flags; `check` takes those of `run`.
fn tables() -> String {
    let mut tables = String::new();
    for command in Cli::command().get_subcommands_mut() {
        command.build();
        if command.get_name() == "check" || flags(command).next().is_none() {
            continue;
        }
        write!(tables, "\n## `redis-hive {}`\n\n", command.get_name()).expect("a string takes it");
        tables.push_str("| flag | variable | default | |\n|---|---|---|---|\n");
        tables.extend(flags(command).map(row));
    }
    tables
}

#[test]
fn the_document_lists_all_flags() {
    let old = std::fs::read_to_string(file()).expect("the document");
    let (before, rest) = old.split_once(MARKS[0]).expect("the tables begin");
    let (there, after) = rest.split_once(MARKS[1]).expect("the tables end");
    let tables = tables();
    if std::env::var_os(WRITE).is_some() {
        let new = [before, MARKS[0], &tables, MARKS[1], after].concat();
        std::fs::write(file(), new).expect("the document is written");
    } else {
        assert_eq!(there, tables, "{WRITE}=1 cargo test --test docs writes the tables anew");
    }
}

#[test]
fn a_row_tells_flag_variable_default_and_meaning() {
    let tables = tables();
    for row in [
        "| `--heartbeat TIME` | `HIVE_HEARTBEAT` | `200ms` | How often a hive speaks to its peers |",
        "| `--watch` |  | off | Ask again every second until interrupted |",
        "| `--base-port PORT` |  | `7000` |",
        "| `--witness[=true\\|false]` | `HIVE_WITNESS` | off |",
    ] {
        assert!(tables.contains(row), "{row} is missing in\n{tables}");
    }
    assert!(tables.contains("| POD_IP, else the local address that DNS lists"), "{tables}");
    assert!(!tables.contains("--dns-server"), "what is hidden stays hidden");
}
