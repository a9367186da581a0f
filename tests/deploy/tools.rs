//! The programs that `tests/tools` installs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program of this name (a line of what `tests/tools` prints), or `None` after saying loudly
/// that the test is skipped. Where `CI` is `true`, a missing one fails the test.
pub fn tool(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("HIVE_TOOLS_DIR").map_or(root().join("target/tools"), PathBuf::from);
    let path = dir.join(name);
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{name} is missing: run tests/tools");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// Runs a command to its end with this on its standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // A thread of its own: the command may fill its output before it has read all.
    let writing = std::thread::spawn(move || {
        // Who does not read its input closes it early.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("the input is written");
    output
}

/// What a command that succeeded printed.
///
/// # Panics
///
/// It failed.
pub fn stdout(command: &mut Command, input: &[u8]) -> String {
    let output = run(command, input);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
