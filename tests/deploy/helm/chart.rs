//! The chart, and what the two Helms make of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::render::parse_yaml;
use crate::tools::{root, run, tool};

/// The name of the release: with it objects have the names that kustomize gives them.
pub const RELEASE: &str = "redis-hive";

/// A Kubernetes with native sidecars.
pub const KUBERNETES: &str = "1.33.0";

/// Where the chart is.
pub fn dir() -> PathBuf {
    root().join("deploy/helm/redis-hive")
}

/// A file of the chart.
///
/// # Panics
///
/// There is none of this name.
pub fn file(name: &str) -> String {
    let path = dir().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Helm that the chart is held against: the last one of version 3, and 4. What is missing is
/// told and left out, see [`tool`].
pub fn helms() -> Vec<PathBuf> {
    ["helm-3", "helm-4"].into_iter().filter_map(tool).collect()
}

/// What Helm renders of the chart with these values for this version of Kubernetes.
///
/// # Errors
///
/// What Helm says when it refuses them.
pub fn render(helm: &Path, values: &str, kubernetes: &str) -> Result<String, String> {
    render_as([RELEASE, "default"], helm, values, kubernetes)
}

/// As [`render`], for a release of this name in this namespace.
///
/// # Errors
///
/// What Helm says when it refuses them.
pub fn render_as(
    [release, namespace]: [&str; 2],
    helm: &Path,
    values: &str,
    kubernetes: &str,
) -> Result<String, String> {
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(dir()).args(["--values", "-"]);
    command.args(["--namespace", namespace, "--kube-version", kubernetes]);
    let output = run(&mut command, values.as_bytes());
    let text = |bytes| String::from_utf8(bytes).expect("Helm writes text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// As [`render`], of values that are right.
///
/// # Panics
///
/// Helm refuses them.
pub fn rendered(helm: &Path, values: &str, kubernetes: &str) -> String {
    render(helm, values, kubernetes).unwrap_or_else(|error| panic!("{values}\n{error}"))
}

/// As [`rendered`], parsed.
pub fn objects(helm: &Path, values: &str, kubernetes: &str) -> Vec<Value> {
    parse_yaml(&rendered(helm, values, kubernetes))
        .expect("there is a parser where there is a Helm")
}

/// The examples of values, each with its name; the defaults are `("defaults", "")`.
pub fn examples() -> Vec<(String, String)> {
    let mut found = vec![("defaults".to_owned(), String::new())];
    for entry in std::fs::read_dir(dir().join("examples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        found.push((name, std::fs::read_to_string(path).expect("an example is text")));
    }
    found.sort();
    found
}

/// Values that turn on all that the chart can do, for checks of what comes out.
pub const EVERYTHING: &str = include_str!("everything.yaml");
