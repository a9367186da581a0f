//! Which links there are, which of two connections stays, and which addresses are dialled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::hub::Peer;
use super::link::Link;
use crate::election::NodeId;

/// The most links at a time.
pub(super) const MAX_LINKS: usize = 256;
/// The most greeted connections at a time: links, and those that are being replaced by one.
const MAX_SERVED: usize = MAX_LINKS + 64;
/// The most accepted connections whose hello is outstanding. The oldest makes room: a hive says
/// hello at once, so a crowd that says nothing never keeps one out.
const MAX_UNFINISHED: usize = 64;
/// The most addresses that are dialled.
pub(super) const MAX_WANTED: usize = 1024;

/// What became of a greeted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adopted {
    /// It is the link.
    First,
    /// There was one already; one of the two was retired.
    Duplicate,
    /// There are too many, it must be closed.
    Full,
}

/// An address that is dialled.
pub(super) struct Wanted {
    /// Wakes its dialler when a link begins or ends.
    pub(super) kick: Arc<Notify>,
    /// Ends its dialler.
    pub(super) stop: CancellationToken,
    /// Who was found there last.
    pub(super) leads_to: Option<Peer>,
}

pub(super) struct Table {
    links: HashMap<Peer, Arc<Link>>,
    served: usize,
    unfinished: BTreeMap<u64, CancellationToken>,
    pub(super) wanted: HashMap<NodeId, Wanted>,
    /// A link that was silent for so long loses against a new one.
    silence: Duration,
}

impl Table {
    pub(super) fn new(silence: Duration) -> Table {
        Table {
            links: HashMap::new(),
            served: 0,
            unfinished: BTreeMap::new(),
            wanted: HashMap::new(),
            silence,
        }
    }

    /// The live links.
    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values()
    }

    /// The hive a live link leads to from this address.
    pub(super) fn linked(&self, addr: NodeId) -> Option<Peer> {
        let found = self.wanted.get(&addr).and_then(|wanted| wanted.leads_to);
        found
            .filter(|peer| self.links.contains_key(peer))
            .or_else(|| self.links.keys().find(|peer| peer.node == addr).copied())
    }

    /// Remembers who is found at an address, and wakes nobody.
    pub(super) fn learn(&mut self, addr: NodeId, peer: Peer) {
        if let Some(wanted) = self.wanted.get_mut(&addr) {
            wanted.leads_to = Some(peer);
        }
    }

    /// Takes a greeted connection in. Unless it is `Full`, `leave` must follow.
    pub(super) fn adopt(&mut self, new: &Arc<Link>, now: Duration) -> Adopted {
        let old = self.links.get(&new.peer).cloned();
        if self.served >= MAX_SERVED || (old.is_none() && self.links.len() >= MAX_LINKS) {
            return Adopted::Full;
        }
        self.served += 1;
        let Some(old) = old else {
            self.links.insert(new.peer, new.clone());
            self.kick(new.peer);
            return Adopted::First;
        };
        if new.beats(&old, now, self.silence) {
            new.inherit(&old);
            old.retire();
            self.links.insert(new.peer, new.clone());
        } else {
            new.retire();
        }
        Adopted::Duplicate
    }

    /// A connection has ended. Whether it was the link, so that there is none now.
    pub(super) fn leave(&mut self, link: &Link) -> bool {
        self.served = self.served.saturating_sub(1);
        if self.links.get(&link.peer).is_some_and(|live| live.id == link.id) {
            self.links.remove(&link.peer);
            return true;
        }
        false
    }

    /// Wakes the diallers of all addresses that lead to this hive. Whether its own address is one.
    pub(super) fn kick(&self, peer: Peer) -> bool {
        for (addr, wanted) in &self.wanted {
            if *addr == peer.node || wanted.leads_to == Some(peer) {
                wanted.kick.notify_one();
            }
        }
        self.wanted.contains_key(&peer.node)
    }

    /// Wakes all diallers.
    pub(super) fn kick_all(&self) {
        self.wanted.values().for_each(|wanted| wanted.kick.notify_one());
    }

    /// A connection was accepted. Its token is cancelled when it must make room; the second value
    /// tells whether another one had to.
    pub(super) fn begin(&mut self, id: u64) -> (CancellationToken, bool) {
        let crowded = self.unfinished.len() >= MAX_UNFINISHED;
        if crowded && let Some((_, oldest)) = self.unfinished.pop_first() {
            oldest.cancel();
        }
        let token = CancellationToken::new();
        self.unfinished.insert(id, token.clone());
        (token, crowded)
    }

    /// The hello of an accepted connection has come, or never will.
    pub(super) fn finish(&mut self, id: u64) {
        self.unfinished.remove(&id);
    }
}
