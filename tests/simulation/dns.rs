//! The headless Service: what it lists, and how its answers lie.

use redis_hive::election::{Input, NodeId};

use crate::world::Micros;

/// How answers go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What is listed now.
    Live,
    /// What was listed this long ago.
    Stale(Micros),
    /// SERVFAIL, timeouts, an empty answer.
    Failing,
    /// One address family fails: a part of the list.
    Partly,
    /// A cache that shows this host only itself.
    OnlyMyself,
}

#[derive(Debug)]
pub struct Dns {
    /// What was listed since when, oldest first.
    past: Vec<(Micros, Vec<NodeId>)>,
    modes: [Mode; crate::network::MAX_HOSTS],
}

impl Dns {
    pub fn new() -> Dns {
        Dns { past: vec![(0, Vec::new())], modes: [Mode::Live; crate::network::MAX_HOSTS] }
    }

    /// The list changed.
    pub fn list(&mut self, now: Micros, mut nodes: Vec<NodeId>) {
        nodes.sort_unstable();
        nodes.dedup();
        if self.past.last().is_none_or(|(_, last)| *last != nodes) {
            self.past.push((now, nodes));
        }
    }

    pub fn listed(&self) -> &[NodeId] {
        self.past.last().map_or(&[], |(_, nodes)| nodes)
    }

    pub fn set(&mut self, host: usize, mode: Mode) {
        self.modes[host] = mode;
    }

    pub fn set_all(&mut self, mode: Mode) {
        self.modes.fill(mode);
    }

    /// What one host is told.
    pub fn answer(&self, now: Micros, host: usize, me: NodeId) -> Input {
        let at = |then: Micros| {
            let known = self.past.iter().rev().find(|(since, _)| *since <= then);
            known.map(|(_, nodes)| nodes.clone()).unwrap_or_default()
        };
        let nodes = match self.modes[host] {
            Mode::Live => at(now),
            Mode::Stale(by) => at(now.saturating_sub(by)),
            Mode::Failing => Vec::new(),
            Mode::Partly => {
                let half = at(now).into_iter().enumerate().filter(|(i, _)| i % 2 == 0);
                return Input::DnsPartly(half.map(|(_, node)| node).collect());
            }
            Mode::OnlyMyself => vec![me],
        };
        if nodes.is_empty() { Input::DnsFailed } else { Input::Dns(nodes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_live_stale_partial_or_none() {
        let node = |last: u8| NodeId::new([10, 0, 0, last].into(), 6390);
        let mut dns = Dns::new();
        assert_eq!(dns.answer(5, 0, node(1)), Input::DnsFailed, "an empty answer is none");
        dns.list(10, vec![node(2), node(1)]);
        dns.list(20, vec![node(3)]);
        assert_eq!(dns.answer(25, 0, node(1)), Input::Dns(vec![node(3)]));
        dns.set(0, Mode::Stale(10));
        assert_eq!(dns.answer(25, 0, node(1)), Input::Dns(vec![node(1), node(2)]));
        dns.set_all(Mode::Partly);
        assert_eq!(dns.answer(15, 0, node(1)), Input::DnsPartly(vec![node(1)]));
        dns.set(0, Mode::OnlyMyself);
        assert_eq!(dns.answer(25, 0, node(7)), Input::Dns(vec![node(7)]));
    }
}
