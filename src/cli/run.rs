//! `redis-hive run`

use std::process::ExitCode;

use tokio_util::task::AbortOnDropHandle;

use super::log::Repeats;
use crate::config::Config;

/// Runs the sidecar until it is told to stop.
pub(super) async fn run(config: Config, repeats: Repeats) -> anyhow::Result<ExitCode> {
    let teller = AbortOnDropHandle::new(tokio::spawn(repeats.clone().tell_always()));
    let ran = crate::node::run(config).await;
    drop(teller);
    repeats.tell_rest();
    ran.map(|()| ExitCode::SUCCESS)
}
