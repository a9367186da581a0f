//! Images out of what is on this machine: no registry is asked.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::tools::{root, stdout};
use super::engine::Engine;

/// Where cargo keeps what it built between two runs.
pub const FOLDER: &str = "image";
const BUILDER: &str = "localhost/redis-hive-builder:local";
/// What the scripts of pods and `compose.yaml` call, besides the server.
const PROGRAMS: [&str; 8] = ["sh", "rm", "mkfifo", "sed", "tr", "tail", "cat", "sleep"];
/// Where programs and libraries are; on newer systems links into `/usr`.
const SYSTEM: [&str; 5] = ["usr", "bin", "sbin", "lib", "lib64"];

/// Builds `Dockerfile` under this name, without a network, by this machine's compiler and crates.
/// What cargo builds stays in `target/FOLDER`.
pub fn hive(engine: &Engine, name: &str, folder: &str) {
    builder(engine);
    let target = root().join("target").join(folder);
    std::fs::create_dir_all(&target).expect("a folder");
    let sysroot = stdout(Command::new("rustc").args(["--print", "sysroot"]), b"");
    let mut command = engine.command("podman");
    // `--timestamp` makes the same image out of the same files.
    command
        .args(["build", "--quiet", "--no-cache", "--network=none", "--timestamp=0"])
        .args(["--build-arg", &format!("BUILDER_IMAGE={BUILDER}"), "--tag", name])
        .arg(mounted(Path::new(sysroot.trim()), "/rust:ro"))
        .arg(mounted(&cargo_home().join("registry"), "/cargo/registry"))
        .arg(mounted(&target, "/target"));
    for folder in SYSTEM.map(|name| Path::new("/").join(name)) {
        if folder.is_dir() && !folder.is_symlink() {
            command.arg(mounted(&folder, &format!("{}:ro", folder.display())));
        }
    }
    stdout(command.arg(root()), b"");
}

/// A Redis image under this name: the server of this machine, a shell, and what that calls.
pub fn redis(engine: &Engine, name: &str) {
    let folder = engine.dir().join("redis-image");
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    // As in the official images: a volume made of it belongs to their user.
    chown(folder.join("data"), Some(999), Some(999)).expect("root may");
    let server = find("redis-server");
    copy(&folder, &server, "redis-server");
    for program in PROGRAMS {
        copy(&folder, &find(program), program);
    }
    engine.import(&folder, name, &["ENV PATH=/usr/bin", "CMD redis-server"]);
    std::fs::remove_dir_all(folder).expect("it is there");
    engine.or_skip(name);
}

/// Nothing but the folders onto which this machine's are mounted.
fn builder(engine: &Engine) {
    let folder = engine.dir().join("builder-image");
    for name in ["etc", "tmp", "rust", "cargo/registry"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    for name in SYSTEM {
        match std::fs::read_link(Path::new("/").join(name)) {
            Ok(link) => symlink(link, folder.join(name)).expect("a link"),
            Err(_) => std::fs::create_dir_all(folder.join(name)).expect("a folder"),
        }
    }
    // Where cc is a link to, and where libraries are.
    stdout(Command::new("cp").args(["-a", "/etc/alternatives"]).arg(folder.join("etc")), b"");
    stdout(Command::new("cp").args(["-a", "/etc/ld.so.cache"]).arg(folder.join("etc")), b"");
    engine.import(&folder, BUILDER, &["ENV PATH=/usr/bin:/bin", "ENV CARGO_NET_OFFLINE=true"]);
    std::fs::remove_dir_all(folder).expect("it is there");
}

fn mounted(from: &Path, to: &str) -> OsString {
    let mut argument = OsString::from("--volume=");
    argument.push(from);
    argument.push(format!(":{to}"));
    argument
}

fn cargo_home() -> PathBuf {
    let of_user = || Path::new(&std::env::var_os("HOME").expect("a home")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(of_user, PathBuf::from)
}

fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file());
    let found = found.unwrap_or_else(|| panic!("{program} is missing"));
    std::fs::canonicalize(found).expect("a program")
}

/// Puts the program there as `/usr/bin/NAME`, with the libraries it loads under their own paths.
fn copy(folder: &Path, program: &Path, name: &str) {
    let put = |from: &Path, to: &Path| {
        let to = folder.join(to.strip_prefix("/").expect("an absolute path"));
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        std::fs::copy(from, to).expect("a copy");
    };
    put(program, &Path::new("/usr/bin").join(name));
    if name == "sh" {
        put(program, Path::new("/bin/sh"));
    }
    let listed = stdout(Command::new("ldd").arg(program), b"");
    let libraries: BTreeSet<&str> =
        listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
    libraries.iter().map(Path::new).for_each(|library| put(library, library));
}
