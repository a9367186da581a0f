//! Where requests end.

/// Finds the ends of requests, arrays of bulk strings and inline ones.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Requests {}

/// What comes first in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Request {
    /// The request under way, or the next one, ends after so many bytes of this input (at least 1).
    Whole {
        /// Bytes up to its end.
        end: usize,
    },
    /// The input ends inside a request, or is empty.
    Part {
        /// Bytes of the bulk string the input ends in that are still to come, its line end
        /// included; 0 where it ends elsewhere.
        body: u64,
    },
    /// This is no RESP, or breaks Redis's own limits: it cannot be followed any more.
    Lost,
}

impl Requests {
    /// Looks at bytes that follow those given before. After `Whole` the next call starts at `end`.
    pub(in crate::proxy) fn next(&mut self, input: &[u8]) -> Request {
        let _ = input;
        Request::Lost
    }

    /// `bytes` more of the present body went by unseen (spliced); never more than it has left.
    pub(in crate::proxy) fn skip(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether the next byte begins a request.
    pub(in crate::proxy) fn between(&self) -> bool {
        true
    }
}
