//! Random traffic, whole and damaged, in random pieces: what the simple reader finds is found.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::compare::{self, Piece};

/// Lines that are always the same.
const FIXED: &[&str] = &[
    "$-1",
    "*-1",
    "_",
    "#t",
    "#f",
    ",1.5",
    ",-inf",
    ",nan",
    "(-34928903284092385093",
    "+\r",
    "-E \n",
];
/// Inline requests, and empty ones.
const INLINE: &[&str] = &[
    "PING\r\n",
    "\r\n",
    "\n",
    " \t\n",
    "get 'a b'\r\n",
    "set \"\\x41\\\"\" x'y'\n",
    "*0\r\n",
    "*-1\r\n",
    "*-10\r\n",
];
/// Bytes that mean something to one of the scanners.
const MEANING: &[u8] = b"\r\n\r\n\r\n+-:$*_,#(!=%~>|?.;0123456789\"'\\ \0tfx";

fn header(kind: char, count: usize) -> Vec<u8> {
    format!("{kind}{count}\r\n").into_bytes()
}

fn bulk(kind: char, body: &[u8]) -> Vec<u8> {
    [&header(kind, body.len())[..], body, b"\r\n"].concat()
}

fn bulks(kind: char) -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        vec(any::<u8>(), 0..20),
        vec(any::<u8>(), 90..400),
        Just(b"\r\n$5\r\n*1\r\n".to_vec()),
    ];
    body.prop_map(move |body| bulk(kind, &body))
}

fn leaf() -> impl Strategy<Value = Vec<u8>> {
    let line = |kind: &'static str| {
        "[ -~]{0,60}".prop_map(move |text| format!("{kind}{text}\r\n").into_bytes())
    };
    let short = prop_oneof![any::<i64>(), -1..100i64, Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![
        4 => line("+"),
        2 => line("-"),
        4 => short.prop_map(|value| format!(":{value}\r\n").into_bytes()),
        6 => bulks('$'),
        1 => bulks('!'),
        1 => Just(bulk('=', b"txt:verbatim")),
        3 => select(FIXED).prop_map(|text| format!("{text}\r\n").into_bytes()),
    ]
}

fn aggregate(
    kind: char,
    each: usize,
    inner: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Vec<u8>> {
    vec(inner, 0..8).prop_map(move |elements| {
        let count = elements.len() / each;
        [header(kind, count), elements[..count * each].concat()].concat()
    })
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    leaf().prop_recursive(4, 24, 6, |inner| {
        let with_attribute = (aggregate('|', 2, inner.clone()), inner.clone());
        prop_oneof![
            4 => aggregate('*', 1, inner.clone()),
            1 => aggregate('~', 1, inner.clone()),
            2 => aggregate('%', 2, inner),
            1 => with_attribute.prop_map(|(attribute, frame)| [attribute, frame].concat()),
        ]
    })
}

fn reply() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => element(), 1 => aggregate('>', 1, element())]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => aggregate('*', 1, bulks('$')),
        1 => select(INLINE).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn some_pieces() -> impl Strategy<Value = Vec<Piece>> {
    let bytes = prop_oneof![1..4usize, 1..40usize, 30..300usize, Just(100_000)];
    vec((bytes, any::<bool>()).prop_map(|(bytes, unseen)| Piece { bytes, unseen }), 1..12)
}

/// Bytes overwritten with what means something in RESP, and the end cut off.
fn damage() -> impl Strategy<Value = (Vec<(Index, u8)>, Index)> {
    let byte = prop_oneof![4 => select(MEANING), 1 => any::<u8>()];
    (vec((any::<Index>(), byte), 0..4), any::<Index>())
}

fn damaged(mut bytes: Vec<u8>, (overwritten, end): (Vec<(Index, u8)>, Index)) -> Vec<u8> {
    if !bytes.is_empty() {
        for (at, byte) in overwritten {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len()) + 1);
    }
    bytes
}

proptest! {
    #[test]
    fn replies_are_found(frames in vec(reply(), 0..12), pieces in some_pieces()) {
        prop_assert_eq!(compare::replies(&frames.concat(), &pieces), frames.len());
    }

    #[test]
    fn requests_are_found(requests in vec(request(), 0..12), pieces in some_pieces()) {
        let input = requests.concat();
        let answered = compare::requests(&input, &pieces);
        let is_empty = |request: &&Vec<u8>| {
            request.starts_with(b"*0") || request.starts_with(b"*-") || request.trim_ascii().is_empty()
        };
        prop_assert_eq!(answered + requests.iter().filter(is_empty).count(), requests.len());
    }

    #[test]
    fn damaged_replies_are_lost_where_they_have_to_be(
        frames in vec(reply(), 1..8), damage in damage(), pieces in some_pieces(),
    ) {
        compare::replies(&damaged(frames.concat(), damage), &pieces);
    }

    #[test]
    fn damaged_requests_are_lost_where_they_have_to_be(
        requests in vec(request(), 1..8), damage in damage(), pieces in some_pieces(),
    ) {
        compare::requests(&damaged(requests.concat(), damage), &pieces);
    }

    /// Of bytes that mean something, so that more than the first of them is read.
    #[test]
    fn any_bytes_are_followed_or_lost(
        input in vec(select(MEANING), 0..60),
        pieces in some_pieces(),
    ) {
        compare::replies(&input, &pieces);
        compare::requests(&input, &pieces);
    }
}
