//! What a hive knows, as clients of Sentinel see it.

use std::net::SocketAddr;
use std::time::Instant;

use crate::election::RedisAddr;

/// Who is there at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// The master that clients have a route to.
    pub master: Option<Master>,
    /// All other Redis servers, and perhaps the master once more.
    pub replicas: Vec<Replica>,
    /// All other hives.
    pub hives: Vec<Node>,
}

/// A Redis or a hive that others may connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The address that clients are told.
    pub addr: SocketAddr,
    /// Forty hexadecimal digits; empty while unknown.
    pub id: String,
    /// It answers.
    pub up: bool,
    /// When it was last heard of.
    pub heard: Instant,
    /// Since when it is as `up` says; counted from the first time it was seen.
    pub since: Instant,
}

/// The Redis that takes the writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Master {
    /// Where clients are sent; down: it was the master, and there is no other one yet.
    pub node: Node,
    /// Where it is itself.
    pub redis: RedisAddr,
    /// The number of its leadership.
    pub epoch: u64,
}

/// A Redis that follows the master, or should.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Where readers are sent.
    pub node: Node,
    /// Where it is itself.
    pub redis: RedisAddr,
    /// Its hive is heard.
    pub connected: bool,
    /// Its replication link is up.
    pub link_up: bool,
    /// Since when it is as `link_up` says.
    pub link_since: Instant,
    /// Whom it copies.
    pub upstream: Option<RedisAddr>,
    /// `--priority` of its hive.
    pub priority: u32,
    /// `master_repl_offset`, bytes.
    pub offset: u64,
}

impl Topology {
    /// This, as what follows `before`: a master that is lost stays the last one known, and what did
    /// not change is as old as it was.
    pub(super) fn following(mut self, before: &Topology) -> Topology {
        if self.master.is_none() {
            self.master.clone_from(&before.master);
            if let Some(master) = self.master.as_mut().filter(|master| master.node.up) {
                (master.node.up, master.node.since) = (false, Instant::now());
            }
        } else if let (Some(now), Some(then)) = (&mut self.master, &before.master) {
            now.node.keep_age(&then.node);
        }
        let master = self.master.as_ref().map(|master| master.redis);
        self.replicas.retain(|replica| Some(replica.redis) != master);
        for replica in &mut self.replicas {
            let then = before.replicas.iter().find(|then| then.redis == replica.redis);
            if let Some(then) = then {
                replica.node.keep_age(&then.node);
                if then.link_up == replica.link_up {
                    replica.link_since = then.link_since;
                }
            }
        }
        for hive in &mut self.hives {
            if let Some(then) = before.hives.iter().find(|then| then.addr == hive.addr) {
                hive.keep_age(then);
            }
        }
        self
    }

    /// The master there is a route to now.
    pub(super) fn reachable_master(&self) -> Option<&Master> {
        self.master.as_ref().filter(|master| master.node.up)
    }

    /// Hives that are heard, this one included.
    pub(super) fn usable(&self) -> usize {
        1 + self.hives.iter().filter(|hive| hive.up).count()
    }
}

impl Node {
    fn keep_age(&mut self, then: &Node) {
        if self.up == then.up && self.addr == then.addr {
            self.since = then.since;
        }
    }
}

#[cfg(test)]
pub(super) mod examples {
    use std::time::Duration;

    use super::*;

    /// 10.0.0.`host`, heard and as it is since `age` ms.
    pub fn node(host: u8, port: u16, up: bool, age: u64) -> Node {
        let then = Instant::now().checked_sub(Duration::from_millis(age)).expect("a past");
        let id = format!("{host:040x}");
        Node { addr: SocketAddr::from(([10, 0, 0, host], port)), id, up, heard: then, since: then }
    }

    pub fn redis(host: u8) -> RedisAddr {
        RedisAddr::new([10, 0, 0, host].into(), 6379)
    }

    pub fn master(host: u8, age: u64) -> Master {
        Master { node: node(host, 6379, true, age), redis: redis(host), epoch: 7 }
    }

    pub fn replica(host: u8, of: u8, age: u64) -> Replica {
        let node = node(host, 6379, true, age);
        Replica {
            redis: redis(host),
            connected: true,
            link_up: true,
            link_since: node.since,
            node,
            upstream: Some(redis(of)),
            priority: 100,
            offset: 1_000,
        }
    }

    /// 10.0.0.`leader` is the master of a hive of three, of which this one is the first.
    pub fn three(leader: u8, age: u64) -> Topology {
        Topology {
            master: Some(master(leader, age)),
            replicas: (1..=3).map(|host| replica(host, leader, age)).collect(),
            hives: (2..=3).map(|host| node(host, 26379, true, age)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::examples::{redis, three};
    use super::*;

    #[test]
    fn a_lost_master_stays_as_the_last_one_known() {
        let before = three(1, 5_000).following(&Topology::default());
        assert_eq!(before.replicas.len(), 2, "the master is no replica");
        let lost = Topology { master: None, ..three(1, 0) }.following(&before);
        let master = lost.master.as_ref().expect("the last one");
        assert_eq!((master.redis, master.node.up), (redis(1), false));
        assert!(master.node.since.elapsed().as_secs() < 5, "down since now");
        assert_eq!(lost.reachable_master(), None);
        let later = Topology { master: None, ..three(1, 0) }.following(&lost);
        assert_eq!(later.master, lost.master, "and down since then");
    }

    #[test]
    fn what_did_not_change_is_as_old_as_it_was() {
        let before = three(1, 5_000).following(&Topology::default());
        let mut now = three(1, 0);
        now.replicas[2].link_up = false;
        now.hives[1].up = false;
        let after = now.following(&before);
        assert!(after.master.as_ref().is_some_and(|m| m.node.since.elapsed().as_secs() >= 5));
        let [same, other] = &after.replicas[..] else { panic!("{after:?}") };
        assert!(same.link_since.elapsed().as_secs() >= 5);
        assert!(other.link_since.elapsed().as_secs() < 5, "down since now");
        assert!(other.node.since.elapsed().as_secs() >= 5);
        assert!(after.hives[0].since.elapsed().as_secs() >= 5);
        assert!(after.hives[1].since.elapsed().as_secs() < 5);
        assert_eq!(after.usable(), 2);
    }
}
