//! What a running hive denies to others, seen from outside.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::stop::Alone;
use super::*;

/// Somebody who is not root: root may read everything of everybody.
const NOBODY: u32 = 65_534;

/// The value behind `Name:` or of a column-aligned name in a file of `/proc`.
pub fn line(pid: u32, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("its file in /proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A shell that lifts the limit on core files as far as it may, and becomes what is behind it.
fn with_cores(dir: &std::path::Path) -> tokio::process::Command {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\""]).current_dir(dir);
    shell
}

/// Whether a process that aborts leaves a core file behind.
async fn dumps(child: &mut tokio::process::Child) -> bool {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it runs");
    kill_process(pid, Signal::ABORT).expect("it takes signals");
    let status = timeout(LONG, child.wait()).await.expect("it dies").expect("waited");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    status.core_dumped()
}

#[tokio::test]
async fn a_hive_leaves_no_core_and_gains_no_rights() {
    let dir = std::env::temp_dir().join(format!("redis-hive-core-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut shell = with_cores(&dir);
    shell.arg(env!("CARGO_BIN_EXE_redis-hive"));
    let mut alone = Alone::launch(shell, &[]).await;
    let pid = alone.hive.id().expect("it runs");
    assert_eq!(line(pid, "limits", "Max core file size"), "0 0 bytes");
    assert_eq!(line(pid, "status", "NoNewPrivs:"), "1");
    assert!(!alone.told().contains("cannot be closed"), "{}", alone.told());
    assert!(!dumps(&mut alone.hive).await);
    assert_eq!(std::fs::read_dir(&dir).expect("the directory").count(), 0, "it left a core");

    // The same death of something else is seen to dump, or this has shown nothing.
    let mut other = with_cores(&dir).args(["sleep", "600"]).spawn().expect("sleep");
    let became_sleep = async {
        let comm = format!("/proc/{}/comm", other.id().expect("it runs"));
        while !std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sleep") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, became_sleep).await.expect("it is sleep");
    if !dumps(&mut other).await {
        eprintln!(
            "SKIPPED: no process of this machine leaves a core, so none of a hive shows little"
        );
    }
    std::fs::remove_dir_all(&dir).expect("the directory");
}

/// What belongs to a process that is not dumpable belongs to root, in `/proc`.
#[tokio::test]
async fn other_processes_of_its_user_cannot_read_a_hive() {
    let root = getuid().is_root();
    let program = Program::for_anybody();
    let start = |program: &std::path::Path, args: &[&str]| {
        let mut command = tokio::process::Command::new(program);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.spawn().expect("it starts")
    };
    let owner = |child: &tokio::process::Child| {
        let environ = format!("/proc/{}/environ", child.id().expect("it runs"));
        std::fs::metadata(environ).expect("its environment").uid()
    };
    let user = if root { NOBODY } else { getuid().as_raw() };
    let sleeper = start("sleep".as_ref(), &["600"]);
    assert_eq!(owner(&sleeper), user, "what is open belongs to its user");

    // Any command: this one waits for an answer of nobody.
    let silent = StdListener::bind((LOCAL, 0)).expect("a free port");
    let http = silent.local_addr().expect("bound").to_string();
    let mut hive = start(&program.0, &["pause", "--http", &http]);
    let closed = async {
        while owner(&hive) != 0 {
            assert_eq!(hive.try_wait().expect("waited"), None, "it has ended");
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), closed).await.expect("it belongs to root");
}

/// The program where every user may run it.
struct Program(PathBuf);

impl Program {
    fn for_anybody() -> Program {
        let name = format!("redis-hive-process-{}", std::process::id());
        let copy = std::env::temp_dir().join(name);
        std::fs::copy(env!("CARGO_BIN_EXE_redis-hive"), &copy).expect("a copy");
        Program(copy)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
