//! The codec against random frames and random bytes, and against the second decoder.

use proptest::prelude::*;
use redis_hive::election::frame::{Answer, Held, State};
use redis_hive::election::*;
use redis_hive::peer::codec::{self, CodecError, HEADER_LEN, MAX_BODY, MINOR};

use crate::decoder::{self, Decoded};
use crate::frames::{self, Random};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_frames_survive_the_round_trip_and_both_decoders_agree(seed: u64) {
        let frame = Random(seed).frame();
        let bytes = codec::encode(&frame);
        prop_assert_eq!(codec::decode_frame(&bytes), Ok(frame.clone()));
        let (second, _) = decoder::decode(&bytes).map_err(TestCaseError::fail)?;
        prop_assert_eq!(second, Decoded::Frame(Box::new(frame)));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        kind: u8,
        minor: u16,
    ) {
        let _ = codec::decode_frame(&bytes);
        let _ = codec::decode_body(kind, &bytes, minor);
        let _ = codec::decode_body(0x10 + kind % 10, &bytes, minor);
        let _ = codec::decode_hello(&bytes);
    }

    /// Bytes near real frames reach deeper than random ones.
    #[test]
    fn both_decoders_judge_damaged_frames_alike(seed: u64, hits in 1..4_u8) {
        let mut random = Random(seed);
        let mut bytes = codec::encode(&random.frame()).to_vec();
        for _ in 0..hits {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.u64() as u8;
        }
        let ours = codec::decode_frame(&bytes).ok().map(|it| Decoded::Frame(Box::new(it)));
        let second = decoder::decode(&bytes).ok().map(|(decoded, _)| decoded);
        prop_assert_eq!(ours, second.filter(|it| matches!(it, Decoded::Frame(_))));
    }

    #[test]
    fn every_truncation_is_an_error(seed: u64) {
        let bytes = codec::encode(&Random(seed).frame());
        // Every length of short frames; of long ones a spread that meets every offset over time.
        let step = 1 + bytes.len() / 512;
        for len in (seed as usize % step..bytes.len()).step_by(step) {
            prop_assert!(codec::decode_frame(&bytes[..len]).is_err());
            if len >= HEADER_LEN {
                let body = &bytes[HEADER_LEN..len];
                prop_assert_eq!(codec::decode_body(bytes[3], body, MINOR), Err(CodecError::Truncated));
                prop_assert_eq!(
                    codec::decode_body(bytes[3], body, MINOR + 1),
                    Err(CodecError::Truncated)
                );
            }
        }
    }

    #[test]
    fn trailing_bytes_are_taken_from_a_newer_minor_only(seed: u64, extra in 1..40_usize) {
        let frame = Random(seed).frame();
        let bytes = codec::encode(&frame);
        let mut body = bytes[HEADER_LEN..].to_vec();
        body.resize(body.len() + extra, 0xee);
        let same = codec::decode_body(bytes[3], &body, MINOR);
        prop_assert_eq!(same, Err(CodecError::Trailing(extra)));
        prop_assert_eq!(codec::decode_body(bytes[3], &body, MINOR + 1), Ok(Some(frame)));
    }
}

/// The one body that grew since: what an older version did not say is taken as 0, and nothing else
/// may be missing.
#[test]
fn an_older_state_ends_before_what_came_later() {
    for frame in (0..200).map(|seed| Random(seed).frame()) {
        let Message::State(state) = &frame.message else { continue };
        let of_1_2 = State { troubles: Troubles::default(), ..State::clone(state) };
        let of_1_1 = State { clock: Wall(0), version: Version::default(), ..of_1_2.clone() };
        let of_1_0 = State { reach: 0, ..of_1_1.clone() };
        for (minor, less, told) in
            [(0, 2 + 8 + 6 + 4, of_1_0), (1, 8 + 6 + 4, of_1_1), (2, 4, of_1_2)]
        {
            let bytes = codec::encode(&frame);
            let old = &bytes[HEADER_LEN..bytes.len() - less];
            let read = Frame { message: Message::State(Box::new(told)), ..frame.clone() };
            assert_eq!(codec::decode_body(bytes[3], old, minor), Ok(Some(read)));
            assert_eq!(codec::decode_body(bytes[3], old, MINOR), Err(CodecError::Truncated));
            for missing in 1..=old.len().min(60) {
                let cut = codec::decode_body(bytes[3], &old[..old.len() - missing], minor);
                assert_eq!(cut, Err(CodecError::Truncated), "{missing} bytes less");
            }
            let grown = [old, &[0; 7]].concat();
            assert_eq!(codec::decode_body(bytes[3], &grown, minor), Err(CodecError::Trailing(7)));
        }
    }
}

#[test]
fn unknown_kinds_are_skipped_from_a_newer_minor_only() {
    assert_eq!(codec::decode_body(0x77, b"??", MINOR), Err(CodecError::Kind(0x77)));
    assert_eq!(codec::decode_body(0x77, b"??", MINOR + 1), Ok(None));
    for connection_kind in [codec::kind::HELLO, 0x02, 0x0f] {
        let refused = Err(CodecError::Kind(connection_kind));
        assert_eq!(codec::decode_body(connection_kind, b"??", MINOR + 1), refused);
    }
}

#[test]
fn a_newer_minors_new_tag_skips_the_frame() {
    let (_, frame) = frames::golden().into_iter().find(|it| it.0 == "denial-not-ready").unwrap();
    let mut bytes = codec::encode(&frame).to_vec();
    bytes[HEADER_LEN + 34 + 8] = 7;
    let error = CodecError::UnknownTag { field: "denial reason", tag: 7 };
    assert_eq!(codec::decode_frame(&bytes), Err(error));
    assert_eq!(codec::decode_body(bytes[3], &bytes[HEADER_LEN..], MINOR + 1), Ok(None));
}

#[test]
fn epochs_above_the_highest_are_refused() {
    let frame = |epoch| Frame {
        message: Message::Held(Held { epoch }),
        ..frames::golden().swap_remove(0).1
    };
    assert!(codec::decode_frame(&codec::encode(&frame(Epoch::MAX))).is_ok());
    let above = Epoch(Epoch::MAX.0 + 1);
    let refused = Err(CodecError::EpochTooHigh(above.0));
    assert_eq!(codec::decode_frame(&codec::encode(&frame(above))), refused);
}

#[test]
fn the_largest_state_fits_into_a_frame() {
    let frame = frames::largest();
    let bytes = codec::encode(&frame);
    assert!(bytes.len() > 30_000 && bytes.len() <= HEADER_LEN + MAX_BODY, "{}", bytes.len());
    assert_eq!(codec::decode_frame(&bytes), Ok(frame));
}

#[test]
fn lists_beyond_their_limit_are_cut_when_written() {
    let mut frame = frames::largest();
    let Message::State(state) = &mut frame.message else { unreachable!() };
    let one_more = state.hears[0];
    state.hears.push(one_more);
    let read = codec::decode_frame(&codec::encode(&frame)).expect("a valid frame");
    assert_eq!(read.state().map(|state| state.hears.len()), Some(256));
}

#[test]
fn a_reason_beyond_its_limit_is_cut_when_written_and_refused_when_read() {
    let frame = |reason: &str| Frame {
        message: Message::Answer(Answer {
            epoch: Epoch(7),
            verdict: Verdict::Failed,
            reason: reason.to_owned(),
        }),
        ..frames::golden().swap_remove(0).1
    };
    let fits = "x".repeat(255);
    assert_eq!(codec::decode_frame(&codec::encode(&frame(&fits))), Ok(frame(&fits)));
    // Two bytes a character: the cut is before the one that does not fit.
    let cut = codec::decode_frame(&codec::encode(&frame(&"\u{e9}".repeat(200))));
    assert_eq!(cut, Ok(frame(&"\u{e9}".repeat(127))));

    let mut long = codec::encode(&frame(&fits)).to_vec();
    long.push(b'x');
    let at = long.len() - 256 - 8;
    long[at..at + 8].copy_from_slice(&256_u64.to_be_bytes());
    let body = (long.len() - HEADER_LEN) as u32;
    long[4..8].copy_from_slice(&body.to_be_bytes());
    assert_eq!(codec::decode_frame(&long), Err(CodecError::Malformed("a text is too long")));
    assert!(decoder::decode(&long).is_err());
    long[at + 8..].fill(0xff);
    assert!(codec::decode_frame(&long).is_err(), "no UTF-8");
}

/// 9 bytes once made a decoder reserve all memory: a length is judged before it is believed.
#[test]
fn giant_lengths_are_refused_without_allocation() {
    let hello = codec::encode_hello(&frames::hello());
    for length in [256, 1 << 20, 1 << 40, u64::MAX] {
        let mut body = hello[HEADER_LEN..].to_vec();
        body[6..14].copy_from_slice(&length.to_be_bytes());
        assert!(codec::decode_hello(&body).is_err(), "a name of {length} bytes");
    }
    let (_, frame) = frames::golden().swap_remove(0);
    let state = codec::encode(&frame);
    // The five list lengths stand before the last 21 bytes of this state.
    let lists = state.len() - 21 - 5 * 8;
    for (list, length) in (0..5).flat_map(|list| [65, 257, 1 << 32, u64::MAX].map(|l| (list, l))) {
        let mut bytes = state.to_vec();
        bytes[lists + list * 8..][..8].copy_from_slice(&length.to_be_bytes());
        assert!(codec::decode_frame(&bytes).is_err(), "list {list} of {length} entries");
    }
}

#[test]
fn addresses_have_one_form() {
    let (_, mut frame) = frames::golden().swap_remove(0);
    frame.node = NodeId { ip: "::ffff:10.0.0.1".parse().unwrap(), port: 6390 };
    let read = codec::decode_frame(&codec::encode(&frame)).expect("a valid frame");
    assert_eq!(read.node, NodeId::new("10.0.0.1".parse().unwrap(), 6390));
}
