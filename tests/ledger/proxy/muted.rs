//! CLIENT REPLY: requests without replies.

use super::conversation::*;
use super::ledger::Why;

const OK: &str = "+OK\r\n";

fn muted(how: &str) -> Conversation {
    let mut it = Conversation::default();
    it.send(&request(&format!("CLIENT REPLY {how}")));
    assert!(it.ledger.is_settled(), "no reply is outstanding");
    it.assert_stuck(Why::Bound);
    it
}

#[test]
fn off_lasts_until_on() {
    let mut it = muted("OFF");
    for words in ["GET a", "CLIENT REPLY SKIP", "CLIENT REPLY", "GET a"] {
        it.send(&request(words));
    }
    assert!(it.ledger.is_settled());
    it.ask("client reply on", OK);
    it.assert_free();
    it.ask("GET a", "$-1\r\n");
    it.assert_free();
}

#[test]
fn off_lasts_until_reset() {
    let mut it = muted("off");
    it.ask("RESET", "+RESET\r\n");
    it.assert_free();
}

#[test]
fn skip_is_for_the_next_request() {
    for skipped in ["GET a", "CLIENT REPLY", "CLIENT REPLY WHAT"] {
        let mut it = muted("SKIP");
        it.send(&request(skipped));
        assert!(it.ledger.is_settled());
        it.send(&request("GET a"));
        it.assert_stuck(Why::Bound);
        assert!(!it.ledger.is_settled());
        it.answer("$-1\r\n");
        it.ask("CLIENT REPLY ON", OK);
        it.assert_free();
    }
    let mut it = muted("SKIP");
    it.send(&[request("CLIENT REPLY SKIP"), request("GET a")].concat());
    assert!(it.ledger.is_settled());
    it.ask("CLIENT REPLY SKIP", "");
    it.ask("CLIENT REPLY ON", OK);
    it.assert_free();
}

#[test]
fn a_refused_one_changes_nothing() {
    let mut it = Conversation::default();
    it.ask("CLIENT REPLY WHAT", "-ERR syntax error\r\n");
    it.ask("CLIENT REPLY", "-ERR wrong number of arguments\r\n");
    it.assert_free();
    it.send(&request("CLIENT REPLY OFF"));
    it.answer("-NOPERM no\r\n");
    it.assert_stuck(Why::Tunnel);
}

/// What is set unheard may have failed.
#[test]
fn what_matters_must_be_heard() {
    for words in ["SELECT 1", "SUBSCRIBE a", "MULTI", "EVALSHA x 0", "HELLO 3", "BLPOP a 0"] {
        for how in ["OFF", "SKIP"] {
            let mut it = muted(how);
            it.send(&request(words));
            it.assert_stuck(Why::Bound);
            it.ask("CLIENT REPLY ON", OK);
            it.assert_stuck(Why::Bound);
        }
    }
    let mut it = muted("SKIP");
    it.ask("RESET", "");
    it.ask("CLIENT REPLY ON", OK);
    it.assert_stuck(Why::Bound);
}

/// It is queued, or refused, by the server's version.
#[test]
fn in_a_transaction_it_is_followed_no_further() {
    let mut it = Conversation::default();
    it.ask("MULTI", OK);
    it.send(&request("CLIENT REPLY OFF"));
    it.assert_stuck(Why::Bound);
}

/// A large request without a reply, sent in pieces.
#[test]
fn a_large_request_may_be_muted_too() {
    let mut it = muted("SKIP");
    let large = encode(&[b"SET", b"key", &[b'x'; 100_000]]);
    it.send(&large[..50_000]);
    it.assert_stuck(Why::HalfRequest);
    it.send(&large[50_000..]);
    assert!(it.ledger.is_settled());
    it.ask("GET key", "$-1\r\n");
    it.ask("CLIENT REPLY ON", OK);
    it.assert_free();
}
