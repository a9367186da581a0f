//! Shell scripts pass shellcheck, Dockerfiles hadolint.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::render;
use super::tools::{root, run, tool};

/// Functions that are called by a name put together are no dead code.
const EXCLUDED: &str = "--exclude=SC2329";

/// Every file of the project.
pub fn files() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = listed.expect("git lists the files").stdout;
    let names = String::from_utf8(listed).expect("names are text");
    names.split_terminator('\0').map(|name| root().join(name)).collect()
}

/// Those that start with `#!` and name a shell.
fn scripts() -> Vec<PathBuf> {
    let is_shell = |path: &PathBuf| {
        let text = std::fs::read(path).unwrap_or_default();
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"#!") && first.ends_with(b"sh")
    };
    files().into_iter().filter(is_shell).collect()
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

/// What stands in the ConfigMaps is what was checked as files.
#[test]
fn rendered_scripts_are_files_of_the_project() {
    let Some(program) = tool("shellcheck") else { return };
    let Some(all) = render::all() else { return };
    let files: Vec<String> =
        scripts().into_iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let mut seen = 0;
    for rendered in all {
        let maps = render::of_kind(&rendered.objects, "ConfigMap");
        let entries = maps.filter_map(|map| map["data"].as_object()).flatten();
        for (name, script) in entries.filter(|(name, _)| name.ends_with(".sh")) {
            let script = script.as_str().expect("text");
            assert!(files.iter().any(|file| file == script), "{}: {name}", rendered.name);
            let output = shellcheck(&program, script.as_bytes());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            seen += 1;
        }
    }
    assert!(seen > all.len(), "every overlay has a script, one has two: {seen}");
}

#[test]
fn all_dockerfiles_pass_hadolint() {
    let Some(program) = tool("hadolint") else { return };
    let is_dockerfile = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("Dockerfile"))
    };
    let found: Vec<PathBuf> = files().into_iter().filter(is_dockerfile).collect();
    assert!(!found.is_empty(), "Dockerfiles are found");
    let output = run(Command::new(&program).args(found), b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let faulty = run(Command::new(program).arg("-"), b"FROM debian\nRUN cd /tmp\n");
    assert!(!faulty.status.success(), "a missing tag passes");
}
