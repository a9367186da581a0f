//! What processes and threads use, as the kernel tells it.

use std::path::Path;

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// CPU time of a process so far, in seconds: by the scheduler's count, and by `utime + stime`.
pub fn cpu_seconds(pid: u32) -> (f64, f64) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let spent = tasks.filter_map(|task| scheduled(&task.path()));
    let stat = read(format!("/proc/{pid}/stat"));
    // The name in parentheses may hold anything; utime and stime are 12th and 13th behind it.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (spent.sum(), (tick(11).unwrap_or(f64::NAN) + tick(12).unwrap_or(f64::NAN)) / 100.0)
}

/// CPU time so far of the threads of this process that have this name, in seconds.
pub fn thread_seconds(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks.filter(|task| read(task.path().join("comm")).trim_end() == name);
    named.filter_map(|task| scheduled(&task.path())).sum()
}

/// What a task has run, in seconds.
fn scheduled(task: &Path) -> Option<f64> {
    let nanos: f64 = read(task.join("schedstat")).split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1e9)
}

/// `VmRSS` of a process, MiB.
pub fn resident_mib(pid: u32) -> f64 {
    let status = read(format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
