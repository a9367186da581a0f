//! Requests that an old master refuses in a planned change because it is a master no more.

use super::conversation::*;
use super::ledger::Why;

const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

/// A session that has sent these at once, in a planned change.
fn sent(requests: &[&str]) -> Conversation {
    let mut it = Conversation { held: true, ..Conversation::default() };
    let bytes: Vec<u8> = requests.iter().flat_map(|words| request(words)).collect();
    assert_eq!(it.send(&bytes).send, bytes.len());
    it
}

#[test]
fn it_is_sent_again_once() {
    for words in ["SET a b", "incr a", "DEL a b c", "XADD s * f v", "NEVER-HEARD-OF a", "LPUSH a *"]
    {
        let mut it = sent(&[words]);
        let down = it.answer(READONLY);
        assert_eq!((down.send, down.undone), (0, true), "{words}");
        assert_eq!(it.may_move(), [Ok(()), Err(Why::Outstanding)]);
        assert!(it.ledger.is_settled());
        it.down.clear();
        it.ledger.moved();
        assert_eq!(it.again().as_deref(), Some(words));
        assert_eq!(it.again(), None, "once");
        it.assert_stuck(Why::Outstanding);
        assert!(!it.answer(READONLY).undone, "the next refusal is the client's");
        it.assert_free();
        assert_eq!(it.to_client, READONLY.as_bytes());
    }
}

/// In order, and none of those that were answered.
#[test]
fn a_pipeline_is_sent_again_from_where_it_was_refused() {
    let words = ["SET a 1", "GET a", "SET b 2", "SET c 3"];
    for answered in 0..words.len() {
        let mut it = sent(&words);
        it.answer("+OK\r\n".repeat(answered));
        for left in (1..words.len() - answered).rev() {
            assert!(!it.answer(READONLY).undone, "{left} more have to be");
        }
        assert!(it.answer(READONLY).undone);
        assert_eq!(it.to_client.len(), 5 * answered);
        assert_eq!(it.again(), Some(words[answered..].join("; ")));
        it.down.clear();
        it.answer("+OK\r\n".repeat(words.len() - answered));
        it.assert_free();
    }
}

/// Who knows what the others did: the client sees all, in order.
#[test]
fn a_pipeline_of_which_not_all_were_refused_is_not_sent_again() {
    let words = ["SET a 1", "PUBLISH a b", "SET b 2"];
    for reply in [":1\r\n", "-ERR no\r\n", "-READONLY script: x\r\n", ">1\r\n+a\r\n:1\r\n"] {
        let mut it = sent(&words);
        assert_eq!(it.answer(READONLY).send, 0);
        assert_eq!(it.answer(reply).send, READONLY.len() + reply.len());
        assert!(!it.answer(READONLY).undone, "the client has seen that the first one was not done");
        assert_eq!(it.to_client.len(), 2 * READONLY.len() + reply.len());
        it.assert_free();
    }
}

/// Sent in several pieces, of which only the last is remembered.
#[test]
fn requests_that_are_not_remembered_are_not_sent_again() {
    let mut it = sent(&["SET a 1"]);
    it.send(&request("SET b 2"));
    it.answer(READONLY);
    assert!(!it.answer(READONLY).undone);
    it.assert_free();
    let mut it = sent(&["SET a 1"]);
    it.send(&request("SET b 2"));
    it.answer("+OK\r\n");
    assert!(it.answer(READONLY).undone, "the first was answered");
    assert_eq!(it.again().as_deref(), Some("SET b 2"));
    let mut it = sent(&["SET a 1"]);
    it.last = None;
    assert!(!it.answer(READONLY).undone, "nobody has it any more");
    assert_eq!(it.to_client, READONLY.as_bytes());
    it.assert_free();
}

/// Of more than the last piece can hold nothing is kept from the client until all is known.
#[test]
fn refusals_of_many_requests_are_not_held_back() {
    let mut it = sent(&["SET a 1"; 100]);
    it.send(&request("SET b 2"));
    assert_eq!(it.answer(READONLY.repeat(50)).send, 50 * READONLY.len());
    it.answer(READONLY.repeat(51));
    it.assert_free();
}

/// A session that could not go on elsewhere is told.
#[test]
fn who_cannot_be_moved_sees_the_refusal() {
    let mut it = Conversation::default();
    it.ask("HELLO 3", "%1\r\n+proto\r\n:3\r\n");
    it.ask("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    it.held = true;
    it.send(&request("SET a b"));
    assert_eq!(it.answer(READONLY).send, READONLY.len());
}

/// They may have done something before, mean something else later, or are followed by half of one.
#[test]
fn not_all_can_be_sent_again() {
    for words in [
        "EVAL text 0",
        "EVALSHA 0000000000000000000000000000000000000000 0",
        "FCALL f 0",
        "fcall_ro f 0",
        "TFCALL lib.f 0",
        "JSON.SET a $ 1",
        "XGROUP CREATE s g $ MKSTREAM",
        "WAIT 1 0",
        "CLIENT ID",
        "SELECT 1",
        "SUBSCRIBE a",
    ] {
        for pipeline in [&[words][..], &["SET a b", words], &[words, "SET a b"]] {
            let mut it = sent(pipeline);
            let refusals = READONLY.repeat(pipeline.len());
            let nothing_known = words == "CLIENT ID";
            assert_eq!(it.answer(&refusals).undone, nothing_known, "{pipeline:?}");
        }
    }
    // What has no words gets no reply, and hides nothing.
    for blank in ["\r\n", "*0\r\n", "\r\n*0\r\n"] {
        let mut it = Conversation { held: true, ..Conversation::default() };
        it.send(&[blank.as_bytes(), &request("XGROUP CREATE s g $ MKSTREAM")].concat());
        assert!(!it.answer(READONLY).undone, "{blank:?}");
        let mut it = Conversation { held: true, ..Conversation::default() };
        it.send(&[blank.as_bytes(), &request("SET a b")].concat());
        assert!(it.answer(READONLY).undone, "{blank:?}");
    }
    let mut it = sent(&["SET a b"]);
    it.send(&encode(&[b"SET", b"key", &[b'x'; 100_000]])[..50_000]);
    assert!(!it.answer(READONLY).undone, "half a request is at the master");
    let mut it = sent(&["CLIENT REPLY SKIP", "SET a b", "SET c d"]);
    assert!(!it.answer(READONLY).undone, "who knows which");
    let mut it = Conversation { held: true, ..Conversation::default() };
    it.ask("MULTI", "+OK\r\n");
    it.ask("SET a b", READONLY);
    it.ask("EXEC", "-EXECABORT\r\n");
    it.assert_free();
    it.ask("WATCH a", "+OK\r\n");
    it.ask("SET a b", READONLY);
}

#[test]
fn outside_a_planned_change_the_refusal_is_the_clients() {
    let mut it = sent(&["SET a b"]);
    it.held = false;
    assert_eq!(it.answer(READONLY).send, READONLY.len());
    it.assert_free();
    it.held = true;
    let other = "-READONLY You can't write against a read only replica. script: x\r\n";
    it.ask("SET a b", other);
    it.assert_free();
}

/// Nothing is swallowed before it is known, and nothing of which the client has seen the beginning.
#[test]
fn a_refusal_in_pieces() {
    for cut in 1..READONLY.len() {
        let mut it = sent(&["SET a b"]);
        assert_eq!(it.answer(&READONLY[..cut]).send, 0);
        it.assert_stuck(Why::Outstanding);
        assert!(it.answer(&READONLY[cut..]).undone);
        let mut it = sent(&["SET a b"]);
        it.held = false;
        it.answer(&READONLY[..cut]);
        it.held = true;
        assert!(!it.answer(&READONLY[cut..]).undone);
        it.assert_free();
    }
    let mut it = sent(&["SET a b", "SET c d"]);
    assert_eq!(it.answer(READONLY).send, 0);
    it.held = false;
    assert_eq!(it.answer("").send, READONLY.len(), "the hold is over");
    it.answer("+OK\r\n");
    it.assert_free();
}
