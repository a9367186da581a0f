//! What the hive shows to Redis servers: the rights of its user, TLS, and what changes while it runs.

#[path = "redis_access/acl.rs"]
mod acl;
#[path = "redis_access/check.rs"]
mod check;
#[path = "redis_access/rotation.rs"]
mod rotation;
mod support;
#[path = "redis_access/tls.rs"]
mod tls;

use std::path::PathBuf;

use redis_hive::election::{Master, RunId};
use support::servers::{self, Server};

fn system() -> Option<PathBuf> {
    servers::binary("redis-system")
}

fn master_of(server: &Server) -> Master {
    let passport = server.passport();
    let (run_id, replid): (RunId, _) = (passport.run_id, passport.replid);
    Master { addr: server.addr, run_id, replid, root: replid }
}
