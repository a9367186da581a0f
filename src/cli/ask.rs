//! `redis-hive switchover`, `pause` and `resume`: asks a hive and tells what became of it.

use std::path::Path;
use std::process::ExitCode;

use secrecy::{ExposeSecret, SecretString};

use crate::http::Outcome;
use crate::secrets::{self, Secrets};

use super::args::{AskArgs, SwitchoverArgs};
use super::{EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, complain, fetch, say};

/// Asks for a planned change.
pub(super) async fn switchover(args: SwitchoverArgs) -> anyhow::Result<ExitCode> {
    let path = match args.to {
        Some(to) => format!("/switchover?to={}", to.to_canonical()),
        None => "/switchover".to_owned(),
    };
    ask(args.hive, &path).await
}

/// Posts to one page; the hive's own words are printed.
pub(super) async fn ask(args: AskArgs, path: &str) -> anyhow::Result<ExitCode> {
    let secret = match secret(args.secret_file.as_deref()) {
        Ok(secret) => secret,
        Err(problem) => {
            complain(&format!("--secret-file: {problem}"));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let addr = args.http.as_str();
    let fetched = match fetch::post(addr, path, secret.as_ref()).await {
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

/// The secret that is used, from `--secret-file` or `HIVE_SECRET`; `None` where neither is given.
fn secret(file: Option<&str>) -> Result<Option<SecretString>, String> {
    let file = file.map(str::trim).filter(|path| !path.is_empty());
    let secrets = match (file, secrets::variable("HIVE_SECRET")) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err("HIVE_SECRET is set too: give the secret in one place only".to_owned());
        }
        (Some(file), None) => Secrets::read(Path::new(file)),
        (None, Some(text)) => text.and_then(|text| Secrets::parse(text.expose_secret())),
    };
    let secrets = secrets.map_err(|error| error.to_string())?;
    Ok(secrets.first().map(|secret| secret.text().clone()))
}
