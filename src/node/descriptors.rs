//! Open files: how many clients fit, so that clients never take those that the hive itself needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::sentinel::Limits;

/// What is not for clients: links, HTTP, Redis, DNS, pipes, clients that are being turned away.
const OWN: u64 = 1024;
/// The same, for clients of Sentinel where there is a port for them.
const SENTINEL: u64 = Limits::CONNECTIONS as u64;
/// A client and its connection to a Redis.
const EACH: u64 = 2;

/// Raises this process's limit on open files as far as it may, and returns `max_clients`, or what
/// fits of it beside the clients of Sentinel, if there may be some.
pub(super) fn clients(max_clients: usize, sentinel: bool) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    let own = if sentinel { OWN + SENTINEL } else { OWN };
    let fitting = fitting(limit.unwrap_or(u64::MAX), own);
    if fitting < max_clients {
        tracing::warn!(
            "only {fitting} of --max-clients {max_clients} fit into {} open files (ulimit -n)",
            limit.unwrap_or_default()
        );
    }
    fitting.min(max_clients)
}

/// Clients that fit; half of a low limit is kept.
fn fitting(limit: u64, own: u64) -> usize {
    let left = limit - own.min(limit / 2);
    usize::try_from(left / EACH).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_enough_for_the_hive() {
        assert!(fitting(u64::MAX, OWN) > 1_000_000);
        assert_eq!(fitting(1_048_576, OWN), 523_776);
        assert_eq!(fitting(1_048_576, OWN + SENTINEL), 523_264);
        assert_eq!(fitting(1024, OWN), 256);
        assert_eq!(fitting(0, OWN), 1);
    }
}
