//! `redis-hive switchover`, `pause` and `resume`: asks a hive and tells what became of it.

use std::process::ExitCode;

use crate::http::Outcome;

use super::args::SwitchoverArgs;
use super::{EXIT_FAILED, EXIT_UNAVAILABLE, complain, fetch, say};

/// Asks for a planned change.
pub(super) async fn switchover(args: SwitchoverArgs) -> anyhow::Result<ExitCode> {
    let path = match args.to {
        Some(to) => format!("/switchover?to={}", to.to_canonical()),
        None => "/switchover".to_owned(),
    };
    ask(&args.hive.http, &path).await
}

/// Posts to one page; the hive's own words are printed.
pub(super) async fn ask(addr: &str, path: &str) -> anyhow::Result<ExitCode> {
    let fetched = match fetch::post(addr, path).await {
        Ok(fetched) => fetched,
        Err(error) => {
            complain(&format!("{error}; name the hive with --http IP:PORT"));
            return Ok(ExitCode::from(EXIT_UNAVAILABLE));
        }
    };
    let Ok(outcome) = serde_json::from_str::<Outcome>(&fetched.body) else {
        complain(&format!("{addr} answers {} and nothing this version can read", fetched.code));
        return Ok(ExitCode::from(EXIT_UNAVAILABLE));
    };
    // Text from elsewhere must not steer the terminal.
    let text: String = outcome.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if fetched.code == 200 && outcome.verdict == "done" {
        say(&text);
        return Ok(ExitCode::SUCCESS);
    }
    complain(&text);
    Ok(ExitCode::from(EXIT_FAILED))
}
