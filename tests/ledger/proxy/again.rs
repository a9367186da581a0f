//! Blocking commands: nobody waits for them, and what a planned change undoes is sent again.

use super::conversation::*;
use super::ledger::Why;

const UNBLOCKED: &str = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";
const HELLO_3: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";

/// A session in a planned change, blocked for 1.5 s.
fn blocked(words: &str) -> Conversation {
    let mut it = Conversation { now: 1000, ..Conversation::default() };
    assert_eq!(it.send(&request(words)).send, request(words).len());
    (it.now, it.held) = (2500, true);
    it
}

/// Undone by the old master, and moved.
#[track_caller]
fn undone(words: &str, refusal: &str) -> Conversation {
    let mut it = blocked(words);
    let down = it.answer(refusal);
    assert_eq!((down.send, down.body, down.undone), (0, 0, true), "{words}");
    assert_eq!(it.may_move(), [Ok(()), Err(Why::Outstanding)]);
    assert!(it.ledger.is_settled());
    it.down.clear();
    it.ledger.moved();
    it
}

#[test]
fn nobody_waits_for_a_blocked_session() {
    let mut it = blocked("BLPOP key 0");
    assert!(it.ledger.is_settled());
    it.assert_stuck(Why::Blocked);
    it.answer("*2\r\n$3\r\nkey\r\n$1\r\nv\r\n");
    it.assert_free();
    assert_eq!(it.again(), None);
    assert!(format!("{:?}", it.ledger).contains("kept: None"), "{:?}", it.ledger);
    it.send(&[request("GET a"), request("BLPOP key 0")].concat());
    assert!(!it.ledger.is_settled(), "the first reply is waited for");
    it.answer("$-1\r\n");
    assert!(it.ledger.is_settled());
    it.send(&request("GET a"));
    assert!(!it.ledger.is_settled());
    let mut it = Conversation::default();
    it.send(&request("WAIT 1 0"));
    assert!(!it.ledger.is_settled());
    it.answer(":1\r\n");
    it.send(&request("XREAD STREAMS block 0"));
    assert!(!it.ledger.is_settled(), "it does not block");
}

#[test]
fn it_is_sent_again_with_what_is_left_of_its_time() {
    let cases = [
        ("BLPOP a b 2", "BLPOP a b 0.500"),
        ("blpop a b 2.25", "blpop a b 0.750"),
        ("BRPOP a 1.5001", "BRPOP a 0.001"),
        ("BRPOPLPUSH a b 10", "BRPOPLPUSH a b 8.500"),
        ("BLMOVE a b LEFT RIGHT 3600", "BLMOVE a b LEFT RIGHT 3598.500"),
        ("BLMPOP 2 1 a LEFT COUNT 2", "BLMPOP 0.500 1 a LEFT COUNT 2"),
        ("BZPOPMIN a 2", "BZPOPMIN a 0.500"),
        ("BZPOPMAX a 2", "BZPOPMAX a 0.500"),
        ("BZMPOP 2 1 a MIN", "BZMPOP 0.500 1 a MIN"),
        ("XREAD BLOCK 2000 STREAMS s 0-0", "XREAD BLOCK 500 STREAMS s 0-0"),
        ("XREAD COUNT 7 block 2000 STREAMS s t 0-0 5", "XREAD COUNT 7 block 500 STREAMS s t 0-0 5"),
        (
            "XREADGROUP GROUP block block BLOCK 2000 STREAMS s >",
            "XREADGROUP GROUP block block BLOCK 500 STREAMS s >",
        ),
        (
            "XREADGROUP NOACK COUNT 5 CLAIM 9 BLOCK 1501 GROUP g c STREAMS $ >",
            "XREADGROUP NOACK COUNT 5 CLAIM 9 BLOCK 1 GROUP g c STREAMS $ >",
        ),
        ("BLPOP a 0", "BLPOP a 0"),
        ("BLPOP a 0.0", "BLPOP a 0.0"),
        ("XREAD BLOCK 0 STREAMS s 0-0", "XREAD BLOCK 0 STREAMS s 0-0"),
    ];
    for (words, again) in cases {
        for refusal in [UNBLOCKED, READONLY] {
            let mut it = undone(words, refusal);
            assert_eq!(it.again().as_deref(), Some(again));
            assert_eq!(it.again(), None, "once");
            it.assert_stuck(Why::Blocked);
            it.answer("*2\r\n$1\r\na\r\n$1\r\nv\r\n");
            it.assert_free();
        }
    }
}

#[test]
fn a_second_change_takes_off_what_was_waited_since() {
    let mut it = undone("BLPOP a 2", UNBLOCKED);
    assert_eq!(it.again().as_deref(), Some("BLPOP a 0.500"));
    it.now += 200;
    assert!(it.answer(UNBLOCKED).undone);
    it.now += 100;
    assert_eq!(it.again().as_deref(), Some("BLPOP a 0.200"));
}

#[test]
fn an_inline_request_is_sent_again_too() {
    let mut it = Conversation { held: true, ..Conversation::default() };
    it.send(b"BLPOP 'a b' 2\r\n");
    it.now = 500;
    assert!(it.answer(UNBLOCKED).undone);
    assert_eq!(it.again().as_deref(), Some("BLPOP a b 1.500"));
}

#[test]
fn when_its_time_is_over_the_reply_is_null() {
    for words in ["BLPOP a 1.5", "BLMOVE a b LEFT LEFT 0.001", "XREAD BLOCK 1500 STREAMS s 0"] {
        let mut it = undone(words, UNBLOCKED);
        assert_eq!(it.again().as_deref(), Some("*-1\r\n"));
        it.assert_free();
        let mut it = Conversation { held: true, ..Conversation::default() };
        it.ask("HELLO 3", HELLO_3);
        it.send(&request(words));
        it.now = 5000;
        assert!(it.answer(READONLY).undone);
        assert_eq!(it.again().as_deref(), Some("_\r\n"));
        it.assert_free();
    }
}

/// The refusal of what cannot be sent again is the client's to see.
#[test]
fn not_all_can_be_sent_again() {
    let long = format!("BLPOP {} 0", "x".repeat(65_536));
    for words in [
        "XREAD BLOCK 0 STREAMS s $",
        "XREAD BLOCK 0 STREAMS s t 0-0 +",
        "BLPOP a what",
        "BLPOP a -1",
        "BLPOP a inf",
        "XREAD BLOCK 1.5 STREAMS s 0",
        "WAIT 1 0",
        &long,
    ] {
        let mut it = blocked(words);
        let down = it.answer(READONLY);
        assert_eq!((down.send, down.undone), (READONLY.len(), false), "{words}");
        assert_eq!(it.again(), None);
    }
    let mut it = Conversation { held: true, ..Conversation::default() };
    it.ask("MULTI", "+OK\r\n");
    it.ask("BLPOP a 0", READONLY);
    it.ask("BLPOP a 0", "+QUEUED\r\n");
    it.ask("EXEC", "-EXECABORT\r\n");
    it.assert_free();
}

#[test]
fn with_others_in_a_pipeline_it_is_not_sent_again() {
    let mut it = blocked("BLPOP a 0");
    it.send(&request("GET a"));
    assert!(!it.answer(UNBLOCKED).undone);
    let mut it = Conversation { held: true, ..Conversation::default() };
    it.send(&[request("GET a"), request("BLPOP a 0")].concat());
    it.answer("$-1\r\n");
    assert!(!it.answer(UNBLOCKED).undone, "it was not the only one when it was sent");
    let mut it = blocked("BLPOP a 0");
    it.send(&encode(&[b"SET", b"key", &[b'x'; 100_000]])[..50_000]);
    assert!(!it.answer(UNBLOCKED).undone, "half a request is one too");
    let mut it = blocked("BLPOP a 0");
    it.send(&request("CLIENT REPLY OFF"));
    assert!(!it.answer(UNBLOCKED).undone, "one without a reply is one too");
    let mut it = blocked("BLPOP a 0");
    it.send(&request("GET a")[..10]);
    assert!(it.answer(UNBLOCKED).undone, "what was not sent is none");
}

/// Outside a planned change, and for anything else the server may say.
#[test]
fn other_errors_are_the_clients() {
    let others = [
        "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n",
        "-WRONGTYPE no\r\n",
        "-READONLYX\r\n",
    ];
    for reply in others {
        let mut it = blocked("BLPOP a 0");
        assert_eq!(it.answer(reply).send, reply.len());
        it.assert_free();
    }
    let mut it = blocked("BLPOP a 0");
    it.held = false;
    assert_eq!(it.answer(UNBLOCKED).send, UNBLOCKED.len());
    it.assert_free();
}

/// Of what may be swallowed just the beginning is held back.
#[test]
fn an_error_in_pieces_is_held_back_until_it_is_known() {
    for cut in 1..40 {
        let mut it = blocked("BLPOP a 0");
        let down = it.answer(&UNBLOCKED[..cut]);
        assert_eq!(down.send, 0, "after {cut}");
        assert_eq!(down.undone, cut >= "-UNBLOCKED force unblock".len(), "after {cut}");
        if !down.undone {
            it.assert_stuck(Why::Blocked);
            assert!(it.answer(&UNBLOCKED[cut..]).undone);
        }
        assert_eq!(it.to_client, b"");
    }
    let other = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    let mut it = blocked("BLPOP a 0");
    for at in 0..other.len() {
        it.answer(&other[at..=at]);
        assert_eq!(it.down.len(), if at < "-UNBLOCKED ".len() { at + 1 } else { 0 });
    }
    assert_eq!(it.to_client, other.as_bytes());
    it.assert_free();
}

/// Nothing is swallowed of which the client has seen the beginning.
#[test]
fn an_error_that_began_before_the_hold_is_passed_on() {
    let mut it = blocked("BLPOP a 0");
    it.held = false;
    it.answer(&UNBLOCKED[..5]);
    it.held = true;
    assert!(!it.answer(&UNBLOCKED[5..]).undone);
    assert_eq!(it.to_client, UNBLOCKED.as_bytes());
    it.assert_free();
}

/// An element of a reply is no reply, whatever it says.
#[test]
fn what_looks_like_a_refusal_inside_a_reply_is_passed_on() {
    let mut it = blocked("BLPOP a 0");
    it.answer("*2\r\n$1\r\na\r\n$12\r\n");
    assert!(!it.answer("-READONLY x!\r\n").undone);
    it.assert_free();
}

/// The hold ends without a change while the beginning of an error is held back.
#[test]
fn what_is_held_back_is_passed_on_when_the_hold_ends() {
    let mut it = blocked("BLPOP a 0");
    it.answer(&UNBLOCKED[..5]);
    it.held = false;
    assert_eq!(it.answer("").send, 5);
    it.answer(&UNBLOCKED[5..]);
    it.assert_free();
}

/// What the client sends meanwhile comes behind it.
#[test]
fn it_stays_first() {
    let mut it = undone("BLPOP a 0", UNBLOCKED);
    assert_eq!(it.again().as_deref(), Some("BLPOP a 0"));
    it.send(&request("GET a"));
    it.answer("*2\r\n$1\r\na\r\n$1\r\nv\r\n");
    it.assert_stuck(Why::Outstanding);
    it.answer("$-1\r\n");
    it.assert_free();
}
