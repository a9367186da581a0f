//! `redis-hive explain`: the last change of the leadership, or that of an epoch, in plain sentences.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::http::Status;
use crate::http::journal::{Offer, Transition, Vote};

use super::args::ExplainArgs;
use super::text::{WIDTH, clean, wrap};
use super::{EXIT_FAILED, EXIT_UNAVAILABLE, complain, fetch, say};

/// More than a hive keeps: where to stop asking for more.
const TRANSITIONS_MAX: usize = 1024;
/// Changes of the leadership, as against `resigned`, `paused` and `resumed`.
const LEADERSHIPS: [&str; 4] = ["failover", "switchover", "leads", "follows"];

/// Asks a hive and tells what it knows.
pub(super) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let (status, transitions) = match ask(&args.http).await {
        Ok(told) => told,
        Err(why) => {
            complain(&why);
            return Ok(ExitCode::from(EXIT_UNAVAILABLE));
        }
    };
    let Some(told) = explain(&status, &transitions, args.epoch) else {
        let what = match args.epoch {
            Some(epoch) => format!("of epoch {epoch}; it knows {}", epochs(&transitions)),
            None => "yet".to_owned(),
        };
        let node = status.node;
        complain(&format!(
            "{node} knows of no change of the leadership {what}; ask another hive with --http"
        ));
        return Ok(ExitCode::from(EXIT_FAILED));
    };
    say(told.trim_end());
    Ok(ExitCode::SUCCESS)
}

async fn ask(addr: &str) -> Result<(Status, Vec<Transition>), String> {
    let status = get(addr, "/status").await?;
    Ok((status, journal(addr).await?))
}

/// All that the hive has kept: one answer holds a part of it.
pub(super) async fn journal(addr: &str) -> Result<Vec<Transition>, String> {
    let mut all: Vec<Transition> = Vec::new();
    while all.len() < TRANSITIONS_MAX {
        let since = all.last().map_or(0, |last| last.seq);
        let mut more: Vec<Transition> = get(addr, &format!("/transitions?since={since}")).await?;
        more.retain(|it| it.seq > since);
        if more.is_empty() {
            break;
        }
        all.append(&mut more);
    }
    Ok(all)
}

async fn get<T: serde::de::DeserializeOwned>(addr: &str, path: &str) -> Result<T, String> {
    let fetched = fetch::get(addr, path)
        .await
        .map_err(|error| format!("{error}; name the hive with --http IP:PORT"))?;
    serde_json::from_str(&fetched.body).map_err(|error| {
        let code = fetched.code;
        format!("{addr} answers {code} to {path} and nothing this version can read: {error}")
    })
}

/// The epochs a journal tells of.
fn epochs(transitions: &[Transition]) -> String {
    let mut epochs = leaderships(transitions).map(|it| it.epoch);
    match (epochs.next(), epochs.next_back()) {
        (None, _) => "none".to_owned(),
        (Some(only), None) => format!("epoch {only}"),
        (Some(first), Some(last)) => format!("epochs {first} to {last}"),
    }
}

fn leaderships(transitions: &[Transition]) -> impl DoubleEndedIterator<Item = &Transition> {
    transitions.iter().filter(|it| LEADERSHIPS.contains(&it.kind.as_str()))
}

/// The change that led to this epoch; without one the last that brought another master, else the last.
fn chosen(transitions: &[Transition], epoch: Option<u64>) -> Option<&Transition> {
    if let Some(epoch) = epoch {
        return leaderships(transitions).rfind(|it| it.epoch == epoch);
    }
    let moved = |it: &&Transition| ["failover", "switchover"].contains(&it.kind.as_str());
    leaderships(transitions).rfind(moved).or_else(|| leaderships(transitions).next_back())
}

/// `None`: the hive knows nothing of it.
fn explain(status: &Status, transitions: &[Transition], epoch: Option<u64>) -> Option<String> {
    let told = chosen(transitions, epoch)?;
    let mut sentences = vec![present(status, transitions)];
    sentences.push(what(status, told));
    if !told.why.is_empty() || !told.cause.is_empty() {
        sentences.push(why(told));
    }
    sentences.extend(offers(&told.offers));
    sentences.extend(votes(&told.votes));
    sentences.push(spans(told));
    sentences.extend(loss(told));
    let mut text = String::new();
    for sentence in sentences {
        for line in wrap(&clean(&sentence), WIDTH) {
            // A String takes everything.
            let _ = writeln!(text, "{line}");
        }
    }
    Some(text)
}

/// Who is master now, and since when.
fn present(status: &Status, transitions: &[Transition]) -> String {
    let Some(master) = status.master else {
        return format!("As {} sees it there is no master now.", status.node);
    };
    let since = since(status.master, transitions);
    let since = since.map_or(String::new(), |it| format!(" since {}", it.at));
    format!("As {} sees it {master} is the master{since}, epoch {}.", status.node, status.epoch)
}

/// The change that made this the master, or the oldest known one that found it so.
pub(super) fn since(master: Option<SocketAddr>, transitions: &[Transition]) -> Option<&Transition> {
    let mut since = None;
    for it in leaderships(transitions).rev() {
        if it.to.is_none() || it.to != master {
            break;
        }
        since = Some(it);
        if it.from != it.to {
            break;
        }
    }
    since
}

fn what(status: &Status, told: &Transition) -> String {
    let name = |addr: Option<SocketAddr>| addr.map_or("nobody".to_owned(), |a| a.to_string());
    let (from, to) = (name(told.from), name(told.to));
    let leader = told.leader.map_or(String::new(), |leader| match leader == status.node {
        true => format!("; {leader}, this hive, leads"),
        false => format!("; {leader} leads"),
    });
    let (at, epoch) = (&told.at, told.epoch);
    match told.kind.as_str() {
        "failover" => format!(
            "Epoch {epoch} began with a failover (unplanned) at {at}: the master moved from {from} to \
             {to}{leader}."
        ),
        "switchover" => format!(
            "Epoch {epoch} began with a switchover (planned) at {at}: the master moved from {from} to \
             {to}{leader}."
        ),
        _ if told.from == told.to => {
            format!("Epoch {epoch} began at {at} without another master: it stayed {to}{leader}.")
        }
        _ => format!("Epoch {epoch} began at {at} with the master {to}{leader}."),
    }
}

fn why(told: &Transition) -> String {
    let words = match told.cause.as_str() {
        "started" => "this hive had just started",
        "planned" => "the change was planned",
        _ => "",
    };
    match (words, told.why.as_str()) {
        ("", "") => format!("Why: {}.", told.cause),
        ("", why) => format!("Why: {why}."),
        (words, "") => format!("Why: {words}."),
        ("this hive had just started", _) => format!("Why: {words}."),
        (words, why) => format!("Why: {words}: {why}."),
    }
}

/// What there was to choose from.
fn offers(offers: &[Offer]) -> Option<String> {
    let each = offers.iter().map(|offer| match offer.state.as_deref() {
        None => format!("{} no copy", offer.node),
        Some("blank") => format!("{} a blank copy", offer.node),
        Some(state) => format!(
            "{} a {state} copy up to offset {} ({} keys, priority {})",
            offer.node, offer.offset, offer.keys, offer.priority
        ),
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("Offered: {}.", all.join("; ")))
}

/// Who consented and who did not.
fn votes(votes: &[Vote]) -> Option<String> {
    let each = votes.iter().map(|vote| {
        let Vote { by, to, epoch, .. } = vote;
        match vote.granted {
            true => format!("{by} consented to {to} for epoch {epoch}"),
            false => format!("{by} refused {to} for epoch {epoch}: it {}", vote.why),
        }
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("{}.", all.join("; ")))
}

/// How long it took, and what of it was what.
pub(super) fn spans(told: &Transition) -> String {
    let parts: Vec<String> = told
        .phases
        .iter()
        .map(|phase| format!("{} {}", phase_words(&phase.name), span(phase.us)))
        .collect();
    let whole = match (told.phases.is_empty(), told.took_ms) {
        (true, took) => took.unwrap_or_default() * 1000,
        (false, _) => told.phases.iter().map(|phase| phase.us).sum(),
    };
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let held = match told.held_us {
        Some(us) => format!(" Clients of this hive waited for {}.", span(us)),
        None => String::new(),
    };
    format!("It took {}{parts}.{held}", span(whole))
}

fn phase_words(name: &str) -> &str {
    match name {
        "prepare" => "looking at the successor",
        "hold" => "holding clients until the successor had every byte",
        "handover" => "handing over",
        "ask" => "asking who is there",
        "consent" => "getting consent",
        "freeze" => "freezing copies",
        "promote" => "promoting Redis",
        "open" => "letting clients on",
        other => other,
    }
}

/// Microseconds for people.
fn span(us: u64) -> String {
    let span = Duration::from_micros(us);
    match us {
        0..100_000 => format!("{:.1} ms", span.as_secs_f64() * 1000.0),
        100_000..10_000_000 => format!("{} ms", span.as_millis()),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}

/// What it cost.
fn loss(told: &Transition) -> Option<String> {
    if !["failover", "switchover"].contains(&told.kind.as_str()) {
        return None;
    }
    Some(match told.bytes_given_up {
        Some(0) => "Lost: 0 bytes of what the old master had stated.".to_owned(),
        Some(bytes) => format!(
            "Lost: {bytes} bytes that the old master had stated and the new one does not have."
        ),
        None => "Lost: not known to this hive; ask the one that leads.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::journal::Phase;

    fn status() -> Status {
        let json = include_str!("../../tests/support/status.json");
        serde_json::from_str(json).expect("the example is a status")
    }

    fn addr(host: u8) -> Option<SocketAddr> {
        Some(SocketAddr::from(([10, 0, 0, host], 6379)))
    }

    fn change(epoch: u64, kind: &str, from: u8, to: u8) -> Transition {
        Transition {
            epoch,
            at: format!("2026-11-21T06:00:0{epoch}.000Z"),
            kind: kind.to_owned(),
            from: addr(from),
            to: addr(to),
            leader: Some([10, 0, 0, to].into()),
            took_ms: Some(12),
            ..Transition::default()
        }
    }

    fn failover() -> Transition {
        Transition {
            cause: "leader_silent".to_owned(),
            why: "10.0.0.3:6390 is silent or gone".to_owned(),
            held_us: Some(30_500),
            bytes_given_up: Some(120),
            phases: vec![
                Phase { name: "ask".to_owned(), us: 40_000 },
                Phase { name: "promote".to_owned(), us: 5_000 },
            ],
            offers: vec![Offer {
                node: [10, 0, 0, 1].into(),
                state: Some("complete".to_owned()),
                offset: 99,
                keys: 7,
                priority: 100,
            }],
            votes: vec![Vote {
                by: [10, 0, 0, 2].into(),
                to: [10, 0, 0, 1].into(),
                epoch: 7,
                granted: true,
                why: String::new(),
            }],
            ..change(7, "failover", 3, 1)
        }
    }

    #[test]
    fn a_failover_is_told_in_sentences() {
        let text = explain(&status(), &[failover()], None).expect("it is known");
        assert_eq!(
            text,
            "As 10.0.0.2 sees it 10.0.0.1:6379 is the master since 2026-11-21T06:00:07.000Z,\n\
             epoch 7.\n\
             Epoch 7 began with a failover (unplanned) at 2026-11-21T06:00:07.000Z: the\n\
             master moved from 10.0.0.3:6379 to 10.0.0.1:6379; 10.0.0.1 leads.\n\
             Why: 10.0.0.3:6390 is silent or gone.\n\
             Offered: 10.0.0.1 a complete copy up to offset 99 (7 keys, priority 100).\n\
             10.0.0.2 consented to 10.0.0.1 for epoch 7.\n\
             It took 45.0 ms (asking who is there 40.0 ms, promoting Redis 5.0 ms). Clients\n\
             of this hive waited for 30.5 ms.\n\
             Lost: 120 bytes that the old master had stated and the new one does not have.\n"
        );
    }

    #[test]
    fn the_last_move_is_told_unless_an_epoch_is_named() {
        let all = [change(5, "switchover", 1, 2), failover(), change(8, "leads", 1, 1)];
        let told = |epoch| chosen(&all, epoch).map(|it| it.epoch);
        assert_eq!(told(None), Some(7));
        assert_eq!(told(Some(8)), Some(8));
        assert_eq!(told(Some(5)), Some(5));
        assert_eq!(told(Some(6)), None);
        assert_eq!(epochs(&all), "epochs 5 to 8");
        assert_eq!(epochs(&all[..1]), "epoch 5");
        let text = explain(&status(), &all, Some(8)).expect("it is known").replace('\n', " ");
        assert!(text.contains("without another master: it stayed 10.0.0.1:6379"), "{text}");
        assert!(text.contains("is the master since 2026-11-21T06:00:07.000Z"), "{text}");
        let resigned = Transition { kind: "resigned".to_owned(), ..change(9, "", 1, 1) };
        assert_eq!(chosen(&[resigned], None), None);
    }

    #[test]
    fn what_comes_from_elsewhere_steers_no_terminal() {
        let odd = Transition { why: "\x1b[2J".to_owned(), ..failover() };
        let text = explain(&status(), &[odd], None).expect("it is known");
        assert!(!text.contains('\x1b') && text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
