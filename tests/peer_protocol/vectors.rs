//! The golden frames of `proto/vectors/`, byte for byte in both directions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use redis_hive::peer::codec::{self, HEADER_LEN};

use crate::decoder::{self, Decoded};
use crate::frames;
use crate::noise::{ANSWER, FIRST, Setting, next_frame, pack};

/// Set, the files are written anew from the frames in this test: for a new version of the
/// protocol, and never to make a failing test pass.
const WRITE: &str = "HIVE_WRITE_VECTORS";

#[test]
fn golden_frames_are_the_same_bytes_in_both_directions() {
    for (name, frame) in frames::golden() {
        let (bytes, text) = golden(name, &codec::encode(&frame));
        assert_eq!(codec::encode(&frame), bytes, "{name}: encoding");
        assert_eq!(codec::decode_frame(&bytes), Ok(frame.clone()), "{name}: decoding");
        let (second, dump) = decoder::decode(&bytes).expect(name);
        assert_eq!(second, Decoded::Frame(Box::new(frame)), "{name}: the second decoder");
        assert_eq!(dump, text, "{name}: the description");
    }
}

#[test]
fn the_golden_hello_is_the_same_bytes_in_both_directions() {
    let hello = frames::hello();
    let (bytes, text) = golden("hello", &codec::encode_hello(&hello));
    assert_eq!(codec::encode_hello(&hello), bytes);
    assert_eq!(codec::decode_hello(&bytes[HEADER_LEN..]), Ok(hello.clone()));
    let (second, dump) = decoder::decode(&bytes).expect("hello");
    assert_eq!(second, Decoded::Hello(hello));
    assert_eq!(dump, text);
}

/// The seal: fixed ephemeral keys, the golden hello, and the end.
#[test]
fn the_golden_seal_is_the_same_bytes_from_the_specification() {
    let hello = codec::encode_hello(&frames::hello());
    let golden = |name: &str, parts: &[(&[u8], &str)]| {
        let mut at = 0;
        let mut lines = String::new();
        for (bytes, what) in parts {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            lines += &format!("{at:04x}  {digits:<40}  {what}\n");
            at += bytes.len();
        }
        assert_eq!(file(name, &lines), lines, "{name}");
    };
    let name = frames::hello().name;
    let example = Setting { name: &name, ..Setting::of("an-example-and-no-secret") };
    let setting = |key| Setting { ephemeral: Some(key), ..example };
    let mut here = setting(&[1; 32]).handshake(true);
    let mut there = setting(&[2; 32]).handshake(false);
    let frame = |name: &str, kind: u8, frame: &[u8]| {
        let kind_line = format!("kind {kind}");
        golden(
            name,
            &[
                (&frame[..2], "magic 21064"),
                (&frame[2..3], "major version 1"),
                (&frame[3..4], &kind_line),
                (&frame[4..8], "length of the body 48"),
                (&frame[8..40], "public key"),
                (&frame[40..], "tag"),
            ],
        );
    };
    let record = |name: &str, what: &str, record: &[u8]| {
        let (length, sealed) = record.split_at(2);
        let (content, tag) = sealed.split_at(sealed.len() - 16);
        let length_line = format!("length of the record {}", sealed.len());
        let parts = [(length, length_line.as_str()), (content, what), (tag, "tag")];
        let present = parts.into_iter().filter(|(bytes, _)| !bytes.is_empty());
        golden(name, &present.collect::<Vec<_>>());
    };
    let first = next_frame(&mut here, FIRST);
    frame("seal", FIRST, &first);
    there.read_message(&first[8..], &mut []).expect("the same secret");
    let answer = next_frame(&mut there, ANSWER);
    frame("sealed", ANSWER, &answer);
    here.read_message(&answer[8..], &mut []).expect("the same secret");
    let mut here = here.into_transport_mode().expect("keys");
    record("record-hello", "the hello of hello.txt, encrypted", &pack(&mut here, &hello));
    record("record-end", "", &pack(&mut here, &[]));
}

/// A file nobody checks is worse than none.
#[test]
fn every_file_belongs_to_a_golden_frame() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("proto/vectors")
        .map(|entry| entry.expect("an entry").path())
        // Those of older versions have tests of their own.
        .filter(|path| path.is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    let mut names: BTreeSet<String> =
        frames::golden().iter().map(|(name, _)| format!("{name}.txt")).collect();
    names.insert("hello.txt".into());
    names.insert("refused.txt".into());
    names.extend(["seal", "sealed", "record-hello", "record-end"].map(|it| format!("{it}.txt")));
    assert_eq!(files, names);
}

/// `refused.txt`: a name, the bytes, and nothing that may be accepted.
#[test]
fn refused_vectors_are_refused_by_both_decoders() {
    let cases = refused(&folder());
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for (name, bytes) in cases {
        let hello = bytes.get(3) == Some(&codec::kind::HELLO);
        let refused = if hello {
            codec::decode_hello(&bytes[HEADER_LEN..]).is_err()
        } else {
            codec::decode_frame(&bytes).is_err()
        };
        assert!(refused, "{name} was accepted");
        assert!(decoder::decode(&bytes).is_err(), "{name} was accepted by the second decoder");
    }
}

/// The bytes and the text of a golden file, which is written first where that is asked for.
fn golden(name: &str, encoded: &[u8]) -> (Vec<u8>, String) {
    let (_, dump) = decoder::decode(encoded).expect("own frame");
    let text = file(name, &dump);
    (bytes(&text), text)
}

/// The text of a golden file, which is written first where that is asked for.
fn file(name: &str, wanted: &str) -> String {
    let file = folder().join(format!("{name}.txt"));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, wanted).expect("the file is written");
    }
    std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{name}.txt is missing"))
}

/// The frame that a golden file shows.
pub fn bytes(text: &str) -> Vec<u8> {
    text.lines().filter_map(|line| line.split_whitespace().nth(1)).flat_map(hex).collect()
}

/// What `refused.txt` of a folder holds: what is wrong, and the bytes.
pub fn refused(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(folder.join("refused.txt")).expect("refused.txt");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.rsplit_once(": ").expect(line))
        .map(|(name, digits)| (name.to_owned(), hex(digits)))
        .collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| std::str::from_utf8(pair).expect("hexadecimal digits"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

/// Where the golden frames are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("proto/vectors")
}
