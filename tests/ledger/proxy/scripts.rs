//! Scripts: which were used, and the texts that went by.

use super::conversation::*;
use super::ledger::{Why, texts};

const SHA: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

fn scripts(it: &Conversation) -> Vec<String> {
    it.ledger.scripts().iter().map(|sha| String::from_utf8_lossy(sha).into_owned()).collect()
}

#[test]
fn scripts_are_noted_by_their_sha() {
    let mut it = Conversation::default();
    it.ask("EVAL body 0", "$-1\r\n");
    assert_eq!(scripts(&it), [""; 0]);
    it.ask(&format!("evalsha {} 0", SHA.to_uppercase()), "$-1\r\n");
    it.ask(&format!("EVALSHA_RO {SHA} 0"), "$-1\r\n");
    assert_eq!(scripts(&it), [SHA]);
    it.ask("EVALSHA short 0", "-NOSCRIPT no\r\n");
    it.ask(&format!("EVALSHA {} 0", "z".repeat(40)), "-NOSCRIPT no\r\n");
    assert_eq!(scripts(&it), [SHA]);
    let loaded = "0".repeat(40);
    it.ask("SCRIPT LOAD body", &format!("$40\r\n{loaded}\r\n"));
    it.ask("SCRIPT LOAD body", "-ERR Error compiling script\r\n");
    it.ask("SCRIPT EXISTS x", "*1\r\n:0\r\n");
    assert_eq!(scripts(&it), [SHA.to_owned(), loaded]);
    it.assert_free();
    it.ledger.moved();
    assert_eq!(scripts(&it).len(), 2, "they are kept for the next move");
}

#[test]
fn scripts_in_a_transaction_are_noted() {
    let mut it = Conversation::default();
    it.ask("MULTI", "+OK\r\n");
    it.ask(&format!("EVALSHA {SHA} 0"), "+QUEUED\r\n");
    it.ask("EXEC", "*1\r\n$-1\r\n");
    it.assert_free();
    assert_eq!(scripts(&it), [SHA]);
}

#[test]
fn who_uses_too_many_scripts_is_not_moved() {
    let mut it = Conversation::default();
    for number in 0..64 {
        it.ask(&format!("EVALSHA {number:040x} 0"), "$-1\r\n");
    }
    it.ask(&format!("EVALSHA {:040x} 0", 63), "$-1\r\n");
    it.assert_free();
    it.ask(&format!("EVALSHA {:040x} 0", 64), "$-1\r\n");
    it.assert_stuck(Why::Script);
    assert_eq!(scripts(&it).len(), 64);
}

#[test]
fn texts_are_offered_as_they_are_sent() {
    let mut it = Conversation::default();
    let plain = [request("GET a"), request("EVALSHA x 0"), request("SCRIPT EXISTS x")].concat();
    assert_eq!(it.send(&plain).scripts, None);
    let scripts = [request("EVAL one 0"), request("script load two"), request("GET a")].concat();
    let up = it.send(&[&plain[..], &scripts, &request("eval_ro three 1 k")[..10]].concat());
    assert_eq!((up.scripts, up.send), (Some(plain.len()), plain.len() + scripts.len()));
    let found: Vec<_> = texts(&scripts).collect();
    assert_eq!(found, [&b"one"[..], b"two"]);
    let up = it.send(&request("eval_ro three 1 k")[10..]);
    assert_eq!(up.scripts, Some(0));
    assert_eq!(texts(&request("eval_ro three 1 k")).collect::<Vec<_>>(), [&b"three"[..]]);
    assert_eq!(
        texts(b"EVAL 'a b' 0\r\nSCRIPT\r\nSCRIPT LOAD\r\nEVAL").collect::<Vec<_>>(),
        [&b"a b"[..]]
    );
}

/// A script behind the end of a large request that was sent in pieces.
#[test]
fn texts_begin_at_a_request() {
    let mut it = Conversation::default();
    let large = encode(&[b"SET", b"key", &[b'x'; 100_000]]);
    it.send(&large[..60_000]);
    let rest = [&large[60_000..], &request("EVAL one 0")].concat();
    let up = it.send(&rest);
    assert_eq!((up.scripts, up.send), (Some(40_000 + large.len() - 100_000), rest.len()));
}

/// A script is waited for, so that its text is there in one piece; not for ever.
#[test]
fn a_large_script_comes_in_one_piece() {
    let (body, value) = (vec![b'-'; 200_000], vec![b'x'; 2_000_000]);
    let mut it = Conversation::default();
    let eval = encode(&[b"EVAL", &body, b"0"]);
    assert_eq!(it.send(&eval[..150_000]).send, 0);
    it.assert_free();
    let up = it.send(&eval[150_000..]);
    assert_eq!((up.send, up.scripts), (eval.len(), Some(0)));
    it.answer("$-1\r\n");

    let evalsha = encode(&[b"EVALSHA", SHA.as_bytes(), b"0", &value]);
    assert_eq!(it.send(&evalsha[..100_000]).send, 100_000, "too large to wait for");
    it.assert_stuck(Why::HalfRequest);
    it.send(&evalsha[100_000..]);
    it.answer("$-1\r\n");
    it.assert_free();
    assert_eq!(scripts(&it), [SHA]);

    let eval = encode(&[b"EVAL", b"text", b"0", &value]);
    let up = it.send(&eval[..40_000]);
    assert_eq!((up.send, up.scripts), (40_000, Some(0)), "its text is here");
    assert_eq!(texts(&eval[..40_000]).collect::<Vec<_>>(), [&b"text"[..]]);
    assert_eq!(it.send(&eval[40_000..]).scripts, None);
    it.answer("$-1\r\n");
    it.assert_free();

    let eval = encode(&[b"EVAL", &value, b"0"]);
    assert_eq!((it.send(&eval[..20_000]).send, it.send(&eval[20_000..]).scripts), (20_000, None));
    it.answer("$-1\r\n");
    it.assert_free();
    let load = encode(&[b"SCRIPT", b"LOAD", &value]);
    let mut it = Conversation::default();
    assert_eq!(it.send(&load[..20_000]).send, 20_000);
    it.assert_stuck(Why::Bound);
}
