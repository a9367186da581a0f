//! The fuzz targets (`tests/fuzz`) on stable: over the inputs in `tests/corpus`, and over damaged ones.
//! The damage is the same in every run.

#[path = "fuzz/targets/proxy.rs"]
#[allow(dead_code, unused_imports)]
mod proxy;
#[path = "support/rng.rs"]
mod rng;
#[path = "fuzz/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rng::Rng;

type Target = fn(&[u8]);

/// All targets, and how many damaged inputs each gets: fewer where each one is a connection.
const TARGETS: [(&str, Target, usize); 7] = [
    ("config", targets::config, 1_000),
    ("frames", targets::frames, 20_000),
    ("handshake", targets::handshake, 2_000),
    ("http", targets::http, 2_000),
    ("info", targets::info, 5_000),
    ("replies", targets::replies, 20_000),
    ("requests", targets::requests, 20_000),
];
/// Values that numbers of formats turn over at.
const EDGES: [u8; 8] = [0, 1, 0x10, 0x7f, 0x80, 0xff, b'\r', b'\n'];

macro_rules! replayed {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            let wanted = stringify!($name);
            let (_, target, damaged) = TARGETS.iter().find(|it| it.0 == wanted).expect(wanted);
            replay(wanted, *target, *damaged);
        })*

        /// Nothing is left out, neither here nor for fuzzing.
        #[test]
        fn every_target_has_inputs_and_every_input_a_target() {
            let known: BTreeSet<String> = TARGETS.iter().map(|it| it.0.to_owned()).collect();
            assert_eq!(known, [$(stringify!($name).to_owned()),*].into());
            assert_eq!(known, names("tests/corpus"));
            assert_eq!(known, names("tests/fuzz/fuzz_targets"));
            let manifest = std::fs::read_to_string(root("tests/fuzz/Cargo.toml")).unwrap();
            for name in known {
                assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            }
        }
    };
}

replayed!(config, frames, handshake, http, info, replies, requests);

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The names in a directory, without endings; hidden ones do not count.
fn names(directory: &str) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let all = std::fs::read_dir(root(directory)).unwrap().map(name);
    all.filter(|name| !name.starts_with('.')).collect()
}

/// Every input whole, then damaged ones.
fn replay(name: &str, target: Target, damaged: usize) {
    let directory = format!("tests/corpus/{name}");
    let inputs: Vec<(String, Vec<u8>)> = names(&directory)
        .into_iter()
        .map(|file| {
            let bytes = std::fs::read(root(&directory).join(&file)).unwrap();
            (file, bytes)
        })
        .collect();
    for (file, input) in &inputs {
        run(target, file, input);
    }
    let mut rng = Rng::new(1);
    for _ in 0..damaged {
        let (file, input) = &inputs[rng.below(inputs.len())];
        let (_, other) = &inputs[rng.below(inputs.len())];
        run(target, &format!("{file}, damaged"), &damage(input.clone(), other, &mut rng));
    }
}

/// Tells the input if the target panics.
fn run(target: Target, what: &str, input: &[u8]) {
    struct Input<'a>(&'a str, &'a [u8]);
    impl Drop for Input<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input, {}: {:?}", self.0, self.1.escape_ascii().to_string());
            }
        }
    }
    let _input = Input(what, input);
    target(input);
}

/// One to four changes: bytes that are other ones, that are gone, that are there twice, or that
/// come from another input.
fn damage(mut bytes: Vec<u8>, other: &[u8], rng: &mut Rng) -> Vec<u8> {
    for _ in 0..rng.between(1, 5) {
        let at = rng.below(bytes.len() + 1);
        let len = rng.below(16.min(bytes.len() - at) + 1);
        match rng.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = EDGES[rng.below(EDGES.len())],
            2 => bytes.insert(at, rng.next() as u8),
            3 => _ = bytes.drain(at..at + len),
            4 => {
                let again = bytes[at..at + len].to_vec();
                bytes.splice(at..at, again);
            }
            5 => bytes.truncate(at),
            _ => {
                let from = rng.below(other.len() + 1);
                let to = from + rng.below(other.len() - from + 1);
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}
