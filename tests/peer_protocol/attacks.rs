//! Whoever does not have the secret, or only hears what those say who have it: nothing is learned and
//! nothing is changed.

use std::time::Duration;

use redis_hive::election::{Dialled, Input, NodeId};
use redis_hive::peer::codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::net::{Hive, closed, connect, hello, talk, until};
use crate::noise::{ANSWER, FIRST, Raw, Setting, next_frame};
use crate::sealed::{SECRET, WRONG, frame_of, hive};

/// Whoever cannot prove the secret gets no byte back and is counted, whatever it says.
#[tokio::test]
async fn a_locked_hive_answers_nobody_without_the_secret() {
    let mut a = hive([127, 72, 4, 1], 1).await;
    let plain = codec::encode_hello(&hello(4, 9)).to_vec();
    let future = [&plain[..2], &[codec::MAJOR + 1], &plain[3..]].concat();
    let proof = |setting: Setting| next_frame(&mut setting.handshake(true), FIRST);
    let good = proof(Setting::of(SECRET));
    let with_length = |len: u8| [&good[..7], &[len], &good[8..]].concat();
    let refusals = |a: &Hive| {
        let counts = a.peers.counters();
        [counts.no_secret, counts.wrong_secret, counts.malformed, counts.foreign]
    };
    let cases = [
        ("a hello", plain.clone(), [1, 0, 0, 0]),
        ("another major version", future, [0, 0, 0, 1]),
        ("another secret", proof(Setting::of(WRONG)), [0, 1, 0, 0]),
        ("another name", proof(Setting { name: "tesT", ..Setting::of(SECRET) }), [0, 1, 0, 0]),
        ("another version", proof(Setting { major: 2, ..Setting::of(SECRET) }), [0, 1, 0, 0]),
        ("the second frame first", [&good[..3], &[ANSWER], &good[4..]].concat(), [0, 0, 1, 0]),
        ("a long frame", with_length(49), [0, 0, 1, 0]),
        ("a short frame", with_length(47), [0, 0, 1, 0]),
        ("an election's frame", frame_of(&hello(4, 9), 1), [0, 0, 1, 0]),
        ("noise", vec![0xa5; 4096], [0, 0, 1, 0]),
    ];
    let mut wanted = [0; 4];
    for (what, bytes, more) in cases {
        let mut stream = connect(a.id).await;
        // The other side may have had enough before everything is written.
        let _ = stream.write_all(&bytes).await;
        assert_eq!(closed(&mut stream).await, b"", "{what} was answered");
        wanted = std::array::from_fn(|at| wanted[at] + more[at]);
        until(what, || refusals(&a) == wanted).await;
    }
    assert!(a.reported().is_empty() && a.peers.linked().is_empty());
}

/// Any changed bit of the first frame, at every position.
#[tokio::test]
async fn a_changed_handshake_is_not_answered() {
    let a = hive([127, 72, 5, 1], 1).await;
    let good = next_frame(&mut Setting::of(SECRET).handshake(true), FIRST);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let mut stream = connect(a.id).await;
        let _ = stream.write_all(&bad).await;
        assert_eq!(closed(&mut stream).await, b"", "byte {at} was changed");
    }
    assert!(a.peers.counters().wrong_secret >= 48);
}

/// Any changed bit of a record: the frame is not heard, and the link ends.
#[tokio::test]
async fn a_changed_record_ends_the_link() {
    let mut a = hive([127, 72, 6, 1], 1).await;
    let me = hello(6, 9);
    let len = 2 + frame_of(&me, 1).len() + 16;
    for at in 0..len {
        let mut raw = Raw::greeted(a.id, &me, SECRET).await;
        let mut bad = raw.pack(&frame_of(&me, 1));
        assert_eq!(bad.len(), len);
        bad[at] ^= 1 << (at % 8);
        let _ = raw.stream.write_all(&bad).await;
        // A length that has grown waits for more: there is none.
        let _ = raw.stream.shutdown().await;
        closed(&mut raw.stream).await;
        let ended = at as u64 + 1;
        until("end", || {
            let counts = a.peers.counters();
            counts.forged + counts.truncated == ended
        })
        .await;
    }
    let heard = a.reported().into_iter().filter(|input| matches!(input, Input::Frame(_))).count();
    assert_eq!(heard, 0);
    assert!(a.peers.counters().forged as usize >= len - 2, "{:?}", a.peers.counters());
}

#[tokio::test]
async fn a_replayed_connection_is_refused() {
    let mut a = hive([127, 72, 7, 1], 1).await;
    let me = hello(7, 9);
    let mut raw = Raw::greeted(a.id, &me, SECRET).await;
    raw.say(&frame_of(&me, 1)).await;
    a.frame().await;
    let mut again = connect(a.id).await;
    again.write_all(&raw.said).await.unwrap();
    let answered = closed(&mut again).await;
    assert_eq!(answered.len(), 56, "no more than the answer to the first frame");
    until("count", || a.peers.counters().forged == 1).await;
    let heard = a.reported().into_iter().any(|input| matches!(input, Input::Frame(_)));
    assert!(!heard, "a replayed frame was heard");
    assert_eq!(a.peers.linked().len(), 1, "the link of the real one lives");
}

#[tokio::test]
async fn records_count_once_and_in_their_order() {
    let mut a = hive([127, 72, 8, 1], 1).await;
    let me = hello(8, 9);
    for order in [vec![0, 0], vec![1, 0], vec![0, 2]] {
        let mut raw = Raw::greeted(a.id, &me, SECRET).await;
        let records: Vec<Vec<u8>> = (1..4).map(|number| raw.pack(&frame_of(&me, number))).collect();
        let before = a.peers.counters().forged;
        for at in &order {
            let _ = raw.stream.write_all(&records[*at]).await;
        }
        closed(&mut raw.stream).await;
        until("count", || a.peers.counters().forged == before + 1).await;
        let frames = a.reported().into_iter().filter(|input| matches!(input, Input::Frame(_)));
        assert_eq!(frames.count(), usize::from(order[0] == 0), "{order:?}");
    }
}

/// What a hive says is no proof when it comes back to it.
#[tokio::test]
async fn reflected_bytes_prove_nothing() {
    let mut a = hive([127, 72, 9, 1], 1).await;
    let listener = TcpListener::bind("127.72.9.2:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let addr = NodeId::new(addr.ip(), addr.port());
    a.peers.dial(vec![addr]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut first = [0; 56];
    stream.read_exact(&mut first).await.unwrap();
    first[3] = ANSWER;
    stream.write_all(&first).await.unwrap();
    assert_eq!(a.outcome(addr).await, Dialled::Foreign);
    assert_eq!(a.peers.counters().wrong_secret, 1);
    a.peers.dial(vec![]);

    let me = hello(9, 9);
    let mut raw = Raw::greeted(a.id, &me, SECRET).await;
    let frame = a.say();
    a.peers.broadcast(&frame);
    let record = raw.hear_sealed().await;
    raw.stream.write_all(&record).await.unwrap();
    closed(&mut raw.stream).await;
    until("count", || a.peers.counters().forged == 1).await;
}

#[tokio::test]
async fn nothing_comes_behind_the_end() {
    let mut a = hive([127, 72, 11, 1], 1).await;
    let me = hello(11, 9);
    for split in [false, true] {
        let before = a.peers.counters().forged;
        let mut raw = Raw::greeted(a.id, &me, SECRET).await;
        let (end, more) = (raw.pack(&[]), raw.pack(&frame_of(&me, 1)));
        raw.stream.write_all(&end).await.unwrap();
        if split {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = raw.stream.write_all(&more).await;
        closed(&mut raw.stream).await;
        until("count", || a.peers.counters().forged == before + 1).await;
    }
    assert!(!a.reported().into_iter().any(|input| matches!(input, Input::Frame(_))));
}

#[tokio::test]
async fn what_is_sealed_obeys_the_format_too() {
    let a = hive([127, 72, 12, 1], 1).await;
    let me = hello(12, 9);
    let greeting = codec::encode_hello(&me).to_vec();
    let hellos = [
        ("two hellos", [greeting.clone(), greeting.clone()].concat(), [1, 0]),
        ("half a hello", greeting[..20].to_vec(), [1, 0]),
        ("a frame", frame_of(&me, 1), [1, 0]),
        ("a record too long for a hello", vec![0; 1033], [0, 1]),
        ("the end", vec![], [1, 0]),
    ];
    let mut wanted = [0, 0];
    let counted = || {
        let counts = a.peers.counters();
        [counts.malformed, counts.forged]
    };
    for (what, content, more) in hellos {
        let mut raw = Raw::proven(a.id, SECRET).await;
        raw.say(&content).await;
        assert_eq!(closed(&mut raw.stream).await, b"", "{what}");
        wanted = [wanted[0] + more[0], wanted[1] + more[1]];
        until(what, || counted() == wanted).await;
    }
    let mut raw = Raw::greeted(a.id, &me, SECRET).await;
    raw.say(&[&frame_of(&me, 1)[..4], &u32::MAX.to_be_bytes()].concat()).await;
    closed(&mut raw.stream).await;
    until("a header beyond the limit", || counted() == [wanted[0] + 1, wanted[1]]).await;
    for length in [0_u16, 15, u16::MAX] {
        let mut raw = Raw::greeted(a.id, &me, SECRET).await;
        let noise = [length.to_be_bytes().as_slice(), &vec![7; length.into()]].concat();
        let _ = raw.stream.write_all(&noise).await;
        closed(&mut raw.stream).await;
        wanted[1] += 1;
        until("a bad record", || counted()[1] == wanted[1]).await;
    }
}

/// Nobody waits for ever: not for a first frame, nor for the rest of it, nor for a hello.
#[tokio::test]
async fn a_slow_handshake_is_closed_in_time() {
    let a = hive([127, 72, 13, 1], 1).await;
    let first = next_frame(&mut Setting::of(SECRET).handshake(true), FIRST);
    for said in [&first[..0], &first[..55], &first] {
        let mut stream = connect(a.id).await;
        stream.write_all(said).await.unwrap();
        let start = Instant::now();
        closed(&mut stream).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "closed after {took:?}");
    }
    until("count", || a.peers.counters().mute == 3).await;
}

/// Replayed first frames cost the hive an answer each, to so many as may wait, and keep nobody out.
#[tokio::test]
async fn a_crowd_of_half_open_handshakes_is_bounded() {
    const CROWD: usize = 300;
    const MAY_WAIT: usize = 64;
    let mut a = hive([127, 72, 14, 1], 1).await;
    let first = next_frame(&mut Setting::of(SECRET).handshake(true), FIRST);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(connect(a.id).await);
    }
    let turned_away = || a.peers.counters().turned_away as usize;
    until("room", || turned_away() == CROWD - MAY_WAIT).await;
    for stream in &mut crowd {
        // Most are closed already.
        let _ = stream.write_all(&first).await;
    }
    let mut late = hive([127, 72, 14, 2], 2).await;
    late.peers.dial(vec![a.id]);
    talk(&mut late, &mut a).await;
    let mut answered = 0;
    for stream in &mut crowd {
        let heard = closed(stream).await.len();
        assert!(heard == 0 || heard == 56, "{heard} bytes");
        answered += usize::from(heard > 0);
    }
    assert!((1..=MAY_WAIT).contains(&answered), "{answered} answers");
}
