//! Any bytes in any pieces: no panic, nothing lost, and the same account however they were split.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::conversation::*;
use super::ledger::Why;

/// Requests with replies that a server could give to them.
const EXCHANGES: &[(&str, &str)] = &[
    ("GET a", "$1\r\na\r\n"),
    ("GET a", "-ERR no\r\n"),
    ("SET a LONG", "+OK\r\n"),
    ("EVAL LONG", ":1\r\n"),
    ("LRANGE a 0 -1", "*2\r\n$9\r\nsubscribe\r\n*1\r\n:5\r\n"),
    ("SELECT 3", "+OK\r\n"),
    ("SELECT 4", "-ERR no\r\n"),
    ("AUTH user secret", "+OK\r\n"),
    ("HELLO 3 AUTH user other SETNAME x", "%1\r\n$5\r\nproto\r\n:3\r\n"),
    ("HELLO 2", "*2\r\n$5\r\nproto\r\n:2\r\n"),
    ("CLIENT SETNAME me", "+OK\r\n"),
    ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
    ("CLIENT NO-EVICT ON", "+OK\r\n"),
    ("RESET", "+RESET\r\n"),
    ("MULTI", "+OK\r\n"),
    ("GET a", "+QUEUED\r\n"),
    ("EXEC", "*2\r\n$1\r\na\r\n*1\r\n+OK\r\n"),
    ("DISCARD", "+OK\r\n"),
    ("WATCH a", "+OK\r\n"),
    ("UNWATCH", "+OK\r\n"),
    (
        "SUBSCRIBE a b",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
    ),
    (
        "UNSUBSCRIBE",
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n",
    ),
    ("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
    ("UNSUBSCRIBE a", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"),
    ("PING", ">2\r\n+MOVING\r\n:1\r\n+PONG\r\n"),
    ("CLIENT TRACKING ON", "+OK\r\n"),
    ("CLIENT TRACKING OFF", "+OK\r\n"),
    ("CLIENT REPLY OFF", ""),
    ("CLIENT REPLY SKIP", ""),
    ("CLIENT REPLY ON", "+OK\r\n"),
    ("GET a", ""),
    ("WAIT 1 0", ":1\r\n"),
    ("EVALSHA 0123456789012345678901234567890123456789 0", ":1\r\n"),
    ("SCRIPT LOAD text", "$40\r\n0123456789012345678901234567890123456780\r\n"),
    ("BLPOP a 10", "*-1\r\n"),
    ("BLPOP a 10", "-READONLY no\r\n"),
    ("XREAD BLOCK 5 STREAMS s 0", "-UNBLOCKED force unblock\r\n"),
    ("SCAN 0", "*2\r\n$2\r\n17\r\n*0\r\n"),
    ("MONITOR", "+OK\r\n"),
    ("DEBUG SLEEP 0", "+OK\r\n"),
    ("REPLCONF ACK 1", ""),
];

/// The request of these words, of which the last may be a long one.
fn sized(words: &str) -> Vec<u8> {
    match words {
        "SET a LONG" => encode(&[b"SET", b"a", &[b'x'; 40_000]]),
        "EVAL LONG" => encode(&[b"EVAL", &[b'x'; 40_000], b"0"]),
        words => request(words),
    }
}

/// What is seen of an account from outside.
type View = ([Result<(), Why>; 2], bool, bool, Vec<String>, Vec<[u8; 40]>, Option<String>);

fn view(it: &mut Conversation) -> View {
    // That a time was over in a hold counts as news by its moment, if it is not seen to be just that.
    let moves =
        it.may_move().map(|may| may.or_else(|why| (why == Why::Stale).then_some(()).ok_or(why)));
    let (settled, midway) = (it.ledger.is_settled(), it.ledger.is_midway());
    (moves, settled, midway, it.replayed(), it.ledger.scripts().to_vec(), it.again())
}

/// How a talk goes.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// All requests first, and then all replies.
    pipeline: bool,
    held: bool,
    /// Bytes that need not be looked at are not.
    blind: bool,
}

/// Feeds both directions in pieces of these sizes, again and again.
fn talk(exchanges: &[(Vec<u8>, &str)], pieces: &[usize], manner: Manner) -> Conversation {
    let mut it = Conversation { held: manner.held, ..Conversation::default() };
    let (mut sizes, mut undone) = (pieces.iter().copied().cycle(), false);
    let mut replies = Vec::new();
    for (request, reply) in exchanges {
        let mut body = 0;
        for_pieces(request, &mut sizes, |mut piece| {
            if manner.blind && body > 0 {
                let (unseen, rest) = piece.split_at(piece.len().min(body));
                it.ledger.skip_request(unseen.len() as u64);
                it.to_master.extend_from_slice(unseen);
                (body, piece) = (body - unseen.len(), rest);
            }
            if !piece.is_empty() {
                body = it.send(piece).body as usize;
            }
        });
        replies.extend_from_slice(reply.as_bytes());
        if !manner.pipeline {
            for_pieces(&std::mem::take(&mut replies), &mut sizes, |piece| {
                // Nothing more is read from this master.
                undone = undone || it.answer(piece).undone;
            });
        }
    }
    for_pieces(&replies, &mut sizes, |piece| undone = undone || it.answer(piece).undone);
    it
}

fn for_pieces(mut bytes: &[u8], sizes: &mut impl Iterator<Item = usize>, mut f: impl FnMut(&[u8])) {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(sizes.next().expect("no end").min(bytes.len()));
        f(piece);
        bytes = rest;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn splits_change_nothing(
        exchanges in vec(select(EXCHANGES), 0..12),
        pieces in vec(prop_oneof![1_usize..40, 1000_usize..20_000], 1..20),
        pipeline: bool,
        held: bool,
        blind: bool,
    ) {
        let manner = Manner { pipeline, held, blind };
        let exchanges: Vec<_> = exchanges.iter().map(|(words, reply)| (sized(words), *reply)).collect();
        let mut whole = talk(&exchanges, &[usize::MAX], manner);
        let mut split = talk(&exchanges, &pieces, manner);
        prop_assert_eq!(view(&mut split), view(&mut whole));
        prop_assert_eq!(split.to_master, whole.to_master);
        prop_assert_eq!(split.to_client, whole.to_client);
    }

    /// Every byte comes out once and in order, whatever it is, but for what is undone or cut.
    #[test]
    fn any_bytes_pass(
        turns in vec((any::<bool>(), any::<bool>(), prop_oneof![
            vec(any::<u8>(), 0..60),
            select(EXCHANGES).prop_map(|(words, _)| request(words)),
            select(EXCHANGES).prop_map(|(_, reply)| reply.as_bytes().to_vec()),
            (select(EXCHANGES), 0_usize..60).prop_map(|((words, _), cut)| {
                let request = request(words);
                request[..cut.min(request.len())].to_vec()
            }),
        ]), 0..30),
        moved: bool,
    ) {
        let mut it = Conversation::default();
        if moved {
            it.ledger.moved();
        }
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for (from_client, held, bytes) in turns {
            it.held = held;
            if from_client {
                up.extend_from_slice(&bytes);
                if it.send(&bytes).cut.is_some() {
                    break;
                }
            } else {
                down.extend_from_slice(&bytes);
                if it.answer(&bytes).undone {
                    it.again();
                    break;
                }
            }
        }
        prop_assert_eq!([it.to_master.clone(), it.up.clone()].concat(), up);
        prop_assert_eq!([it.to_client.clone(), it.down.clone()].concat(), down);
        let _ = view(&mut it);
    }
}
