//! Replies as bytes, in RESP2 or RESP3.

use std::io::Write;

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    /// As every connection begins.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Writes replies behind what `out` holds already.
pub(super) struct Reply<'a> {
    /// The bytes to be sent.
    pub out: &'a mut Vec<u8>,
    /// How they are written.
    pub protocol: Protocol,
}

impl Reply<'_> {
    /// `+OK` and its kind.
    pub fn simple(&mut self, text: &str) {
        self.line('+', text);
    }

    /// An error; the first word of `text` is its code.
    pub fn error(&mut self, text: &str) {
        self.line('-', text);
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        self.line(':', number);
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.line('$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// No string.
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// So many values follow.
    pub fn array(&mut self, len: usize) {
        self.line('*', len);
    }

    /// So many keys follow, each with its value.
    pub fn map(&mut self, len: usize) {
        if self.resp3() { self.line('%', len) } else { self.line('*', 2 * len) }
    }

    /// So many different values follow.
    pub fn set(&mut self, len: usize) {
        self.line(if self.resp3() { '~' } else { '*' }, len);
    }

    /// So many values follow, for which nobody asked just now.
    pub fn push(&mut self, len: usize) {
        self.line(if self.resp3() { '>' } else { '*' }, len);
    }

    /// Text of several lines.
    pub fn verbatim(&mut self, text: &str) {
        if self.resp3() {
            self.line('=', text.len() + 4);
            self.out.extend_from_slice(b"txt:");
            self.out.extend_from_slice(text.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Whether the client speaks RESP3.
    pub fn resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    fn line(&mut self, kind: char, text: impl std::fmt::Display) {
        let start = self.out.len();
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "{kind}{text}");
        // What a client sent may come back in an error: it must stay one line.
        for byte in self.out[start..].iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply { out: &mut out, protocol });
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn both_protocols_are_written() {
        let all = |reply: &mut Reply<'_>| {
            reply.simple("OK");
            reply.error("ERR one\r\n+OK");
            reply.integer(-3);
            reply.bulk("a\r\n");
            reply.null();
            reply.null_array();
            reply.array(1);
            reply.map(2);
            reply.set(3);
            reply.push(4);
            reply.verbatim("b");
        };
        let start = "+OK\r\n-ERR one  +OK\r\n:-3\r\n$3\r\na\r\n\r\n";
        assert_eq!(
            written(Protocol::Resp2, all),
            format!("{start}$-1\r\n*-1\r\n*1\r\n*4\r\n*3\r\n*4\r\n$1\r\nb\r\n")
        );
        assert_eq!(
            written(Protocol::Resp3, all),
            format!("{start}_\r\n_\r\n*1\r\n%2\r\n~3\r\n>4\r\n=5\r\ntxt:b\r\n")
        );
    }
}
