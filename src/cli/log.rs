//! The log of `run`: lines on standard error, as text or JSON (docs/logs.md).

mod repeats;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use super::text::colours;
use crate::config::{Config, LogFormat};

pub(super) use repeats::Repeats;

/// Begins to log. The resolver's own lines are left out: every outcome is told by [`crate::discovery`].
pub(super) fn begin(config: &Config) -> Repeats {
    let level = config.log_level;
    let quiet = ["hickory_resolver", "hickory_net", "hickory_proto"];
    let quiet = quiet.map(|name| (name, LevelFilter::OFF));
    let filter = Targets::new().with_default(level).with_targets(quiet);
    let repeats = Repeats::default();
    let log = tracing_subscriber::registry().with(filter).with(repeats.clone());
    let lines = fmt::layer().with_writer(std::io::stderr);
    // Only fails where a subscriber is already there, as in a test: that one is used.
    let _ = match config.log_format {
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => {
            // Which part of the program speaks is for whoever looks for a fault in it.
            let text = lines.with_target(level > Level::INFO);
            log.with(text.with_ansi(colours(&std::io::stderr()))).try_init()
        }
    };
    repeats
}
