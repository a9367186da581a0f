//! The image: what is in it, who it runs as, and that anybody builds the same one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::tools::{root, run};
use super::engine::{self, Engine};
use super::images::{self, FOLDER};

const NAME: &str = "localhost/redis-hive:test";
/// Bytes, the image's budget.
const MOST: u64 = 15_000_000;

fn inspect(engine: &Engine, name: &str) -> Value {
    let text = engine.podman(&["image", "inspect", name]);
    let list: Value = serde_json::from_str(&text).expect("JSON");
    list[0].clone()
}

/// All files of an image.
fn files(engine: &Engine, name: &str) -> Vec<PathBuf> {
    let top = PathBuf::from(engine.podman(&["image", "mount", name]));
    let (mut open, mut found) = (vec![top.clone()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// Whether an executable names a loader of libraries (`PT_INTERP`), which a static one has not.
fn is_dynamic(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, size: usize| {
        let bytes = program.get(at..at + size).expect("a whole header");
        bytes.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert!(program.starts_with(b"\x7fELF\x02\x01"), "64 bits, little end first");
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!(count > 0, "it can be loaded");
    (0..count).any(|header| number(start + header * size, 4) == PT_INTERP as usize)
}

fn mentions(program: &[u8], words: &str) -> bool {
    program.windows(words.len()).any(|part| part == words.as_bytes())
}

fn assert_locked(image: &Value) {
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/redis-hive"]));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str();
    assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(label("licenses"), Some(env!("CARGO_PKG_LICENSE")));
    assert_eq!(label("description"), Some(env!("CARGO_PKG_DESCRIPTION")));
    assert!(label("title").is_some() && label("revision").is_some());
    let exposed = config["ExposedPorts"].as_object().expect("ports").keys();
    let exposed: Vec<&str> = exposed.map(String::as_str).collect();
    assert_eq!(exposed, ["6380/tcp", "6381/tcp", "6390/tcp", "6391/tcp"]);
}

#[test]
fn the_image_is_one_small_static_program() {
    let test = "real::dockerfile::the_image_is_one_small_static_program";
    let Some(engine) = engine::inside(test) else { return };
    images::redis(&engine, "localhost/redis:test");
    images::hive(&engine, NAME, FOLDER);
    let image = inspect(&engine, NAME);
    let size = image["Size"].as_u64().expect("a number");
    println!("the image has {size} bytes");
    assert!(size <= MOST, "{size} bytes");
    assert_locked(&image);

    let found = files(&engine, NAME);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].file_name().and_then(|name| name.to_str()), Some("redis-hive"));
    let program = std::fs::read(&found[0]).expect("the program");
    assert!(!is_dynamic(&program));
    assert!(is_dynamic(&std::fs::read("/bin/sh").expect("a shell")), "a dynamic one is told apart");
    for place in ["/cargo/registry", "/src/src", "/rust/lib"] {
        assert!(!mentions(&program, place), "it names {place}");
    }
    assert!(mentions(&program, "src/main.rs") || mentions(&program, "src/node"), "paths are found");

    // Nothing of the first build is left but what cargo keeps.
    images::hive(&engine, "localhost/redis-hive:again", FOLDER);
    assert_eq!(inspect(&engine, "localhost/redis-hive:again")["Id"], image["Id"]);
    assert_runs(&engine);
    if std::env::var_os("HIVE_IMAGE_TWICE").is_some() {
        assert_built_alike(&engine, &program);
    }
}

/// It runs with nothing at all: no network, no rights, no file but its own.
fn assert_runs(engine: &Engine) {
    let mut command = engine.command("podman");
    command.args(["run", "--rm", "--pull=never", "--network=none", "--read-only"]);
    command.args(["--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"]);
    let output = run(command.args([NAME, "--version"]), b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), concat!("redis-hive ", env!("CARGO_PKG_VERSION")));
}

/// Everything is compiled once more, which takes minutes: only with `HIVE_IMAGE_TWICE`.
fn assert_built_alike(engine: &Engine, program: &[u8]) {
    let folder = "image-again";
    // There is none after a good run.
    let _ = std::fs::remove_dir_all(root().join("target").join(folder));
    images::hive(engine, "localhost/redis-hive:twice", folder);
    let again = files(engine, "localhost/redis-hive:twice");
    assert!(std::fs::read(&again[0]).expect("the program") == program, "two builds differ");
    std::fs::remove_dir_all(Path::new(root()).join("target").join(folder)).expect("it is there");
}
