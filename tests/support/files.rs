//! How many files a test may open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process as far as it may; what it is now.
pub fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this fails the old limit is told.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
