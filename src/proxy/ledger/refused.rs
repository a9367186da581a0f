//! Requests that the old master refused because it is a master no more: which of them may be sent to
//! the next one.

use std::num::NonZeroU64;

use super::super::commands::{self, Does};
use super::super::resp::{Request, Requests, args};

/// What a replica says to a command that writes, before it looks at anything else of it. (What it says
/// to a script that writes in the midst of other things is longer.)
pub(super) const READONLY: &[u8] = b"-READONLY You can't write against a read only replica.\r\n";

/// Run something of which a refusal may be the end only, and pass that on as it is.
const RUNNERS: [&str; 4] = ["FCALL", "FCALL_RO", "TFCALL", "TFCALLASYNC"];

/// Where the bytes are that [`super::Ledger::requests`] has let go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Mark(NonZeroU64);

impl Mark {
    /// The longest piece that has one.
    pub(in crate::proxy) const LONGEST: usize = (1 << 13) - 1;

    /// Of a piece of so many bytes from there on, which is more than 0.
    pub(in crate::proxy) fn new(from: u64, len: usize) -> Option<Mark> {
        NonZeroU64::new(from << 13 | len as u64).map(Mark)
    }

    pub(in crate::proxy) fn from(self) -> u64 {
        self.0.get() >> 13
    }

    pub(in crate::proxy) fn len(self) -> usize {
        self.0.get() as usize & Mark::LONGEST
    }
}

/// Whether `outstanding` requests were refused, all of them: `None` if more has to come before that
/// is known.
pub(super) fn are_all_refused(replies: &[u8], outstanding: u64) -> Option<bool> {
    let mut left = outstanding;
    let mut rest = replies;
    while left > 0
        && let Some(behind) = rest.strip_prefix(READONLY)
    {
        (left, rest) = (left - 1, behind);
    }
    match left {
        0 => Some(rest.is_empty()),
        _ if READONLY.starts_with(rest) => None,
        _ => Some(false),
    }
}

/// The last `count` of these requests, which were sent together, if all of them may be sent again when
/// they were refused.
pub(super) fn last(sent: &[u8], count: u64) -> Option<&[u8]> {
    let (mut scanner, mut rest, mut requests) = (Requests::default(), sent, Vec::new());
    while let Request::Whole { end } = scanner.next(rest) {
        let (request, behind) = rest.split_at_checked(end)?;
        requests.push(request);
        rest = behind;
    }
    let (mut from, mut left) = (sent.len(), count);
    for request in requests.iter().rev() {
        if left == 0 {
            break;
        }
        if !may_be_sent_again(request) {
            return None;
        }
        // What has no words gets no reply.
        left -= u64::from(args(request).next().is_some());
        from -= request.len();
    }
    sent.get(from..).filter(|_| left == 0 && rest.is_empty())
}

/// Whether nothing was done of this request if it was refused, and it means the same later.
fn may_be_sent_again(request: &[u8]) -> bool {
    let mut words = args(request);
    let Some(name) = words.next() else { return true };
    let second = || args(request).nth(1);
    let runs = RUNNERS.iter().any(|runner| name.eq_ignore_ascii_case(runner.as_bytes()));
    // Of commands of modules nobody knows what they do first.
    let is_modules = name.contains(&b'.');
    commands::does(&name, second) == Does::Nothing
        && !runs
        && !is_modules
        && words.all(|word| *word != *b"$")
}
