//! Looking for keys in a server.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use redis::{Connection, RedisResult};

/// As many are asked for at once.
const BATCH: usize = 500;

/// Which of these keys the server does not have.
pub fn missing(server: &mut Connection, keys: &[String]) -> RedisResult<Vec<String>> {
    let mut lost = Vec::new();
    for some in keys.chunks(BATCH) {
        let found: Vec<Option<String>> = redis::cmd("MGET").arg(some).query(server)?;
        let gone = some.iter().zip(found).filter(|(_, value)| value.is_none());
        lost.extend(gone.map(|(key, _)| key.clone()));
    }
    Ok(lost)
}
