//! ELECTION 2.7: a blank Redis becomes master only when nobody holds a copy.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Core;
use super::copies::state_of;
use super::io::{Dialled, RedisView};
use super::types::{CopyState, NodeId, Passport};

/// What is known of one listed address.
enum Found {
    /// Nothing there, or a blank Redis of ours.
    Nothing,
    /// Somebody is there and it is not clear what it holds: waited for as long as it takes.
    Unclear(String),
    /// It does not answer at all: waited for by the bootstrap timeout.
    Silent(String),
}

impl Core {
    /// Whether this blank hive may make the first master; else why not.
    pub(super) fn may_bootstrap(&self) -> Result<(), String> {
        if self.set.ablation.blank_bootstraps_at_once {
            return Ok(());
        }
        if !self.roster.answered {
            return Err(String::from("the local Redis is blank and DNS has not answered yet"));
        }
        if !self.roster.lists_me() {
            return Err(String::from(
                "the local Redis is blank and DNS does not list this hive yet",
            ));
        }
        self.nobody_heard_holds()?;
        self.no_redis_holds()?;
        for (addr, _) in self.roster.listed() {
            match self.found_at(addr) {
                Found::Nothing => {}
                Found::Unclear(what) => return Err(what),
                Found::Silent(what) => {
                    let waited = self.now().since(self.knew_copy);
                    if waited < self.set.bootstrap_timeout {
                        return Err(what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hearing one way is enough.
    fn nobody_heard_holds(&self) -> Result<(), String> {
        for (node, peer) in self.peers.all_heard(self.now()) {
            let Some(state) = &peer.state else {
                return Err(format!("{node} has not stated its copy yet"));
            };
            if state.copy.is_some_and(|copy| copy.state != CopyState::Blank) {
                return Err(format!("the local Redis is blank and {node} holds a copy"));
            }
        }
        Ok(())
    }

    /// At an address that is not listed any more only a Redis that is known to be one of ours
    /// counts: a stranger may have it by now (2.10).
    fn no_redis_holds(&self) -> Result<(), String> {
        let listed: Vec<_> = self.roster.listed().map(|(addr, _)| self.redis_at(addr)).collect();
        for addr in self.targets() {
            if let Some(RedisView::Up(passport)) = self.redis_view(addr)
                && state_of(&passport) != CopyState::Blank
                && (listed.contains(&addr) || self.is_ours(addr, &passport))
            {
                return Err(format!(
                    "the local Redis is blank and the Redis at {addr} holds a copy"
                ));
            }
        }
        Ok(())
    }

    fn redis_view(&self, addr: super::RedisAddr) -> Option<RedisView> {
        self.look.at(addr, self.now()).map(|answer| answer.view)
    }

    fn found_at(&self, addr: NodeId) -> Found {
        let node = self.roster.hive_at(addr);
        let redis = self.redis_at(addr);
        let view = self.redis_view(redis);
        let blank = |p: &Passport| state_of(p) == CopyState::Blank;
        let nothing = match view {
            Some(RedisView::Up(passport)) => blank(&passport),
            _ => false,
        };
        if let Some(peer) = self.peers.heard(node, self.now()) {
            let known = |state: &super::frame::State| state.copy.is_some() || state.witness;
            let stated = peer.state.as_ref().is_some_and(known);
            if stated || nothing || view == Some(RedisView::Gone) {
                return Found::Nothing;
            }
            // A hung Redis may hold a copy; a dead one refuses connections.
            return Found::Unclear(format!("{node} does not know yet what its Redis holds"));
        }
        if nothing {
            return Found::Nothing;
        }
        let outcome = self.roster.outcome(addr);
        match (outcome, view) {
            (Some(Dialled::Refused), Some(RedisView::Gone)) => Found::Nothing,
            (Some(Dialled::Refused), None) => {
                Found::Silent(format!("nobody has answered yet at {redis}"))
            }
            (Some(Dialled::Silent) | None, Some(RedisView::Silent | RedisView::Gone) | None) => {
                Found::Silent(format!("the listed address {addr} is silent"))
            }
            (Some(Dialled::Hive { .. }), _) if self.peers.dead_since(node).is_none() => {
                Found::Unclear(format!("the hive {node} is there and says nothing"))
            }
            (Some(Dialled::Hive { .. }), _) => {
                Found::Silent(format!("the hive {node} is gone and its address still listed"))
            }
            (Some(Dialled::Myself), _) => Found::Nothing,
            _ => Found::Unclear(format!(
                "the listed address {addr} accepts connections and is no hive of this name \
                 (another --name, secret or protocol?)"
            )),
        }
    }
}
