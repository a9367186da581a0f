//! What requests and their replies make of the state of a session.

use super::conversation::*;
use super::ledger::{Ledger, Why};

const OK: &str = "+OK\r\n";
const HELLO_3: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";
const HELLO_2: &str = "*2\r\n$5\r\nproto\r\n:2\r\n";
const ERR: &str = "-ERR no\r\n";
const QUEUED: &str = "+QUEUED\r\n";

#[test]
fn an_account_is_small() {
    assert!(size_of::<Ledger>() <= 192, "{} bytes", size_of::<Ledger>());
}

/// What has no heap says so: all that needs some is in one place.
#[test]
fn who_sets_nothing_costs_no_heap() {
    let mut it = Conversation::default();
    let has_none = |it: &Conversation| format!("{:?}", it.ledger).contains("extra: None");
    it.ask("GET key", "$-1\r\n");
    it.ask("EVAL script 0", "$-1\r\n");
    it.ask("SCAN 17", "*2\r\n$1\r\n0\r\n*0\r\n");
    it.ask("WAIT 1 0", ":1\r\n");
    it.ask("XREAD STREAMS key 0", "*-1\r\n");
    it.send(b"*2\r\n$3\r\nGET\r\n$3\r\nk");
    assert!(has_none(&it), "{:?}", it.ledger);
    it.send(b"ey\r\n");
    it.ask("SELECT 1", OK);
    assert!(!has_none(&it), "{:?}", it.ledger);
}

/// Row 1 of the table.
#[test]
fn what_is_set_is_set_again_in_an_order_that_is_accepted() {
    let mut it = Conversation::default();
    it.assert_free();
    assert_eq!(it.replayed(), [""; 0]);
    it.ask("client Setinfo lib-ver 1.2", OK);
    it.ask("CLIENT SETINFO LIB-NAME lib", OK);
    it.ask("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-fqdn", OK);
    it.ask("SELECT 3", OK);
    it.ask("CLIENT NO-TOUCH on", OK);
    it.ask("client setname me", OK);
    it.ask("CLIENT NO-EVICT ON", OK);
    it.ask("HELLO 3", HELLO_3);
    it.ask("AUTH user secret", OK);
    it.assert_free();
    assert_eq!(
        it.replayed(),
        [
            "AUTH user secret",
            "HELLO 3",
            "SELECT 3",
            "CLIENT SETNAME me",
            "CLIENT SETINFO LIB-NAME lib",
            "CLIENT SETINFO LIB-VER 1.2",
            "CLIENT NO-EVICT ON",
            "CLIENT NO-TOUCH on",
            "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-fqdn",
        ]
    );
    it.ledger.moved();
    assert_eq!(it.replayed().len(), 9, "it is kept for the next move");
}

#[test]
fn the_last_that_was_accepted_counts() {
    let mut it = Conversation::default();
    it.ask("AUTH first", OK);
    it.ask("AUTH user second", OK);
    it.ask("AUTH user third", "-WRONGPASS no\r\n");
    it.ask("SELECT 1", OK);
    it.ask("SELECT 2", OK);
    it.ask("SELECT 99", "-ERR DB index is out of range\r\n");
    it.ask("CLIENT SETNAME one", OK);
    it.ask("CLIENT SETINFO LIB-NAME lib", "-ERR unknown subcommand\r\n");
    it.ask("CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand\r\n");
    it.ask("HELLO 3 AUTH user fourth", "-WRONGPASS no\r\n");
    it.assert_free();
    assert_eq!(it.replayed(), ["AUTH user second", "SELECT 2", "CLIENT SETNAME one"]);
}

#[test]
fn what_is_taken_back_is_not_set_again() {
    let mut it = Conversation::default();
    for words in ["SELECT 1", "CLIENT SETNAME me", "CLIENT NO-EVICT ON", "CLIENT NO-TOUCH ON"] {
        it.ask(words, OK);
    }
    it.ask("HELLO 3", HELLO_3);
    it.ask("CLIENT SETINFO LIB-NAME lib", OK);
    it.ask("CLIENT MAINT_NOTIFICATIONS ON", OK);
    assert_eq!(it.replayed().len(), 7);
    for words in ["SELECT 0", "CLIENT SETNAME ''", "CLIENT NO-EVICT off", "CLIENT NO-TOUCH OFF"] {
        it.ask(words, OK);
    }
    it.ask("HELLO 2", HELLO_2);
    it.ask("CLIENT SETINFO LIB-NAME ''", OK);
    it.ask("CLIENT MAINT_NOTIFICATIONS OFF", OK);
    assert_eq!(it.replayed(), [""; 0]);
}

#[test]
fn hello_sets_by_its_options() {
    let mut it = Conversation::default();
    it.ask("hello 3 auth default secret setname me", HELLO_3);
    it.ask("HELLO", HELLO_3);
    assert_eq!(it.replayed(), ["AUTH default secret", "HELLO 3", "CLIENT SETNAME me"]);
    it.ask("HELLO 2 SETNAME other", HELLO_2);
    assert_eq!(it.replayed(), ["AUTH default secret", "CLIENT SETNAME other"]);
    it.ask("HELLO 9 AUTH user pass SETNAME x", "-NOPROTO unsupported protocol version\r\n");
    it.ask("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'setname'\r\n");
    assert_eq!(it.replayed(), ["AUTH default secret", "CLIENT SETNAME other"]);
    it.assert_free();
}

/// Until Redis 7.0 the options before the one that is wrong were taken.
#[test]
fn a_hello_that_may_be_half_done_binds() {
    let mut it = Conversation::default();
    it.ask("HELLO 3 AUTH user pass SETNAME b@d\n", "-ERR Client names cannot contain\r\n");
    it.assert_stuck(Why::Bound);
}

#[test]
fn reset_takes_back_all_but_the_library() {
    let mut it = Conversation::default();
    it.ask("HELLO 3 AUTH user pass SETNAME me", HELLO_3);
    it.ask("SELECT 1", OK);
    it.ask("CLIENT SETINFO LIB-NAME lib", OK);
    it.ask("CLIENT TRACKING ON", OK);
    let confirm = |kind, count| format!("{kind}3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:{count}\r\n");
    it.ask("SUBSCRIBE a b", &[confirm('>', 1), confirm('>', 2)].concat());
    it.ask("WATCH key", OK);
    it.ask("MULTI", OK);
    it.ask("RESET", "+RESET\r\n");
    it.assert_free();
    assert_eq!(it.replayed(), ["CLIENT SETINFO LIB-NAME lib"]);
    it.ask("SUBSCRIBE a", &confirm('*', 1));
    it.ask("RESET now", "-ERR wrong number of arguments\r\n");
    it.assert_stuck(Why::Subscribed);
}

#[test]
fn a_transaction_is_moved_neither_before_nor_in_multi() {
    let mut it = Conversation::default();
    for end in ["EXEC", "DISCARD", "RESET"] {
        it.ask("WATCH key", OK);
        it.assert_stuck(Why::Transaction);
        assert!(it.ledger.is_midway() && !it.ledger.is_settled());
        it.ask("GET key", "$1\r\nv\r\n");
        it.ask("MULTI", OK);
        it.ask("SET key value", QUEUED);
        it.assert_stuck(Why::Transaction);
        it.ask(end, "*1\r\n+OK\r\n");
        it.assert_free();
    }
    it.ask("WATCH key", OK);
    it.send(&request("UNWATCH"));
    assert!(!it.ledger.is_midway() && !it.ledger.is_settled());
    it.answer(OK);
    it.assert_free();
}

#[test]
fn a_transaction_ends_only_where_redis_ends_it() {
    let mut it = Conversation::default();
    it.ask("MULTI now", ERR);
    it.ask("WATCH", ERR);
    it.assert_free();
    it.ask("WATCH key", OK);
    it.ask("EXEC", "-ERR EXEC without MULTI\r\n");
    it.ask("DISCARD", "-ERR DISCARD without MULTI\r\n");
    it.assert_stuck(Why::Transaction);
    assert!(it.ledger.is_midway());
    it.ask("MULTI", OK);
    it.ask("UNWATCH", QUEUED);
    it.ask("MULTI", "-ERR MULTI calls can not be nested\r\n");
    it.ask("WATCH key", "-ERR WATCH inside MULTI is not allowed\r\n");
    it.ask("DISCARD it", ERR);
    it.assert_stuck(Why::Transaction);
    assert!(!it.ledger.is_settled());
    it.ask("EXEC", "-EXECABORT Transaction discarded\r\n");
    it.assert_free();
}

/// What is to go on in a hold is known from the requests alone.
#[test]
fn a_transaction_in_one_packet_is_one_piece() {
    let mut it = Conversation::default();
    it.send(&request("MULTI"));
    assert!(it.ledger.is_midway());
    it.send(&[request("SET a b"), request("EXEC")].concat());
    assert!(!it.ledger.is_midway() && !it.ledger.is_settled());
    it.assert_stuck(Why::Outstanding);
    it.answer("+OK\r\n+QUEUED\r\n");
    it.assert_stuck(Why::Transaction);
    it.answer("*1\r\n+OK\r\n");
    it.assert_free();
}

#[test]
fn what_sets_something_in_multi_binds_unless_it_is_harmless() {
    let free =
        ["EVALSHA 0123456789012345678901234567890123456789 0", "UNWATCH", "BLPOP a 0", "GET a"];
    let cases = free.iter().map(|words| (*words, None)).chain([
        ("SELECT 1", Some(Why::Bound)),
        ("AUTH secret", Some(Why::Bound)),
        ("CLIENT SETNAME x", Some(Why::Bound)),
        ("CLIENT TRACKING ON", Some(Why::Bound)),
        ("CLIENT WHATEVER", Some(Why::Bound)),
        ("DEBUG SLEEP 0", Some(Why::Bound)),
        ("HELLO 3", Some(Why::Bound)),
        ("SUBSCRIBE a b", Some(Why::Bound)),
        ("MONITOR", Some(Why::Bound)),
        ("SCRIPT LOAD text", Some(Why::Script)),
    ]);
    for (words, why) in cases {
        let mut it = Conversation::default();
        it.ask("MULTI", OK);
        it.ask(words, QUEUED);
        it.ask("EXEC", "*1\r\n+OK\r\n");
        match why {
            None => it.assert_free(),
            Some(why) => it.assert_stuck(why),
        }
        let mut refused = Conversation::default();
        refused.ask("MULTI", OK);
        refused.ask(words, ERR);
        refused.ask("EXEC", "-EXECABORT\r\n");
        refused.assert_free();
    }
}

#[test]
fn tracking_and_monitor() {
    let mut it = Conversation::default();
    it.ask("CLIENT TRACKING ON", ERR);
    it.assert_free();
    it.ask("CLIENT TRACKING on OPTIN", OK);
    it.assert_stuck(Why::Tracking);
    it.ask("CLIENT CACHING YES", OK);
    it.ask("CLIENT TRACKING OFF", OK);
    it.assert_free();
    it.ask("MONITOR", ERR);
    it.assert_free();
    it.ask("MONITOR", OK);
    it.answer("+1700000000.1 [0 127.0.0.1:1] \"get\" \"a\"\r\n");
    it.assert_stuck(Why::Subscribed);
}

#[test]
fn waiting_for_copies_counts_in_a_crash() {
    for words in ["WAIT 1 100", "waitaof 1 1 100"] {
        let mut it = Conversation::default();
        it.send(&request(words));
        assert!(!it.ledger.is_settled());
        it.assert_stuck(Why::Outstanding);
        it.answer(":1\r\n");
        assert_eq!(it.may_move(), [Ok(()), Err(Why::Waited)]);
        it.ledger.moved();
        assert_eq!(it.may_move(), [Ok(()), Err(Why::Waited)]);
    }
}

#[test]
fn what_cannot_be_repeated_binds_if_it_is_not_refused() {
    let binding = ["CLIENT WHATEVER", "CLIENT CAPA redirect", "CLIENT IMPORT-SOURCE ON"];
    let binding = binding.into_iter().chain(["DEBUG SLEEP 0", "SCRIPT DEBUG YES"]);
    for words in binding.chain(["CLIENT SETINFO WHATEVER 1", "HIMPORT PREPARE a b c"]) {
        let mut it = Conversation::default();
        it.ask(words, ERR);
        it.assert_free();
        it.ask(words, OK);
        it.assert_stuck(Why::Bound);
    }
    let harmless =
        ["CLIENT ID", "CLIENT INFO", "CLIENT LIST", "CLIENT GETNAME", "CLIENT KILL TYPE pubsub"];
    for words in harmless.into_iter().chain(["READONLY", "ASKING", "READWRITE", "CLIENT UNBLOCK 1"])
    {
        let mut it = Conversation::default();
        it.ask(words, OK);
        it.assert_free();
    }
}

#[test]
fn a_connection_that_copies_is_followed_no_further() {
    for words in ["SYNC", "PSYNC ? -1", "REPLCONF listening-port 1", "CLUSTER SYNCSLOTS X"] {
        let mut it = Conversation::default();
        it.ask(words, "\n\n$5\r\nabcde");
        it.assert_stuck(Why::Bound);
        it.ask("GET a", "anything");
    }
}

#[test]
fn a_reply_that_nobody_asked_for_makes_it_a_tunnel() {
    let mut it = Conversation::default();
    it.ask("GET a", "$1\r\na\r\n");
    it.ask("GET a", "$1\r\na\r\n+OK\r\n");
    it.assert_stuck(Why::Tunnel);
    it.ask("GET a", "$1\r\na\r\n");
    assert!(it.ledger.is_settled() && !it.ledger.is_midway());
}

#[test]
fn a_push_is_no_reply_but_half_of_one_is_in_the_way() {
    let mut it = Conversation::default();
    it.answer(">2\r\n$6\r\nMOVING\r\n");
    assert!(!it.ledger.is_settled());
    it.assert_stuck(Why::Outstanding);
    it.answer(":15\r\n");
    it.assert_free();
    it.send(&request("GET a"));
    it.answer(">2\r\n$6\r\nMOVING\r\n:15\r\n");
    it.assert_stuck(Why::Outstanding);
    it.answer("$-1\r\n");
    it.assert_free();
}

/// What a session has set is bounded, also while it is not confirmed.
#[test]
fn who_sets_too_much_is_not_moved() {
    let name = "x".repeat(6000);
    let mut it = Conversation::default();
    for what in ["CLIENT SETNAME", "CLIENT SETINFO LIB-NAME"] {
        it.ask(&format!("{what} {name}"), OK);
    }
    it.assert_free();
    it.send(&request(&format!("CLIENT SETINFO LIB-VER {name}")));
    it.assert_stuck(Why::Bound);

    let mut it = Conversation::default();
    it.ask(&format!("CLIENT SETNAME {}", "x".repeat(17_000)), ERR);
    it.assert_free();
    it.ask(&format!("CLIENT SETNAME {}", "x".repeat(17_000)), OK);
    it.assert_stuck(Why::Bound);
}

#[test]
fn a_pipeline_of_too_many_specials_is_followed_no_further() {
    let mut it = Conversation::default();
    let many = [request("MULTI"), request("EXEC")].concat().repeat(1024);
    it.send(&many);
    it.assert_stuck(Why::Outstanding);
    it.send(&request("MULTI"));
    it.assert_stuck(Why::Bound);
    assert_eq!(it.to_master.len(), many.len() + request("MULTI").len());
}

/// Names and passwords never get into a log.
#[test]
fn an_account_shows_no_secret() {
    let mut it = Conversation::default();
    it.ask("AUTH hidden", OK);
    it.send(&request("AUTH hidden"));
    let text = format!("{:?}", it.ledger);
    assert!(!text.contains("hidden") && !text.contains("104, 105"), "{text}");
}
