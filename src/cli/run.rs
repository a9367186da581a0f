//! `redis-hive run`

use std::process::ExitCode;

use crate::config::Config;

/// Runs the sidecar until it is told to stop.
pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the sidecar named {:?} cannot run yet: it is not built", config.name)
}
