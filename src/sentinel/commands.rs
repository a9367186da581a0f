//! The commands that every connection knows, but `SENTINEL`.

use super::COMPATIBLE;
use super::asks;
use super::info;
use super::reply::{Protocol, Reply};
use super::session::{Session, quoted};
use super::subscriptions::{Kind, Subscriptions};

/// The longest name of a connection.
const NAME_MAX_BYTES: usize = 256;
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// One command, or what may follow a command's name.
pub(super) struct Command {
    /// In lower case.
    pub name: &'static str,
    /// Words of a request, its name included; negative: at least so many.
    pub arity: i32,
    /// Whether RESP2 has it for a client that has subscribed.
    pub while_subscribed: bool,
    /// Gets the words behind the name.
    pub answer: fn(&mut Session, &[Vec<u8>], &mut Reply<'_>),
}

impl Command {
    /// One that a subscriber may not use.
    pub const fn new(
        name: &'static str,
        arity: i32,
        answer: fn(&mut Session, &[Vec<u8>], &mut Reply<'_>),
    ) -> Command {
        Command { name, arity, while_subscribed: false, answer }
    }

    const fn always(self) -> Command {
        Command { while_subscribed: true, ..self }
    }

    /// Whether a request may have so many words.
    pub fn takes(&self, words: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { words >= least } else { words == least }
    }
}

/// The most asked for come first.
pub(super) const ALL: &[Command] = &[
    Command::new("sentinel", -2, asks::sentinel),
    Command::new("ping", -1, ping).always(),
    Command::new("subscribe", -2, |s, args, r| s.subscriptions.add(Kind::Channel, args, r))
        .always(),
    Command::new("psubscribe", -2, |s, args, r| s.subscriptions.add(Kind::Pattern, args, r))
        .always(),
    Command::new("unsubscribe", -1, |s, args, r| s.subscriptions.remove(Kind::Channel, args, r))
        .always(),
    Command::new("punsubscribe", -1, |s, args, r| s.subscriptions.remove(Kind::Pattern, args, r))
        .always(),
    Command::new("hello", -1, hello),
    Command::new("auth", -2, auth),
    Command::new("client", -2, |s, args, r| s.answer_sub("client", CLIENT, args, r)),
    Command::new("info", -1, info::info),
    Command::new("role", 1, role),
    Command::new("command", -1, command),
    Command::new("quit", -1, quit).always(),
    Command::new("reset", 1, reset).always(),
    Command::new("publish", 3, publish),
    Command::new("shutdown", -1, shutdown),
];

const CLIENT: &[Command] = &[
    Command::new("id", 2, |s, _, r| r.integer(i64::try_from(s.id).unwrap_or(i64::MAX))),
    Command::new(
        "getname",
        2,
        |s, _, r| if s.name.is_empty() { r.null() } else { r.bulk(&s.name) },
    ),
    Command::new("setname", 3, |s, args, r| {
        if set_name(s, &args[0], r) {
            r.simple("OK");
        }
    }),
    Command::new("setinfo", 4, set_info),
];

fn ping(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    if args.len() > 1 {
        return reply.error("ERR wrong number of arguments for 'ping' command");
    }
    let word = args.first();
    if session.subscriptions.any() && !reply.resp3() {
        reply.array(2);
        reply.bulk("pong");
        return reply.bulk(word.map_or(&[][..], Vec::as_slice));
    }
    match word {
        Some(word) => reply.bulk(word),
        None => reply.simple("PONG"),
    }
}

/// `HELLO [2|3 [AUTH user password] [SETNAME name]]`
fn hello(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let mut protocol = session.protocol;
    if let Some(version) = args.first() {
        protocol = match version.as_slice() {
            b"2" => Protocol::Resp2,
            b"3" => Protocol::Resp3,
            other if other.iter().all(u8::is_ascii_digit) && !other.is_empty() => {
                return reply.error("NOPROTO unsupported protocol version");
            }
            _ => return reply.error("ERR Protocol version is not an integer or out of range"),
        };
    }
    let mut rest = args.get(1..).unwrap_or_default();
    while let Some((option, values)) = rest.split_first() {
        rest = match values {
            [user, password, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                if !opens(session, user, password) {
                    return reply.error(WRONG_PASSWORD);
                }
                rest
            }
            [name, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                if !set_name(session, name, reply) {
                    return;
                }
                rest
            }
            _ => {
                let option = quoted(option);
                return reply.error(&format!("ERR Syntax error in HELLO option '{option}'"));
            }
        };
    }
    (session.protocol, reply.protocol) = (protocol, protocol);
    reply.map(6);
    reply.bulk("server");
    reply.bulk("redis");
    reply.bulk("version");
    reply.bulk(COMPATIBLE);
    reply.bulk("proto");
    reply.integer(if reply.resp3() { 3 } else { 2 });
    reply.bulk("id");
    reply.integer(i64::try_from(session.id).unwrap_or(i64::MAX));
    reply.bulk("mode");
    reply.bulk("sentinel");
    reply.bulk("modules");
    reply.array(0);
}

/// `AUTH [user] password`
fn auth(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let opened = match args {
        [_] if session.site.settings.keyring.secrets().is_empty() => {
            return reply.error(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            );
        }
        [password] => opens(session, b"default", password),
        [user, password] => opens(session, user, password),
        _ => return reply.error("ERR syntax error"),
    };
    if opened { reply.simple("OK") } else { reply.error(WRONG_PASSWORD) }
}

/// Without a secret the default user has no password, so that any fits, as in Redis.
fn opens(session: &Session, user: &[u8], password: &[u8]) -> bool {
    let secrets = session.site.settings.keyring.secrets();
    let fits = || std::str::from_utf8(password).is_ok_and(|password| secrets.accepts(password));
    user == b"default" && (secrets.is_empty() || fits())
}

fn set_name(session: &mut Session, name: &[u8], reply: &mut Reply<'_>) -> bool {
    let fits = name.len() <= NAME_MAX_BYTES && name.iter().all(u8::is_ascii_graphic);
    if fits {
        session.name = name.to_vec();
    } else {
        reply.error("ERR Client names cannot contain spaces, newlines or special characters.");
    }
    fits
}

/// Nobody looks at it; clients expect that it is taken.
fn set_info(_: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let option = &args[0];
    if ["lib-name", "lib-ver"].iter().any(|known| known.as_bytes().eq_ignore_ascii_case(option)) {
        reply.simple("OK");
    } else {
        reply.error(&format!("ERR Unrecognized option '{}'", quoted(option)));
    }
}

fn role(session: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk("sentinel");
    let known = session.topology().master.is_some();
    reply.array(usize::from(known));
    if known {
        reply.bulk(&session.site.settings.name);
    }
}

/// `COMMAND`, `COMMAND COUNT`, `LIST`, `DOCS` and `INFO`
fn command(_: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let asked = |name: &[u8]| {
        let names = args.get(1..).unwrap_or_default();
        names.is_empty() || names.iter().any(|word| word.eq_ignore_ascii_case(name))
    };
    let found: Vec<_> = ALL.iter().filter(|command| asked(command.name.as_bytes())).collect();
    let word = args.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    match word.as_slice() {
        b"count" => reply.integer(ALL.len() as i64),
        b"list" => {
            reply.array(ALL.len());
            ALL.iter().for_each(|command| reply.bulk(command.name));
        }
        b"docs" => {
            reply.map(found.len());
            for command in found {
                reply.bulk(command.name);
                reply.map(1);
                reply.bulk("summary");
                reply.bulk("As in Redis Sentinel.");
            }
        }
        b"" | b"info" => {
            reply.array(found.len());
            found.into_iter().for_each(|command| describe(command, reply));
        }
        other => {
            let other = quoted(other);
            reply.error(&format!("ERR unknown subcommand '{other}'. Try COMMAND HELP."));
        }
    }
}

/// Name, arity, flags, three places of keys, categories, tips, key specifications, subcommands.
fn describe(command: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(command.name);
    reply.integer(command.arity.into());
    reply.set(3);
    ["loading", "stale", "sentinel"].iter().for_each(|flag| reply.simple(flag));
    (0..3).for_each(|_| reply.integer(0));
    reply.set(0);
    (0..3).for_each(|_| reply.array(0));
}

fn quit(session: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    session.closing = true;
    reply.simple("OK");
}

fn reset(session: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    session.subscriptions = Subscriptions::default();
    session.name.clear();
    (session.protocol, reply.protocol) = (Protocol::Resp2, Protocol::Resp2);
    reply.simple("RESET");
}

fn publish(_: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.error("ERR Only HELLO messages are accepted by Sentinel instances.");
}

fn shutdown(_: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply
        .error("ERR nothing can be stopped from here: delete the pod, or send SIGTERM to the hive");
}
