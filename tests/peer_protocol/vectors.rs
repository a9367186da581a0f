//! The golden frames of `proto/vectors/`, byte for byte in both directions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use redis_hive::peer::codec::{self, HEADER_LEN};

use crate::decoder::{self, Decoded};
use crate::frames;

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
    let file = folder().join(format!("{name}.txt"));
    if std::env::var_os(WRITE).is_some() {
        let (_, dump) = decoder::decode(encoded).expect("own frame");
        std::fs::write(&file, dump).expect("the file is written");
    }
    let text = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{name}.txt is missing"));
    (bytes(&text), text)
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
