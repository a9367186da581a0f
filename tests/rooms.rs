//! The walls between the rooms (DESIGN 5, "never imports"), held over the words of the source.

use std::path::{Path, PathBuf};

/// A room: where it is, and what it never names.
struct Room {
    /// Below `src/`: a directory, or a file with a directory of the same name beside it.
    place: &'static str,
    /// Paths that may not occur, as they would be written after `use`.
    never: &'static [&'static str],
}

const FREE: &[&str] = &[];

/// Every file of `src/` is in one of these.
const ROOMS: &[Room] = &[
    Room {
        place: "election",
        never: &[
            "crate::sentinel",
            "tokio",
            "std::net",
            "std::time",
            "std::thread",
            "std::env",
            "std::fs",
            "std::io",
            "tracing",
            "serde",
            "redis",
            "crate::discovery",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::node",
            "crate::config",
            "crate::cli",
        ],
    },
    Room {
        place: "discovery",
        never: &[
            "crate::sentinel",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::node",
            "crate::cli",
            "redis",
        ],
    },
    Room {
        place: "peer",
        never: &[
            "crate::sentinel",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::node",
            "crate::cli",
            "redis",
            "hyper",
        ],
    },
    Room {
        place: "redis",
        never: &[
            "crate::sentinel",
            "crate::peer",
            "crate::proxy",
            "crate::http",
            "crate::node",
            "crate::cli",
            "hyper",
        ],
    },
    Room {
        place: "proxy",
        never: &[
            "crate::sentinel",
            "crate::peer",
            "crate::redis",
            "crate::http",
            "crate::node",
            "crate::cli",
            "redis",
            "hyper",
            "crate::election::frame",
            "crate::election::io",
            "crate::election::Core",
            "crate::election::Frame",
            "crate::election::Message",
            "crate::election::Action",
            "crate::election::Input",
            "crate::election::Clocks",
        ],
    },
    Room {
        place: "http",
        never: &[
            "crate::sentinel",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::node",
            "crate::cli",
            "redis",
        ],
    },
    Room {
        place: "sentinel",
        never: &[
            "crate::discovery",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::config",
            "crate::node",
            "crate::cli",
            "redis",
            "hyper",
            "crate::election::frame",
            "crate::election::io",
            "crate::election::Core",
            "crate::election::Frame",
            "crate::election::Message",
            "crate::election::Action",
            "crate::election::Input",
            "crate::election::Clocks",
        ],
    },
    Room {
        place: "config",
        never: &[
            "crate::sentinel",
            "crate::node",
            "crate::cli",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
        ],
    },
    Room {
        place: "secrets",
        never: &[
            "crate::election",
            "crate::discovery",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::node",
            "crate::config",
            "crate::cli",
            "redis",
            "hyper",
        ],
    },
    Room {
        place: "listener",
        never: &[
            "crate::election",
            "crate::discovery",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::sentinel",
            "crate::node",
            "crate::config",
            "crate::cli",
            "tokio",
        ],
    },
    Room {
        place: "alarm",
        never: &[
            "crate::election",
            "crate::discovery",
            "crate::peer",
            "crate::redis",
            "crate::proxy",
            "crate::http",
            "crate::sentinel",
            "crate::node",
            "crate::config",
            "crate::cli",
        ],
    },
    Room { place: "node", never: &["crate::cli"] },
    Room { place: "cli", never: FREE },
    Room { place: "main", never: FREE },
    Room { place: "lib", never: FREE },
];

/// The only file that may hold `unsafe`, should it ever exist.
const UNSAFE_ISLAND: &str = "proxy/splice.rs";

#[test]
fn no_room_names_what_it_must_not_know() {
    let mut found = Vec::new();
    for (file, text) in sources() {
        let room =
            room_of(&file).unwrap_or_else(|| panic!("src/{file} belongs to no room of DESIGN 5"));
        found.extend(violations(room, &text).into_iter().map(|what| format!("src/{file}: {what}")));
    }
    assert!(found.is_empty(), "walls are broken:\n{}", found.join("\n"));
}

#[test]
fn unsafe_lives_on_its_island_only() {
    for (file, text) in sources() {
        let inside = file == UNSAFE_ISLAND;
        assert!(inside || !has_unsafe(&text), "src/{file} has `unsafe`");
    }
}

/// The checker finds what it is for, however it is written.
#[test]
fn planted_violations_are_found() {
    let room = |place| ROOMS.iter().find(|room| room.place == place).expect(place);
    let planted = [
        ("election", "use std::time::Instant;"),
        ("election", "use std::{net::TcpStream, fmt};"),
        ("election", "let now = std::time::SystemTime::now();"),
        ("election", "use tokio::sync::mpsc;"),
        ("election", "tracing::info!(\"x\");"),
        ("election", "use crate::{election::Epoch, peer};"),
        ("election", "use ::tokio::spawn;"),
        ("discovery", "use crate::proxy::Proxy;"),
        ("discovery", "use super::redis::Info;"),
        ("peer", "use crate::\n    http::Http;"),
        ("peer", "use crate::{\n    election::{Input, NodeId},\n    redis::{self, Redis},\n};"),
        ("redis", "fn f(x: &crate::peer::Peers) {}"),
        ("redis", "use crate::peer as friends;"),
        ("proxy", "use crate::election::Input;"),
        ("proxy", "use crate::election::{Epoch, frame::Frame};"),
        ("proxy", "let c = redis::cmd(\"GET\");"),
        ("proxy", "use redis_hive::peer::Peers;"),
        ("http", "pub use crate::proxy::Counters;"),
        ("http", "extern crate redis;"),
        ("sentinel", "use crate::proxy::resp;"),
        ("sentinel", "use crate::election::{Core, RedisAddr};"),
    ];
    for (place, text) in planted {
        assert!(!violations(room(place), text).is_empty(), "{place}: {text}");
    }
    let fine = [
        ("election", "// tokio and std::time::Instant stay outside\nuse core::time::Duration;"),
        ("election", "/* crate::peer */ let text = \"use tokio::spawn\";"),
        ("election", "use super::types::{Epoch, NodeId};"),
        ("peer", "let redis_addr = peer.redis; self.redis::<u8>();"),
        ("redis", "use crate::election::{Input, RedisView}; use redis::cmd;"),
        ("proxy", "use crate::election::{Epoch, RedisAddr, Route};"),
        ("sentinel", "use crate::election::RedisAddr; let up = node.redis;"),
        ("http", "let redis = &status.redis; let redis: Vec<u8> = redis_of();"),
    ];
    for (place, text) in fine {
        assert_eq!(violations(room(place), text), [""; 0], "{place}: {text}");
    }
    assert!(has_unsafe("fn f() { unsafe { g() } }"));
    assert!(has_unsafe("pub unsafe fn f() {}"));
    assert!(!has_unsafe("#![forbid(unsafe_code)] // unsafe\nlet s = \"unsafe\";"));
}

/// All files of `src/`, by their path below it, with forward slashes.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                std::fs::read_dir(&path).expect("src").map(|e| e.expect("an entry").path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).expect("below src").to_str().expect("text");
            found.push((name.replace('\\', "/"), std::fs::read_to_string(&path).expect("text")));
        }
    }
    assert!(found.len() > 10, "src/ was found");
    found
}

fn room_of(file: &str) -> Option<&'static Room> {
    let top = file.split('/').next()?;
    let top = top.strip_suffix(".rs").unwrap_or(top);
    ROOMS.iter().find(|room| room.place == top)
}

/// The forbidden paths that occur in a file's code.
fn violations(room: &Room, text: &str) -> Vec<String> {
    let paths = paths(&tokens(&code(text)));
    let mut found: Vec<String> = paths
        .into_iter()
        .filter(|path| {
            room.never.iter().any(|never| {
                let rest = path.strip_prefix(never);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn has_unsafe(text: &str) -> bool {
    tokens(&code(text)).iter().any(|token| token == "unsafe")
}

/// The text without comments, and with strings and character literals emptied.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|after| after.trim_start_matches('#'));
        let joined =
            out.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !out.ends_with('b');
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if raw.is_some_and(|after| after.starts_with('"')) && !joined {
            let hashes = raw.map_or(0, |after| rest.len() - 1 - after.len());
            let end = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 2;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if first == '"' {
            string_end(rest)
        } else if first == '\'' {
            character_end(rest)
        } else {
            0
        };
        if skip == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skip..];
        }
    }
    out
}

/// Length of the string literal that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal that `text` begins with; 1 for a lifetime's tick.
fn character_end(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => text[3..].find('\'').map_or(1, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        match (c, tokens.last_mut()) {
            (':', Some(last)) if last == ":" => last.push(':'),
            (c, _) if c.is_whitespace() => {}
            (c, _) => tokens.push(c.to_string()),
        }
    }
    tokens.push(word);
    tokens
}

/// Every path of the code, groups multiplied out: `a::{b, c::d}` is `a::b` and `a::c::d`.
///
/// The crate's own name and `super` count as `crate`, so that no detour is missed; a lone word
/// counts only behind `use` and `extern crate`.
fn paths(tokens: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map_or("", String::as_str);
        let next = tokens.get(at + 1).map_or("", String::as_str);
        let word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let begins = word && (before != "::" || absolute(tokens, at)) && before != ".";
        let alone = before == "use" || (before == "crate" && at > 1 && tokens[at - 2] == "extern");
        if begins && (next == "::" || alone) {
            follow(tokens, at, String::new(), &mut found);
        }
    }
    found
}

/// Whether the `::` before a word leads a path, as in `use ::tokio`.
fn absolute(tokens: &[String], at: usize) -> bool {
    let before = at.checked_sub(2).and_then(|at| tokens.get(at)).map_or("", String::as_str);
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>')
        || ["use", "return", "in", "as"].contains(&before)
}

/// Reads one path from `at`; returns where it ends.
fn follow(tokens: &[String], mut at: usize, mut path: String, found: &mut Vec<String>) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while let Some(token) = tokens.get(at).map(String::as_str) {
                    match token {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = follow(tokens, at, path.clone(), found).max(at + 1),
                    }
                }
                return at;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                let word = match word {
                    "redis_hive" | "super" if path.is_empty() || path == "crate" => "crate",
                    word => word,
                };
                if !(word == "crate" && path == "crate") {
                    path =
                        if path.is_empty() { word.to_owned() } else { format!("{path}::{word}") };
                }
                at += 1;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
        if tokens.get(at).map(String::as_str) == Some("::") {
            at += 1;
        } else {
            found.push(path);
            return at;
        }
    }
}
