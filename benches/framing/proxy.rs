//! Stands for the room that the scanners and the account of a session belong to.

#[path = "../../src/proxy/commands.rs"]
#[allow(dead_code)]
mod commands;
#[path = "../../src/proxy/ledger/mod.rs"]
#[allow(dead_code)]
mod ledger;
#[path = "../../src/proxy/resp/mod.rs"]
#[allow(dead_code, unused_imports)]
mod resp;

use std::hint::black_box;

use ledger::{Change, Ledger};
use resp::{Replies, Reply, Request, Requests};

/// How many requests `input` has.
pub fn requests(input: &[u8]) -> usize {
    let (mut scanner, mut rest, mut found) = (Requests::default(), input, 0);
    while let Request::Whole { end } = scanner.next(rest) {
        rest = &rest[end..];
        found += 1;
    }
    found
}

/// How many replies `input` has; looks at the beginning of each.
pub fn replies(input: &[u8]) -> usize {
    let (mut scanner, mut rest, mut found) = (Replies::default(), input, 0);
    while let Reply::Whole { end, frame } = scanner.next(rest) {
        black_box((frame, scanner.lead(&rest[..end]).first()));
        rest = &rest[end..];
        found += 1;
    }
    found
}

/// What the account of a session takes, scanners included: 64 requests and the replies to them.
/// Returns 64, if the session could be moved then.
pub fn accounted(input: &[u8], replies: &[u8]) -> usize {
    let mut ledger = Ledger::default();
    let up = ledger.requests(black_box(input), 0);
    let down = ledger.replies(black_box(replies), false);
    assert!((up.send, down.send) == (input.len(), replies.len()));
    usize::from(ledger.may_move(Change::Planned).is_ok()) * 64
}
