//! `redis-hive switchover`, `pause` and `resume`: asks a hive, tells how far it is, what became of it
//! and what to do next.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::http::Outcome;
use crate::http::status::{Role, Status};
use crate::secrets::{self, Secrets};

use super::args::{AskArgs, SwitchoverArgs};
use super::fetch::{FetchError, Fetched};
use super::progress::Progress;
use super::text::{WIDTH, clean, wrap};
use super::{EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, complain, explain, fetch, say};

/// How often a hive is asked how far it is.
const POLL: Duration = Duration::from_millis(50);
/// What takes less is not worth a line.
const QUICK: Duration = Duration::from_millis(150);
/// So long the followers may take to have current copies before the command ends without them.
const FOLLOWED: Duration = Duration::from_secs(10);

/// Asks for a planned change, and waits until the followers follow.
pub(super) async fn switchover(args: SwitchoverArgs) -> anyhow::Result<ExitCode> {
    let path = match args.to {
        Some(to) => format!("/switchover?to={}", to.to_canonical()),
        None => "/switchover".to_owned(),
    };
    let before = fetch::status(&args.hive.http).await;
    let mut progress = Progress::new();
    let asked = ask(&args.hive, &path, |now: Option<Status>| {
        if progress.elapsed() >= QUICK {
            progress.step(&phase(before.as_ref(), now.as_ref()));
        }
    });
    let outcome = asked.await;
    progress.clear();
    let text = match outcome {
        Ok(text) => text,
        Err(code) => return Ok(ExitCode::from(code)),
    };
    say(&text);
    if let Some(before) = &before {
        moved(&args.hive.http, before, &mut progress).await;
    }
    say("next: `redis-hive status` shows the hive, `redis-hive explain` how it went");
    Ok(ExitCode::SUCCESS)
}

/// Begins the maintenance.
pub(super) async fn pause(args: AskArgs) -> anyhow::Result<ExitCode> {
    let next = "next: do the work, then `redis-hive resume`: until then nothing fails over";
    simple(args, "/pause", next).await
}

/// Ends the maintenance.
pub(super) async fn resume(args: AskArgs) -> anyhow::Result<ExitCode> {
    simple(args, "/resume", "next: `redis-hive status` shows whether all is well").await
}

/// What is done when it is answered.
async fn simple(args: AskArgs, path: &str, next: &str) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new();
    let asked = ask(&args, path, |_| {
        if progress.elapsed() >= QUICK {
            progress.step("waiting for the hive to answer");
        }
    });
    let outcome = asked.await;
    progress.clear();
    Ok(match outcome {
        Ok(text) => {
            say(&text);
            say(next);
            ExitCode::SUCCESS
        }
        Err(code) => ExitCode::from(code),
    })
}

/// Posts to one page. The hive's own words, or the exit code where it did not come to pass: that was
/// told then. `meanwhile` gets what the hive says of itself while it is waited for.
async fn ask(
    args: &AskArgs,
    path: &str,
    mut meanwhile: impl FnMut(Option<Status>),
) -> Result<String, u8> {
    let secret = secret(args.secret_file.as_deref()).map_err(|problem| {
        complain(&format!("--secret-file: {problem}"));
        EXIT_USAGE
    })?;
    let addr = args.http.as_str();
    let answer = {
        let posted = fetch::post(addr, path, secret.as_ref());
        tokio::pin!(posted);
        loop {
            tokio::select! {
                answer = &mut posted => break answer,
                status = later(addr) => meanwhile(status),
            }
        }
    };
    judge(addr, answer)
}

fn judge(addr: &str, answer: Result<Fetched, FetchError>) -> Result<String, u8> {
    let fetched = answer.map_err(|error| {
        complain(&format!("{error}; name the hive with --http IP:PORT"));
        EXIT_UNAVAILABLE
    })?;
    let Ok(outcome) = serde_json::from_str::<Outcome>(&fetched.body) else {
        complain(&format!(
            "{addr} answers {} and nothing this version can read; name a hive with --http IP:PORT",
            fetched.code
        ));
        return Err(EXIT_UNAVAILABLE);
    };
    let text = clean(&outcome.text);
    if fetched.code == 200 && outcome.verdict == "done" {
        return Ok(text);
    }
    complain(&text);
    if let Some(next) = next(&outcome.verdict) {
        complain(&format!("next: {next}"));
    }
    Err(EXIT_FAILED)
}

/// What to do after an answer that is no yes. A refusal at the door says it itself.
fn next(verdict: &str) -> Option<&'static str> {
    match verdict {
        "conflict" => Some("nothing was changed; look at `redis-hive status`, then ask again"),
        "unfit" => Some("nothing was changed; `redis-hive status` shows which copies are current"),
        "failed" => Some("look at `redis-hive status`, `redis-hive explain` and the leader's log"),
        _ => None,
    }
}

/// What a hive says of itself in a moment.
async fn later(addr: &str) -> Option<Status> {
    tokio::time::sleep(POLL).await;
    fetch::status(addr).await
}

/// How far a planned change is, as the hive that was asked sees it.
fn phase(before: Option<&Status>, now: Option<&Status>) -> String {
    let Some(now) = now else { return "the hive does not answer".to_owned() };
    let master = before.and_then(|before| before.master);
    if let Some(new) = now.master.filter(|new| Some(*new) != master && master.is_some()) {
        return format!("{new} is the master, the followers turn to it");
    }
    match (&now.change, now.leader) {
        (change, _) if !change.is_empty() => change.clone(),
        _ if matches!(now.role, Role::Candidate | Role::Starting) => {
            "between two leaders".to_owned()
        }
        (_, Some(leader)) if leader != now.node => format!("{leader}, which leads, was asked"),
        _ => "waiting for the leader".to_owned(),
    }
}

/// Waits for the followers, and tells what took how long.
async fn moved(addr: &str, before: &Status, progress: &mut Progress) {
    let waiting = Progress::new();
    let mut followed = None;
    while waiting.elapsed() < FOLLOWED {
        let now = fetch::status(addr).await;
        if now.as_ref().is_some_and(|now| now.epoch <= before.epoch) {
            return; // It led already.
        }
        followed = now.as_ref().map(copies);
        match followed {
            Some((current, all)) if current >= all => break,
            Some((current, all)) if waiting.elapsed() >= QUICK => {
                progress.step(&format!("{current} of {all} copies are current"));
            }
            _ => {}
        }
        tokio::time::sleep(POLL).await;
    }
    progress.clear();
    if let Some(spans) = spans(addr, before.epoch).await {
        say(&spans);
    }
    let seconds = FOLLOWED.as_secs();
    match followed {
        Some((current, all)) if current >= all => say(&format!("all {all} copies are current")),
        Some((current, all)) => {
            say(&format!("{current} of {all} copies are current after {seconds} s"));
        }
        None => say(&format!("{addr} has not said for {seconds} s who follows")),
    }
}

/// The current copies a hive sees, and the hives that are to hold one.
fn copies(status: &Status) -> (usize, usize) {
    let own = (status.role != Role::Witness).then_some(&status.redis);
    let peers = status.peers.iter().filter(|peer| peer.role != Some(Role::Witness));
    let all: Vec<bool> = peers
        .filter_map(|peer| peer.redis.as_ref())
        .chain(own)
        .map(|redis| redis.up && redis.current)
        .collect();
    (all.iter().filter(|current| **current).count(), all.len())
}

/// What the change after this epoch was made of, if the hive knows.
async fn spans(addr: &str, epoch: u64) -> Option<String> {
    let all = explain::journal(addr).await.ok()?;
    let change = all.iter().rfind(|it| it.epoch > epoch && it.kind == "switchover")?;
    Some(wrap(&clean(&explain::spans(change)), WIDTH).join("\n"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Status {
        let json = include_str!("../../tests/support/status.json");
        serde_json::from_str(json).expect("the example is a status")
    }

    #[test]
    fn every_moment_of_a_change_has_its_words() {
        let before = example();
        let told = |bend: fn(&mut Status)| {
            let mut now = before.clone();
            bend(&mut now);
            phase(Some(&before), Some(&now))
        };
        assert_eq!(told(|_| ()), "10.0.0.1, which leads, was asked");
        let change = told(|now| now.change = "the master moves to 10.0.0.3: waiting".to_owned());
        assert_eq!(change, "the master moves to 10.0.0.3: waiting");
        assert_eq!(told(|now| now.role = Role::Candidate), "between two leaders");
        let moved = told(|now| now.master = "10.0.0.3:6379".parse().ok());
        assert_eq!(moved, "10.0.0.3:6379 is the master, the followers turn to it");
        assert_eq!(phase(Some(&before), None), "the hive does not answer");
        assert_eq!(phase(None, Some(&before)), "10.0.0.1, which leads, was asked");
    }

    #[test]
    fn copies_of_witnesses_are_not_waited_for() {
        let mut status = example();
        assert_eq!(copies(&status), (3, 3));
        status.redis.current = false;
        assert_eq!(copies(&status), (2, 3));
        status.role = Role::Witness;
        assert_eq!(copies(&status), (2, 2));
    }

    #[test]
    fn every_verdict_that_is_no_yes_has_a_next_step() {
        for verdict in ["conflict", "unfit", "failed"] {
            assert!(next(verdict).is_some_and(|it| it.contains("redis-hive")), "{verdict}");
        }
    }
}
