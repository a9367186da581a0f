//! `redis-hive check`: looks at everything `run` would depend on, and says how to mend it.

mod finding;
mod redis;
mod secret;
mod tls;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{Checked, Config, advertised};
use crate::discovery::{self, DiscoverySettings, Outcome, Search};
use crate::http::status::{Status, timestamp};
use crate::listener;

use super::text::colours;
use super::{EXIT_FAILED, fetch};
use finding::{Finding, Level};

/// 2024-01-01: a clock before this was never set.
const CLOCK_MIN_MS: u64 = 1_704_067_200_000;
/// 2100-01-01.
const CLOCK_MAX_MS: u64 = 4_102_444_800_000;

/// Looks at everything and prints what was found; exit code 1 if anything does not work.
pub(super) async fn run(checked: Checked, json: bool) -> anyhow::Result<ExitCode> {
    let findings = look(checked).await;
    let text = match json {
        true => finding::json(&findings)?,
        false => finding::text(&findings, colours(&std::io::stdout())),
    };
    // Nobody is left to read it when the pipe is closed; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let bad = findings.iter().any(|finding| finding.level == Level::Bad);
    Ok(if bad { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}

async fn look(checked: Checked) -> Vec<Finding> {
    let Checked { config, warnings } = checked;
    let mut findings = vec![Finding::good("config", "the settings are valid")];
    findings.extend(warnings.into_iter().map(|warning| {
        Finding::odd(
            "config.warning",
            warning,
            "it may not be what you meant",
            "see the flag's --help",
        )
    }));
    findings.push(clock(SystemTime::now()));
    let (found, listed) = dns(&config).await;
    findings.extend(found);
    findings.push(address(&config, &listed));
    findings.extend(quorum(&config, &listed));
    findings.extend(secret::look(&config));
    if config.witness {
        findings.push(Finding::good("redis.none", "none: a witness"));
    } else {
        findings.extend(redis::look(&config).await);
    }
    findings.extend(ports(&config).await);

    findings
}

/// Only a clock that was never set is wrong here: hives compare their clocks to break ties only.
fn clock(now: SystemTime) -> Finding {
    let ms = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    let seen = format!("the clock says {}", timestamp(ms));
    if (CLOCK_MIN_MS..CLOCK_MAX_MS).contains(&ms) {
        return Finding::good("clock", seen);
    }
    Finding::odd(
        "clock.unset",
        format!("{seen}, which cannot be"),
        "between equal copies the hive that lost its leader first wins, by the clock; log lines \
         cannot be put in order",
        "set the node's clock (NTP)",
    )
}

/// What DNS says, and all addresses it lists.
async fn dns(config: &Config) -> (Vec<Finding>, Vec<IpAddr>) {
    let mut listed: Vec<IpAddr> = config.peers.iter().map(|peer| peer.ip).collect();
    if config.services.is_empty() {
        let seen = format!("not needed: {} fixed peers", listed.len());
        return (vec![Finding::good("dns", seen)], listed);
    }
    let settings = DiscoverySettings {
        services: config.services.clone(),
        peer_port: config.peer_port,
        nameserver: config.dns_server,
        search: Search::system(),
        interval: Duration::from_secs(1),
    };
    let states = match discovery::resolve_once(&settings).await {
        Ok(states) => states,
        Err(error) => {
            let finding = Finding::bad(
                "dns.resolver",
                error.to_string(),
                "without DNS no peer is found, and an empty hive never starts",
                "give the container an /etc/resolv.conf, or use --peer",
            );
            return (vec![finding], listed);
        }
    };
    let mut findings = Vec::new();
    for state in states {
        let service = &state.service;
        let name = discovery::absolute_name(service, &settings.search);
        let name = state.name.as_ref().unwrap_or(&name);
        let shown: Vec<String> = state.addresses.iter().map(IpAddr::to_string).collect();
        let shown = shown.join(", ");
        listed.extend(&state.addresses);
        let count = state.addresses.len();
        findings.push(match state.outcome {
            Some(Outcome::Complete) => {
                Finding::good("dns", format!("{name} lists {count} addresses: {shown}"))
            }
            Some(Outcome::Partly(why)) => Finding::odd(
                "dns.partly",
                format!("{name} lists {count} addresses ({shown}), but {}", why.describe()),
                "while one address family fails, an empty hive waits and no address is forgotten",
                "look at the DNS server: both A and AAAA must be answered, if only with nothing",
            ),
            Some(Outcome::Failed(why)) => Finding::bad(
                "dns.failed",
                format!("--service {service} ({name}): {}", why.describe()),
                "peers are found by this name only",
                "check the name and the namespace; the Service must be headless (clusterIP: None), \
                 have publishNotReadyAddresses: true and a selector that matches the pods",
            ),
            None => continue,
        });
    }
    (findings, listed)
}

/// Under which address peers would know this hive.
fn address(config: &Config, listed: &[IpAddr]) -> Finding {
    let Some(ip) = config.advertise.or_else(|| advertised(listed)) else {
        return Finding::bad(
            "address.none",
            "this machine has no address to advertise",
            "peers dial this address, and it ranks equal hives",
            "give --advertise IP, or set POD_IP from the downward API",
        );
    };
    let others_elsewhere = listed.iter().any(|other| !other.is_loopback());
    if ip.is_loopback() && others_elsewhere {
        return Finding::bad(
            "address.loopback",
            format!("{ip} would be advertised"),
            "nobody on another machine can dial a loopback address",
            "give --advertise IP, or set POD_IP from the downward API",
        );
    }
    Finding::good("address", format!("peers would know this hive as {ip}"))
}

/// Whether so many hives as `--quorum` wants are more than half of those that are listed, and no
/// more than there are. Only hives that run count in the end: more may come.
fn quorum(config: &Config, listed: &[IpAddr]) -> Option<Finding> {
    let quorum = config.quorum;
    if quorum == 1 {
        return None;
    }
    let own = config.advertise.or_else(|| advertised(listed));
    let hives: BTreeSet<IpAddr> = listed.iter().copied().chain(own).collect();
    // Two hives of one machine have one address and two ports.
    let fixed: BTreeSet<_> = config.peers.iter().map(|peer| (peer.ip, peer.port)).collect();
    let hives = hives.len().max(fixed.len());
    let half = hives / 2;
    let seen = format!("--quorum {quorum}, and {hives} hives are listed with this one");
    if quorum as usize <= half {
        return Some(Finding::bad(
            "quorum.half",
            seen,
            "both sides of a partition could have so many: then no hive leads at all",
            format!("give --quorum {}, more than half of all hives", half + 1),
        ));
    }
    if quorum as usize > hives {
        return Some(Finding::odd(
            "quorum.unreachable",
            seen,
            "nobody leads before so many hives run",
            format!("start more hives, or give --quorum {}", half + 1),
        ));
    }
    Some(Finding::good(
        "quorum",
        format!("{seen}: {} of them may be lost", hives - quorum as usize),
    ))
}

/// Whether the listeners could be opened.
async fn ports(config: &Config) -> Vec<Finding> {
    let taken: Vec<(&str, u16, std::io::Error)> = config
        .ports()
        .into_iter()
        .filter_map(|(flag, port)| Some((flag, port, listener::open(config.bind, port, 1).err()?)))
        .collect();
    if taken.is_empty() {
        return vec![Finding::good("ports", "all ports are free")];
    }
    if let Some(status) = hive_here(config).await {
        let seen = format!("a hive runs here already ({}, {})", status.name, status.role.word());
        return vec![Finding::good("ports", seen)];
    }
    let finding = |(flag, port, error): (&str, u16, std::io::Error)| {
        Finding::bad(
            "ports.taken",
            format!("{flag} {port} on {}: {error}", config.bind),
            "the hive could not start",
            format!("stop what listens there, or give another {flag} or --bind"),
        )
    };
    taken.into_iter().map(finding).collect()
}

/// The status of a hive with our HTTP port, if one answers.
async fn hive_here(config: &Config) -> Option<Status> {
    let ip = if config.bind.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { config.bind };
    let addr = SocketAddr::new(ip, config.http_port).to_string();
    fetch::status(&addr).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_must_be_more_than_half_and_reachable() {
        let flags = |n: u32| {
            let line = format!(
                "redis-hive check --peer=10.0.0.2,10.0.0.3 --advertise=10.0.0.1 --quorum={n}"
            );
            let (cli, outside) = crate::cli::args::parse(line.split(' ')).expect("a command line");
            let crate::cli::args::Command::Check(args) = cli.command else { unreachable!() };
            Config::from_flags(&args.flags, &outside).expect("settings").config
        };
        let judge = |n, listed: &[&str]| {
            let listed: Vec<IpAddr> = listed.iter().map(|ip| ip.parse().expect("an IP")).collect();
            quorum(&flags(n), &listed).map(|finding| finding.level)
        };
        let two = ["10.0.0.2", "10.0.0.3"];
        assert_eq!(judge(1, &two), None);
        assert_eq!(judge(2, &two), Some(Level::Good));
        assert_eq!(judge(3, &two), Some(Level::Good));
        assert_eq!(judge(4, &two), Some(Level::Odd));
        assert_eq!(judge(2, &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]), Some(Level::Bad));
    }

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        assert_eq!(clock(UNIX_EPOCH).level, Level::Odd);
        let set = UNIX_EPOCH + Duration::from_millis(CLOCK_MIN_MS);
        assert_eq!(clock(set).level, Level::Good);
    }
}
