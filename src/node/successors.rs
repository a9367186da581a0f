//! Which Redis servers may be the next master, for the proxy: what its sessions need there is brought
//! in time.

use crate::election::{Copy, PeerView, RedisAddr, RedisRole, RunId, View};

/// Servers named at most: of more hives those at the lowest addresses.
const MOST: usize = 8;

/// All that have a current copy, in an order that is always the same; `local` is the own one. Clients'
/// passwords are sent there: another hive may name no address but its own.
pub(super) fn of(view: &View, local: RedisAddr) -> Vec<(RedisAddr, RunId)> {
    let fit = |copy: Option<Copy>, at: Option<RedisAddr>| {
        let passport = copy.filter(|copy| copy.current)?.passport;
        let replica = passport.role == RedisRole::Replica;
        Some((at?, passport.run_id)).filter(|_| replica)
    };
    let at_home = |peer: &&PeerView| peer.redis.is_some_and(|redis| redis.ip == peer.node.ip);
    let peers = view.peers.iter().filter(|peer| peer.reachable && !peer.stopping).filter(at_home);
    let own = fit(view.copy, Some(local)).filter(|_| view.redis_answers && !view.stopping);
    let mut all: Vec<_> = peers.filter_map(|peer| fit(peer.copy, peer.redis)).chain(own).collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::super::examples::{copy, peer, redis, view};
    use super::*;

    #[test]
    fn only_replicas_that_are_where_their_hive_is() {
        let all =
            |view: &View| of(view, redis(1)).iter().map(|(addr, _)| *addr).collect::<Vec<_>>();
        assert_eq!(all(&view(2, 2)), [redis(3)]);
        let own = View { copy: Some(copy(1, Some(2))), redis_answers: true, ..view(2, 2) };
        assert_eq!(all(&own), [redis(1), redis(3)]);
        let elsewhere = PeerView { redis: Some(redis(9)), ..peer(3, Some(2)) };
        assert!(all(&View { peers: vec![elsewhere], ..view(2, 2) }).is_empty());
    }
}
