//! What is broken between the nodes, as the rules of the bridge and as the judge sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use redis_hive::cli::dev::nodes::{PEER_PORT, REDIS_PORT};

use super::lab;

/// Which connections between two nodes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// Every packet.
    All,
    /// The peer protocol, whoever dialled.
    Hive,
    /// Redis, whoever dialled.
    Redis,
    /// What goes to the port of Redis there; connections the other way live.
    RedisThere,
}

/// The state of all wires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// From, to, and what does not pass.
    pub cuts: BTreeSet<(u8, u8, Ports)>,
    /// Percent of the packets from and to a node that are lost.
    pub loss: BTreeMap<u8, u8>,
    /// Nodes whose wire is pulled out: nobody is told.
    pub down: BTreeSet<u8>,
    /// Nodes whose processes do not run, or not all of them.
    pub stopped: BTreeSet<u8>,
    changed: Option<Instant>,
}

impl Net {
    /// Cuts one direction.
    pub fn cut_one_way(&mut self, from: u8, to: u8, ports: Ports) {
        self.cuts.insert((from, to, ports));
    }

    /// Cuts everybody of one side from everybody of the other.
    pub fn cut(&mut self, one: &[u8], other: &[u8], ports: Ports) {
        for a in one {
            for b in other.iter().filter(|b| *b != a) {
                self.cut_one_way(*a, *b, ports);
                self.cut_one_way(*b, *a, ports);
            }
        }
    }

    /// Mends all wires.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.loss.clear();
        self.down.clear();
    }

    /// The node is gone.
    pub fn forget(&mut self, host: u8) {
        self.cuts.retain(|(from, to, _)| *from != host && *to != host);
        self.loss.remove(&host);
        self.down.remove(&host);
        self.stopped.remove(&host);
    }

    /// Notes that something changed just now.
    pub fn changed(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// When something was broken or mended last.
    pub fn since(&self) -> Option<Instant> {
        self.changed
    }

    /// Whether nothing at all is between two nodes.
    pub fn linked(&self, a: u8, b: u8) -> bool {
        let well = |h| !self.down.contains(&h) && !self.loss.contains_key(&h);
        let between = |(f, t, _): &(u8, u8, Ports)| (*f, *t) == (a, b) || (*f, *t) == (b, a);
        well(a) && well(b) && !self.cuts.iter().any(between)
    }

    /// The nodes that reach each other over whole links and over nodes that run, `from` included.
    pub fn group(&self, from: u8, hosts: &[u8]) -> BTreeSet<u8> {
        let mut group = BTreeSet::from([from]);
        let mut ends = vec![from];
        while let Some(end) = ends.pop() {
            for host in hosts {
                if !group.contains(host) && self.linked(end, *host) {
                    group.insert(*host);
                    ends.extend((!self.stopped.contains(host)).then_some(*host));
                }
            }
        }
        group
    }

    /// The rules of the bridge, which replace the former ones in one step.
    pub fn rules(&self) -> String {
        let mut rules = String::from("table bridge chaos\nflush table bridge chaos\n");
        rules += "table bridge chaos {\n chain forward {\n";
        rules += "  type filter hook forward priority 0; policy accept;\n";
        for (from, to, ports) in &self.cuts {
            let pair = format!("  ip saddr {} ip daddr {}", lab::ip(*from), lab::ip(*to));
            let mut drop = |what: &str| {
                let _ = writeln!(rules, "{pair}{what} drop");
            };
            match ports {
                Ports::All => drop(""),
                Ports::RedisThere => drop(&format!(" tcp dport {REDIS_PORT}")),
                Ports::Hive | Ports::Redis => {
                    let port = if *ports == Ports::Hive { PEER_PORT } else { REDIS_PORT };
                    drop(&format!(" tcp dport {port}"));
                    drop(&format!(" tcp sport {port}"));
                }
            }
        }
        for (host, percent) in &self.loss {
            for end in ["saddr", "daddr"] {
                let ip = lab::ip(*host);
                let _ = writeln!(rules, "  ip {end} {ip} numgen random mod 100 < {percent} drop");
            }
        }
        rules + " }\n}\n"
    }
}
