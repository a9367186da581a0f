//! A status as a table of at most 80 columns: what is wrong first, then the hives by address, then
//! what only the hive that was asked can know.

use std::net::{IpAddr, SocketAddr};

use crate::cli::explain::since;
use crate::cli::text::{Style, WIDTH, bytes, clean, span, wrap};
use crate::http::status::{PAUSED, RedisStatus, Role, RouteKind, Status};

use super::advice::advice;

/// A peer not heard for so long is shown as silent.
const SILENT_MS: u64 = 5_000;
/// Problems shown; `--json` has all.
const PROBLEMS: usize = 12;
/// Transitions shown.
const TRANSITIONS: usize = 5;
/// Columns of a line without the address and the epoch.
const OTHERS: usize = 45;
/// Where the values of the last part begin.
const INDENT: usize = 8;

/// A line and how it is shown.
pub(super) type Line = (Style, String);

/// The whole table.
pub(super) fn lines(status: &Status) -> Vec<Line> {
    let troubles = troubles(status);
    let mut page = complaints(&troubles);
    page.extend(head(status, troubles.len()));
    page.push(plain(""));
    page.extend(hives(status));
    page.push(plain(""));
    page.extend(own_view(status));
    page.into_iter().map(|(style, line)| (style, fit(&clean(&line)))).collect()
}

/// Why this hive is not healthy, gravest first; empty when it is.
pub(super) fn troubles(status: &Status) -> Vec<String> {
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
            troubles.push(format!("the Redis of {} does not answer", status.node));
        } else if !redis.complete {
            troubles.push("the local Redis holds no complete copy".to_owned());
        } else if !redis.current && !named(status, "not current") {
            troubles.push(format!("the copy of {} is not current", status.node));
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

/// Whether a problem of this hive has these words.
fn named(status: &Status, words: &str) -> bool {
    let node = status.node.to_string();
    status.problems.iter().any(|it| it.contains(words) && it.contains(&node))
}

/// Each with what to do next.
fn complaints(troubles: &[String]) -> Vec<Line> {
    let mut page = Vec::new();
    for trouble in troubles.iter().take(PROBLEMS) {
        let parts = wrap(&clean(trouble), WIDTH - 2).into_iter().enumerate();
        page.extend(
            parts.map(|(at, part)| {
                (Style::Bad, format!("{} {part}", if at == 0 { '!' } else { ' ' }))
            }),
        );
        page.push((Style::Plain, format!("  -> {}", advice(trouble))));
    }
    if let Some(more) = troubles.len().checked_sub(PROBLEMS + 1) {
        page.push((Style::Bad, format!("! and {} more: --json has all", more + 1)));
    }
    page
}

fn head(status: &Status, troubles: usize) -> [Line; 2] {
    let health = match troubles {
        0 => "healthy".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    let master = status.master.map_or("none".to_owned(), |addr| addr.to_string());
    let name = status.name.trim_end_matches('.');
    let room = WIDTH - health.len() - 2;
    let name = if name.chars().count() > room { middle(name, room) } else { name.to_owned() };
    [
        (Style::Bold, format!("{name}: {health}")),
        plain(format!("master {master}, epoch {}", status.epoch)),
    ]
}

/// A text of exactly so many characters, without its middle.
fn middle(text: &str, room: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    let (first, last) = (room.saturating_sub(1) / 2, room.saturating_sub(1).div_ceil(2));
    let end = letters.len().saturating_sub(last);
    letters.iter().take(first).chain(&['…']).chain(letters.iter().skip(end)).collect()
}

/// One hive, as all of them show it.
struct Row {
    ip: IpAddr,
    node: String,
    role: &'static str,
    epoch: String,
    redis: &'static str,
    copy: String,
    lag: String,
    versions: String,
    leads: bool,
}

/// By address, whoever was asked.
fn rows(status: &Status) -> Vec<Row> {
    let witness = status.role == Role::Witness;
    let own = Seen {
        role: Some(status.role),
        epoch: Some(status.epoch),
        version: Some(&status.version),
        redis: (!witness).then_some(&status.redis),
        silent_ms: 0,
    };
    // A port only says something where it tells two hives from each other.
    let ports: Vec<u16> = status.peers.iter().map(|peer| peer.addr.port()).collect();
    let same_port = ports.iter().all(|port| Some(port) == ports.first());
    let name = |addr: SocketAddr| match same_port {
        true => addr.ip().to_string(),
        false => addr.to_string(),
    };
    let peers = status.peers.iter().map(|peer| {
        let seen = Seen {
            role: peer.role,
            epoch: peer.epoch,
            version: peer.version.as_deref(),
            redis: peer.redis.as_ref(),
            silent_ms: peer.last_heard_ms.unwrap_or(0),
        };
        seen.row(peer.addr.ip(), name(peer.addr), status)
    });
    let own = own.row(status.node, status.node.to_string(), status);
    let mut rows: Vec<Row> = std::iter::once(own).chain(peers).collect();
    rows.sort_by(|one, other| (one.ip, &one.node).cmp(&(other.ip, &other.node)));
    rows
}

/// What is known of a hive, of this one as of the others.
struct Seen<'a> {
    role: Option<Role>,
    epoch: Option<u64>,
    version: Option<&'a str>,
    redis: Option<&'a RedisStatus>,
    silent_ms: u64,
}

impl Seen<'_> {
    fn row(&self, ip: IpAddr, node: String, status: &Status) -> Row {
        let silent = self.silent_ms > SILENT_MS;
        let unknown = "-".to_owned();
        let (redis, copy, lag) = match self.redis {
            _ if silent => ("-", unknown.clone(), unknown.clone()),
            None => (if self.role.is_some() { "none" } else { "-" }, unknown.clone(), "-".into()),
            Some(redis) => shown(redis),
        };
        let of = |version: Option<&str>| version.unwrap_or("unknown").to_owned();
        let server = self.redis.map(|redis| format!(", Redis {}", of(redis.version.as_deref())));
        Row {
            ip,
            node,
            role: if silent { "silent" } else { self.role.map_or("unknown", Role::word) },
            epoch: self.epoch.map_or(unknown, |epoch| epoch.to_string()),
            redis,
            copy,
            lag,
            versions: format!("hive {}{}", of(self.version), server.unwrap_or_default()),
            leads: status.leader == Some(ip),
        }
    }
}

/// Role, copy and lag of a Redis.
fn shown(redis: &RedisStatus) -> (&'static str, String, String) {
    if !redis.up {
        return ("down", "-".to_owned(), "-".to_owned());
    }
    let role = match redis.role.as_deref() {
        Some("master") => "master",
        Some("replica") => "replica",
        _ => "unknown",
    };
    let copy = match redis.state.as_deref() {
        _ if redis.current => "current",
        Some("complete") if !redis.link_up => "no link",
        Some("complete") => "behind",
        Some("coming") => "coming",
        Some("blank") => "blank",
        _ => "unknown",
    };
    let lag = match redis.lag_bytes {
        _ if role == "master" => "-".to_owned(),
        _ if !redis.complete => "-".to_owned(),
        Some(lag) => bytes(lag),
        None => "unknown".to_owned(),
    };
    (role, copy.to_owned(), lag)
}

fn hives(status: &Status) -> Vec<Line> {
    let rows = rows(status);
    let epoch = rows.iter().map(|row| row.epoch.len()).max().unwrap_or(0).max(5);
    let node = rows.iter().map(|row| row.node.len()).max().unwrap_or(0).max(4);
    let node = node.min(WIDTH - OTHERS - epoch);
    let mut page = vec![(
        Style::Faint,
        format!(
            "  {:node$}  {:9}  {:>epoch$}  {:7}  {:8}  {:>9}",
            "HIVE", "ROLE", "EPOCH", "REDIS", "COPY", "LAG"
        ),
    )];
    for row in rows {
        let style = if row.leads { Style::Good } else { Style::Plain };
        page.extend(row.lines(node, epoch).into_iter().map(|line| (style, line)));
        if mixed(status) {
            page.push((Style::Faint, format!("    {}", row.versions)));
        }
    }
    page
}

impl Row {
    /// One line, or two where the address is longer than `node` columns.
    fn lines(&self, node: usize, epoch: usize) -> Vec<String> {
        let Row { node: place, role, epoch: number, redis, copy, lag, leads, .. } = self;
        let mark = if *leads { '*' } else { ' ' };
        let rest = format!("{role:9}  {number:>epoch$}  {redis:7}  {copy:8}  {lag:>9}");
        if place.len() > node {
            return vec![format!("{mark} {place}"), format!("  {:node$}  {rest}", "")];
        }
        vec![format!("{mark} {place:node$}  {rest}")]
    }
}

/// Whether hives or servers of several versions run.
fn mixed(status: &Status) -> bool {
    let peers = || status.peers.iter().filter(|peer| peer.role.is_some());
    let hives = peers().any(|peer| peer.version.as_ref() != Some(&status.version));
    let own = Some(&status.redis).filter(|_| status.role != Role::Witness);
    let servers = peers().filter_map(|peer| peer.redis.as_ref()).chain(own);
    let mut versions = servers.filter_map(|redis| redis.version.as_ref());
    let first = versions.next();
    hives || versions.any(|version| Some(version) != first)
}

/// What the hives may see differently.
fn own_view(status: &Status) -> Vec<Line> {
    let title = format!("as {} sees it; ask the others with --http", status.node);
    let mut page = vec![(Style::Faint, title)];
    let mut told = |name: &str, text: &str| {
        for (at, part) in wrap(text, WIDTH - INDENT).iter().enumerate() {
            page.push(plain(format!("{:INDENT$}{part}", if at == 0 { name } else { "" })));
        }
    };
    if let Some(since) = since(status.master, &status.transitions) {
        told("since", &format!("{}: {}", since.at, since.kind));
    }
    told("redis", &redis(status));
    told("proxy", &proxy(status));
    if status.quorum > 1 {
        let left = status.lease_ms.map_or("none".to_owned(), |ms| format!("{ms} ms left"));
        told("quorum", &format!("{}, lease {left}", status.quorum));
    }
    let said = status.problems.iter().any(|problem| problem.contains(&status.change));
    if !status.change.is_empty() && !said {
        told("change", &status.change);
    }
    if let Some(dns) = &status.dns {
        let (count, age) = (dns.addresses.len(), span(dns.age_ms));
        told("dns", &format!("{}, {count} addresses, {age} ago", dns.outcome));
    }
    page.extend(transitions(status));
    page
}

fn transitions(status: &Status) -> Vec<Line> {
    let mut page = Vec::new();
    let first = status.transitions.len().saturating_sub(TRANSITIONS);
    for transition in status.transitions.iter().skip(first) {
        if page.is_empty() {
            page.push(plain(""));
        }
        let took = transition.took_ms.map_or(String::new(), |ms| format!(", {ms} ms"));
        let told = format!(
            "{} epoch {} {}{took}: {}",
            transition.at, transition.epoch, transition.kind, transition.reason
        );
        for (at, part) in wrap(&clean(&told), WIDTH - 4).iter().enumerate() {
            let indent = if at == 0 { "" } else { "    " };
            page.push((Style::Faint, format!("{indent}{part}")));
        }
    }
    page
}

fn redis(status: &Status) -> String {
    let redis = &status.redis;
    if status.role == Role::Witness {
        return "none: a witness".to_owned();
    }
    if !redis.up {
        return "does not answer".to_owned();
    }
    let version = redis.version.as_deref().unwrap_or("of an unknown version");
    let memory = redis.memory.map_or(String::new(), |memory| match memory.max {
        0 => format!(", {} in use, no maxmemory", bytes(memory.used)),
        max => format!(", {} of {} in use", bytes(memory.used), bytes(max)),
    });
    format!("{version}, offset {}{memory}", redis.offset)
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

fn plain(text: impl Into<String>) -> Line {
    (Style::Plain, text.into())
}

/// Cuts a line that is too long.
fn fit(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.trim_end().to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}
