//! Who may get traffic: pure functions over [`Status`].

use super::status::{Readiness, Status};

/// So long a pod stays ready without a route: an election is no reason to take pods out of a Service.
const ROUTELESS_MAX_MS: u64 = 30_000;

/// Whether this pod may get clients that want the master (DESIGN 2.3, `/readyz`).
///
/// # Errors
///
/// Why not, as a sentence.
pub fn ready(readiness: &Readiness) -> Result<(), String> {
    let Some(routeless_ms) = readiness.routeless_ms else {
        return Err("no master is known yet".to_owned());
    };
    if readiness.draining && routeless_ms > 0 {
        return Err("stopping, and no master is known".to_owned());
    }
    if routeless_ms >= ROUTELESS_MAX_MS {
        return Err(format!("no route to a live master for {} s", routeless_ms / 1000));
    }
    if !readiness.was_current {
        return Err("the local Redis has not been current since it started".to_owned());
    }
    Ok(())
}

/// Whether the local Redis holds a complete, current copy now, at most so many bytes behind.
///
/// # Errors
///
/// Why not, as a sentence.
pub fn ready_to_read(status: &Status, max_lag_bytes: Option<u64>) -> Result<(), String> {
    let redis = &status.redis;
    if !redis.up {
        return Err("the local Redis does not answer".to_owned());
    }
    if !redis.complete {
        return Err("the local Redis holds no complete copy".to_owned());
    }
    if !redis.current {
        return Err("the local Redis is not current".to_owned());
    }
    match (max_lag_bytes, redis.lag_bytes) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("the lag of the local Redis is unknown".to_owned()),
        (Some(max), Some(lag)) if lag > max => {
            Err(format!("the local Redis is {lag} bytes behind, allowed are {max}"))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(routeless_ms: Option<u64>, was_current: bool, draining: bool) -> bool {
        ready(&Readiness { routeless_ms, was_current, draining }).is_ok()
    }

    #[test]
    fn ready_needs_a_route_and_a_copy_that_was_current() {
        assert!(with(Some(0), true, false));
        assert!(!with(Some(0), false, false), "never current");
        assert!(!with(None, true, false), "never a route");
    }

    #[test]
    fn an_election_does_not_make_a_pod_unready() {
        assert!(with(Some(29_999), true, false));
        assert!(!with(Some(30_000), true, false));
    }

    #[test]
    fn a_stopping_hive_is_ready_as_long_as_it_has_a_route() {
        assert!(with(Some(0), true, true));
        assert!(!with(Some(1), true, true));
    }
}
