//! What changed, as Sentinel publishes it.

use std::net::SocketAddr;

use super::Settings;
use super::topology::{Master, Node, Topology};

/// A message and its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Such as `+switch-master`.
    pub channel: &'static str,
    /// What Sentinel says there.
    pub message: String,
}

/// Everything that happened between the two, in the order in which Sentinel tells it.
pub(super) fn between(settings: &Settings, old: &Topology, new: &Topology) -> Vec<Event> {
    let Some(master) = &new.master else { return Vec::new() };
    let mut story = Story { name: &settings.name, master, events: Vec::new() };
    let switched = story.master(old.master.as_ref(), settings.quorum, new.usable());
    story.replicas(if switched { &[] } else { &old.replicas }, &new.replicas);
    story.hives(&old.hives, &new.hives);
    story.events
}

struct Story<'a> {
    name: &'a str,
    /// As it is now.
    master: &'a Master,
    events: Vec<Event>,
}

impl Story<'_> {
    /// What became of the master; whether it is another one.
    fn master(&mut self, old: Option<&Master>, quorum: u32, usable: usize) -> bool {
        let new = self.master;
        let at = place(new.node.addr);
        let Some(old) = old else {
            self.tell("+monitor", format!("master {} {at} quorum {quorum}", self.name));
            return true;
        };
        if old.node.addr != new.node.addr {
            let from = place(old.node.addr);
            self.tell("+switch-master", format!("{} {from} {at}", self.name));
            return true;
        }
        let whole = format!("master {} {at}", self.name);
        match (old.node.up, new.node.up) {
            (true, false) => {
                self.tell("+sdown", whole.clone());
                self.tell("+odown", format!("{whole} #quorum {usable}/{quorum}"));
            }
            (false, true) => {
                self.tell("-sdown", whole.clone());
                self.tell("-odown", whole);
            }
            _ => {}
        }
        false
    }

    fn replicas(&mut self, old: &[super::Replica], new: &[super::Replica]) {
        for replica in new {
            let then = old.iter().find(|then| then.node.addr == replica.node.addr);
            let name = replica.node.addr.to_string();
            let whole = self.instance("slave", &name, &replica.node);
            if then.is_none() {
                self.tell("+slave", whole.clone());
            }
            self.down_or_up(then.map(|then| &then.node), &replica.node, &whole);
            if then.is_some_and(|then| !then.link_up) && replica.link_up {
                self.tell("+slave-reconf-done", whole);
            }
        }
    }

    fn hives(&mut self, old: &[Node], new: &[Node]) {
        for hive in new {
            let then = old.iter().find(|then| then.addr == hive.addr);
            let whole = self.instance("sentinel", &hive.id, hive);
            if then.is_none() {
                self.tell("+sentinel", whole.clone());
            }
            self.down_or_up(then, hive, &whole);
        }
    }

    fn down_or_up(&mut self, old: Option<&Node>, new: &Node, whole: &str) {
        match (old.is_none_or(|old| old.up), new.up) {
            (true, false) => self.tell("+sdown", whole.to_owned()),
            (false, true) => self.tell("-sdown", whole.to_owned()),
            _ => {}
        }
    }

    fn tell(&mut self, channel: &'static str, message: String) {
        self.events.push(Event { channel, message });
    }

    /// How Sentinel names an instance that belongs to a master.
    fn instance(&self, kind: &str, name: &str, node: &Node) -> String {
        let (at, master) = (place(node.addr), place(self.master.node.addr));
        format!("{kind} {name} {at} @ {} {master}", self.name)
    }
}

/// An address as Sentinel writes it.
fn place(addr: SocketAddr) -> String {
    format!("{} {}", addr.ip(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::super::examples::settings;
    use super::super::topology::examples::three;
    use super::*;

    fn told(old: &Topology, new: &Topology) -> Vec<String> {
        let events = between(&settings(), old, new);
        events.into_iter().map(|event| format!("{} {}", event.channel, event.message)).collect()
    }

    #[test]
    fn a_hive_that_is_seen_first_is_told_in_full() {
        let one = three(1, 0).following(&Topology::default());
        assert_eq!(told(&Topology::default(), &Topology::default()), [""; 0]);
        assert_eq!(
            told(&Topology::default(), &one),
            [
                "+monitor master mymaster 10.0.0.1 6379 quorum 2",
                "+slave slave 10.0.0.2:6379 10.0.0.2 6379 @ mymaster 10.0.0.1 6379",
                "+slave slave 10.0.0.3:6379 10.0.0.3 6379 @ mymaster 10.0.0.1 6379",
                "+sentinel sentinel 0000000000000000000000000000000000000002 10.0.0.2 26379 \
                 @ mymaster 10.0.0.1 6379",
                "+sentinel sentinel 0000000000000000000000000000000000000003 10.0.0.3 26379 \
                 @ mymaster 10.0.0.1 6379",
            ]
        );
        assert_eq!(told(&one, &three(1, 0).following(&one)), [""; 0], "nothing new");
    }

    /// The lines that a real Sentinel published when its master was killed.
    #[test]
    fn a_failover_is_told_as_sentinel_tells_it() {
        let healthy = three(1, 0).following(&Topology::default());
        let lost = Topology { master: None, ..three(1, 0) }.following(&healthy);
        assert_eq!(
            told(&healthy, &lost),
            [
                "+sdown master mymaster 10.0.0.1 6379",
                "+odown master mymaster 10.0.0.1 6379 #quorum 3/2",
            ]
        );
        let mut after = three(2, 0);
        (after.replicas[0].node.up, after.replicas[2].link_up) = (false, false);
        let after = after.following(&lost);
        assert_eq!(
            told(&lost, &after),
            [
                "+switch-master mymaster 10.0.0.1 6379 10.0.0.2 6379",
                "+slave slave 10.0.0.1:6379 10.0.0.1 6379 @ mymaster 10.0.0.2 6379",
                "+sdown slave 10.0.0.1:6379 10.0.0.1 6379 @ mymaster 10.0.0.2 6379",
                "+slave slave 10.0.0.3:6379 10.0.0.3 6379 @ mymaster 10.0.0.2 6379",
            ]
        );
        assert_eq!(
            told(&after, &three(2, 0).following(&after)),
            [
                "-sdown slave 10.0.0.1:6379 10.0.0.1 6379 @ mymaster 10.0.0.2 6379",
                "+slave-reconf-done slave 10.0.0.3:6379 10.0.0.3 6379 @ mymaster 10.0.0.2 6379",
            ]
        );
    }

    #[test]
    fn a_master_that_comes_back_and_a_hive_that_goes_are_told() {
        let healthy = three(1, 0).following(&Topology::default());
        let lost = Topology { master: None, ..three(1, 0) }.following(&healthy);
        let mut back = three(1, 0);
        back.hives[1].up = false;
        assert_eq!(
            told(&lost, &back.following(&lost)),
            [
                "-sdown master mymaster 10.0.0.1 6379",
                "-odown master mymaster 10.0.0.1 6379",
                "+sdown sentinel 0000000000000000000000000000000000000003 10.0.0.3 26379 \
                 @ mymaster 10.0.0.1 6379",
            ]
        );
    }
}
