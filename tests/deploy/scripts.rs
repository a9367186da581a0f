//! Shell scripts pass shellcheck.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::tools::{root, run, tool};

/// Functions that are called by a name put together are no dead code.
const EXCLUDED: &str = "--exclude=SC2329";

/// Every file of the project that starts with `#!` and names a shell.
fn scripts() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = listed.expect("git lists the files").stdout;
    let names = String::from_utf8(listed).expect("names are text");
    let is_shell = |path: &PathBuf| {
        let text = std::fs::read(path).unwrap_or_default();
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"#!") && first.ends_with(b"sh")
    };
    names.split_terminator('\0').map(|name| root().join(name)).filter(is_shell).collect()
}

fn shellcheck(program: &PathBuf, script: &[u8]) -> Output {
    run(Command::new(program).args([EXCLUDED, "-"]), script)
}

#[test]
fn all_scripts_pass_shellcheck() {
    let Some(program) = tool("shellcheck") else { return };
    let scripts = scripts();
    assert!(
        scripts.contains(&root().join("deploy/local/install")),
        "scripts are found: {scripts:?}"
    );
    let output = run(Command::new(program).arg(EXCLUDED).args(scripts), b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn shellcheck_sees_a_fault() {
    let Some(program) = tool("shellcheck") else { return };
    let output = shellcheck(&program, b"#!/bin/sh\nrm -rf $1/*\n");
    assert!(!output.status.success(), "an unquoted variable passes");
}
