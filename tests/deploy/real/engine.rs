//! podman, where it disturbs nobody.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::super::tools::{run, stdout};

/// Set in the process that already is where it belongs.
const INSIDE: &str = "HIVE_DEPLOY_INSIDE";
/// Everything of podman's, in memory.
const DIR: &str = "/run/redis-hive";
/// Where the cgroups of pods are, below each controller, and where podman puts other containers.
pub const CGROUP: &str = "/redis-hive-deploy";
const OTHER_CGROUP: &str = "/libpod_parent";
/// After this many seconds a test is ended, with all it started.
const LIMIT: &str = "1200";
/// The code of a test that found that no container runs here.
const NO_CONTAINERS: i32 = 77;
/// Namespaces that end with their first process, which takes in orphans. Every link of this chain
/// ends with the one before it, so that nothing outlives the test runner.
const WAY: [&str; 15] = [
    "--pdeathsig=KILL",
    "timeout",
    "--foreground",
    "--signal=KILL",
    LIMIT,
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--kill-child",
    "--mount-proc",
    "catatonit",
    "--",
];
/// Limits that no capability is needed for; cgroups without a systemd.
const CONTAINERS_CONF: &str = "[containers]\n\
    default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
    tmp_dir = \"/run/redis-hive/libpod\"\n\
    [network]\nnetwork_config_dir = \"/run/redis-hive/networks\"\n";
const STORAGE_CONF: &str = "[storage]\ndriver = \"overlay\"\n\
    graphroot = \"/run/redis-hive/images\"\nrunroot = \"/run/redis-hive/containers\"\n";

/// A podman with no image, no container and no network but its own.
pub struct Engine(());

impl Engine {
    /// A folder for what tests need, gone with them.
    pub fn dir(&self) -> &'static Path {
        Path::new(DIR)
    }

    /// A program that finds this podman.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("CONTAINERS_CONF", self.dir().join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.dir().join("storage.conf"))
            .env("TMPDIR", self.dir().join("tmp"));
        command
    }

    /// What `podman ARGUMENTS` prints, without the last line's end.
    ///
    /// # Panics
    ///
    /// It failed.
    #[track_caller]
    pub fn podman<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> String {
        stdout(self.command("podman").args(arguments), b"").trim_end().to_owned()
    }

    /// The folder's files as an image, with these instructions of a Dockerfile.
    pub fn import(&self, folder: &Path, name: &str, changes: &[&str]) {
        let archive = folder.with_extension("tar");
        stdout(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(folder).arg("."), b"");
        let mut command = self.command("podman");
        command.args(["import", "--quiet"]);
        for change in changes {
            command.args(["--change", change]);
        }
        stdout(command.arg(&archive).arg(name), b"");
        std::fs::remove_file(archive).expect("it is there");
    }

    /// Ends the test here, as one that is skipped, where this image cannot be run.
    pub fn or_skip(&self, image: &str) {
        let mut command = self.command("podman");
        command.args([
            "run",
            "--rm",
            "--network=none",
            "--pull=never",
            image,
            "/bin/sh",
            "-c",
            ":",
        ]);
        let output = run(&mut command, b"");
        if !output.status.success() {
            eprintln!("no container runs: {}", String::from_utf8_lossy(&output.stderr));
            std::process::exit(NO_CONTAINERS);
        }
    }
}

/// The engine, where the test already runs inside. Outside it runs `test`, its full name, there, and
/// `None` is returned when it has passed, or cannot run here, which is said loudly.
///
/// # Panics
///
/// The test failed, or `CI` is `true` and a program is missing.
pub fn inside(test: &str) -> Option<Engine> {
    if std::env::var_os(INSIDE).is_some() {
        return Some(prepare());
    }
    // Two at once would take each other's time, and build in one folder.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = possible() {
        skip(test, &why);
        return None;
    }
    let exe = std::env::current_exe().expect("this program");
    let mut command = way();
    command.arg(exe).args([test, "--exact", "--nocapture", "--test-threads=1"]);
    let output = run(command.env(INSIDE, "1"), b"");
    sweep();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    match output.status.code() {
        Some(0) => assert!(said.contains("1 passed"), "{test} is no test"),
        Some(NO_CONTAINERS) => skip(test, &said),
        code => panic!("{test}: {code:?}, {:?}", output.status.signal()),
    }
    None
}

fn way() -> Command {
    let mut command = Command::new("setpriv");
    command.args(WAY);
    command
}

/// Said past the test runner, which hides what passing tests print.
fn skip(test: &str, why: &str) {
    let line = format!("\n==== SKIPPED, NOTHING WAS TESTED: {test}: {}\n", why.trim());
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// Whether containers can be tried at all.
///
/// # Panics
///
/// A program is missing, and `CI` is `true`.
fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("containers with cgroups of their own need root".to_owned());
    }
    for program in ["podman", "runc", "catatonit", "iptables", "ip", "setpriv", "redis-server"] {
        if Command::new(program).arg("--help").output().is_err() {
            let missing = format!("{program} is missing: run deploy/local/install deploy");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            return Err(missing);
        }
    }
    let mount = "mount -t tmpfs none /run && ip link set lo up";
    let output = run(way().args(["sh", "-c", mount]), b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("no namespaces: {said}")) }
}

fn prepare() -> Engine {
    let engine = Engine(());
    stdout(Command::new("mount").args(["-t", "tmpfs", "redis-hive", "/run"]), b"");
    stdout(Command::new("ip").args(["link", "set", "lo", "up"]), b"");
    for folder in ["tmp", "networks"] {
        std::fs::create_dir_all(engine.dir().join(folder)).expect("a folder");
    }
    std::fs::write(engine.dir().join("containers.conf"), CONTAINERS_CONF).expect("a file");
    std::fs::write(engine.dir().join("storage.conf"), STORAGE_CONF).expect("a file");
    engine
}

/// Removes the cgroups that a killed test left: the only thing that is in no namespace.
fn sweep() {
    let mut all: Vec<PathBuf> = vec![PathBuf::from("/sys/fs/cgroup")];
    all.extend(folders(Path::new("/sys/fs/cgroup")));
    for controller in all {
        for name in [CGROUP, OTHER_CGROUP] {
            remove_empty(&controller.join(name.trim_start_matches('/')));
        }
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    let is_dir = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_dir).map(|entry| entry.path()).collect()
}

/// Cgroups with processes in them, which are not ours, stay.
fn remove_empty(cgroup: &Path) {
    folders(cgroup).iter().for_each(|below| remove_empty(below));
    // Most are not there.
    let _ = std::fs::remove_dir(cgroup);
}
