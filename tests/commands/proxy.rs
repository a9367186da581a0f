//! Stands for the room that the table belongs to.

#[path = "../../src/proxy/commands.rs"]
#[allow(dead_code)]
mod commands;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use commands::{Channels, Does, LINES, Setting};

use crate::servers::{Server, binary};

/// Commands that somebody has looked at, and that leave nothing behind in the connection.
const REVIEWED: &str = include_str!("reviewed.txt");
/// Lines for what none of the servers here has: of modules, of Redis Enterprise, since Redis 8.10.
const ELSEWHERE: [&str; 4] =
    ["CLIENT MAINT_NOTIFICATIONS", "FT.CURSOR", "HIMPORT", "HIMPORT PREPARE"];
const SERVERS: [&str; 4] = ["redis-6.2", "redis-system", "redis-8.2", "valkey-9.1"];

fn does(words: &str) -> Does {
    let mut words = words.split(' ').map(|word| Cow::from(word.as_bytes()));
    let first = words.next().expect("a word");
    commands::does(&first, || words.next())
}

#[test]
fn every_line_is_found_in_either_case() {
    for (name, wanted) in LINES {
        let mixed: String = name
            .char_indices()
            .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c })
            .collect();
        for name in [name.to_string(), name.to_lowercase(), mixed] {
            assert_eq!(does(&name), *wanted, "{name}");
            assert_eq!(does(&format!("{name} more")), *wanted, "{name}");
        }
    }
}

#[test]
fn what_has_no_line_does_nothing() {
    for line in REVIEWED.lines() {
        assert_eq!(does(line), Does::Nothing, "{line}");
    }
    for name in
        ["", "G", "GE", "GET", "MULT", "MULTI\r", "XMULTI", "MULTIX", "\u{e9}XEC", "EVALSHA\0RO"]
    {
        assert_eq!(does(name), Does::Nothing, "{name}");
    }
    // An underscore is no upper case.
    assert_eq!(does("EVAL\u{7f}RO"), Does::Nothing);
    assert_eq!(does("CLIENT SOMETHING"), Does::Binds);
    assert_eq!(does("CLIENT"), Does::Binds);
    assert_eq!(does("SCRIPT SOMETHING"), Does::Nothing);
}

#[test]
fn the_lists_are_sorted_and_without_doubles() {
    let lines: Vec<&str> = LINES.iter().map(|(name, _)| *name).collect();
    let reviewed: Vec<&str> = REVIEWED.lines().collect();
    for list in [&lines, &reviewed] {
        assert!(list.is_sorted_by(|one, next| one < next), "{list:?}");
    }
    let both: Vec<_> = lines.iter().filter(|name| reviewed.contains(name)).collect();
    assert!(both.is_empty(), "{both:?}");
}

#[test]
fn settings_are_in_order() {
    assert!(Setting::ALL.is_sorted());
    for (number, setting) in Setting::ALL.into_iter().enumerate() {
        assert_eq!(setting as usize, number);
        let prefix = setting.prefix().iter().map(|word| String::from_utf8_lossy(word));
        let does = does(&prefix.collect::<Vec<_>>().join(" "));
        let expected = match setting {
            Setting::Protocol => Does::Hello,
            Setting::LibName | Setting::LibVer => Does::SetsInfo,
            setting => Does::Sets(setting),
        };
        assert_eq!(does, expected);
    }
    assert_eq!(
        [Channels::Plain as usize, Channels::Pattern as usize, Channels::Shard as usize],
        [0, 1, 2]
    );
}

/// A command that a new server has may set something in the connection: read what it does, and give
/// it a line in `src/proxy/commands.rs` or in `tests/commands/reviewed.txt`.
#[test]
fn every_command_of_every_server_was_looked_at() {
    let (mut unknown, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut servers = 0;
    for name in SERVERS {
        let Some(binary) = binary(name) else { continue };
        servers += 1;
        for (command, flags) in commands_of(&binary) {
            let has_line = LINES.iter().any(|(line, _)| *line == command);
            if !has_line && !REVIEWED.lines().any(|line| line == command) {
                unknown.insert(format!("{command} ({name}, {flags:?})"));
            }
            assert_flags_fit(&command, &flags);
            seen.insert(command);
        }
    }
    assert!(unknown.is_empty(), "nobody has looked at {unknown:#?}");
    if servers == SERVERS.len() {
        let lines = LINES.iter().map(|(name, _)| *name).chain(REVIEWED.lines());
        let gone: Vec<_> = lines.filter(|name| !seen.contains(*name)).collect();
        assert_eq!(gone, ELSEWHERE, "no server has these");
    }
}

/// What a server says of a command in general terms is what the table says.
fn assert_flags_fit(command: &str, flags: &[String]) {
    let is = |flag: &str| flags.iter().any(|it| it == flag);
    let does = does(command);
    if is("blocking") {
        assert!(matches!(does, Does::Blocks(_) | Does::Waits), "{command}");
    }
    if is("pubsub") && !command.starts_with("PUBSUB") && !command.ends_with("PUBLISH") {
        assert!(matches!(does, Does::Subscribes(_) | Does::Unsubscribes(_)), "{command}");
    }
    if is("no_auth") && command != "QUIT" {
        assert!(matches!(does, Does::Sets(_) | Does::Hello | Does::Reset), "{command}");
    }
}

/// All commands and subcommands by their names in upper case, with their flags.
fn commands_of(binary: &Path) -> BTreeMap<String, Vec<String>> {
    fn walk(commands: &redis::Value, found: &mut BTreeMap<String, Vec<String>>) {
        let redis::Value::Array(commands) = commands else { return };
        for command in commands {
            let redis::Value::Array(fields) = command else { continue };
            let name: String = redis::from_redis_value_ref(&fields[0]).expect("a name");
            let flags = redis::from_redis_value_ref(&fields[2]).expect("flags");
            found.insert(name.replace('|', " ").to_uppercase(), flags);
            if let Some(subcommands) = fields.get(9) {
                walk(subcommands, found);
            }
        }
    }
    let server = Server::master(binary);
    let mut found = BTreeMap::new();
    walk(&server.ask(&["COMMAND"]), &mut found);
    assert!(found.len() > 200, "{} commands", found.len());
    found
}
