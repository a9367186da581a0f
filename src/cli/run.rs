//! `redis-hive run`

use std::process::ExitCode;

use crate::config::Config;

/// Runs the sidecar until it is told to stop.
pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    crate::node::run(config).await?;
    Ok(ExitCode::SUCCESS)
}
