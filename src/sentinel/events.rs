//! What changed, as Sentinel publishes it.

use std::fmt::Display;
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
    // Who was known before there was any master was told of to nobody.
    story.hives(if old.master.is_none() { &[] } else { &old.hives }, &new.hives);
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
        if old.node.up != new.node.up {
            let whole = format!("master {} {at}", self.name);
            if new.node.up {
                self.tell("-sdown", whole.clone());
                self.tell("-odown", whole);
            } else {
                self.tell("+sdown", whole.clone());
                self.tell("+odown", format!("{whole} #quorum {usable}/{quorum}"));
            }
        }
        false
    }

    fn replicas(&mut self, old: &[super::Replica], new: &[super::Replica]) {
        for replica in new {
            let then = old.iter().find(|then| then.node.addr == replica.node.addr);
            let done = then.is_some_and(|then| !then.link_up) && replica.link_up;
            let channels = [
                then.is_none().then_some("+slave"),
                down_or_up(then.map(|then| &then.node), &replica.node),
                done.then_some("+slave-reconf-done"),
            ];
            self.instance(channels, "slave", replica.node.addr, &replica.node);
        }
    }

    fn hives(&mut self, old: &[Node], new: &[Node]) {
        for hive in new {
            let then = old.iter().find(|then| then.addr == hive.addr);
            let channels = [then.is_none().then_some("+sentinel"), down_or_up(then, hive)];
            self.instance(channels, "sentinel", &hive.id, hive);
        }
    }

    fn tell(&mut self, channel: &'static str, message: String) {
        self.events.push(Event { channel, message });
    }

    /// Names an instance that belongs to a master, as Sentinel does, on these channels.
    fn instance(
        &mut self,
        channels: impl IntoIterator<Item = Option<&'static str>>,
        kind: &str,
        name: impl Display,
        node: &Node,
    ) {
        for channel in channels.into_iter().flatten() {
            let (at, master) = (place(node.addr), place(self.master.node.addr));
            self.tell(channel, format!("{kind} {name} {at} @ {} {master}", self.name));
        }
    }
}

fn down_or_up(old: Option<&Node>, new: &Node) -> Option<&'static str> {
    match (old.is_none_or(|old| old.up), new.up) {
        (true, false) => Some("+sdown"),
        (false, true) => Some("-sdown"),
        _ => None,
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

    #[test]
    fn hives_that_were_there_before_the_first_master_are_told_with_it() {
        let before = Topology { master: None, ..three(1, 0) }.following(&Topology::default());
        assert_eq!(told(&Topology::default(), &before), [""; 0]);
        let mut first = three(1, 0);
        first.hives[1].up = false;
        let told = told(&before, &first.following(&before));
        let of_hives: Vec<&str> =
            told.iter().filter_map(|it| it.split_once(" sentinel ")).map(|(it, _)| it).collect();
        assert_eq!(of_hives, ["+sentinel", "+sentinel", "+sdown"]);
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
