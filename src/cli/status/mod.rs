//! `redis-hive status`: a hive's view for people and programs, once or again and again.

mod advice;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use crate::http::status::Status;

use super::args::StatusArgs;
use super::text::colours;
use super::{EXIT_FAILED, EXIT_UNAVAILABLE, complain, fetch};

/// Asks and prints, once or until interrupted.
pub(super) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        return watch::run(&args).await;
    }
    let seen = match ask(&args.http).await {
        Ok(seen) => seen,
        Err(why) => {
            complain(&format!("{why}; name the hive with --http IP:PORT"));
            return Ok(ExitCode::from(EXIT_UNAVAILABLE));
        }
    };
    let troubles = table::troubles(&seen.status);
    let text =
        if args.json { seen.body } else { render(&seen.status, colours(&std::io::stdout())) };
    // Nobody is left to read it when the pipe is closed; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let Some(first) = troubles.first() else { return Ok(ExitCode::SUCCESS) };
    if args.json {
        complain(&format!("degraded: {}", super::text::clean(first)));
    }
    Ok(ExitCode::from(EXIT_FAILED))
}

/// An answer.
struct Seen {
    status: Status,
    /// As it came.
    body: String,
}

/// Why not is a sentence that names the address.
async fn ask(addr: &str) -> Result<Seen, String> {
    let fetched = fetch::get(addr, "/status").await.map_err(|error| error.to_string())?;
    match serde_json::from_str(&fetched.body) {
        Ok(status) => Ok(Seen { status, body: fetched.body }),
        Err(error) => {
            let code = fetched.code;
            Err(format!("{addr} answers {code} and no status this version can read: {error}"))
        }
    }
}

fn render(status: &Status, colours: bool) -> String {
    let lines = table::lines(status).into_iter();
    lines.map(|(style, line)| style.paint(&line, colours) + "\n").collect()
}
