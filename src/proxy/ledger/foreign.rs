//! What a moved session must not ask its new master for, because it means something else there.

use super::super::commands::{Does, Thing};
use super::super::resp::args;

/// Cursors remembered at most; the oldest are forgotten first.
const CURSORS_MAX: usize = 64;

/// The cursors that the present master has given to this session.
#[derive(Debug, Default)]
pub(super) struct Cursors(Vec<u64>);

impl Cursors {
    /// Notes the cursor in the reply to a command of the SCAN family, which begins with `lead`.
    pub(super) fn note(&mut self, lead: &[u8]) {
        let text = first_element(lead).and_then(|line| std::str::from_utf8(line).ok());
        let Some(cursor) = text.and_then(|text| text.parse().ok()) else { return };
        if !self.0.contains(&cursor) {
            if self.0.len() == CURSORS_MAX {
                self.0.remove(0);
            }
            self.0.push(cursor);
        }
    }

    /// Whether this request names something of another server.
    pub(super) fn name_another_server(&self, does: Does, request: &[u8]) -> bool {
        let has = |names: &[&str]| {
            let mut words = args(request).skip(2);
            words.any(|word| names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes())))
        };
        match does {
            Does::Names(Thing::Always) => true,
            Does::Names(Thing::With(words)) => has(words),
            Does::Names(Thing::Address(words)) => has(words) || args(request).count() == 3,
            Does::Tracks => has(&["REDIRECT"]),
            Does::Scans(at) => args(request).nth(at).is_some_and(|word| !self.knows(&word)),
            _ => false,
        }
    }

    fn knows(&self, cursor: &[u8]) -> bool {
        let cursor = std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok());
        cursor.is_some_and(|cursor: u64| cursor == 0 || self.0.contains(&cursor))
    }

    /// They are of a master that is not asked any more.
    pub(super) fn forget(&mut self) {
        self.0 = Vec::new();
    }
}

/// The first element of an array that begins with a bulk string.
pub(super) fn first_element(lead: &[u8]) -> Option<&[u8]> {
    let mut lines = lead.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end());
    lines.nth(1).filter(|line| line.starts_with(b"$"))?;
    lines.next()
}
