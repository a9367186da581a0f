//! What a moved session must not ask its new master for.

use super::conversation::*;
use super::ledger::Why;

fn moved() -> Conversation {
    let mut it = Conversation::default();
    it.ask("SCAN 0", "*2\r\n$2\r\n17\r\n*0\r\n");
    it.ledger.moved();
    it
}

/// What of it is cut is not sent, and what stands before it is.
#[track_caller]
fn assert_cut(it: &mut Conversation, words: &str) {
    it.to_master.clear();
    let before = request("GET a");
    let up = it.send(&[&before[..], &request(words), &before].concat());
    assert_eq!((up.send, up.cut), (before.len(), Some(Why::Foreign)), "{words}");
    assert_eq!(it.to_master, before);
}

#[test]
fn clients_of_the_old_server_are_strangers() {
    for words in [
        "CLIENT KILL ID 7",
        "client kill type normal id 7",
        "CLIENT KILL 127.0.0.1:1",
        "CLIENT KILL ADDR 127.0.0.1:1",
        "CLIENT KILL LADDR 127.0.0.1:1",
        "CLIENT KILL NOT-ID 7",
        "CLIENT UNBLOCK 7 ERROR",
        "CLIENT LIST ID 7",
        "CLIENT TRACKING ON redirect 7",
        "FT.CURSOR READ index 7",
    ] {
        assert_cut(&mut moved(), words);
        let mut it = Conversation::default();
        it.ask(words, "+OK\r\n");
        it.ask("CLIENT TRACKING OFF", "+OK\r\n");
        it.assert_free();
    }
}

#[test]
fn nobody_in_particular_is_no_stranger() {
    for words in ["CLIENT KILL TYPE pubsub", "CLIENT LIST", "CLIENT LIST TYPE normal", "CLIENT ID"]
    {
        let mut it = moved();
        it.ask(words, ":1\r\n");
        it.assert_free();
    }
    let mut it = moved();
    it.ask("CLIENT TRACKING ON", "+OK\r\n");
    it.assert_stuck(Why::Tracking);
}

#[test]
fn a_cursor_counts_where_it_was_given() {
    for scan in ["SCAN", "HSCAN key", "sscan key", "ZSCAN key"] {
        assert_cut(&mut moved(), &format!("{scan} 17 COUNT 10"));
        assert_cut(&mut moved(), &format!("{scan} what"));
        let mut it = moved();
        it.ask(&format!("{scan} 0"), "*2\r\n$20\r\n18446744073709551615\r\n*0\r\n");
        it.ask(&format!("{scan} 18446744073709551615"), "*2\r\n$1\r\n5\r\n*0\r\n");
        it.ask(&format!("{scan} 5"), "-ERR no\r\n");
        it.ask(&format!("{scan} 5"), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
        it.assert_free();
        assert_cut(&mut it, &format!("{scan} 6"));
        let mut it = moved();
        it.ask(&format!("{scan} 0"), "*2\r\n$1\r\n5\r\n*0\r\n");
        it.ledger.moved();
        assert_cut(&mut it, &format!("{scan} 5"));
    }
}

/// In a pipeline and in a transaction too.
#[test]
fn a_cursor_in_a_transaction_is_not_known() {
    let mut it = moved();
    it.ask("MULTI", "+OK\r\n");
    it.ask("SCAN 0", "+QUEUED\r\n");
    it.ask("EXEC", "*1\r\n*2\r\n$1\r\n5\r\n*0\r\n");
    it.assert_free();
    assert_cut(&mut it, "SCAN 5");
}

#[test]
fn the_oldest_cursors_are_forgotten() {
    let mut it = moved();
    for cursor in 100..165 {
        it.ask("SCAN 0", &format!("*2\r\n$3\r\n{cursor}\r\n*0\r\n"));
    }
    it.ask("SCAN 101", "*2\r\n$3\r\n164\r\n*0\r\n");
    assert_cut(&mut it, "SCAN 100");
}

/// A request that came in pieces before the move is judged after it.
#[test]
fn it_is_judged_when_it_is_whole() {
    let mut it = Conversation::default();
    let scan = request("SCAN 17");
    assert_eq!(it.send(&scan[..10]).send, 0);
    it.ledger.moved();
    let up = it.send(&scan[10..]);
    assert_eq!((up.send, up.cut), (0, Some(Why::Foreign)));
}
