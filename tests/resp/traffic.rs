//! Real traffic (`traffic/README.md`), cut at every place.

use std::path::{Path, PathBuf};

use super::compare::{self, Piece};
use super::simple::{self, Stop};

const ALL_SEEN: bool = false;

/// The files of the corpus whose names end like this.
fn files(ending: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resp/traffic");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(ending) {
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no files in {directory:?}");
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// All ways to cut these bytes in two, and all equal pieces that are short.
fn splits(bytes: usize) -> impl Iterator<Item = Vec<Piece>> {
    let piece = |bytes| Piece { bytes, unseen: ALL_SEEN };
    (1..=bytes)
        .map(move |first| vec![piece(first), piece(bytes)])
        .chain((1..=64).map(move |bytes| vec![piece(bytes)]))
}

#[test]
fn replies_are_found_wherever_it_is_cut() {
    for (path, replies) in files(".replies") {
        let wanted = simple::replies(&replies);
        for pieces in splits(replies.len()) {
            compare::replies_are(&wanted, &replies, &pieces);
        }
        let in_exec = name(&path).contains("in-exec");
        let stop = if in_exec { Stop::Lost } else { Stop::Part(0) };
        assert_eq!(wanted.1, stop, "{path:?}");
    }
}

#[test]
fn requests_are_found_wherever_it_is_cut() {
    for (path, requests) in files(".requests") {
        let wanted = simple::requests(&requests);
        for pieces in splits(requests.len()) {
            compare::requests_are(&wanted, &requests, &pieces);
        }
        assert_eq!(wanted.1, Stop::Part(0), "{path:?}");
    }
}

/// The account that the data plane keeps: what has words gets a reply, and nothing else does.
#[test]
fn every_request_with_words_has_a_reply() {
    let whole = [Piece { bytes: usize::MAX / 2, unseen: ALL_SEEN }];
    for (path, replies) in files(".replies") {
        if !name(&path).starts_with("all-") {
            continue;
        }
        let sent = path.with_file_name(format!("{}.requests", &name(&path)[.."all-resp2".len()]));
        let requests = std::fs::read(sent).unwrap();
        let sent = compare::requests(&requests, &whole);
        assert!(sent > 100);
        assert_eq!(compare::replies(&replies, &whole), sent, "{path:?}");
    }
}

/// Another reader than ours: a frame is a value for it, and without its last byte it is none.
#[test]
fn the_redis_crate_ends_replies_at_the_same_places() {
    for (path, replies) in files(".replies") {
        let mut begin = 0;
        for found in simple::replies(&replies).0 {
            let frame = &replies[begin..found.end];
            let text = frame.escape_ascii();
            assert!(redis::parse_redis_value(frame).is_ok(), "{path:?}: {text}");
            let short = redis::parse_redis_value(&frame[..frame.len() - 1]);
            assert!(short.is_err(), "{path:?}: {text}");
            begin = found.end;
        }
        assert!(begin > 0);
    }
}
