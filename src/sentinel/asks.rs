//! `SENTINEL` and what may follow it.

use super::commands::Command;
use super::fields::{self, Fields};
use super::reply::Reply;
use super::session::Session;
use super::topology::Master;

const NO_SUCH_MASTER: &str = "ERR No such master with that name";

/// `SENTINEL ...`
pub(super) fn sentinel(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    session.answer_sub("sentinel", ASKS, args, reply);
}

/// The most asked for come first.
const ASKS: &[Command] = &[
    Command::new("get-master-addr-by-name", 3, address),
    Command::new("masters", 2, masters),
    Command::new("master", 3, master),
    Command::new("replicas", 3, replicas),
    Command::new("slaves", 3, replicas),
    Command::new("sentinels", 3, hives),
    Command::new("ckquorum", 3, quorum),
    Command::new("myid", 2, |s, _, r| r.bulk(&s.site.settings.id)),
    Command::new("pending-scripts", 2, |_, _, r| r.array(0)),
    Command::new("info-cache", -3, |_, _, r| r.array(0)),
    Command::new("help", 2, help),
    Command::new("failover", -2, |_, _, r| refuse(r, "use `redis-hive switchover [--to IP]`")),
    Command::new("set", -2, |_, _, r| refuse(r, FLAGS)),
    Command::new("config", -2, |_, _, r| refuse(r, FLAGS)),
    Command::new("monitor", -2, |_, _, r| refuse(r, ONE_MASTER)),
    Command::new("remove", -2, |_, _, r| refuse(r, ONE_MASTER)),
    Command::new("reset", -2, |_, _, r| {
        refuse(r, "hives forget by themselves who has left DNS; `redis-hive status` shows them");
    }),
    Command::new("flushconfig", -2, |_, _, r| refuse(r, "hives keep nothing on disk")),
    Command::new("simulate-failure", -2, |_, _, r| {
        refuse(r, "`redis-hive dev` is a hive to break");
    }),
    Command::new("is-master-down-by-addr", -2, |_, _, r| {
        refuse(r, "hives elect by their own protocol and take no votes; see SENTINEL MASTERS");
    }),
    Command::new("debug", -2, |_, _, r| refuse(r, FLAGS)),
];

const FLAGS: &str =
    "settings are flags of `redis-hive run`; `redis-hive check` shows what is wrong";
const ONE_MASTER: &str =
    "a hive has one master and finds it by itself; its name is --sentinel-name";

fn refuse(reply: &mut Reply<'_>, instead: &str) {
    reply.error(&format!("ERR redis-hive is not steered through Sentinel: {instead}"));
}

fn is_named(session: &Session, name: &[u8]) -> bool {
    session.site.settings.name.as_bytes() == name
}

/// `GET-MASTER-ADDR-BY-NAME`
fn address(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let topology = session.topology();
    match topology.reachable_master().filter(|_| is_named(session, &args[0])) {
        Some(Master { node, .. }) => {
            reply.array(2);
            reply.bulk(node.addr.ip().to_string());
            reply.bulk(node.addr.port().to_string());
        }
        None => reply.null_array(),
    }
}

fn masters(session: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    let topology = session.topology();
    reply.array(usize::from(topology.master.is_some()));
    if let Some(master) = &topology.master {
        write(&fields::of_master(&session.site.settings, &topology, master), reply);
    }
}

fn master(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let topology = session.topology();
    match topology.master.as_ref().filter(|_| is_named(session, &args[0])) {
        Some(master) => {
            write(&fields::of_master(&session.site.settings, &topology, master), reply);
        }
        None => reply.error(NO_SUCH_MASTER),
    }
}

fn replicas(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    if !is_named(session, &args[0]) {
        return reply.error(NO_SUCH_MASTER);
    }
    let topology = session.topology();
    reply.array(topology.replicas.len());
    for replica in &topology.replicas {
        write(&fields::of_replica(&session.site.settings, &topology, replica), reply);
    }
}

/// `SENTINELS`
fn hives(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    if !is_named(session, &args[0]) {
        return reply.error(NO_SUCH_MASTER);
    }
    let topology = session.topology();
    reply.array(topology.hives.len());
    for hive in &topology.hives {
        write(&fields::of_hive(&session.site.settings, hive), reply);
    }
}

/// `CKQUORUM`
fn quorum(session: &mut Session, args: &[Vec<u8>], reply: &mut Reply<'_>) {
    if !is_named(session, &args[0]) {
        return reply.error(NO_SUCH_MASTER);
    }
    let usable = session.topology().usable();
    if usable >= session.site.settings.quorum as usize {
        reply.simple(&format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
    } else {
        reply.error(&format!(
            "NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the \
             specified quorum for this master"
        ));
    }
}

fn help(_: &mut Session, _: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.array(ASKS.len() + 1);
    reply.simple("SENTINEL <subcommand>, of a redis-hive; what would change something is refused:");
    ASKS.iter().for_each(|ask| reply.simple(&ask.name.to_uppercase()));
}

fn write(fields: &Fields, reply: &mut Reply<'_>) {
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name);
        reply.bulk(value);
    }
}
