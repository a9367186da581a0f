//! `redis-hive status`: a hive's view for people, in at most 80 columns.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use crate::http::status::{PAUSED, PeerStatus, Role, RouteKind, Status};

use super::args::StatusArgs;
use super::{EXIT_FAILED, complain, fetch};

const WIDTH: usize = 80;
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// A peer not heard for so long is shown as silent.
const SILENT_MS: u64 = 5_000;
/// Transitions shown.
const TRANSITIONS: usize = 5;

/// Asks and prints, once or for ever.
pub(super) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    loop {
        let (text, code) = once(&args, colour).await;
        let clear = if args.watch && terminal { "\x1b[H\x1b[2J" } else { "" };
        let mut out = std::io::stdout().lock();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() {
            return Ok(ExitCode::from(code)); // Nobody reads any more.
        }
        drop(out);
        if !args.watch {
            return Ok(ExitCode::from(code));
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(code)),
        }
    }
}

/// What to print, and the exit code that goes with it.
async fn once(args: &StatusArgs, colour: bool) -> (String, u8) {
    let fetched = match fetch::get(&args.http, "/status").await {
        Ok(fetched) => fetched,
        Err(error) if args.watch => return (format!("{error}\n"), EXIT_FAILED),
        Err(error) => {
            complain(&format!("{error}; name the hive with --http IP:PORT"));
            return (String::new(), EXIT_FAILED);
        }
    };
    match serde_json::from_str::<Status>(&fetched.body) {
        Ok(status) => {
            let code = if troubles(&status).is_empty() { 0 } else { EXIT_FAILED };
            (if args.json { fetched.body } else { render(&status, colour) }, code)
        }
        Err(error) => {
            complain(&format!(
                "{} answers {} and no status this version can read: {error}",
                args.http, fetched.code
            ));
            (String::new(), EXIT_FAILED)
        }
    }
}

/// Why this hive is not healthy, gravest first; empty when it is.
fn troubles(status: &Status) -> Vec<String> {
    let mut troubles = Vec::new();
    if status.master.is_none() {
        troubles.push("no master is known".to_owned());
    }
    match status.route {
        RouteKind::Forward => {}
        RouteKind::Hold => troubles.push("clients are held".to_owned()),
        RouteKind::Refuse => troubles.push("clients are turned away".to_owned()),
    }
    if matches!(status.role, Role::Starting | Role::Candidate) {
        troubles.push(format!("this hive has no leader: it is {}", status.role.word()));
    }
    if status.role != Role::Witness {
        let redis = &status.redis;
        if !redis.up {
            troubles.push("the local Redis does not answer".to_owned());
        } else if !redis.complete {
            troubles.push("the local Redis holds no complete copy".to_owned());
        } else if !redis.current {
            troubles.push("the local Redis is not current".to_owned());
        }
    }
    if status.paused {
        troubles.push(PAUSED.to_owned());
    }
    troubles.extend(status.problems.iter().cloned());
    // The hive may say in the same words what is seen here.
    let mut said = std::collections::BTreeSet::new();
    troubles.retain(|trouble| said.insert(trouble.clone()));
    troubles
}

/// The whole page.
fn render(status: &Status, colour: bool) -> String {
    let paint = |code: &str, text: String| {
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    };
    let mut page = String::new();
    let mut line = |style: &str, text: &str| {
        let text = fit(text);
        let text = if style.is_empty() { text } else { paint(style, text) };
        let _ = writeln!(page, "{text}");
    };
    for trouble in troubles(status) {
        for (at, part) in wrap(&clean(&trouble), WIDTH - 2).iter().enumerate() {
            line("31", &format!("{} {part}", if at == 0 { '!' } else { ' ' }));
        }
    }
    let master = status.master.map_or("none".to_owned(), |addr| addr.to_string());
    line("1", &clean(status.name.trim_end_matches('.')));
    line("", &format!("master {master}, epoch {}", status.epoch));
    line("", "");

    let rows = rows(status);
    let width = rows.iter().map(|row| row.node.chars().count()).max().unwrap_or(0).max(4);
    line(
        "2",
        &format!(
            "  {:width$}  {:9} {:>7} {:>9} {:>15}",
            "NODE", "ROLE", "EPOCH", "HEARD", "OFFSET"
        ),
    );
    for row in rows {
        let style = if row.leads { "32" } else { "" };
        line(style, &row.show(width));
    }
    line("", "");
    line("", &format!("redis   {}", redis(status)));
    line("", &format!("proxy   {}", proxy(status)));
    if status.quorum > 1 {
        let left = status.lease_ms.map_or("none".to_owned(), |ms| format!("{ms} ms left"));
        line("", &format!("quorum  {}, lease {left}", status.quorum));
    }
    let said = status.problems.iter().any(|problem| problem.contains(&status.change));
    if !status.change.is_empty() && !said {
        for (at, part) in wrap(&clean(&status.change), WIDTH - 8).iter().enumerate() {
            line("", &format!("{:8}{part}", if at == 0 { "change" } else { "" }));
        }
    }
    if let Some(dns) = &status.dns {
        let (count, age) = (dns.addresses.len(), ago(dns.age_ms));
        line("", &format!("dns     {}, {count} addresses, {age} ago", clean(&dns.outcome)));
    }
    let newest = status.transitions.iter().rev().take(TRANSITIONS).rev();
    for (at, transition) in newest.enumerate() {
        if at == 0 {
            line("", "");
        }
        let took = transition.took_ms.map_or(String::new(), |ms| format!(", {ms} ms"));
        let told = format!(
            "{}  epoch {}  {}{took}: {}",
            transition.at, transition.epoch, transition.kind, transition.reason
        );
        for (at, part) in wrap(&clean(&told), WIDTH - 4).iter().enumerate() {
            line("2", &format!("{}{part}", if at == 0 { "" } else { "    " }));
        }
    }
    page
}

struct Row {
    node: String,
    role: &'static str,
    epoch: String,
    heard: String,
    offset: String,
    leads: bool,
}

impl Row {
    fn show(&self, width: usize) -> String {
        let Row { node, role, epoch, heard, offset, leads } = self;
        let mark = if *leads { '*' } else { ' ' };
        format!("{mark} {node:width$}  {role:9} {epoch:>7} {heard:>9} {offset:>15}")
    }
}

/// This hive, then the others by address.
fn rows(status: &Status) -> Vec<Row> {
    let own = Row {
        node: status.node.to_string(),
        role: status.role.word(),
        epoch: status.epoch.to_string(),
        heard: "this one".to_owned(),
        offset: if status.redis.up { status.redis.offset.to_string() } else { "-".to_owned() },
        leads: status.leader == Some(status.node),
    };
    let mut peers: Vec<&PeerStatus> = status.peers.iter().collect();
    peers.sort_by_key(|peer| peer.addr);
    // The port only says something where it tells two hives from each other.
    let same_port =
        peers.iter().all(|peer| Some(peer.addr.port()) == peers.first().map(|p| p.addr.port()));
    let others = peers.into_iter().map(|peer| Row {
        node: if same_port { peer.addr.ip().to_string() } else { peer.addr.to_string() },
        role: peer.role.map_or("unknown", Role::word),
        epoch: peer.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
        heard: match peer.last_heard_ms {
            None => "never".to_owned(),
            Some(ms) if ms > SILENT_MS => format!("! {}", ago(ms)),
            Some(ms) => ago(ms),
        },
        offset: peer.offset.map_or("-".to_owned(), |offset| offset.to_string()),
        leads: status.leader == Some(peer.addr.ip()) && status.leader != Some(status.node),
    });
    std::iter::once(own).chain(others).collect()
}

fn redis(status: &Status) -> String {
    let redis = &status.redis;
    if status.role == Role::Witness {
        return "none: a witness".to_owned();
    }
    if !redis.up {
        return "does not answer".to_owned();
    }
    let role = redis.role.as_deref().unwrap_or("role unknown");
    let state = redis.state.as_deref().unwrap_or("copy unknown");
    let current = if redis.current { "current" } else { "not current" };
    let lag = redis.lag_bytes.map_or("lag unknown".to_owned(), |lag| format!("{lag} bytes behind"));
    clean(&format!("{role}, {state}, {current}, {lag}"))
}

fn proxy(status: &Status) -> String {
    let route = match status.route {
        RouteKind::Hold => "holds",
        RouteKind::Forward => "forwards",
        RouteKind::Refuse => "refuses",
    };
    let proxy = &status.proxy;
    let read = proxy.read.map(|read| {
        let from = if read.local { "here" } else { "at the master" };
        format!(", {} read {from}", read.clients)
    });
    let read = read.unwrap_or_default();
    format!(
        "{route}, {} clients, {} held, {} moved{read}",
        proxy.clients, proxy.held, proxy.migrated
    )
}

fn ago(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// Text from elsewhere must not steer the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Cuts a line that is too long.
fn fit(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.trim_end().to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// Lines of at most `width` characters, broken at blanks; at least one.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = lines.last().map_or(0, |line| line.chars().count());
        if room > 0 && room + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Status {
        let json = include_str!("../../tests/support/status.json");
        serde_json::from_str(json).expect("the example is a status")
    }

    #[test]
    fn a_healthy_hive_fits_eighty_columns() {
        let page = render(&example(), false);
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        assert!(!page.contains(['!', '\x1b']), "{page}");
        assert!(page.contains("\n* 10.0.0.1  leader"), "{page}");
        assert!(page.contains("\n  10.0.0.2  follower"), "{page}");
        assert!(page.contains("master 10.0.0.1:6379, epoch 7"), "{page}");
        assert!(troubles(&example()).is_empty());
    }

    #[test]
    fn troubles_come_first_and_fit_too() {
        let mut status = example();
        status.master = None;
        status.route = RouteKind::Hold;
        status.redis.up = false;
        status.problems = vec![
            "no master is known".to_owned(),
            "a very long sentence ".repeat(20),
            "\x1b[2Jsteers".to_owned(),
        ];
        status.node = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".parse().expect("an IP");
        status.epoch = 1 << 48;
        let page = render(&status, false);
        assert!(page.starts_with("! no master is known\n"), "{page}");
        assert_eq!(page.matches("no master is known").count(), 1, "said once: {page}");
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        assert!(!page.contains('\x1b'), "{page}");
        assert!(render(&status, true).contains("\x1b[31m! no master is known\x1b[0m"));
    }

    #[test]
    fn pause_change_and_quorum_are_shown() {
        let mut status = example();
        (status.paused, status.quorum, status.lease_ms) = (true, 2, Some(412));
        status.problems = vec![PAUSED.to_owned()];
        status.change = "handing over to 10.0.0.1 ".repeat(5);
        let page = render(&status, false);
        assert!(page.starts_with("! paused: no fail-over until `redis-hive resume`\n"), "{page}");
        assert_eq!(page.matches("paused").count(), 1, "said once: {page}");
        assert!(page.contains("\nquorum  2, lease 412 ms left\n"), "{page}");
        assert!(page.contains("\nchange  handing over to 10.0.0.1"), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        status.lease_ms = None;
        status.problems.push(format!("stopping, and still here: {}", status.change));
        let page = render(&status, false);
        assert!(page.contains("\nquorum  2, lease none\n"), "{page}");
        assert!(!page.contains("\nchange"), "a problem says it: {page}");
    }

    #[test]
    fn a_leader_and_a_witness_can_be_healthy() {
        let mut leader = example();
        (leader.role, leader.leader) = (Role::Leader, Some(leader.node));
        assert!(troubles(&leader).is_empty());
        let mut witness = example();
        (witness.role, witness.redis) = (Role::Witness, Default::default());
        assert!(troubles(&witness).is_empty());
    }
}
