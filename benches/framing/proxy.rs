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

use std::cell::RefCell;
use std::hint::black_box;

use ledger::{Change, Ledger, Why};
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

/// What the account of a session takes that has subscribed to a channel, for 32 messages: a function
/// that returns 32.
pub fn subscriber(protocol: &str) -> impl Fn(&[u8]) -> usize {
    let mut ledger = Ledger::default();
    let (map, kind) = if protocol == "3" { ("%", ">") } else { ("*", "*") };
    let hello = format!("*2\r\n$5\r\nHELLO\r\n$1\r\n{protocol}\r\n");
    ledger.requests(hello.as_bytes(), 0);
    ledger.replies(format!("{map}0\r\n").as_bytes(), false);
    ledger.requests(b"SUBSCRIBE bench:news\r\n", 0);
    let confirmed = format!("{kind}3\r\n$9\r\nsubscribe\r\n$10\r\nbench:news\r\n:1\r\n");
    ledger.replies(confirmed.as_bytes(), false);
    assert_eq!(ledger.may_move(Change::Planned), Err(Why::Subscribed));
    let ledger = RefCell::new(ledger);
    move |input| {
        let down = ledger.borrow_mut().replies(black_box(input), false);
        assert_eq!(down.send, input.len());
        32
    }
}
