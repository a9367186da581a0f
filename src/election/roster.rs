//! DESIGN 3.1 and ELECTION 4.9: the addresses hives may be found at. DNS is a hint, the peers are the truth.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::io::Dialled;
use super::types::{NodeId, Time};

/// More addresses than this are not dialled.
const ADDRESSES_MAX: usize = 256;

/// What is known of one address.
#[derive(Debug)]
pub(super) struct Address {
    /// DNS (or `--peer`) lists it now.
    pub listed: bool,
    fixed: bool,
    /// A reachable hive heard a hive there.
    told: bool,
    /// Since when it is dialled.
    pub since: Time,
    /// The hive that was last found there.
    pub hive: Option<NodeId>,
    /// How the newest dial ended, and when.
    pub outcome: Option<(Dialled, Time)>,
}

/// All addresses.
#[derive(Debug)]
pub(super) struct Roster {
    me: NodeId,
    map: BTreeMap<NodeId, Address>,
    service: bool,
    /// DNS has answered in full at least once.
    pub answered: bool,
    /// The newest full answer lists this hive.
    lists_me: bool,
}

impl Roster {
    pub fn new(me: NodeId, fixed: &[NodeId], service: bool, now: Time) -> Roster {
        let mut roster =
            Roster { me, map: BTreeMap::new(), service, answered: !service, lists_me: !service };
        for &node in fixed.iter().filter(|node| **node != me) {
            let address = roster.entry(node, now);
            if let Some(address) = address {
                (address.fixed, address.listed) = (true, true);
            }
        }
        roster
    }

    /// A DNS answer. Only a full one takes the listing from an address.
    pub fn resolved(&mut self, addresses: &[NodeId], full: bool, now: Time) {
        if full {
            self.answered = true;
            self.lists_me = addresses.iter().any(|address| self.is_me(*address));
            self.map.values_mut().for_each(|address| address.listed = address.fixed);
        }
        for &node in addresses {
            if node != self.me
                && let Some(address) = self.entry(node, now)
            {
                address.listed = true;
            }
        }
    }

    /// After a long sleep: everything has to be heard anew.
    pub fn woke(&mut self, now: Time) {
        self.answered = !self.service;
        for address in self.map.values_mut() {
            address.since = now;
            // A link that stands is not announced again.
            address.outcome.take_if(|(outcome, _)| !matches!(outcome, Dialled::Hive { .. }));
        }
    }

    /// A dial ended. Gives the hive that is meant, if one is known there.
    pub fn dialled(&mut self, addr: NodeId, outcome: Dialled, now: Time) {
        if let Some(address) = self.map.get_mut(&addr) {
            address.outcome = Some((outcome, now));
            if let Dialled::Hive { node, .. } = outcome {
                address.hive = Some(node);
            }
        }
        if outcome == Dialled::Myself && self.service {
            self.lists_me |= self.map.get(&addr).is_some_and(|address| address.listed);
        }
    }

    /// The hives that reachable peers hear: they are dialled too, whatever DNS says.
    pub fn told(&mut self, nodes: impl Iterator<Item = NodeId>, now: Time) {
        self.map.values_mut().for_each(|address| address.told = false);
        for node in nodes {
            if node != self.me
                && let Some(address) = self.entry(node, now)
            {
                address.told = true;
            }
        }
    }

    /// An address leaves when nobody lists it and no hive is heard there.
    pub fn prune(&mut self, heard: impl Fn(NodeId) -> bool) {
        self.map.retain(|node, address| {
            let hive = match address.outcome {
                Some((Dialled::Hive { node, .. }, _)) => node,
                _ => *node,
            };
            address.listed || address.fixed || address.told || heard(hive)
        });
    }

    /// The addresses to dial.
    pub fn wanted(&self) -> Vec<NodeId> {
        self.map.keys().copied().collect()
    }

    /// The addresses that are listed now, but for this hive's own.
    pub fn listed(&self) -> impl Iterator<Item = (NodeId, &Address)> {
        self.map
            .iter()
            .filter(|(node, address)| address.listed && !self.is_me(**node))
            .map(|(node, address)| (*node, address))
    }

    /// 2.7: whether the newest full answer lists this very hive.
    pub fn lists_me(&self) -> bool {
        self.lists_me
    }

    /// The hive behind an address: itself, unless it introduced itself by another one.
    pub fn hive_at(&self, addr: NodeId) -> NodeId {
        match self.map.get(&addr).and_then(|address| address.outcome) {
            Some((Dialled::Hive { node, .. }, _)) => node,
            _ => addr,
        }
    }

    /// How the newest dial of this address ended.
    pub fn outcome(&self, addr: NodeId) -> Option<Dialled> {
        self.map.get(&addr).and_then(|address| address.outcome).map(|(outcome, _)| outcome)
    }

    /// 4.9: whether every listed address was heard, refused, or silent for this long.
    pub fn settled(&self, heard: impl Fn(NodeId) -> bool, silence: Duration, now: Time) -> bool {
        self.listed().all(|(node, address)| {
            heard(self.hive_at(node))
                || matches!(address.outcome, Some((Dialled::Refused, _)))
                || now.since(address.since) >= silence
        })
    }

    fn is_me(&self, node: NodeId) -> bool {
        let myself = || {
            let outcome = self.map.get(&node).and_then(|address| address.outcome);
            matches!(outcome, Some((Dialled::Myself, _)))
        };
        node == self.me || myself()
    }

    fn entry(&mut self, node: NodeId, now: Time) -> Option<&mut Address> {
        if self.map.len() >= ADDRESSES_MAX && !self.map.contains_key(&node) {
            return None;
        }
        Some(self.map.entry(node).or_insert(Address {
            listed: false,
            fixed: false,
            told: false,
            since: now,
            hive: None,
            outcome: None,
        }))
    }
}
