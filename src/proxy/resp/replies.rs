//! Where replies end.

/// Finds the ends of replies, of all types of RESP2 and RESP3.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Replies {}

/// What comes first in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Reply {
    /// The frame under way, or the next one, ends after so many bytes of this input (at least 1).
    Whole {
        /// Bytes up to its end.
        end: usize,
        /// What it is.
        frame: Frame,
    },
    /// The input ends inside a frame, or is empty.
    Part {
        /// Bytes of the bulk string the input ends in that are still to come, its line end
        /// included; 0 where it ends elsewhere.
        body: u64,
    },
    /// This is no RESP: it cannot be followed any more.
    Lost,
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Frame {
    /// Its type byte: `+`, `-`, `:`, `$`, `*`, `_`, `,`, `#`, `(`, `!`, `=`, `%`, `~` or `>`. An
    /// attribute (`|`) belongs to the frame behind it.
    pub(in crate::proxy) kind: u8,
    /// Its last element, or the frame itself, where that is an integer: the count in the replies to
    /// SUBSCRIBE and UNSUBSCRIBE.
    pub(in crate::proxy) last: Option<i64>,
}

impl Replies {
    /// Looks at bytes that follow those given before. After `Whole` the next call starts at `end`.
    pub(in crate::proxy) fn next(&mut self, input: &[u8]) -> Reply {
        let _ = input;
        Reply::Lost
    }

    /// `bytes` more of the present body went by unseen (spliced); never more than it has left.
    pub(in crate::proxy) fn skip(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether the next byte begins a frame.
    pub(in crate::proxy) fn between(&self) -> bool {
        true
    }

    /// The first bytes (up to 48) of the frame that `next` found last, attributes left out, also
    /// where it came in pieces. `input` is what that call was given.
    pub(in crate::proxy) fn lead<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        input
    }
}
