//! What clients of Redis Sentinel are told: from what the core knows to addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::{Announce, Config};
use crate::election::{Incarnation, NodeId, Passport, PeerView, RedisAddr, Route, View};
use crate::listener;
use crate::secrets::Keyring;
use crate::sentinel::{self, Limits, Master, Node, Replica, Sentinel, Topology};

use super::journal::socket;

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// The running port, and how addresses are made.
pub(super) struct Announcer {
    sentinel: Sentinel,
    places: Places,
}

/// All hives have the same ports.
struct Places {
    me: NodeId,
    /// The local Redis; `None` for a witness.
    redis: Option<RedisAddr>,
    priority: u32,
    hive: String,
    announce: Announce,
    sentinel_port: u16,
    proxy_port: u16,
    read_port: Option<u16>,
    /// Of the other hives, by which Sentinels they are.
    ids: BTreeMap<NodeId, String>,
}

impl Announcer {
    /// Opens the port, if there is to be one.
    pub fn start(
        config: &Config,
        me: NodeId,
        incarnation: Incarnation,
        hive: String,
        keyring: Keyring,
    ) -> anyhow::Result<Option<Announcer>> {
        let Some(wanted) = &config.sentinel else { return Ok(None) };
        let listener = listener::open(config.bind, wanted.port, BACKLOG).map_err(|error| {
            anyhow::anyhow!("--sentinel-port {}: cannot listen: {error}", wanted.port)
        })?;
        let settings = sentinel::Settings {
            name: wanted.name.clone(),
            id: id(&hive, me),
            run_id: format!("{:040x}", incarnation.0),
            quorum: config.quorum,
            down_after: config.timing.peer_timeout,
            failover_timeout: config.timing.hold_timeout,
            keyring,
            limits: Limits::default(),
        };
        let places = Places {
            me,
            redis: (!config.witness).then(|| RedisAddr::new(me.ip, config.redis.port())),
            priority: config.priority,
            hive,
            announce: wanted.announce,
            sentinel_port: wanted.port,
            proxy_port: config.proxy_port,
            read_port: config.read_port,
            ids: BTreeMap::new(),
        };
        Ok(Some(Announcer { sentinel: sentinel::start(listener, settings)?, places }))
    }

    /// Tells what holds now.
    pub fn publish(&mut self, view: &View) {
        self.sentinel.publish(self.places.topology(view));
    }
}

impl Places {
    fn topology(&mut self, view: &View) -> Topology {
        self.know(&view.peers);
        Topology {
            master: self.master(view),
            replicas: self
                .own(view)
                .into_iter()
                .chain(view.peers.iter().filter_map(|peer| self.replica(peer)))
                .collect(),
            hives: view.peers.iter().map(|peer| self.hive(peer)).collect(),
        }
    }

    /// Keeps the ids of these hives, and of no others.
    fn know(&mut self, peers: &[PeerView]) {
        for node in peers.iter().map(|peer| peer.node) {
            self.ids.entry(node).or_insert_with(|| id(&self.hive, node));
        }
        if self.ids.len() > peers.len() {
            self.ids.retain(|node, _| peers.iter().any(|peer| peer.node == *node));
        }
    }

    /// The master that this hive's own clients are sent to.
    fn master(&self, view: &View) -> Option<Master> {
        let (Route::Forward { epoch, master, run_id } | Route::Held { epoch, master, run_id }) =
            view.route
        else {
            return None;
        };
        let leadership = view.leadership.filter(|leadership| leadership.epoch == epoch)?;
        let addr = match self.announce {
            Announce::Master => socket(master),
            // The leader lives, also where the master's own hive does not; and all hives name it.
            Announce::Proxy => SocketAddr::new(leadership.leader.ip, self.proxy_port),
        };
        let node = node(addr, run_id.to_string(), true, Duration::ZERO);
        Some(Master { node, redis: master, epoch: epoch.0 })
    }

    /// The local Redis.
    fn own(&self, view: &View) -> Option<Replica> {
        let passport = view.copy.map(|copy| copy.passport);
        Some(self.reader(Seen {
            redis: self.redis?,
            hive: self.me.ip,
            connected: true,
            answers: view.redis_answers,
            passport,
            silent_for: Duration::ZERO,
            priority: self.priority,
        }))
    }

    /// The Redis of another hive.
    fn replica(&self, peer: &PeerView) -> Option<Replica> {
        Some(self.reader(Seen {
            redis: peer.redis?,
            hive: peer.node.ip,
            connected: peer.reachable,
            answers: peer.redis_answers,
            passport: peer.copy.map(|copy| copy.passport),
            silent_for: peer.silent_for,
            priority: peer.priority,
        }))
    }

    /// A Redis as one that readers may use.
    fn reader(&self, seen: Seen) -> Replica {
        let addr = match (self.announce, self.read_port) {
            (Announce::Proxy, Some(port)) => SocketAddr::new(seen.hive, port),
            _ => socket(seen.redis),
        };
        let passport = seen.passport;
        let up = seen.connected && seen.answers && passport.is_some();
        let id = passport.map(|passport| passport.run_id.to_string()).unwrap_or_default();
        let node = node(addr, id, up, seen.silent_for);
        Replica {
            redis: seen.redis,
            connected: seen.connected,
            link_up: up && passport.is_some_and(|passport| passport.link_up),
            link_since: node.since,
            node,
            upstream: passport.and_then(|passport| passport.upstream),
            priority: seen.priority,
            offset: passport.map_or(0, |passport| passport.offset),
        }
    }

    /// Another hive as a Sentinel.
    fn hive(&self, peer: &PeerView) -> Node {
        let addr = SocketAddr::new(peer.node.ip, self.sentinel_port);
        let id = self.ids.get(&peer.node).cloned().unwrap_or_default();
        node(addr, id, peer.reachable, peer.silent_for)
    }
}

/// A Redis, as this hive or its own one sees it.
struct Seen {
    redis: RedisAddr,
    hive: IpAddr,
    /// The hive is heard.
    connected: bool,
    /// The Redis answers its hive.
    answers: bool,
    passport: Option<Passport>,
    silent_for: Duration,
    priority: u32,
}

fn node(addr: SocketAddr, id: String, up: bool, silent_for: Duration) -> Node {
    let now = Instant::now();
    let heard = now.checked_sub(silent_for).unwrap_or(now);
    Node { addr, id, up, heard, since: now }
}

/// A hive's `SENTINEL MYID`: the same from every hive, and after a restart at the same address.
fn id(hive: &str, node: NodeId) -> String {
    sha1_smol::Sha1::from(format!("{hive} {node}")).digest().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::examples::{id_of, redis, view};
    use super::*;

    fn places(announce: Announce, read_port: Option<u16>) -> Places {
        Places {
            me: id_of(1),
            redis: Some(redis(1)),
            priority: 100,
            hive: "shop".to_owned(),
            announce,
            sentinel_port: 26379,
            proxy_port: 6380,
            read_port,
            ids: BTreeMap::new(),
        }
    }

    fn told(announce: Announce, read_port: Option<u16>, view: &View) -> (String, Vec<String>) {
        let topology = places(announce, read_port).topology(view);
        let master = topology.master.map(|master| master.node.addr.to_string());
        let replicas = topology.replicas.iter().map(|replica| replica.node.addr.to_string());
        (master.unwrap_or_default(), replicas.collect())
    }

    #[test]
    fn servers_or_endpoints_are_told() {
        let all = |port: u16| (1..=3).map(|host| format!("10.0.0.{host}:{port}")).collect();
        let view = view(2, 3);
        let servers = ("10.0.0.3:6379".to_owned(), all(6379));
        assert_eq!(told(Announce::Master, Some(6381), &view), servers);
        // A regent: its own endpoint lives, that of the master's hive may not.
        let endpoints = ("10.0.0.2:6380".to_owned(), all(6381));
        assert_eq!(told(Announce::Proxy, Some(6381), &view), endpoints);
        assert_eq!(told(Announce::Proxy, None, &view).1, servers.1);
    }

    #[test]
    fn only_a_master_with_a_route_is_one() {
        for route in [Route::Hold, Route::Refuse { reason: "no".to_owned() }] {
            let closed = View { route, ..view(2, 2) };
            assert_eq!(told(Announce::Proxy, Some(6381), &closed).0, "");
        }
        let unled = View { leadership: None, ..view(2, 2) };
        assert_eq!(told(Announce::Master, Some(6381), &unled).0, "");
    }

    #[test]
    fn who_is_not_heard_is_down() {
        let mut view = view(2, 2);
        (view.peers[0].reachable, view.peers[1].redis_answers) = (false, false);
        let mut places = places(Announce::Master, None);
        let topology = places.topology(&view);
        let up = |replica: &Replica| (replica.connected, replica.node.up, replica.link_up);
        let replicas: Vec<_> = topology.replicas.iter().map(up).collect();
        // The local one has not answered yet.
        let down = (true, false, false);
        assert_eq!(replicas, [down, (false, false, false), down]);
        let hives: Vec<_> = topology.hives.iter().map(|hive| hive.up).collect();
        assert_eq!(hives, [false, true, true]);
        assert_eq!(topology.hives[0].id, id("shop", id_of(2)));
        assert_eq!(topology.hives[0].id.len(), 40);
        view.peers.remove(0);
        assert_eq!(places.topology(&view).hives.len(), 2);
        assert_eq!(places.ids.len(), 2, "who has gone is forgotten");
    }
}
