//! ELECTION 1: which hives are heard, which are reachable, and what they last said.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{Frame, Heard, Message, State};
use super::types::{HiveRole, Incarnation, Leadership, NodeId, Time};

/// Incarnations that were replaced are remembered, so that a late frame of theirs speaks for nobody.
const GHOSTS: usize = 256;
/// More hives than this are not kept; a real hive has a few dozen.
const PEERS_MAX: usize = 256;

/// Another hive.
#[derive(Debug)]
pub(super) struct Peer {
    pub incarnation: Incarnation,
    /// When the newest frame came in.
    pub heard: Time,
    /// When the first one did.
    pub first: Time,
    /// The newest frame number.
    pub number: u64,
    /// The newest state, its number, and when it came in.
    pub state: Option<State>,
    pub state_number: u64,
    pub received: Time,
    /// When it last stated a current copy.
    pub current: Option<Time>,
    /// The load its Redis states, and since when it stands there.
    load: (u64, Time),
    /// Since when it is gone: its link closed and a new one was refused.
    pub dead: Option<Time>,
    link_closed: bool,
}

impl Peer {
    /// What it leads, if it says that it leads.
    pub fn leads(&self, node: NodeId) -> Option<Leadership> {
        let state = self.state.as_ref()?;
        let leadership = state.follows?.leadership;
        let own = leadership.leader == node && leadership.incarnation == self.incarnation;
        (state.role == HiveRole::Leader && own).then_some(leadership)
    }
}

/// All hives heard of by frames.
#[derive(Debug)]
pub(super) struct Peers {
    map: BTreeMap<NodeId, Peer>,
    ghosts: Vec<(NodeId, Incarnation)>,
    /// When hives died lately.
    deaths: Vec<(NodeId, Time)>,
    timeout: Duration,
    me: (NodeId, Incarnation),
}

impl Peers {
    pub fn new(me: NodeId, incarnation: Incarnation, timeout: Duration) -> Peers {
        Peers {
            map: BTreeMap::new(),
            ghosts: Vec::new(),
            deaths: Vec::new(),
            timeout,
            me: (me, incarnation),
        }
    }

    /// Takes a frame in. `false`: it is a ghost's, an old one or a stranger too many, and says nothing.
    pub fn accept(&mut self, frame: &mut Frame, now: Time) -> bool {
        let key = (frame.node, frame.incarnation);
        if self.ghosts.contains(&key) || frame.node == self.me.0 {
            return false;
        }
        self.replaced_by(frame.node, frame.incarnation, now);
        if !self.map.contains_key(&frame.node) && self.map.len() >= PEERS_MAX {
            return false;
        }
        let peer = self.map.entry(frame.node).or_insert_with(|| Peer {
            incarnation: frame.incarnation,
            heard: now,
            first: now,
            number: 0,
            state: None,
            state_number: 0,
            received: now,
            current: None,
            load: (0, now),
            dead: None,
            link_closed: false,
        });
        if frame.number > peer.number {
            (peer.number, peer.heard) = (frame.number, now);
            (peer.dead, peer.link_closed) = (None, false);
        }
        if let Message::State(state) = &mut frame.message {
            if frame.number <= peer.state_number {
                return false;
            }
            peer.state_number = frame.number;
            peer.received = now;
            let loaded = state.copy.map_or(0, |copy| copy.passport.loaded_bytes);
            if loaded != peer.load.0 {
                peer.load = (loaded, now);
            }
            if state.copy.is_some_and(|copy| copy.current) {
                peer.current = Some(now);
            }
            peer.state = Some((**state).clone());
        }
        true
    }

    /// 4.1: another incarnation speaks from this address, so the one before it is gone.
    pub fn replaced_by(&mut self, node: NodeId, incarnation: Incarnation, now: Time) {
        if let Some(peer) = self.map.get(&node)
            && peer.incarnation != incarnation
        {
            let (counted, before) = (peer.dead.is_some(), peer.incarnation);
            if !counted {
                self.count_death(node, now);
            }
            self.ghosts.push((node, before));
            if self.ghosts.len() > GHOSTS {
                self.ghosts.remove(0);
            }
            self.map.remove(&node);
        }
    }

    /// The last link to it closed.
    pub fn link_down(&mut self, node: NodeId, incarnation: Incarnation) {
        if let Some(peer) = self.map.get_mut(&node)
            && peer.incarnation == incarnation
        {
            peer.link_closed = true;
        }
    }

    /// A new link to this address was refused: with the old one closed, the hive is gone.
    pub fn refused(&mut self, node: NodeId, now: Time) {
        if let Some(peer) = self.map.get_mut(&node)
            && peer.link_closed
            && peer.dead.is_none()
        {
            peer.dead = Some(now);
            self.count_death(node, now);
        }
    }

    fn count_death(&mut self, node: NodeId, now: Time) {
        self.deaths.push((node, now));
        if self.deaths.len() > GHOSTS {
            self.deaths.remove(0);
        }
    }

    /// How often a hive died within this span.
    pub fn deaths(&self, node: NodeId, now: Time, within: Duration) -> usize {
        let died = self.deaths.iter().filter(|(dead, at)| *dead == node && now.since(*at) < within);
        died.count()
    }

    /// Whether this run of a hive was replaced by another one.
    pub fn is_over(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.ghosts.contains(&(node, incarnation))
    }

    /// Whether this run of a hive is known to be over.
    pub fn is_ghost(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let other = self.map.get(&node).is_some_and(|peer| peer.incarnation != incarnation);
        other || self.ghosts.contains(&(node, incarnation))
    }

    /// Since when a hive is known to be gone.
    pub fn dead_since(&self, node: NodeId) -> Option<Time> {
        self.map.get(&node).and_then(|peer| peer.dead)
    }

    /// The hive, if it is heard.
    pub fn heard(&self, node: NodeId, now: Time) -> Option<&Peer> {
        let peer = self.map.get(&node)?;
        (peer.dead.is_none() && now.since(peer.heard) < self.timeout).then_some(peer)
    }

    /// All hives that are heard.
    pub fn all_heard(&self, now: Time) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.map
            .iter()
            .filter(move |(_, peer)| peer.dead.is_none() && now.since(peer.heard) < self.timeout)
            .map(|(node, peer)| (*node, peer))
    }

    /// All hives that are heard and have stated themselves.
    pub fn states(&self, now: Time) -> impl Iterator<Item = (NodeId, &Peer, &State)> {
        self.all_heard(now).filter_map(|(node, peer)| Some((node, peer, peer.state.as_ref()?)))
    }

    /// All hives that are heard and hear this one.
    pub fn reachable(&self, now: Time) -> impl Iterator<Item = (NodeId, &Peer, &State)> {
        self.states(now).filter(|(_, _, state)| self.echo(state).is_some())
    }

    /// Whether this one is reachable.
    pub fn reaches(&self, node: NodeId, now: Time) -> bool {
        let state = self.heard(node, now).and_then(|peer| peer.state.as_ref());
        state.is_some_and(|state| self.echo(state).is_some())
    }

    /// Whether the load of its Redis has moved within this span.
    pub fn load_moves(&self, node: NodeId, now: Time, within: Duration) -> bool {
        self.heard(node, now).is_some_and(|peer| now.since(peer.load.1) < within)
    }

    /// The newest frame of this hive that the peer had heard when it said so.
    pub fn echo(&self, state: &State) -> Option<u64> {
        let (me, incarnation) = self.me;
        let heard = state.hears.iter().find(|h| h.node == me && h.incarnation == incarnation)?;
        Some(heard.number)
    }

    /// The list of hives heard, for the own state frame.
    pub fn hears(&self, now: Time) -> Vec<Heard> {
        let heard = |(node, peer): (NodeId, &Peer)| Heard {
            node,
            incarnation: peer.incarnation,
            number: peer.number,
        };
        self.all_heard(now).map(heard).collect()
    }

    /// The next moment at which somebody becomes silent.
    pub fn next_silence(&self, now: Time) -> Option<Time> {
        self.all_heard(now).map(|(_, peer)| peer.heard + self.timeout).min()
    }

    /// Every hive on record, heard or not.
    pub fn every(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.map.iter().map(|(node, peer)| (*node, peer))
    }

    /// Forgets a hive.
    pub fn forget(&mut self, node: NodeId) {
        self.map.remove(&node);
    }
}
