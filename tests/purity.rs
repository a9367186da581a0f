//! The election core compiles without `std`, and would not if anything impure entered it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MOUNT: &str = include_str!("purity/lib.rs");

/// A directory of this test's own; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory in target/");
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn election() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/election")
}

fn compile(root: &Path, out: &Path) -> Output {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "purity"])
        .args(["--emit=metadata", "-Awarnings", "--out-dir"])
        .args([out, root])
        .output()
        .expect("rustc is there")
}

/// Mounts a copy of the core with a line put in front of one of its files, and compiles that.
fn compile_with(planted: &str) -> Output {
    let scratch = Scratch::new(&format!("planted-{}", planted.len()));
    let copy = scratch.0.join("election");
    copy_tree(&election(), &copy);
    let file = copy.join("types.rs");
    let text = std::fs::read_to_string(&file).expect("types.rs");
    // Inner documentation must stay in front of everything.
    std::fs::write(&file, format!("{text}\nmod planted {{ {planted} }}\n")).expect("a copy");
    let root = scratch.0.join("lib.rs");
    let mount = MOUNT.replace("../../src/election/mod.rs", "election/mod.rs");
    assert_ne!(mount, MOUNT, "the mount names the core by its path");
    std::fs::write(&root, mount).expect("a copy");
    compile(&root, &scratch.0)
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_core_needs_no_standard_library() {
    let scratch = Scratch::new("pure");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/purity/lib.rs");
    let output = compile(&root, &scratch.0);
    assert!(output.status.success(), "src/election/ is no longer pure:\n{}", told(&output));
}

/// The same compilation refuses whatever must stay out, and only because of it.
#[test]
fn nothing_impure_can_enter() {
    let harmless = compile_with("pub use core::time::Duration;");
    assert!(harmless.status.success(), "the copy itself compiles:\n{}", told(&harmless));
    for planted in [
        "pub use std::time::Instant;",
        "pub use std::collections::HashMap;",
        "pub use std::net::TcpStream as Stream;",
        "pub use tokio::sync::mpsc::Sender;",
        "pub use crate::proxy::Everything as Any;",
    ] {
        let output = compile_with(planted);
        assert!(!output.status.success(), "`{planted}` was let in");
        let why = told(&output);
        let named = ["std", "tokio", "proxy"].iter().any(|word| why.contains(&format!("`{word}`")));
        assert!(named, "`{planted}` must be the reason:\n{why}");
    }
}
