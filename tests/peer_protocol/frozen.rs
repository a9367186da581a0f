//! A reader of version 1.0 as its page described it, frozen: later versions must get along with it.
//! It checks a frame field by field and keeps nothing but what kind it was.

/// Magic "RH", major version 1.
const BEGINNING: [u8; 3] = [0x52, 0x48, 1];
/// The kind of a hello.
pub const HELLO: u8 = 0x01;
const HELLO_FIELDS: &str = "u16 u32 string addr u64 u64";
/// The head of every other body.
const HEAD: &str = "addr u64 u64";

/// The kinds of 1.0 and the fields of their messages.
const KINDS: [(u8, &str); 9] = [
    (
        0x10,
        "epoch role u64 bool bool bool u32 bool addr? Copy? bool Following? u64? Promise? Living? \
         [64]Resignation [64]LeaderNews [64]FactSheet [256]Heard [256]addr Pause?",
    ),
    (0x11, "epoch u64 Copy? Living?"),
    (0x12, "epoch Copy?"),
    (0x13, "Denial"),
    (0x14, "epoch addr?"),
    (0x15, "epoch Leadership Master u32?"),
    (0x16, "epoch bool"),
    (0x17, "epoch"),
    (0x18, "epoch addr?"),
];

/// The structures of 1.0.
const STRUCTURES: [(&str, &str); 13] = [
    ("Copy", "Passport state id? bool u64 bool"),
    (
        "Passport",
        "id u16 u16 u16 redisrole bool u64 bool u64 u64 u64 id id u64 addr? bool bool u32",
    ),
    ("Master", "addr id id id"),
    ("Leadership", "epoch addr u64 Master"),
    ("Following", "Leadership u32? u32?"),
    ("Promise", "epoch addr"),
    ("Living", "epoch Master u64 u64 u64"),
    ("Resignation", "epoch addr u64 addr?"),
    ("LeaderNews", "Leadership u32"),
    ("FactSheet", "Leadership addr u64 epoch id u64 u64 u32 u64 u64"),
    ("Heard", "addr u64 u64"),
    ("Pause", "u64 addr bool"),
    ("addr", "ip u16"),
];

/// What a denial may hold beside its epoch and its reason: one for each reason from 1.
const REASONS: [&str; 5] = ["Leadership?", "addr?", "epoch?", "Promise?", "Living?"];

/// Numbers that have a list of values, and the highest value of 1.0.
const TAGS: [(&str, u8); 4] = [("role", 4), ("reason", 6), ("redisrole", 2), ("state", 3)];

/// What a hive of 1.0 does with a frame that breaks no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It understands it.
    Read(u8),
    /// It goes on with the next one.
    Skipped,
}

/// Why it closes the connection, or skips the frame if its sender is newer.
enum Fault {
    Broken(String),
    Unknown(String),
}

/// Judges a whole frame from a sender of this minor version.
pub fn judge(frame: &[u8], minor: u16) -> Result<Taken, String> {
    let (header, body) = frame.split_at_checked(8).ok_or("no header")?;
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let kind = header[3];
    if header[..3] != BEGINNING || len != body.len() {
        return Err("no frame of major version 1".into());
    }
    let newer = minor > 0;
    if kind == HELLO {
        // Its own words say how new it is.
        let newer = body.len() >= 2 && body[..2] != [0, 0];
        return walk(body, HELLO_FIELDS, newer, len <= 1024).map(|()| Taken::Read(HELLO));
    }
    let Some((_, fields)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let skips = newer && kind >= 0x10;
        return if skips { Ok(Taken::Skipped) } else { Err(format!("kind {kind:#x}")) };
    };
    let mut cursor = body;
    let read = fields_of(&mut cursor, HEAD).and_then(|()| fields_of(&mut cursor, fields));
    match read {
        Ok(()) if cursor.is_empty() || newer => Ok(Taken::Read(kind)),
        Ok(()) => Err(format!("{} bytes too many", cursor.len())),
        Err(Fault::Unknown(_)) if newer => Ok(Taken::Skipped),
        Err(Fault::Unknown(why) | Fault::Broken(why)) => Err(why),
    }
}

fn walk(body: &[u8], fields: &str, newer: bool, fits: bool) -> Result<(), String> {
    let mut cursor = body;
    match fields_of(&mut cursor, fields) {
        Ok(()) if fits && (cursor.is_empty() || newer) => Ok(()),
        Ok(()) => Err("too long".into()),
        Err(Fault::Unknown(why) | Fault::Broken(why)) => Err(why),
    }
}

fn fields_of(cursor: &mut &[u8], fields: &str) -> Result<(), Fault> {
    fields.split_whitespace().try_for_each(|field| one(cursor, field))
}

fn one(cursor: &mut &[u8], field: &str) -> Result<(), Fault> {
    if let Some(inner) = field.strip_suffix('?') {
        return match number(cursor, 1)? {
            0 => Ok(()),
            1 => one(cursor, inner),
            _ => Err(Fault::Broken(format!("{field} is neither there nor not"))),
        };
    }
    if let Some((max, entry)) = field.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let len = number(cursor, 8)?;
        if len > max.parse().expect("a limit") {
            return Err(Fault::Broken(format!("{len} entries of {entry}")));
        }
        return (0..len).try_for_each(|_| one(cursor, entry));
    }
    if let Some((_, fields)) = STRUCTURES.iter().find(|(name, _)| *name == field) {
        return fields_of(cursor, fields);
    }
    if let Some((_, highest)) = TAGS.iter().find(|(name, _)| *name == field) {
        let tag = number(cursor, 1)?;
        let known = (1..=u64::from(*highest)).contains(&tag);
        return if known { Ok(()) } else { Err(Fault::Unknown(format!("{field} {tag}"))) };
    }
    match field {
        "Denial" => denial(cursor),
        "bool" if number(cursor, 1)? > 1 => Err(Fault::Broken("a bool above 1".into())),
        "epoch" if number(cursor, 8)? > 1 << 48 => Err(Fault::Broken("an epoch".into())),
        "bool" | "epoch" => Ok(()),
        "string" => {
            let len = number(cursor, 8)?;
            if len > 255 || std::str::from_utf8(take(cursor, len as usize)?).is_err() {
                return Err(Fault::Broken("a string".into()));
            }
            Ok(())
        }
        _ => {
            let width = match field {
                "u16" => 2,
                "u32" => 4,
                "u64" => 8,
                "ip" => 16,
                "id" => 20,
                _ => unreachable!("no field is called {field}"),
            };
            take(cursor, width).map(|_| ())
        }
    }
}

/// The field of its reason is there and no other.
fn denial(cursor: &mut &[u8]) -> Result<(), Fault> {
    one(cursor, "epoch")?;
    let reason = cursor.first().copied().unwrap_or_default();
    one(cursor, "reason")?;
    (1..).zip(REASONS).try_for_each(|(of, field)| {
        let there = cursor.first() == Some(&1);
        one(cursor, field)?;
        if there == (of == reason) { Ok(()) } else { Err(Fault::Broken(format!("{field} in it"))) }
    })
}

fn number(cursor: &mut &[u8], width: usize) -> Result<u64, Fault> {
    let bytes = take(cursor, width)?;
    Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn take<'a>(cursor: &mut &'a [u8], len: usize) -> Result<&'a [u8], Fault> {
    let (taken, rest) =
        cursor.split_at_checked(len).ok_or_else(|| Fault::Broken("cut short".into()))?;
    *cursor = rest;
    Ok(taken)
}
