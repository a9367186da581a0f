//! What is rendered fits the schemas of Kubernetes, unknown fields refused.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use super::render;
use super::tools::{run, tool};

/// The first with native sidecars, one of the middle, the newest there is a schema of.
pub const VERSIONS: [&str; 3] = ["1.29", "1.33", "1.37"];
/// For clusters before native sidecars.
pub const OLD_VERSIONS: [&str; 2] = ["1.25", "1.28"];

/// Holds manifests against the schemas of one version.
pub fn validate(version: &str, manifests: &str) -> Option<Output> {
    let program = tool("kubernetes-validate")?;
    let file = std::env::temp_dir().join(format!(
        "redis-hive-{}-{:?}.yaml",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&file, manifests).expect("a file");
    let output = run(Command::new(program).args(["--strict", "-k", version]).arg(&file), b"");
    std::fs::remove_file(file).expect("it is there");
    Some(output)
}

/// The objects of all these texts, each once: most are the same in many, and looking at one takes long.
pub fn distinct<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let documents: BTreeSet<&str> =
        texts.into_iter().flat_map(|text| text.trim_end().split("\n---\n")).collect();
    documents.into_iter().collect::<Vec<_>>().join("\n---\n")
}

#[test]
fn everything_fits_three_versions_of_kubernetes() {
    let Some(all) = render::all() else { return };
    let manifests = distinct(all.iter().map(|rendered| rendered.text.as_str()));
    for version in VERSIONS {
        let Some(output) = validate(version, &manifests) else { return };
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_overlay_for_old_clusters_fits_old_versions() {
    let Some(rendered) = render::get("overlays/old-clusters") else { return };
    for version in OLD_VERSIONS {
        let Some(output) = validate(version, &rendered.text) else { return };
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let Some(native) = render::get("base") else { return };
    let Some(output) = validate("1.25", &native.text) else { return };
    assert!(!output.status.success(), "a native sidecar fits 1.25");
}

#[test]
fn an_unknown_field_and_a_wrong_type_are_refused() {
    let Some(base) = render::get("base") else { return };
    let faults =
        [("enableServiceLinks:", "enableServiceLink:"), ("replicas: 3", "replicas: three")];
    for (right, wrong) in faults {
        assert!(base.text.contains(right), "{right}");
        let Some(output) = validate(VERSIONS[2], &base.text.replace(right, wrong)) else { return };
        assert!(!output.status.success(), "{wrong} passes");
    }
}
