//! What the process denies to others and to itself before it reads a secret.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

/// Closes this process for good: no core file is written, no other process of its user may read its
/// memory, its environment or its files, and nothing it starts gains rights.
///
/// To be called while there is one thread and before anything secret is read. What it starts inherits
/// all but the first of the three, which an `exec` takes back. Returns a sentence for each thing that
/// the system refuses: the process is as useful without it.
pub(super) fn close() -> Vec<String> {
    // The limit is for systems whose kernel was told to dump what is not dumpable (fs.suid_dumpable).
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let done = [
        (
            set_dumpable_behavior(DumpableBehavior::NotDumpable),
            "other processes of this user can read its memory (PR_SET_DUMPABLE)",
        ),
        (setrlimit(Resource::Core, no_core), "a crash may write a core file (RLIMIT_CORE)"),
        (set_no_new_privs(true), "what it starts may gain rights (PR_SET_NO_NEW_PRIVS)"),
    ];
    let refused = |(outcome, means): (rustix::io::Result<()>, &str)| {
        outcome.err().map(|error| format!("the process cannot be closed: {error}; {means}"))
    };
    done.into_iter().filter_map(refused).collect()
}
