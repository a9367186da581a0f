//! A status as a healthy follower would have it, for tests to bend.

use redis_hive::http::status::Status;

/// A follower of 10.0.0.1 with a current copy.
pub fn follower() -> Status {
    serde_json::from_str(include_str!("status.json")).expect("the example is a status")
}
