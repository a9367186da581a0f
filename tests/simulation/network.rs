//! Who can send to whom, how long it takes, and what gets lost.

use redis_hive::election::Frame;
use redis_hive::peer::codec::{decode_frame, encode};

use crate::rng::Rng;
use crate::world::{MS, Micros};

/// No world has more hosts than this.
pub const MAX_HOSTS: usize = 12;

/// A frame on its way: the very bytes.
pub type Wire = bytes::Bytes;

/// Packs a frame once for all its receivers.
pub fn to_wire(frame: &Frame) -> Wire {
    encode(frame)
}

/// Every frame a core gets came through here. What one core says the codec must be able to carry.
pub fn through_codec(wire: &Wire) -> Frame {
    decode_frame(wire).expect("the codec reads what it wrote")
}

/// The two kinds of traffic a fault can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Peer,
    Redis,
}

/// What happens to a packet from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Path {
    #[default]
    Open,
    /// It vanishes.
    Dropped,
    /// It is answered with RST.
    Refused,
    /// It is answered with "no route to host": nobody is known to be there, or to have gone.
    NoRoute,
}

/// The mood of the whole network.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Frames lost, of a thousand.
    pub loss: u64,
    /// Frames that come twice, of a thousand.
    pub duplicated: u64,
    /// Frames that come late, of a thousand.
    pub late: u64,
    /// How late, at most.
    pub late_by: Micros,
}

impl Weather {
    pub const FAIR: Weather = Weather { loss: 0, duplicated: 0, late: 0, late_by: 0 };
}

/// A link between two hives: which processes hold it, and when each side heard the other one last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerLink {
    /// The lives of the lower and the higher host's hive.
    pub lives: (u32, u32),
    /// When the lower and the higher host last received over it.
    pub heard: (Micros, Micros),
    /// Whether the lower and the higher host reported its own dial.
    pub dialled: (bool, bool),
    /// When the newest frame to the lower and to the higher host arrives: none overtakes it.
    pub last: (Micros, Micros),
}

#[derive(Debug)]
pub struct Network {
    peer: [[Path; MAX_HOSTS]; MAX_HOSTS],
    redis: [[Path; MAX_HOSTS]; MAX_HOSTS],
    /// What connections of one host to the Redis port of another one meet, beside what the paths do.
    doors: [[Path; MAX_HOSTS]; MAX_HOSTS],
    /// When something last went wrong between two hosts (both orders hold the same).
    trouble: [[Micros; MAX_HOSTS]; MAX_HOSTS],
    /// Links by (lower, higher) host.
    links: Vec<Option<PeerLink>>,
    pub weather: Weather,
}

impl Network {
    pub fn new() -> Network {
        Network {
            peer: [[Path::Open; MAX_HOSTS]; MAX_HOSTS],
            redis: [[Path::Open; MAX_HOSTS]; MAX_HOSTS],
            doors: [[Path::Open; MAX_HOSTS]; MAX_HOSTS],
            trouble: [[0; MAX_HOSTS]; MAX_HOSTS],
            links: vec![None; MAX_HOSTS * MAX_HOSTS],
            weather: Weather::FAIR,
        }
    }

    pub fn path(&self, from: usize, to: usize, port: Port) -> Path {
        match port {
            _ if from == to => Path::Open,
            Port::Peer => self.peer[from][to],
            Port::Redis => self.redis[from][to],
        }
    }

    /// Whether a connection can be used: both directions carry.
    pub fn open(&self, a: usize, b: usize, port: Port) -> bool {
        self.path(a, b, port) == Path::Open && self.path(b, a, port) == Path::Open
    }

    /// What a connection from a client's host to the Redis of another host meets.
    pub fn redis_path(&self, client: usize, server: usize) -> Path {
        if client == server {
            return Path::Open;
        }
        let door = self.doors[client][server];
        let back = self.redis[server][client];
        [door, self.redis[client][server], back]
            .into_iter()
            .find(|p| *p != Path::Open)
            .unwrap_or_default()
    }

    /// Whether a connection to the Redis of another host can be used.
    pub fn serves(&self, client: usize, server: usize) -> bool {
        self.redis_path(client, server) == Path::Open
    }

    /// Opens or shuts the Redis port of one host for another one.
    pub fn set_door(&mut self, now: Micros, client: usize, server: usize, path: Path) {
        self.doors[client][server] = path;
        self.disturb(now, client, server);
    }

    /// Sets one direction of one kind of traffic.
    pub fn set(&mut self, now: Micros, from: usize, to: usize, port: Port, path: Path) {
        let table = match port {
            Port::Peer => &mut self.peer,
            Port::Redis => &mut self.redis,
        };
        table[from][to] = path;
        self.disturb(now, from, to);
    }

    /// Notes that something went wrong between two hosts.
    pub fn disturb(&mut self, now: Micros, a: usize, b: usize) {
        self.trouble[a][b] = now;
        self.trouble[b][a] = now;
    }

    /// Notes that something went wrong at one host.
    pub fn disturb_all(&mut self, now: Micros, host: usize) {
        (0..MAX_HOSTS).for_each(|other| self.disturb(now, host, other));
    }

    /// Whether all went well between two hosts for this long.
    pub fn calm(&self, now: Micros, a: usize, b: usize, span: Micros) -> bool {
        now - self.trouble[a][b].min(now) >= span
            && self.open(a, b, Port::Peer)
            && self.serves(a, b)
            && self.serves(b, a)
    }

    /// Whether something went wrong between two hosts within this span.
    pub fn troubled(&self, now: Micros, a: usize, b: usize, span: Micros) -> bool {
        now - self.trouble[a][b].min(now) < span
    }

    pub fn link(&self, a: usize, b: usize) -> Option<PeerLink> {
        self.links[slot(a, b)]
    }

    pub fn link_mut(&mut self, a: usize, b: usize) -> &mut Option<PeerLink> {
        &mut self.links[slot(a, b)]
    }

    /// How long a small packet takes.
    pub fn delay(&self, rng: &mut Rng) -> Micros {
        let weather = self.weather;
        let usual = rng.between(80, 600);
        if weather.late > 0 && rng.chance(weather.late, 1_000) {
            usual + rng.between(MS, weather.late_by.max(2 * MS))
        } else {
            usual
        }
    }

    /// The delays of the copies of one frame that arrive: none, one or two.
    pub fn deliveries(&self, rng: &mut Rng) -> [Option<Micros>; 2] {
        let weather = self.weather;
        if weather.loss > 0 && rng.chance(weather.loss, 1_000) {
            return [None, None];
        }
        let twice = weather.duplicated > 0 && rng.chance(weather.duplicated, 1_000);
        [Some(self.delay(rng)), twice.then(|| self.delay(rng))]
    }
}

fn slot(a: usize, b: usize) -> usize {
    a.min(b) * MAX_HOSTS + a.max(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_a_direction_and_a_port() {
        let mut net = Network::new();
        net.set(7, 0, 1, Port::Peer, Path::Dropped);
        assert_eq!(net.path(0, 1, Port::Peer), Path::Dropped);
        assert_eq!(net.path(1, 0, Port::Peer), Path::Open);
        assert!(!net.open(1, 0, Port::Peer) && net.open(0, 1, Port::Redis));
        net.set_door(8, 0, 1, Path::Refused);
        assert!(net.redis_path(0, 1) == Path::Refused && net.serves(1, 0));
        net.set_door(8, 0, 1, Path::Open);
        net.set(9, 0, 1, Port::Peer, Path::Open);
        assert!(net.calm(9 + 5, 1, 0, 5) && !net.calm(9 + 4, 1, 0, 5));
    }

    #[test]
    fn weather_loses_doubles_and_delays() {
        let (mut net, mut rng) = (Network::new(), Rng::new(3));
        let fair = (0..500).all(|_| net.deliveries(&mut rng)[0].is_some_and(|d| d < MS));
        assert!(fair);
        net.weather = Weather { loss: 300, duplicated: 300, late: 500, late_by: 40 * MS };
        let all: Vec<_> = (0..500).map(|_| net.deliveries(&mut rng)).collect();
        assert!(all.iter().any(|d| d[0].is_none()));
        assert!(all.iter().any(|d| d[1].is_some()));
        assert!(all.iter().flatten().flatten().any(|d| *d > 20 * MS));
    }
}
