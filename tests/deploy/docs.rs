//! Commands in documents: those that need no cluster are run, all others say what they need.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::markdown::{Block, Document, blocks, documents};
use super::scripts::files;
use super::support::servers::{Server, binary};
use super::tools::{root, run, tool};

/// What a block of commands may say behind `sh`: it is run by this test, needs a cluster, or starts or
/// changes something on the reader's machine.
const NEEDS: [&str; 3] = ["run", "cluster", "machine"];

/// Keys in the server whose data the documents move.
const KEYS: usize = 450;
/// What that server and the new one ask for.
const PASSWORDS: [&str; 2] = [r#"the "old" \n one"#, r#"the\\ "new" $one"#];
/// What makes an argument of a secret: everybody on the machine can read those.
const ARGUMENTS: [&str; 4] = ["--from-literal", "AUTH \"$", "--pass ", "requirepass \"$"];

/// The blocks of commands in a document.
fn commands(document: &Document) -> Vec<Block<'_>> {
    let shell = |block: &Block<'_>| {
        matches!(block.info.split(' ').next(), Some("sh" | "bash" | "shell" | "console"))
    };
    blocks(&document.text).into_iter().filter(shell).collect()
}

/// What is wrong with a block, without running it.
fn fault(block: &Block<'_>) -> Option<String> {
    let need = block.info.strip_prefix("sh ").unwrap_or_default();
    if !NEEDS.contains(&need) {
        return Some(format!("`{}`: say `sh run`, `sh cluster` or `sh machine`", block.info));
    }
    let read = run(Command::new("bash").args(["-n", "-s"]), block.text.as_bytes());
    if !read.status.success() {
        return Some(String::from_utf8_lossy(&read.stderr).into_owned());
    }
    let words = block.text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
    let mut paths = words.map(|word| word.split('=').next_back().unwrap_or(word));
    let missing = paths.find(|word| word.starts_with("deploy/") && !exists(word));
    missing.map(|path| format!("there is no {path}"))
}

/// Whether this path, as far as it names no variable, or object of a cluster exists.
fn exists(path: &str) -> bool {
    let known = path.split('$').next().unwrap_or_default();
    path == "deploy/redis-hive" || root().join(known).exists()
}

/// A folder as a reader has it who has cloned the project, with nothing but its `deploy` in it.
struct Place {
    dir: PathBuf,
    path: String,
    old: Server,
    new: Server,
}

impl Place {
    /// `None` where a program is missing, which is said loudly.
    fn new(name: &str) -> Option<Place> {
        let redis = binary("redis-system")?;
        let (kubectl, helm) = (tool("kubectl-1.37")?, tool("helm-4")?);
        let dir =
            std::env::temp_dir().join(format!("redis-hive-docs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(dir.join("bin")).expect("a folder");
        symlink(root().join("deploy"), dir.join("deploy")).expect("a link");
        let hive = PathBuf::from(env!("CARGO_BIN_EXE_redis-hive"));
        for (program, path) in [("kubectl", kubectl), ("helm", helm), ("redis-hive", hive)] {
            symlink(path, dir.join("bin").join(program)).expect("a link");
        }
        let usual = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{usual}", dir.join("bin").display());
        let (old, new) = (Server::master(&redis), Server::master(&redis));
        for key in 0..KEYS {
            old.ask(&["SET", &format!(r#"a "key" \ with blanks {key}"#), "1"]);
        }
        for (server, password) in [&old, &new].into_iter().zip(PASSWORDS) {
            server.ask(&["CONFIG", "SET", "requirepass", password]);
        }
        Some(Place { dir, path, old, new })
    }

    /// Runs a block as a reader would; what it printed if it failed.
    fn run(&self, block: &Block<'_>) -> Result<(), String> {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-s"])
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env("HOME", &self.dir)
            .env("KUBECONFIG", "/dev/null")
            .env("OLD", self.old.addr.ip.to_string())
            .env("NEW", self.new.addr.ip.to_string())
            .env("OLD_PASSWORD", PASSWORDS[0])
            .env("NEW_PASSWORD", PASSWORDS[1]);
        let output = run(&mut bash, block.text.as_bytes());
        let said = [output.stdout, output.stderr].concat();
        output.status.success().then_some(()).ok_or(String::from_utf8_lossy(&said).into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn all_commands_say_what_they_need() {
    let mut faults = Vec::new();
    for document in documents() {
        for block in commands(&document) {
            let place = format!("{}:{}", document.path.display(), block.line);
            faults.extend(fault(&block).map(|fault| format!("{place}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Also in the notes of the chart and in comments.
#[test]
fn no_secret_is_an_argument() {
    let mut found = Vec::new();
    let told = files().into_iter().filter(|path| !path.starts_with(root().join("tests")));
    for path in told {
        // Pictures and the like tell nothing.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for word in ARGUMENTS.iter().filter(|word| text.contains(**word)) {
            found.push(format!("{}: {word}", path.display()));
        }
    }
    assert_eq!(found, [""; 0]);
}

/// Block after block of a document in one folder, as somebody does who reads it from the top.
#[test]
fn commands_that_need_no_cluster_work() {
    let mut seen = 0;
    for document in documents() {
        let commands = commands(&document);
        let runs = commands.iter().filter(|block| block.info == "sh run");
        let name = document.path.display().to_string();
        let mut place = None;
        for block in runs {
            if place.is_none() {
                place = Place::new(&name.replace('/', "-"));
            }
            let Some(place) = &place else { return };
            let ran = place.run(block);
            assert!(ran.is_ok(), "{name}:{}: {}", block.line, ran.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 5, "commands are found: {seen}");
    let Some(place) = Place::new("faulty") else { return };
    let faulty = Block { info: "sh run", line: 1, text: "false | true\n".to_owned() };
    assert!(place.run(&faulty).is_err(), "a command that fails is seen");
}

#[test]
fn faults_of_commands_are_seen() {
    let judge = |text: &str| {
        let document = Document { path: Path::new("a.md").into(), text: text.to_owned() };
        commands(&document).iter().map(|block| fault(block).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(judge("```sh run\nls deploy/local\n```\n```text\nif\n```\n"), [false]);
    assert_eq!(judge("```sh\nls\n```\n```sh cluster\nls deploy/no-such\n```\n"), [true, true]);
    assert_eq!(judge("```sh machine\nif\n```\n"), [true]);
}
