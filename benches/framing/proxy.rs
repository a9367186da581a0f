//! Stands for the room that the scanners belong to.

#[path = "../../src/proxy/resp/mod.rs"]
#[allow(dead_code, unused_imports)]
mod resp;

use std::hint::black_box;

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
        black_box((frame, scanner.lead(rest).first()));
        rest = &rest[end..];
        found += 1;
    }
    found
}
