//! What is sent on, what is waited for, and what cannot be followed.

use super::conversation::*;
use super::ledger::Why;

#[test]
fn a_small_request_is_sent_whole_or_not_at_all() {
    let (get, set) = (request("GET a"), request("SET key value"));
    let mut it = Conversation::default();
    for byte in &get[..get.len() - 1] {
        assert_eq!(it.send(&[*byte]).send, 0);
        it.assert_free();
    }
    let up = it.send(&[&get[get.len() - 1..], &set, &get[..7]].concat());
    assert_eq!(up.send, get.len() + set.len());
    it.assert_stuck(Why::Outstanding);
    it.answer("$-1\r\n");
    it.assert_stuck(Why::Outstanding);
    it.answer("+OK\r\n");
    it.assert_free();
    it.ledger.moved();
    assert_eq!(it.send(&get[7..]).send, get.len(), "the rest of a request begun before the move");
    it.ask("PING", "+PONG\r\n+PONG\r\n");
    it.assert_free();
}

#[test]
fn empty_requests_get_no_reply() {
    let mut it = Conversation::default();
    for bytes in ["\r\n", "\n", "  \r\n", "*0\r\n", "*-1\r\n"] {
        assert_eq!(it.send(bytes.as_bytes()).send, bytes.len());
        it.assert_free();
    }
}

#[test]
fn inline_requests_are_understood() {
    let mut it = Conversation::default();
    it.send(b"select 1\r\nCLIENT SETNAME \"m\\x65\"\nGET a\r\n");
    it.assert_stuck(Why::Outstanding);
    it.answer("+OK\r\n+OK\r\n$-1\r\n");
    it.assert_free();
    assert_eq!(it.replayed(), ["SELECT 1", "CLIENT SETNAME me"]);
    let long = format!("SET a {}", "x".repeat(60_000));
    assert_eq!(it.send(long.as_bytes()).send, 0);
    assert_eq!(it.send(b"\r\n").send, long.len() + 2);
}

/// Of a large request the beginning is sent, and the rest of a long bulk string need not be seen.
#[test]
fn a_large_request_is_streamed() {
    let value = vec![b'x'; 100_000];
    let set = encode(&[b"SET", b"key", &value]);
    let mut it = Conversation::default();
    assert_eq!(it.send(&set[..20]).send, 0, "it is not known how long it is");
    let up = it.send(&set[20..1000]);
    assert_eq!((up.send, up.body), (1000, set.len() as u64 - 1000));
    assert!(it.ledger.is_midway() && !it.ledger.is_settled());
    it.assert_stuck(Why::HalfRequest);
    it.ledger.skip_request(50_000);
    it.assert_stuck(Why::HalfRequest);
    it.ledger.skip_request(set.len() as u64 - 51_000);
    assert!(!it.ledger.is_midway());
    it.assert_stuck(Why::Outstanding);
    it.answer("+OK\r\n");
    it.assert_free();
}

/// The end of a body that went by unseen is not always that of its request.
#[test]
fn a_body_is_not_the_whole_request() {
    let value = vec![b'x'; 100_000];
    let set = encode(&[b"SET", b"key", &value, b"EX", b"10"]);
    let mut it = Conversation::default();
    let up = it.send(&set[..1000]);
    it.ledger.skip_request(up.body);
    it.assert_stuck(Why::HalfRequest);
    it.send(&set[1000 + up.body as usize..]);
    it.assert_stuck(Why::Outstanding);
    it.ask("PING", "+OK\r\n+PONG\r\n");
    it.assert_free();
}

/// Many small words are waited for up to 32 KiB.
#[test]
fn a_long_request_of_short_words_is_streamed_in_the_end() {
    let words = vec![&b"0123456789"[..]; 10_000];
    let mset = encode(&[&[&b"MSET"[..]], &words[..]].concat());
    let mut it = Conversation::default();
    assert_eq!(it.send(&mset[..30_000]).send, 0);
    it.assert_free();
    assert_eq!(it.send(&mset[30_000..40_000]).send, 40_000);
    it.assert_stuck(Why::HalfRequest);
    it.send(&mset[40_000..]);
    it.answer("+OK\r\n");
    it.assert_free();
}

/// What matters is waited for up to 1 MiB, and followed no further if it is larger.
#[test]
fn a_large_request_that_matters_is_waited_for() {
    let channels: Vec<String> = (0..20_000).map(|number| format!("channel{number}")).collect();
    let words: Vec<&[u8]> = channels.iter().map(String::as_bytes).collect();
    let subscribe = encode(&[&[&b"SUBSCRIBE"[..]], &words[..]].concat());
    assert!((300_000..1_000_000).contains(&subscribe.len()), "{}", subscribe.len());
    let mut it = Conversation::default();
    assert_eq!(it.send(&subscribe[..200_000]).send, 0);
    assert_eq!(it.send(&subscribe[200_000..]).send, subscribe.len());
    it.assert_stuck(Why::Outstanding);

    let subscribe = encode(&[&[&b"SUBSCRIBE"[..]], &vec![&b"channel"[..]; 100_000][..]].concat());
    let mut it = Conversation::default();
    assert_eq!(it.send(&subscribe[..1_000_000]).send, 0);
    assert_eq!(it.send(&subscribe[1_000_000..1_100_000]).send, 1_100_000);
    it.assert_stuck(Why::Bound);
    assert!(!it.ledger.is_midway());
}

/// Where memory is short, whoever never ends a request is not waited for.
#[test]
fn who_is_thrifty_waits_for_little() {
    let auth = encode(&[b"AUTH", &[b'x'; 500_000]]);
    let mut it = Conversation::default();
    assert_eq!(it.send(&auth[..400_000]).send, 0);
    assert_eq!(it.ledger.waiting(), 400_000);
    it.ledger.be_thrifty(true);
    assert_eq!(it.send(&auth[400_000..400_001]).send, 400_001);
    it.assert_stuck(Why::Bound);
    assert_eq!(it.ledger.waiting(), 0);

    for (beginning, why) in [
        (&encode(&[b"SET", b"key", &[b'x'; 2_000]])[..1_000], Why::HalfRequest),
        (&encode(&[b"CLIENT", b"SETNAME", &[b'x'; 2_000]])[..1_000], Why::Bound),
        (&[b'x'; 1_000][..], Why::Bound),
    ] {
        let mut it = Conversation::default();
        it.ledger.be_thrifty(true);
        assert_eq!(it.send(&beginning[..20]).send, 0, "its name may not be whole");
        assert_eq!(it.send(&beginning[20..]).send, beginning.len());
        it.assert_stuck(why);
    }

    let set = encode(&[b"SET", b"key", b"value"]);
    let mut it = Conversation::default();
    it.ledger.be_thrifty(true);
    assert_eq!(it.send(&set[..12]).send, 0);
    assert_eq!(it.send(&set[12..]).send, set.len());
    it.answer("+OK\r\n");
    it.assert_free();
}

#[test]
fn in_a_hold_what_was_begun_is_finished_and_no_more() {
    let value = vec![b'x'; 100_000];
    let set = encode(&[b"SET", b"key", &value]);
    let get = request("GET a");
    let mut it = Conversation::default();
    assert_eq!(it.ledger.finish(&get, 0).send, 0);
    it.send(&set[..50_000]);
    let rest = [&set[50_000..], &get, &set[..50_000]].concat();
    assert_eq!(it.ledger.finish(&rest[..10_000], 0).send, 10_000);
    let up = it.ledger.finish(&rest[10_000..], 0);
    assert_eq!((up.send, up.body), (set.len() - 60_000, 0));
    assert!(!it.ledger.is_midway());
    assert_eq!(it.ledger.finish(&get, 0).send, 0);
    it.answer("+OK\r\n");
    it.assert_free();

    it.send(&request("MULTI"));
    let rest = [request("SET a b"), request("EXEC"), get.clone(), request("MULTI")].concat();
    let up = it.ledger.finish(&rest, 0);
    assert_eq!(up.send, rest.len() - get.len() - request("MULTI").len());
    assert_eq!(it.ledger.requests(&rest[up.send..], 0).send, rest.len() - up.send);
}

/// A part of a request that waits is no reason to go on in a hold, and is seen but once.
#[test]
fn in_a_hold_a_request_that_came_in_part_waits() {
    let get = request("GET a");
    let mut it = Conversation::default();
    assert_eq!(it.send(&get[..10]).send, 0);
    assert_eq!(it.ledger.finish(&get, 0).send, 0);
    assert_eq!(it.ledger.requests(&get, 0).send, get.len());
    it.answer("$-1\r\n");
    it.assert_free();
}

#[test]
fn what_is_no_resp_is_a_tunnel() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n"[..],
        b"\x16",
        b"*1\r\n:3\r\nGET\r\n",
        b"*2\r\n$3\r\nGET\r\n$600000000000000000000\r\n",
        b"GET \"a\r\n",
        b"GET a\0b",
    ] {
        let mut it = Conversation::default();
        it.ask("GET a", "$-1\r\n");
        assert_eq!(it.send(bytes).send, bytes.len(), "{bytes:?}");
        it.assert_stuck(Why::Tunnel);
        assert!(it.ledger.is_settled() && !it.ledger.is_midway());
        assert_eq!(it.send(&request("GET")[..5]).send, 5);
        assert_eq!(it.answer("anything").send, 8);
        it.ledger.skip_request(1);
        it.ledger.skip_reply(1);
        assert_eq!(it.replayed(), [""; 0]);
    }
}

/// What was waited for is sent as well when framing is lost behind it.
#[test]
fn a_tunnel_lets_through_what_waited() {
    let mut it = Conversation::default();
    assert_eq!(it.send(b"*2\r\n$3\r\nGET\r\n").send, 0);
    it.send(b"what");
    assert_eq!(it.to_master, b"*2\r\n$3\r\nGET\r\nwhat");
    it.assert_stuck(Why::Tunnel);
}

#[test]
fn a_reply_that_is_no_resp_makes_it_a_tunnel() {
    let mut it = Conversation::default();
    it.ask("AUTH secret", "+OK\r\n");
    it.ask("GET a", "HTTP/1.1 400 Bad Request\r\n");
    it.assert_stuck(Why::Tunnel);
    assert_eq!(it.replayed(), [""; 0], "the password is gone");
}

/// The body of a reply that went by unseen ends its frame, or does not.
#[test]
fn bodies_of_replies_go_by_unseen() {
    let mut it = Conversation::default();
    it.send(&[request("GET a"), request("LRANGE a 0 -1")].concat());
    let down = it.answer("$100000\r\nx");
    assert_eq!((down.send, down.body), (10, 100_001));
    it.ledger.skip_reply(50_000);
    it.ledger.skip_reply(50_001);
    let down = it.answer("*2\r\n$100000\r\nx");
    it.ledger.skip_reply(down.body);
    assert!(!it.ledger.is_settled());
    it.answer("$1\r\na\r\n");
    it.assert_free();
}
