//! What processes use: CPU, memory, system calls.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

/// The process and all that descend from it.
pub fn family(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> =
        all.iter().filter_map(|pid| Some((*pid, parent(*pid)?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(of) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; state and parent come behind it.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// CPU time that the threads of these processes have used: user and system as in
/// `/proc/PID/stat`, but counted in nanoseconds instead of ticks of 10 ms.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let tasks = pids
        .iter()
        .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten());
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

/// Memory of these processes, in KiB. Unlike `VmRSS` it is exact.
///
/// # Errors
///
/// One of them has ended.
pub fn resident_kib(pids: &[u32]) -> io::Result<f64> {
    let each = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.ok_or_else(|| io::Error::other("smaps_rollup without Rss"))
    };
    pids.iter().map(each).sum()
}

/// Counts system calls. Dropping it ends the counting.
pub struct Strace(Child);

impl Strace {
    /// Follows these processes and all their threads; what it counts goes to the file.
    ///
    /// # Errors
    ///
    /// There is no strace, or it may not follow them.
    pub fn attach(pids: &[u32], file: &Path) -> io::Result<Strace> {
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(file);
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take();
        let mut strace = Strace(child);
        let mut lines = BufReader::new(stderr.ok_or(io::ErrorKind::BrokenPipe)?).lines();
        for _ in pids {
            match lines.next().transpose()? {
                Some(line) if line.contains(" attached") => {}
                said => {
                    strace.end()?;
                    return Err(io::Error::other(format!("strace: {said:?}")));
                }
            }
        }
        // It must not block on a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(strace)
    }

    /// Ends the counting.
    pub fn end(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_none() {
            rustix::process::kill_process(Pid::from_child(&self.0), Signal::INT)?;
            self.0.wait()?;
        }
        Ok(())
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// All calls in a table of `strace -c`.
///
/// # Errors
///
/// It has no total.
pub fn total_calls(table: &str) -> io::Result<f64> {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let total = lines.find(|words| words.last() == Some(&"total"));
    let calls = total.and_then(|words| words.get(3)?.parse().ok());
    calls.ok_or_else(|| io::Error::other("strace counted nothing"))
}
