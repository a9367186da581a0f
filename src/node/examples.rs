//! Hives as the core shows them, for tests.

use std::time::Duration;

use crate::election::{
    Copy, CopyState, Epoch, HiveRole, Id, Incarnation, Leadership, Master as Leading, NodeId,
    Passport, PeerView, RedisAddr, RedisRole, Route, Troubles, Version, View, Wall,
};

/// 10.0.0.`host`
pub fn id_of(host: u8) -> NodeId {
    NodeId::new([10, 0, 0, host].into(), 6390)
}

/// Its Redis.
pub fn redis(host: u8) -> RedisAddr {
    RedisAddr::new([10, 0, 0, host].into(), 6379)
}

/// Of that Redis, a replica of that of `of` or a master.
pub fn passport(host: u8, of: Option<u8>) -> Passport {
    Passport {
        run_id: Id([host; 20]),
        version: Version::default(),
        role: if of.is_some() { RedisRole::Replica } else { RedisRole::Master },
        loading: false,
        loaded_bytes: 0,
        backlog: true,
        offset: 1_000,
        keys: 1,
        dataset_bytes: 1,
        replid: Id([9; 20]),
        replid2: Id::NONE,
        second_offset: 0,
        upstream: of.map(redis),
        link_up: of.is_some(),
        syncing: false,
        replicas: 0,
    }
}

/// A current copy.
pub fn copy(host: u8, of: Option<u8>) -> Copy {
    Copy {
        passport: passport(host, of),
        state: CopyState::Complete,
        root: None,
        provisional: false,
        offset: 1_000,
        current: true,
    }
}

/// A follower that was just heard.
pub fn peer(host: u8, of: Option<u8>) -> PeerView {
    PeerView {
        node: id_of(host),
        role: HiveRole::Follower,
        epoch: Epoch(3),
        silent_for: Duration::from_millis(50),
        reachable: true,
        redis: Some(redis(host)),
        redis_answers: true,
        copy: Some(copy(host, of)),
        priority: 100,
        witness: false,
        stopping: false,
        version: None,
        clock_ahead_ms: None,
        troubles: Troubles::default(),
    }
}

/// 10.0.0.1 sees 10.0.0.`leader` lead with the Redis of 10.0.0.`master`; 10.0.0.4 is a witness.
pub fn view(leader: u8, master: u8) -> View {
    let epoch = Epoch(3);
    let leading = Leading {
        addr: redis(master),
        run_id: Id([master; 20]),
        replid: Id([9; 20]),
        root: Id([9; 20]),
    };
    let leadership =
        Leadership { epoch, leader: id_of(leader), incarnation: Incarnation(1), master: leading };
    let of = |host| (host != master).then_some(master);
    View {
        role: HiveRole::Follower,
        epoch,
        leadership: Some(leadership),
        route: Route::Forward { epoch, master: redis(master), run_id: Id([master; 20]) },
        copy: None,
        redis_answers: false,
        peers: vec![
            peer(2, of(2)),
            peer(3, of(3)),
            PeerView { redis: None, copy: None, ..peer(4, None) },
        ],
        stopping: false,
        waiting: String::new(),
        master_offset: None,
        election_timestamp: Wall(0),
        paused: false,
        lease: None,
        change: String::new(),
        witness: false,
    }
}
