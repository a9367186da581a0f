//! What a driver shows of the core.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Core;
use super::hearing::Peer;
use super::trouble::Troubles;
use super::types::{Copy, Epoch, HiveRole, Leadership, NodeId, RedisAddr, Route, Version, Wall};

/// What a driver shows of the core.
#[derive(Clone, Debug)]
pub struct View {
    /// The role.
    pub role: HiveRole,
    /// That of the leadership; without one the highest seen.
    pub epoch: Epoch,
    /// What it follows or leads.
    pub leadership: Option<Leadership>,
    /// Where its proxies send clients.
    pub route: Route,
    /// Its copy.
    pub copy: Option<Copy>,
    /// Its Redis answers.
    pub redis_answers: bool,
    /// Its peers.
    pub peers: Vec<PeerView>,
    /// It was told to stop.
    pub stopping: bool,
    /// Why it is not leading or following, for people; empty when it is.
    pub waiting: String,
    /// The offset the master last stated, where known.
    pub master_offset: Option<u64>,
    /// When this hive last became leaderless.
    pub election_timestamp: Wall,
    /// Pause mode is on.
    pub paused: bool,
    /// What is left of the lease; `None` without `--quorum` or without one.
    pub lease: Option<Duration>,
    /// The planned change under way, or why a stopping hive stays, for people; empty otherwise.
    pub change: String,
    /// This hive takes part without a Redis.
    pub witness: bool,
}

/// What a driver shows of a peer.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Its address.
    pub node: NodeId,
    /// Its role.
    pub role: HiveRole,
    /// Its epoch.
    pub epoch: Epoch,
    /// How long it has been silent.
    pub silent_for: Duration,
    /// Its copy; `None` for a witness, and while its Redis has never answered.
    pub copy: Option<Copy>,
    /// `--priority`
    pub priority: u32,
    /// Whether it is heard and hears this hive.
    pub reachable: bool,
    /// Where its Redis is; `None` for a witness.
    pub redis: Option<RedisAddr>,
    /// Its Redis answers.
    pub redis_answers: bool,
    /// It takes part without a Redis.
    pub witness: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// The version of its program; `None` from a hive that does not say it.
    pub version: Option<Version>,
    /// How far its clock is ahead of the own one, in milliseconds, the way of its frame included;
    /// `None` from a hive that does not say it.
    pub clock_ahead_ms: Option<i64>,
    /// What it complains about; none from a hive that does not say it.
    pub troubles: Troubles,
}

impl Core {
    /// Tells what this hive complains about to the others, with the next heartbeat. Decides nothing.
    pub fn tell(&mut self, troubles: Troubles) {
        self.troubles = troubles;
    }

    /// What is to be shown.
    pub fn view(&self) -> View {
        let now = self.now();
        let peer = |(node, peer): (NodeId, &Peer)| {
            let state = peer.state.as_ref()?;
            Some(PeerView {
                node,
                role: state.role,
                epoch: state.epoch,
                silent_for: now.since(peer.heard),
                copy: state.copy,
                priority: state.priority,
                reachable: self.peers.reaches(node, now),
                redis: state.redis.filter(|_| !state.witness),
                redis_answers: state.redis_answers,
                witness: state.witness,
                stopping: state.stopping,
                version: (state.version != Version::default()).then_some(state.version),
                clock_ahead_ms: self.clock.ahead(state.clock, now.since(peer.received)),
                troubles: state.troubles,
            })
        };
        View {
            role: self.hive_role(),
            epoch: self.leadership().map_or(self.epoch, |leadership| leadership.epoch),
            leadership: self.leadership(),
            route: self.route.clone(),
            copy: self.local.copy(),
            redis_answers: self.local.answers,
            peers: self.peers.every().filter_map(peer).collect(),
            stopping: self.stopping,
            waiting: self.warned.clone(),
            master_offset: self.master_copy().map(|copy| copy.passport.offset),
            election_timestamp: self.leaderless_since,
            paused: self.paused(),
            lease: self.lease_left().filter(|left| !left.is_zero()),
            change: self.change_text(),
            witness: self.set.witness,
        }
    }

    /// The planned change under way, or why a stopping hive stays.
    fn change_text(&self) -> String {
        match self.change() {
            Some(change) => format!("the master moves to {}: {}", change.to, change.step()),
            None if self.stopping && !self.exited => self.stop.why.clone(),
            None => self.regent_text(),
        }
    }
}
