//! The words of one request.

use std::borrow::Cow;

use super::pieces;
use super::quotes::is_blank;

/// The words of a whole request, in either form (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n` or `GET k\r\n`).
///
/// Only for what [`super::Requests`] has found whole. An empty request (`\r\n`, `*0\r\n`) has none.
pub(in crate::proxy) fn args(request: &[u8]) -> Args<'_> {
    match request.first() {
        Some(b'*') => {
            let line = pieces::usual(request).map_or(request.len(), |(_, line)| line);
            Args { rest: request.get(line..).unwrap_or_default(), inline: false }
        }
        _ => Args { rest: request, inline: true },
    }
}

/// Yields each word; quoting of the inline form is undone, hence not always a piece of the input.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Args<'a> {
    rest: &'a [u8],
    inline: bool,
}

impl<'a> Iterator for Args<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.inline { self.inline() } else { self.bulk().map(Cow::Borrowed) }
    }
}

impl<'a> Args<'a> {
    fn bulk(&mut self) -> Option<&'a [u8]> {
        let (length, line) = pieces::usual(self.rest)?;
        let body = self.rest.get(line..)?;
        let word = body.get(..usize::try_from(length).ok()?)?;
        self.rest = body.get(word.len() + 2..).unwrap_or_default();
        Some(word)
    }

    fn inline(&mut self) -> Option<Cow<'a, [u8]>> {
        let begin = self.rest.iter().position(|&byte| !is_blank(byte))?;
        let rest = self.rest.get(begin..)?;
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'');
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let (plain, behind) = rest.split_at_checked(end)?;
        match behind.split_first() {
            Some((&quote @ (b'"' | b'\''), quoted)) => {
                let mut word = plain.to_vec();
                self.rest = unquote(quote, quoted, &mut word);
                Some(Cow::Owned(word))
            }
            _ => {
                self.rest = behind;
                Some(Cow::Borrowed(plain))
            }
        }
    }
}

/// Appends to `word` what stands before the closing `quote`; returns what stands behind it.
fn unquote<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> &'a [u8] {
    loop {
        let (byte, behind) = match (quote, rest) {
            (_, []) => return rest,
            (_, [byte, behind @ ..]) if *byte == quote => return behind,
            (b'\'', [b'\\', b'\'', behind @ ..]) => (b'\'', behind),
            (b'"', [b'\\', b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), behind)
            }
            (b'"', [b'\\', byte, behind @ ..]) => (escaped(*byte), behind),
            (_, [byte, behind @ ..]) => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn escaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        _ => byte,
    }
}
