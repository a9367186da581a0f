//! What commands do to the session that sends them: a table, and nothing else is known of them.
//!
//! Read from `COMMAND DOCS` and the sources of Redis 6.2 to 8.2 and Valkey 9.1; `tests/commands.rs`
//! names every command of a server that nobody has looked at yet.

use std::borrow::Cow;

/// What a request does to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Nothing that outlasts its reply.
    Nothing,
    /// Sets something, by the words behind [`Setting::prefix`].
    Sets(Setting),
    /// CLIENT SETINFO: sets [`Setting::LibName`] or [`Setting::LibVer`].
    SetsInfo,
    /// HELLO: sets [`Setting::Protocol`], and others by its options.
    Hello,
    /// Begins a transaction.
    Multi,
    /// Ends one.
    Exec,
    /// Ends one.
    Discard,
    /// Begins an optimistic one.
    Watch,
    /// Ends that, where no other one was begun.
    Unwatch,
    /// Takes nearly everything back.
    Reset,
    /// A reply for each of its words, and messages from then on.
    Subscribes(Channels),
    /// A reply for each of its words; without any, for each channel.
    Unsubscribes(Channels),
    /// Lines from then on.
    Monitors,
    /// CLIENT TRACKING; its word REDIRECT names a client.
    Tracks,
    /// CLIENT REPLY: there may be no replies from then on.
    Mutes,
    /// Leaves the connection in a state that cannot be repeated, if it is not refused.
    Binds,
    /// Turns the connection into one of a replica: what follows is not requests and replies.
    Copies,
    /// Asks for copies of what this connection has written.
    Waits,
    /// Its reply comes when there is something, or when its time is over.
    Blocks(Timeout),
    /// Its second word is the text of a script.
    Evals,
    /// Its second word is the SHA-1 of a script.
    Runs,
    /// Its third word is the text of a script, and its reply the SHA-1.
    Loads,
    /// Names something of this server that is something else on another one.
    Names(Thing),
    /// So many words before its cursor, which means something on this server only, unless it is 0.
    Scans(usize),
}

/// What a new connection can be given too, in the order in which that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    /// The user and its password.
    Auth,
    /// RESP3.
    Protocol,
    /// The database.
    Db,
    /// The connection's name.
    Name,
    /// The client library's name.
    LibName,
    /// The client library's version.
    LibVer,
    /// Exempt from the eviction of clients.
    NoEvict,
    /// Reads do not count as use.
    NoTouch,
    /// Notifications of maintenance.
    Maintenance,
}

/// Kinds of channels, counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// By their names.
    Plain,
    /// By a pattern.
    Pattern,
    /// Of a shard.
    Shard,
}

/// Where the time is that a blocking command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// Its second word; seconds.
    First,
    /// Its last word; seconds.
    Last,
    /// Behind its option BLOCK, without which it does not block; milliseconds.
    Block,
}

/// What of another server a request may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// Something, always.
    Always,
    /// Something, if one of these words is in it.
    With(&'static [&'static str]),
    /// The same, or an address, which is then its only argument.
    Address(&'static [&'static str]),
}

use Does::*;

/// By name; the line of a command with subcommands says what those do that have no line.
#[rustfmt::skip]
pub(super) const LINES: &[(&str, Does)] = &[
    ("AUTH", Sets(Setting::Auth)),
    ("BLMOVE", Blocks(Timeout::Last)),
    ("BLMPOP", Blocks(Timeout::First)),
    ("BLPOP", Blocks(Timeout::Last)),
    ("BRPOP", Blocks(Timeout::Last)),
    ("BRPOPLPUSH", Blocks(Timeout::Last)),
    ("BZMPOP", Blocks(Timeout::First)),
    ("BZPOPMAX", Blocks(Timeout::Last)),
    ("BZPOPMIN", Blocks(Timeout::Last)),
    ("CLIENT", Binds),
    ("CLIENT CACHING", Nothing), // Refused unless tracking is on.
    ("CLIENT CAPA", Binds),
    ("CLIENT GETNAME", Nothing),
    ("CLIENT GETREDIR", Nothing),
    ("CLIENT HELP", Nothing),
    ("CLIENT ID", Nothing),
    ("CLIENT IMPORT-SOURCE", Binds),
    ("CLIENT INFO", Nothing),
    ("CLIENT KILL", Names(Thing::Address(&["ID", "ADDR", "LADDR", "NOT-ID", "NOT-ADDR", "NOT-LADDR"]))),
    ("CLIENT LIST", Names(Thing::With(&["ID", "NOT-ID"]))),
    ("CLIENT MAINT_NOTIFICATIONS", Sets(Setting::Maintenance)),
    ("CLIENT NO-EVICT", Sets(Setting::NoEvict)),
    ("CLIENT NO-TOUCH", Sets(Setting::NoTouch)),
    ("CLIENT PAUSE", Nothing),
    ("CLIENT REPLY", Mutes),
    ("CLIENT SETINFO", SetsInfo),
    ("CLIENT SETNAME", Sets(Setting::Name)),
    ("CLIENT TRACKING", Tracks),
    ("CLIENT TRACKINGINFO", Nothing),
    ("CLIENT UNBLOCK", Names(Thing::Always)),
    ("CLIENT UNPAUSE", Nothing),
    ("CLUSTER", Nothing),
    ("CLUSTER SYNCSLOTS", Copies),
    ("CLUSTERSCAN", Scans(1)),
    ("DEBUG", Binds),
    ("DISCARD", Discard),
    ("EVAL", Evals),
    ("EVALSHA", Runs),
    ("EVALSHA_RO", Runs),
    ("EVAL_RO", Evals),
    ("EXEC", Exec),
    ("FT.CURSOR", Names(Thing::Always)), // Of the search module.
    ("HELLO", Hello),
    ("HIMPORT", Nothing),
    ("HIMPORT PREPARE", Binds), // Since 8.10: field names that later ones of this connection use.
    ("HSCAN", Scans(2)),
    ("MONITOR", Monitors),
    ("MULTI", Multi),
    ("PSUBSCRIBE", Subscribes(Channels::Pattern)),
    ("PSYNC", Copies),
    ("PUNSUBSCRIBE", Unsubscribes(Channels::Pattern)),
    ("REPLCONF", Copies),
    ("RESET", Reset),
    ("SCAN", Scans(1)),
    ("SCRIPT", Nothing),
    ("SCRIPT DEBUG", Binds),
    ("SCRIPT LOAD", Loads),
    ("SELECT", Sets(Setting::Db)),
    ("SSCAN", Scans(2)),
    ("SSUBSCRIBE", Subscribes(Channels::Shard)),
    ("SUBSCRIBE", Subscribes(Channels::Plain)),
    ("SUNSUBSCRIBE", Unsubscribes(Channels::Shard)),
    ("SYNC", Copies),
    ("UNSUBSCRIBE", Unsubscribes(Channels::Plain)),
    ("UNWATCH", Unwatch),
    ("WAIT", Waits),
    ("WAITAOF", Waits),
    ("WATCH", Watch),
    ("XREAD", Blocks(Timeout::Block)),
    ("XREADGROUP", Blocks(Timeout::Block)),
    ("ZSCAN", Scans(2)),
];

impl Setting {
    /// All, in their order.
    pub(super) const ALL: [Setting; 9] = [
        Setting::Auth,
        Setting::Protocol,
        Setting::Db,
        Setting::Name,
        Setting::LibName,
        Setting::LibVer,
        Setting::NoEvict,
        Setting::NoTouch,
        Setting::Maintenance,
    ];

    /// The words of the request that sets it, without the value.
    pub(super) fn prefix(self) -> &'static [&'static [u8]] {
        match self {
            Setting::Auth => &[b"AUTH"],
            Setting::Protocol => &[b"HELLO"],
            Setting::Db => &[b"SELECT"],
            Setting::Name => &[b"CLIENT", b"SETNAME"],
            Setting::LibName => &[b"CLIENT", b"SETINFO", b"LIB-NAME"],
            Setting::LibVer => &[b"CLIENT", b"SETINFO", b"LIB-VER"],
            Setting::NoEvict => &[b"CLIENT", b"NO-EVICT"],
            Setting::NoTouch => &[b"CLIENT", b"NO-TOUCH"],
            Setting::Maintenance => &[b"CLIENT", b"MAINT_NOTIFICATIONS"],
        }
    }

    /// Whether this is what a new connection has anyway.
    pub(super) fn is_default(self, value: &[u8]) -> bool {
        match self {
            Setting::Auth => false,
            Setting::Protocol => value == b"2",
            Setting::Db => value == b"0",
            Setting::Name | Setting::LibName | Setting::LibVer => value.is_empty(),
            Setting::NoEvict | Setting::NoTouch | Setting::Maintenance => {
                value.eq_ignore_ascii_case(b"OFF")
            }
        }
    }
}

/// Whether a glance tells that requests with this first word do nothing to their session. One that
/// does nothing either may need the look that [`does`] takes.
#[inline]
pub(super) fn is_plain(first: &[u8]) -> bool {
    let key = key(first);
    let line = SLOTS.indices[slot(key, SLOTS.multiplier)];
    SLOTS.keys.get(usize::from(line)).is_none_or(|other| *other != key)
}

/// What the request of these first two words does. `second` is asked for only where it matters.
pub(super) fn does<'a>(first: &[u8], second: impl FnOnce() -> Option<Cow<'a, [u8]>>) -> Does {
    let slot = SLOTS.indices[slot(key(first), SLOTS.multiplier)];
    let Some((name, does)) = LINES.get(usize::from(slot)) else { return Nothing };
    if !first.eq_ignore_ascii_case(name.as_bytes()) {
        return Nothing;
    }
    let subcommands = LINES[usize::from(slot) + 1..].iter().map_while(|(line, does)| {
        let rest = line.strip_prefix(name)?.strip_prefix(' ')?;
        Some((rest, does))
    });
    let mut subcommands = subcommands.peekable();
    if subcommands.peek().is_none() {
        return *does;
    }
    let second = second().unwrap_or_default();
    let found = subcommands.find(|(word, _)| second.eq_ignore_ascii_case(word.as_bytes()));
    *found.map_or(does, |(_, does)| does)
}

/// Size of the hash table, a power of two; far larger than the table of commands, so that other
/// commands nearly always meet an empty slot.
const SIZE: usize = 1024;
/// An empty slot.
const NONE: u8 = u8::MAX;

/// Where the line of a command is. No two commands share a slot.
struct Slots {
    multiplier: u64,
    indices: [u8; SIZE],
    /// Of each line.
    keys: [u64; LINES.len()],
}

static SLOTS: Slots = find_slots();

const _: () = assert!(LINES.len() < NONE as usize);

/// Tries multipliers until one gives each command a slot of its own.
const fn find_slots() -> Slots {
    let mut multiplier: u64 = 0x9e37_79b9_7f4a_7c15;
    loop {
        let (mut indices, mut keys) = ([NONE; SIZE], [0; LINES.len()]);
        let mut line = 0;
        while line < LINES.len() {
            let name = LINES[line].0.as_bytes();
            if !has_blank(name) {
                keys[line] = key(name);
                let slot = slot(keys[line], multiplier);
                if indices[slot] != NONE {
                    break;
                }
                indices[slot] = line as u8;
            }
            line += 1;
        }
        if line == LINES.len() {
            return Slots { multiplier, indices, keys };
        }
        multiplier = multiplier.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(2);
    }
}

const fn has_blank(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if name[at] == b' ' {
            return true;
        }
        at += 1;
    }
    false
}

/// Made of a name in either case; another name may have the same.
const fn key(name: &[u8]) -> u64 {
    let key = match name {
        [a, b, c, d, .., w, x, y, z] => u64::from_le_bytes([*a, *b, *c, *d, *w, *x, *y, *z]),
        [a, b, .., y, z] => u32::from_le_bytes([*a, *b, *y, *z]) as u64,
        [a, ..] => *a as u64,
        [] => 0,
    };
    (key | 0x2020_2020_2020_2020).wrapping_add(name.len() as u64)
}

const fn slot(key: u64, multiplier: u64) -> usize {
    (key.wrapping_mul(multiplier) >> (u64::BITS - SIZE.ilog2())) as usize
}
