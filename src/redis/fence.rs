//! A standing fence: `REPLICAOF` sent over the identified connection to a master that is silent,
//! and left there. When that Redis wakes, it reads the fence before the clients it accepts later.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connection::{Answer, Link};
use crate::election::RedisAddr;

/// How soon a fence that a busy or loading Redis refused is sent again.
const REPEAT: Duration = Duration::from_millis(20);

/// Sends the fence and keeps the connection open until it is lifted, which resets it.
pub(super) fn stand(link: Arc<Link>, to: RedisAddr, lifted: CancellationToken) {
    tokio::spawn(async move {
        let standing = async {
            let order = replica_of(to);
            while link.ask(&order).await == Answer::Busy {
                tokio::time::sleep(REPEAT).await;
            }
            link.ended().await;
        };
        lifted.run_until_cancelled(standing).await;
        link.close();
    });
}

/// `REPLICAOF host port`
pub(super) fn replica_of(addr: RedisAddr) -> redis::Cmd {
    redis::cmd("REPLICAOF").arg(addr.ip.to_string()).arg(addr.port).clone()
}
