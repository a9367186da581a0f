//! What `/status` complains about: sentences for people, gravest first. Those about the whole hive
//! are the same from every hive that hears the others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::settings::own_version;
use super::show::{Shown, Sources};
use super::troubles::Heard;
use crate::election::{Copy, CopyState, Trouble, Troubles, View};
use crate::http::status::PAUSED;
use crate::redis::Facts;

/// What it means that there is no secret.
pub(super) const OPEN: &str = "no secret (--secret-file): whoever reaches the peer port can read the state and make itself \
     the leader";

/// A peer silent for longer than this is a problem worth a line.
const QUIET_MS: u64 = 5_000;
/// A copy further behind its master than this would lose much: some seconds of hard writing.
const LAG_MIB: u64 = 64;
/// Clocks further apart than this make logs of two hives hard to compare. The way of a frame is far
/// shorter.
const CLOCKS_MS: i64 = 1_000;
const MIB: u64 = 1 << 20;

/// All that is wrong, as far as this hive knows; `own` are its own troubles.
pub(super) fn problems(from: &Sources<'_>, shown: &Shown, own: Troubles) -> Vec<String> {
    let view = &from.view;
    let holders = holders(view, shown.me.ip);
    let heard = Heard::new(view, shown.me.ip, own);
    let mut problems = Vec::new();
    if !view.waiting.is_empty() {
        problems.push(view.waiting.clone());
    }
    if view.leadership.is_none() {
        problems.push("no leader is known".to_owned());
    }
    if view.stopping && !view.change.is_empty() {
        problems.push(format!("stopping, and still here: {}", view.change));
    }
    let quorum = shown.quorum;
    if quorum > 1 && view.leadership.is_some() && view.lease.is_none() {
        problems.push(format!("no lease: fewer hives than --quorum {quorum} follow"));
    }
    if view.paused {
        problems.push(PAUSED.to_owned());
    }
    if !view.witness {
        problems.extend(from.facts.problems.iter().cloned());
    }
    problems.extend(heard.sentence(Trouble::Redis));
    problems.extend(of_copies(&holders, view));
    problems.extend(heard.sentence(Trouble::BootFence));
    if !view.witness {
        problems.extend(of_the_local_redis(from.facts));
    }
    problems.extend(heard.sentence(Trouble::Settings));
    problems.extend(heard.sentence(Trouble::Memory));
    problems.extend(from.access.iter().cloned());
    problems.extend(heard.sentence(Trouble::Credentials));
    for peer in view.peers.iter().filter(|peer| !peer.reachable) {
        if peer.silent_for.as_millis() as u64 > QUIET_MS {
            let seconds = peer.silent_for.as_secs();
            problems.push(format!("{} has been silent for {seconds} s", peer.node));
        }
    }
    problems.extend(heard.sentence(Trouble::Dns));
    problems.extend(from.secret.clone());
    problems.extend(heard.sentence(Trouble::SecretFile));
    problems.extend(heard.sentence(Trouble::NoSecret));
    problems.extend(of_clocks(view, shown.me.ip));
    problems.extend(of_versions(view, &holders));
    problems
}

/// A Redis of the hive: the local one, or that of a peer that is heard.
struct Holder {
    ip: IpAddr,
    up: bool,
    copy: Option<Copy>,
}

impl Holder {
    fn current(&self) -> bool {
        self.up && self.copy.is_some_and(|copy| copy.current)
    }
}

/// By address.
fn holders(view: &View, me: IpAddr) -> Vec<Holder> {
    let peers = view.peers.iter().filter(|peer| peer.reachable && !peer.witness);
    let peers = peers.map(|it| Holder { ip: it.node.ip, up: it.redis_answers, copy: it.copy });
    let own = Holder { ip: me, up: view.redis_answers, copy: view.copy };
    let mut all: Vec<Holder> = peers.chain((!view.witness).then_some(own)).collect();
    all.sort_by_key(|holder| holder.ip);
    all
}

/// How many copies there are, and what is wrong with each. Without a leader none is current.
fn of_copies(holders: &[Holder], view: &View) -> Vec<String> {
    let silent = holders.iter().filter(|holder| !holder.up);
    let mut problems: Vec<String> =
        silent.map(|holder| format!("the Redis of {} does not answer", holder.ip)).collect();
    if view.leadership.is_none() {
        return problems;
    }
    match holders.iter().filter(|holder| holder.current()).count() {
        0 | 1 => problems.push("no replica is current: the data are in one place".to_owned()),
        2 => {
            problems.push("one replica only: the next failure leaves the data in one place".into())
        }
        _ => {}
    }
    for holder in holders.iter().filter(|holder| holder.up) {
        let Some(copy) = holder.copy else { continue };
        let lag = view.master_offset.map_or(0, |offset| offset.saturating_sub(copy.offset));
        if !copy.current {
            let why = behind(&copy);
            problems.push(format!("the copy of {} is not current: {why}", holder.ip));
        } else if lag > LAG_MIB * MIB {
            let ip = holder.ip;
            problems.push(format!("the copy of {ip} is more than {LAG_MIB} MiB behind"));
        }
    }
    problems
}

/// Why a copy is not current.
fn behind(copy: &Copy) -> &'static str {
    match copy.state {
        CopyState::Blank => "it holds nothing yet",
        CopyState::Coming => "it is being copied",
        CopyState::Complete if copy.passport.link_up => "it catches up",
        CopyState::Complete => "its link to the master is down",
    }
}

fn of_the_local_redis(facts: &Facts) -> impl Iterator<Item = String> {
    let flags = facts.missing_flags.iter();
    let flags = flags.map(|flag| format!("the local Redis was started without {flag}"));
    flags.chain(facts.warnings.iter().cloned())
}

/// The two clocks that are furthest apart.
fn of_clocks(view: &View, me: IpAddr) -> Option<String> {
    let heard = view.peers.iter().filter(|peer| peer.reachable);
    let ahead = heard.filter_map(|peer| Some((peer.clock_ahead_ms?, peer.node.ip)));
    let clocks: Vec<(i64, IpAddr)> = ahead.chain([(0, me)]).collect();
    let ((first, behind), (last, ahead)) = (clocks.iter().min()?, clocks.iter().max()?);
    let apart = last.saturating_sub(*first);
    (apart >= CLOCKS_MS)
        .then(|| format!("the clock of {ahead} is {} s ahead of that of {behind}", apart / 1000))
}

/// Several versions at once are the middle of an upgrade, or one that was forgotten.
fn of_versions(view: &View, holders: &[Holder]) -> Vec<String> {
    let heard = view.peers.iter().filter(|peer| peer.reachable);
    let told = heard.map(|peer| match peer.version {
        Some(version) => version.to_string(),
        None => "older".to_owned(),
    });
    let hives: BTreeSet<String> = told.chain([own_version().to_string()]).collect();
    let copies = holders.iter().filter_map(|holder| holder.copy);
    let servers: BTreeSet<String> = copies.map(|copy| copy.passport.version.to_string()).collect();
    let list = |all: BTreeSet<String>| all.into_iter().collect::<Vec<_>>().join(", ");
    let mut problems = Vec::new();
    if hives.len() > 1 {
        problems.push(format!("hives of several versions run: {}", list(hives)));
    }
    if servers.len() > 1 {
        problems.push(format!("Redis servers of several versions run: {}", list(servers)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::examples::{copy, id_of, peer, view};
    use super::*;
    use crate::election::{PeerView, Version};

    const ME: u8 = 1;

    /// 10.0.0.1 follows 10.0.0.2, as 10.0.0.3 does.
    fn healthy() -> View {
        let known = [peer(2, None), peer(3, Some(2))];
        let peers = known.map(|it| PeerView { version: Some(own_version()), ..it });
        let copy = Some(copy(ME, Some(2)));
        View { copy, redis_answers: true, peers: peers.into(), ..view(2, 2) }
    }

    fn told(view: &View) -> Vec<String> {
        let me = id_of(ME).ip;
        let holders = holders(view, me);
        let mut all = of_copies(&holders, view);
        all.extend(of_clocks(view, me));
        all.extend(of_versions(view, &holders));
        all
    }

    #[test]
    fn three_copies_are_enough_and_fewer_are_told() {
        assert_eq!(told(&healthy()), [""; 0]);
        let mut two = healthy();
        two.peers.pop();
        assert_eq!(told(&two), ["one replica only: the next failure leaves the data in one place"]);
        two.peers.clear();
        assert_eq!(told(&two), ["no replica is current: the data are in one place"]);
        two.leadership = None;
        assert_eq!(told(&two), [""; 0], "an election says enough");
    }

    #[test]
    fn each_copy_that_is_behind_is_named_from_every_hive() {
        let mut view = healthy();
        view.redis_answers = false;
        view.master_offset = Some(1_000 + (LAG_MIB + 1) * MIB);
        view.peers[0].copy = Some(copy(2, None)).map(|it| Copy { offset: u64::MAX, ..it });
        let lagging = told(&view);
        assert_eq!(lagging[0], "the Redis of 10.0.0.1 does not answer");
        assert_eq!(lagging[2], "the copy of 10.0.0.3 is more than 64 MiB behind");
        view.peers[1].copy = view.peers[1].copy.map(|it| Copy { current: false, ..it });
        assert_eq!(told(&view)[2], "the copy of 10.0.0.3 is not current: it catches up");
        for (state, why) in [(CopyState::Blank, "holds nothing"), (CopyState::Coming, "copied")] {
            view.peers[1].copy = view.peers[1].copy.map(|it| Copy { state, ..it });
            assert!(told(&view)[2].contains(why), "{:?}", told(&view));
        }
        view.peers[1].reachable = false;
        assert!(!told(&view).concat().contains("10.0.0.3"), "it is silent, and that is told");
    }

    /// Whoever is asked, the same two are named.
    #[test]
    fn clocks_are_compared_with_each_other() {
        let mut view = healthy();
        (view.peers[0].clock_ahead_ms, view.peers[1].clock_ahead_ms) = (Some(-999), Some(0));
        assert_eq!(told(&view), [""; 0]);
        view.peers[1].clock_ahead_ms = Some(4_200);
        assert_eq!(told(&view), ["the clock of 10.0.0.3 is 5 s ahead of that of 10.0.0.2"]);
        view.peers[0].clock_ahead_ms = None;
        assert_eq!(told(&view), ["the clock of 10.0.0.3 is 4 s ahead of that of 10.0.0.1"]);
    }

    #[test]
    fn several_versions_are_told() {
        let mut view = healthy();
        view.peers[0].version = None;
        if let Some(copy) = &mut view.peers[1].copy {
            copy.passport.version = Version { major: 8, minor: 0, patch: 1 };
        }
        let own = own_version();
        let hives = format!("hives of several versions run: {own}, older");
        assert_eq!(told(&view), [&*hives, "Redis servers of several versions run: 0.0.0, 8.0.1"]);
    }
}
