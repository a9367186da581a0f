//! Masters, replicas and hives, field for field as Sentinel 7.0 tells of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Settings;
use super::topology::{Master, Node, Replica, Topology};

/// Names and values, in Sentinel's order.
pub(super) type Fields = Vec<(&'static str, String)>;

/// What `SENTINEL MASTER` tells.
pub(super) fn of_master(settings: &Settings, topology: &Topology, master: &Master) -> Fields {
    let mut fields = head(settings.name.clone(), &master.node, master_flags(master));
    let down = ms(master.node.since);
    if !master.node.up {
        fields.push(("s-down-time", down.clone()));
        fields.push(("o-down-time", down));
    }
    fields.push(("down-after-milliseconds", span(settings.down_after)));
    fields.extend(role("master", &master.node));
    fields.push(("config-epoch", master.epoch.to_string()));
    fields.push(("num-slaves", topology.replicas.len().to_string()));
    fields.push(("num-other-sentinels", topology.hives.len().to_string()));
    fields.push(("quorum", settings.quorum.to_string()));
    fields.push(("failover-timeout", span(settings.failover_timeout)));
    // All replicas follow a new master at once.
    fields.push(("parallel-syncs", topology.replicas.len().max(1).to_string()));
    fields
}

/// What `SENTINEL REPLICAS` tells of each.
pub(super) fn of_replica(settings: &Settings, topology: &Topology, replica: &Replica) -> Fields {
    let node = &replica.node;
    let mut fields = head(node.addr.to_string(), node, replica_flags(replica));
    if !node.up {
        fields.push(("s-down-time", ms(node.since)));
    }
    fields.push(("down-after-milliseconds", span(settings.down_after)));
    fields.extend(role("slave", node));
    let link_down = if replica.link_up { "0".to_owned() } else { ms(replica.link_since) };
    fields.push(("master-link-down-time", link_down));
    fields.push(("master-link-status", if replica.link_up { "ok" } else { "err" }.to_owned()));
    let (host, port) = upstream(topology, replica);
    fields.push(("master-host", host));
    fields.push(("master-port", port));
    fields.push(("slave-priority", replica.priority.to_string()));
    fields.push(("slave-repl-offset", replica.offset.to_string()));
    fields.push(("replica-announced", "1".to_owned()));
    fields
}

/// What `SENTINEL SENTINELS` tells of each.
pub(super) fn of_hive(settings: &Settings, hive: &Node) -> Fields {
    let flags = if hive.up { "sentinel" } else { "s_down,sentinel,disconnected" };
    let mut fields = head(hive.id.clone(), hive, flags);
    if !hive.up {
        fields.push(("s-down-time", ms(hive.since)));
    }
    fields.push(("down-after-milliseconds", span(settings.down_after)));
    fields.push(("last-hello-message", ms(hive.heard)));
    fields.push(("voted-leader", "?".to_owned()));
    fields.push(("voted-leader-epoch", "0".to_owned()));
    fields
}

/// The master's state in words.
pub(super) fn master_flags(master: &Master) -> &'static str {
    if master.node.up { "master" } else { "s_down,o_down,master" }
}

fn replica_flags(replica: &Replica) -> &'static str {
    match (replica.node.up, replica.connected) {
        (true, _) => "slave",
        (false, true) => "s_down,slave",
        (false, false) => "s_down,slave,disconnected",
    }
}

/// Whom it copies, by the address that clients know.
fn upstream(topology: &Topology, replica: &Replica) -> (String, String) {
    let Some(upstream) = replica.upstream else { return ("?".to_owned(), "0".to_owned()) };
    let known = topology.master.as_ref().filter(|master| master.redis == upstream);
    let addr = known
        .map_or_else(|| SocketAddr::new(upstream.ip, upstream.port), |master| master.node.addr);
    (addr.ip().to_string(), addr.port().to_string())
}

/// What all kinds begin with.
fn head(name: String, node: &Node, flags: &str) -> Fields {
    let heard = ms(node.heard);
    let down = !node.up;
    vec![
        ("name", name),
        ("ip", node.addr.ip().to_string()),
        ("port", node.addr.port().to_string()),
        ("runid", node.id.clone()),
        ("flags", flags.to_owned()),
        ("link-pending-commands", u8::from(down).to_string()),
        ("link-refcount", "1".to_owned()),
        ("last-ping-sent", if down { heard.clone() } else { "0".to_owned() }),
        ("last-ok-ping-reply", heard.clone()),
        ("last-ping-reply", heard),
    ]
}

fn role(role: &str, node: &Node) -> Fields {
    vec![
        ("info-refresh", ms(node.heard)),
        ("role-reported", role.to_owned()),
        ("role-reported-time", ms(node.since)),
    ]
}

/// Milliseconds since then.
fn ms(then: Instant) -> String {
    span(then.elapsed())
}

fn span(span: Duration) -> String {
    span.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::examples::settings;
    use super::super::topology::examples::{node, three};
    use super::*;

    fn value<'a>(fields: &'a Fields, name: &str) -> &'a str {
        let found = fields.iter().find(|(field, _)| *field == name);
        &found.unwrap_or_else(|| panic!("no {name} in {fields:?}")).1
    }

    #[test]
    fn who_is_down_says_so_and_since_when() {
        let settings = settings();
        let mut topology = three(1, 3_000).following(&Topology::default());
        let master = topology.master.as_mut().expect("a master");
        master.node.up = false;
        let fields = of_master(&settings, &topology, topology.master.as_ref().expect("a master"));
        assert_eq!(value(&fields, "flags"), "s_down,o_down,master");
        assert!(value(&fields, "o-down-time").parse::<u64>().expect("a number") >= 3_000);
        let replica = &mut topology.replicas[0];
        (replica.node.up, replica.link_up, replica.upstream) = (false, false, None);
        let fields = of_replica(&settings, &topology, &topology.replicas[0]);
        assert_eq!(value(&fields, "flags"), "s_down,slave");
        assert_eq!((value(&fields, "master-host"), value(&fields, "master-port")), ("?", "0"));
        assert!(value(&fields, "master-link-down-time").parse::<u64>().expect("a number") >= 3_000);
        let fields = of_hive(&settings, &node(9, 26379, false, 0));
        assert_eq!(value(&fields, "flags"), "s_down,sentinel,disconnected");
    }

    /// The replicas of a master that is reached through a proxy name it as clients know it.
    #[test]
    fn a_replica_names_its_master_by_the_announced_address() {
        let mut topology = three(1, 0).following(&Topology::default());
        topology.master.as_mut().expect("a master").node.addr.set_port(6380);
        let fields = of_replica(&settings(), &topology, &topology.replicas[0]);
        assert_eq!(value(&fields, "master-host"), "10.0.0.1");
        assert_eq!(value(&fields, "master-port"), "6380");
        assert_eq!(value(&fields, "name"), "10.0.0.2:6379");
    }
}
