//! Subscriptions: counted by their confirmations, told from messages.

use super::conversation::*;
use super::ledger::Why;

fn confirmation(kind: char, what: &str, channel: &str, count: u32) -> String {
    let channel = match channel {
        "" if kind == '>' => "_".to_owned(),
        "" => "$-1".to_owned(),
        _ => format!("${}\r\n{channel}", channel.len()),
    };
    format!("{kind}3\r\n${}\r\n{what}\r\n{channel}\r\n:{count}\r\n", what.len())
}

fn in_protocol(kind: char) -> Conversation {
    let mut it = Conversation::default();
    if kind == '>' {
        it.ask("HELLO 3", "%1\r\n$5\r\nproto\r\n:3\r\n");
    }
    it
}

#[test]
fn the_reply_that_says_0_frees() {
    for kind in ['*', '>'] {
        let mut it = in_protocol(kind);
        it.ask("SUBSCRIBE a", &confirmation(kind, "subscribe", "a", 1));
        it.assert_stuck(Why::Subscribed);
        assert!(it.ledger.is_settled());
        it.ask("UNSUBSCRIBE a", &confirmation(kind, "unsubscribe", "a", 0));
        it.assert_free();
    }
}

#[test]
fn each_word_gets_a_reply() {
    for kind in ['*', '>'] {
        let mut it = in_protocol(kind);
        it.send(&request("SUBSCRIBE a b a"));
        for (channel, count) in [("a", 1), ("b", 2), ("a", 2)] {
            it.assert_stuck(if count == 1 && channel == "a" {
                Why::Outstanding
            } else {
                Why::Subscribed
            });
            assert!(!it.ledger.is_settled());
            it.answer(confirmation(kind, "subscribe", channel, count));
        }
        assert!(it.ledger.is_settled());
        it.send(&request("UNSUBSCRIBE c b"));
        it.answer(confirmation(kind, "unsubscribe", "c", 2));
        assert!(!it.ledger.is_settled());
        it.answer(confirmation(kind, "unsubscribe", "b", 1));
        assert!(it.ledger.is_settled());
        it.assert_stuck(Why::Subscribed);
    }
}

/// Without words there is a reply for each channel, at least one, and it depends on what was before.
#[test]
fn all_of_a_kind_are_left_at_once() {
    for kind in ['*', '>'] {
        let mut it = in_protocol(kind);
        it.send(
            &[request("SUBSCRIBE a b"), request("PSUBSCRIBE p"), request("SSUBSCRIBE s")].concat(),
        );
        it.send(
            &[request("UNSUBSCRIBE"), request("PUNSUBSCRIBE"), request("UNSUBSCRIBE")].concat(),
        );
        it.send(&request("SUNSUBSCRIBE"));
        let replies = [
            ("subscribe", "a", 1),
            ("subscribe", "b", 2),
            ("psubscribe", "p", 3),
            ("ssubscribe", "s", 1),
            ("unsubscribe", "b", 2),
            ("unsubscribe", "a", 1),
            ("punsubscribe", "p", 0),
            ("unsubscribe", "", 0),
            ("sunsubscribe", "s", 0),
        ];
        for (what, channel, count) in replies {
            assert!(!it.ledger.is_settled());
            it.answer(confirmation(kind, what, channel, count));
        }
        it.assert_free();
    }
}

#[test]
fn a_refused_one_has_one_reply() {
    for kind in ['*', '>'] {
        let mut it = in_protocol(kind);
        it.ask("SUBSCRIBE a b", "-NOPERM no\r\n");
        it.ask("SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command\r\n");
        it.ask("SSUBSCRIBE a", "-ERR unknown command\r\n");
        it.assert_free();
    }
}

#[test]
fn messages_are_no_replies() {
    let mut it = in_protocol('*');
    it.ask("SUBSCRIBE a", &confirmation('*', "subscribe", "a", 1));
    it.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    it.send(&request("PSUBSCRIBE p"));
    it.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n:3\r\n");
    assert!(!it.ledger.is_settled());
    it.answer(confirmation('*', "psubscribe", "p", 2));
    it.answer("*4\r\n$8\r\npmessage\r\n$1\r\np\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(it.ledger.is_settled());
    it.send(&request("PING"));
    it.answer("*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(!it.ledger.is_settled());
    it.answer("*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert!(it.ledger.is_settled());
    it.ask("GET a", "-ERR Can't execute 'get'\r\n");
    it.ask("UNSUBSCRIBE a", &confirmation('*', "unsubscribe", "a", 1));
    it.ask("PUNSUBSCRIBE p", &confirmation('*', "punsubscribe", "p", 0));
    it.assert_free();
}

/// In RESP3 everything may be asked while subscribed, and messages are pushes.
#[test]
fn an_array_that_looks_like_a_message_is_a_reply_in_resp3() {
    let mut it = in_protocol('>');
    it.ask("SUBSCRIBE a", &confirmation('>', "subscribe", "a", 1));
    it.send(&request("LRANGE list 0 -1"));
    it.answer(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(!it.ledger.is_settled());
    it.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(it.ledger.is_settled());
    it.ask("LRANGE list 0 -1", &confirmation('*', "unsubscribe", "a", 0));
    it.ask("MULTI", "+OK\r\n");
    it.ask("GET a", "+QUEUED\r\n");
    it.ask("EXEC", "*1\r\n$7\r\nmessage\r\n");
    it.assert_stuck(Why::Subscribed);
    it.ask("UNSUBSCRIBE", &confirmation('>', "unsubscribe", "a", 0));
    it.assert_free();
}

#[test]
fn an_array_that_looks_like_a_confirmation_is_a_reply_before_it() {
    let mut it = in_protocol('*');
    it.send(&[request("LRANGE list 0 -1"), request("SUBSCRIBE a")].concat());
    it.answer(confirmation('*', "subscribe", "a", 1));
    it.assert_stuck(Why::Outstanding);
    it.answer(confirmation('*', "subscribe", "a", 1));
    it.assert_stuck(Why::Subscribed);
}

/// A server that takes a channel away says so unasked.
#[test]
fn an_unasked_push_is_counted() {
    let mut it = in_protocol('>');
    it.ask("SSUBSCRIBE a", &confirmation('>', "ssubscribe", "a", 1));
    it.answer(confirmation('>', "sunsubscribe", "a", 0));
    it.assert_free();
}

#[test]
fn counts_that_cannot_be_make_it_a_tunnel() {
    for reply in [
        confirmation('*', "subscribe", "a", 2),
        confirmation('*', "psubscribe", "a", 1),
        confirmation('*', "unsubscribe", "a", 0),
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:-1\r\n".to_owned(),
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n$1\r\n1\r\n".to_owned(),
        "+OK\r\n".to_owned(),
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n".to_owned(),
    ] {
        let mut it = in_protocol('*');
        it.ask("SUBSCRIBE a", &reply);
        it.assert_stuck(Why::Tunnel);
    }
}

/// They are gone over many at a time, which must not swallow what stands between them.
#[test]
fn messages_do_nothing_wherever_they_are_cut() {
    for (kind, pong) in [('*', "*2\r\n$4\r\npong\r\n$0\r\n\r\n"), ('>', "+PONG\r\n")] {
        let message = |words: &str| {
            let array = String::from_utf8(request(words)).unwrap();
            array.replacen('*', &kind.to_string(), 1)
        };
        let messages =
            ["message a text", "message a other", "pmessage ? a text", "smessage a text"]
                .map(message)
                .concat();
        let leave = confirmation(kind, "unsubscribe", "a", 0);
        let said = [&messages, pong, &messages, &leave, pong].concat();
        for cut in 0..said.len() {
            let mut it = in_protocol(kind);
            it.ask("SUBSCRIBE a", &confirmation(kind, "subscribe", "a", 1));
            it.send(&[request("PING"), request("UNSUBSCRIBE a"), request("PING")].concat());
            it.answer(&said[..cut]);
            assert!(!it.ledger.is_settled(), "{kind} {cut}");
            it.answer(&said[cut..]);
            it.assert_free();
        }
    }
}
