//! Renders what is in `deploy/kubernetes` as `kubectl apply -k` would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::tools::{root, stdout, tool};

/// What one kustomization makes.
#[derive(Clone)]
pub struct Rendered {
    /// Its folder, below `deploy/kubernetes`.
    pub name: String,
    /// As text, as it goes to the cluster.
    pub text: String,
    /// The same, parsed.
    pub objects: Vec<Value>,
}

/// Parses a stream of YAML documents as Kubernetes does: YAML 1.1, where `on` is no text. The loader in C
/// reads the same and takes a third of the time.
pub fn parse_yaml(text: &str) -> Option<Vec<Value>> {
    const PARSE: &str = "import json, sys, yaml\n\
        loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)\n\
        found = yaml.load_all(sys.stdin, loader)\n\
        json.dump([d for d in found if d is not None], sys.stdout)";
    let python = tool("venv/bin/python")?;
    let json = stdout(Command::new(python).args(["-c", PARSE]), text.as_bytes());
    Some(serde_json::from_str(&json).expect("JSON"))
}

/// The base and every overlay, or `None` where there is no kubectl.
pub fn all() -> Option<&'static [Rendered]> {
    static ALL: OnceLock<Option<Vec<Rendered>>> = OnceLock::new();
    let render_all = || folders().iter().map(|folder| render(folder)).collect();
    ALL.get_or_init(render_all).as_deref()
}

/// What the kustomization in this folder makes.
pub fn get(name: &str) -> Option<&'static Rendered> {
    let all = all()?;
    Some(all.iter().find(|rendered| rendered.name == name).unwrap_or_else(|| panic!("no {name}")))
}

/// The objects of this kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The objects that make pods.
pub fn workloads(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["spec"]["template"].is_object())
}

/// All containers of a workload, those that start first included.
pub fn containers(workload: &Value) -> impl Iterator<Item = &Value> {
    let spec = &workload["spec"]["template"]["spec"];
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().map(Vec::as_slice).unwrap_or_default())
}

/// Takes the hash off a name that kustomize gave to a ConfigMap: ten of the characters it writes
/// hashes with.
pub fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((start, hash))
            if hash.len() == 10 && hash.chars().all(|c| "bcdfghkmt2456789".contains(c)) =>
        {
            start
        }
        _ => name,
    }
}

/// What the ConfigMap of this name holds; the name may lack its hash.
pub fn config_map<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let is_it = |map: &&Value| {
        let full = map["metadata"]["name"].as_str().unwrap_or_default();
        full == name || without_hash(full) == name
    };
    let found = of_kind(objects, "ConfigMap").find(is_it);
    &found.unwrap_or_else(|| panic!("no ConfigMap {name}"))["data"]
}

fn kustomize(program: &str, folder: &Path) -> Option<String> {
    Some(stdout(Command::new(tool(program)?).arg("kustomize").arg(folder), b""))
}

/// What an overlay makes with further components, each a name.
pub fn with_components(overlay: &str, components: &[&str]) -> Option<Vec<Value>> {
    let dir = std::env::temp_dir().join(format!("redis-hive-components-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    // kustomize takes relative paths only.
    std::os::unix::fs::symlink(base(), dir.join("kubernetes")).expect("a link");
    let at = |name: &&str| format!("kubernetes/components/{name}");
    let text = json!({
        "resources": [format!("kubernetes/{overlay}")],
        "components": components.iter().map(at).collect::<Vec<_>>(),
    });
    std::fs::write(dir.join("kustomization.yaml"), text.to_string()).expect("a file");
    let made = kustomize("kubectl-1.37", &dir);
    std::fs::remove_dir_all(&dir).expect("it is there");
    parse_yaml(&made?)
}

fn render(folder: &Path) -> Option<Rendered> {
    let text = kustomize("kubectl-1.37", folder)?;
    let objects = parse_yaml(&text)?;
    let name = folder.strip_prefix(base()).expect("below the base").display().to_string();
    Some(Rendered { name, text, objects })
}

fn base() -> PathBuf {
    root().join("deploy/kubernetes")
}

/// Every folder that is applied: the base and what is below `overlays`.
fn folders() -> Vec<PathBuf> {
    let mut found = vec![base().join("base")];
    let mut open = vec![base().join("overlays")];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder");
        open.extend(
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()),
        );
        if folder.join("kustomization.yaml").exists() {
            found.push(folder);
        }
    }
    found.sort();
    found
}

#[test]
fn every_overlay_is_there() {
    let Some(all) = all() else { return };
    let names: Vec<&str> = all.iter().map(|rendered| rendered.name.as_str()).collect();
    for name in [
        "base",
        "overlays/minimal",
        "overlays/monitoring",
        "overlays/multi-site/site-a",
        "overlays/multi-site/site-b",
        "overlays/multi-site/site-c",
        "overlays/old-clusters",
        "overlays/read-through-hive",
        "overlays/scrape-annotations",
        "overlays/sentinel",
        "overlays/statefulset",
        "overlays/strict",
        "overlays/tls",
        "overlays/two-and-witness",
    ] {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
}

#[test]
fn an_older_kustomize_renders_the_same() {
    let Some(all) = all() else { return };
    for rendered in all {
        let Some(older) = kustomize("kubectl-1.33", &base().join(&rendered.name)) else { return };
        assert_eq!(older, rendered.text, "{}", rendered.name);
    }
}

/// The pods wait for a Secret that somebody made on purpose.
#[test]
fn no_secret_is_rendered() {
    let Some(all) = all() else { return };
    for rendered in all {
        assert_eq!(of_kind(&rendered.objects, "Secret").count(), 0, "{}", rendered.name);
    }
}

/// The example names the keys that pods mount.
#[test]
fn the_example_secret_has_the_keys_that_are_mounted() {
    let path = base().join("base/secret.example.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    let Some(example) = parse_yaml(&text) else { return };
    let Some(rendered) = get("overlays/two-and-witness") else { return };
    for workload in workloads(&rendered.objects) {
        let volumes = workload["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes");
        for secret in volumes.iter().map(|volume| &volume["secret"]).filter(|s| s.is_object()) {
            assert_eq!(secret["secretName"], example[0]["metadata"]["name"]);
            for item in secret["items"].as_array().expect("only the keys it needs") {
                let key = item["key"].as_str().expect("a key");
                assert!(example[0]["stringData"][key].is_string(), "the example lacks {key}");
            }
        }
    }
}
