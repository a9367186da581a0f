//! `INFO`

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::reply::Reply;
use super::session::Session;
use super::{COMPATIBLE, Site, fields};

/// Names and what follows the colon.
type Lines = Vec<(&'static str, String)>;

/// `INFO [section...]`; what is not known is left out, as Redis does.
pub(super) fn info(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let asked = |section: &str| {
        let all = ["all", "default", "everything", section];
        let named =
            |arg: &Vec<u8>| all.iter().any(|name| arg.eq_ignore_ascii_case(name.as_bytes()));
        args.is_empty() || args.iter().any(named)
    };
    let mut text = String::new();
    for (name, lines) in sections(session).iter().filter(|(name, _)| asked(name)) {
        let gap = if text.is_empty() { "" } else { "\r\n" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{gap}# {name}\r\n");
        lines.iter().for_each(|(name, value)| {
            let _ = write!(text, "{name}:{value}\r\n");
        });
    }
    reply.verbatim(&text);
}

fn sections(session: &Session) -> [(&'static str, Lines); 4] {
    let site = &session.site;
    [
        ("Server", server(site)),
        ("Clients", clients(site)),
        ("Stats", stats(site)),
        ("Sentinel", sentinel(session)),
    ]
}

fn server(site: &Site) -> Lines {
    let uptime = site.started.elapsed().as_secs();
    vec![
        ("redis_version", COMPATIBLE.to_owned()),
        ("redis_mode", "sentinel".to_owned()),
        ("redis_hive_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("arch_bits", usize::BITS.to_string()),
        ("process_id", std::process::id().to_string()),
        ("run_id", site.settings.run_id.clone()),
        ("tcp_port", site.port.to_string()),
        ("uptime_in_seconds", uptime.to_string()),
        ("uptime_in_days", (uptime / 86_400).to_string()),
    ]
}

fn clients(site: &Site) -> Lines {
    vec![
        ("connected_clients", site.counters.clients.load(Ordering::Relaxed).to_string()),
        ("maxclients", site.settings.limits.connections.to_string()),
        ("blocked_clients", "0".to_owned()),
    ]
}

fn stats(site: &Site) -> Lines {
    let counters = &site.counters;
    vec![
        ("total_connections_received", counters.connections.load(Ordering::Relaxed).to_string()),
        ("total_commands_processed", counters.commands.load(Ordering::Relaxed).to_string()),
        ("rejected_connections", counters.rejected.load(Ordering::Relaxed).to_string()),
    ]
}

fn sentinel(session: &Session) -> Lines {
    let topology = session.topology();
    let mut lines = vec![
        ("sentinel_masters", u8::from(topology.master.is_some()).to_string()),
        ("sentinel_tilt", "0".to_owned()),
        ("sentinel_tilt_since_seconds", "-1".to_owned()),
        ("sentinel_running_scripts", "0".to_owned()),
        ("sentinel_scripts_queue_length", "0".to_owned()),
        ("sentinel_simulate_failure_flags", "0".to_owned()),
    ];
    if let Some(master) = &topology.master {
        let status = if fields::master_flags(master) == "master" { "ok" } else { "odown" };
        let name = &session.site.settings.name;
        let (address, slaves) = (master.node.addr, topology.replicas.len());
        let sentinels = topology.hives.len() + 1;
        lines.push((
            "master0",
            format!(
                "name={name},status={status},address={address},slaves={slaves},sentinels={sentinels}"
            ),
        ));
    }
    lines
}
