//! One child process: started so that it cannot outlive its parent, signalled, watched, ended.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long a killed process may take to be gone. The kernel needs microseconds; more means a
/// process stuck in a system call, and waiting for it longer would hang the caller.
const REAP: Duration = Duration::from_secs(5);

/// Becomes `command` (argument 0 and the rest), which the kernel kills when the thread that
/// started this process ends, even by SIGKILL. This is what `dev --guard PID -- COMMAND` runs.
///
/// Returns only if it cannot: `parent` is gone already, or the command does not start.
#[must_use]
pub fn guard(parent: u32, command: &[std::ffi::OsString]) -> io::Error {
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return e.into();
    }
    // It may have died before the line above; then no signal will come.
    let now = rustix::process::getppid().map(|p| p.as_raw_nonzero().get().unsigned_abs());
    if now != Some(parent) {
        return io::Error::other("the process that started this one is gone");
    }
    match command.split_first() {
        Some((program, args)) => Command::new(program).args(args).exec(),
        None => io::Error::new(io::ErrorKind::InvalidInput, "no command after --"),
    }
}

/// A running (or stopped, or just ended) child in a process group of its own. Dropping it kills
/// it and waits for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    frozen: bool,
}

impl Process {
    /// Starts `program` with `args` through the guard in `exe`; its output is appended to `log`.
    /// The variables whose names start with `HIVE_` and `POD_IP` are not inherited.
    ///
    /// The calling thread must live as long as the process shall.
    ///
    /// # Errors
    ///
    /// The log cannot be opened, or `exe` cannot be started. That `program` cannot be started is
    /// seen as an early end, with the reason in the log.
    pub fn start<A: AsRef<OsStr>>(
        exe: &Path,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(exe);
        command.args(["dev", "--guard"]).arg(std::process::id().to_string()).arg("--");
        command.arg(program).args(args).process_group(0);
        for (key, _) in std::env::vars_os() {
            if key == "POD_IP" || key.as_encoded_bytes().starts_with(b"HIVE_") {
                command.env_remove(key);
            }
        }
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        Ok(Self { child: command.spawn()?, log, frozen: false })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether SIGSTOP was sent last, and not SIGCONT.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    /// How it ended, or `None` while it lives.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // An error means that somebody else reaped it: then it is gone, with a status unknown.
        self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(0)))
    }

    /// SIGKILL for it and what it forked, then waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = self.child.kill();
            self.wait(REAP);
        }
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: the process keeps its sockets and does nothing.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        self.frozen = true;
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
        self.frozen = false;
    }

    /// Waits for its end, at most `limit`; `None` if it still lives.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
