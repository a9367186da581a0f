//! Dialling: a task for every wanted address.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::turn_away;
use super::handshake::{self, Greeting};
use super::hub::{Hub, Peer};
use super::link::{self, Greeted};
use super::table::{MAX_WANTED, Wanted};
use crate::election::{Dialled, Input, NodeId};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Who is no hive of this name is not asked so often.
const LONGEST_FOREIGN_PAUSE: Duration = Duration::from_secs(1);
/// A link that lived so long was a good one: when it ends its address is dialled at once.
const STEADY: Duration = Duration::from_millis(100);

/// How long a hive that refuses the new secret keeps its link with the old one in peace.
const RENEW_PAUSE: Duration = Duration::from_secs(5);

/// How one attempt ended.
enum Attempt {
    /// A hive was found; its connection is served by now, and the core is told there.
    Found,
    /// Something else, which the core has not been told yet.
    Ended(Dialled),
}

/// Dials these addresses from now on, and no others.
pub(super) fn want(hub: &Arc<Hub>, addresses: Vec<NodeId>) {
    let mut addresses: BTreeSet<NodeId> = addresses.into_iter().collect();
    if addresses.len() > MAX_WANTED {
        let me = hub.settings.me;
        hub.complaints.about(me, format_args!("only {MAX_WANTED} addresses are dialled"));
        addresses = addresses.into_iter().take(MAX_WANTED).collect();
    }
    let mut table = hub.table();
    table.wanted.retain(|addr, wanted| {
        let keep = addresses.contains(addr);
        if !keep {
            wanted.stop.cancel();
        }
        keep
    });
    for addr in addresses {
        table.wanted.entry(addr).or_insert_with(|| {
            let kick = Arc::new(Notify::new());
            let stop = hub.stop.child_token();
            let dialler = keep_dialling(hub.clone(), addr, kick.clone());
            hub.tasks.spawn(stop.clone().run_until_cancelled_owned(dialler));
            Wanted { kick, stop, leads_to: None }
        });
    }
}

/// One attempt at an address that is not wanted, to see whether a hive whose link closed lives.
pub(super) fn once(hub: &Arc<Hub>, addr: NodeId) {
    let stop = hub.stop.clone();
    let hub_of_dial = hub.clone();
    let dialling = async move {
        if let Attempt::Ended(outcome) = attempt(&hub_of_dial, addr).await {
            hub_of_dial.report(Input::Dialled { addr, outcome }).await;
        }
    };
    hub.tasks.spawn(stop.run_until_cancelled_owned(dialling));
}

async fn keep_dialling(hub: Arc<Hub>, addr: NodeId, kick: Arc<Notify>) {
    let mut pause = FIRST_PAUSE;
    let mut longest = LONGEST_PAUSE;
    let mut told = None;
    loop {
        let linked = hub.table().linked(addr);
        if let Some(peer) = linked {
            if told != Some(peer) {
                told = Some(peer);
                hub.report(Input::Dialled { addr, outcome: peer.found() }).await;
            }
            let since = Instant::now();
            while hub.table().linked(addr) == Some(peer) {
                if !hub.is_outdated(peer) {
                    kick.notified().await;
                    continue;
                }
                renew(&hub, addr).await;
                if hub.is_outdated(peer) {
                    let _ = timeout(RENEW_PAUSE, kick.notified()).await;
                }
            }
            if since.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
                continue;
            }
        } else {
            told = None;
            match attempt(&hub, addr).await {
                Attempt::Found => told = hub.table().wanted.get(&addr).and_then(|it| it.leads_to),
                Attempt::Ended(outcome) => {
                    hub.report(Input::Dialled { addr, outcome }).await;
                    longest = match outcome {
                        Dialled::Myself => return,
                        Dialled::Foreign => LONGEST_FOREIGN_PAUSE,
                        _ => LONGEST_PAUSE,
                    };
                }
            }
            if hub.table().linked(addr).is_some() {
                continue;
            }
        }
        let end = Instant::now() + pause;
        while hub.table().linked(addr).is_none() && timeout_at(end, kick.notified()).await.is_ok() {
        }
        pause = (pause * 2).min(longest);
    }
}

/// Makes a link anew with the secret that is used now. Until that succeeds the old one lives on, and
/// so nothing of this is the core's affair.
async fn renew(hub: &Arc<Hub>, addr: NodeId) {
    if let Attempt::Found = attempt(hub, addr).await {
        hub.counters.renewed.add(1);
    }
}

/// Connects and says hello. A connection that breaks before the hello came is tried once more at
/// once: a hive that is just dying still accepts for an instant.
async fn attempt(hub: &Arc<Hub>, addr: NodeId) -> Attempt {
    for last in [false, true] {
        hub.counters.dialled.add(1);
        let mut stream = match connect(hub, addr).await {
            Ok(stream) => stream,
            Err(outcome) => return Attempt::Ended(outcome),
        };
        let dial = hub.next_id();
        let limit = (hub.settings.peer_timeout / 2).min(handshake::DEADLINE);
        match timeout(limit, handshake::dialled(hub, &mut stream, dial)).await {
            Ok(Ok(Greeting::Hive(hello, sealed))) => {
                let peer = Peer { node: hello.node, incarnation: hello.incarnation };
                hub.table().learn(addr, peer);
                let (dialled, remote) = ((hub.me(), dial), addr.ip);
                let link = hub.adopt(Greeted { hello, sealed, dialled, remote });
                let hub = hub.clone();
                hub.tasks.clone().spawn(async move {
                    hub.report(Input::Dialled { addr, outcome: peer.found() }).await;
                    if let Some(link) = link {
                        link::serve(hub, stream, link).await;
                    }
                });
                return Attempt::Found;
            }
            Ok(Ok(Greeting::Myself)) => return Attempt::Ended(Dialled::Myself),
            Ok(Ok(wrong)) => {
                turn_away(hub, addr, &wrong);
                return Attempt::Ended(Dialled::Foreign);
            }
            Ok(Err(_)) if !last => {}
            Ok(Err(error)) => {
                hub.complaints.about(
                    addr,
                    format_args!(
                        "takes connections and closes them without a hello ({error}); {}",
                        hub.guess()
                    ),
                );
            }
            Err(_) => {
                // Somebody is there and cannot speak, a frozen hive perhaps: not the same as nobody
                // (ELECTION 2.7).
                hub.counters.mute.add(1);
                return Attempt::Ended(Dialled::Foreign);
            }
        }
    }
    Attempt::Ended(Dialled::Foreign)
}

async fn connect(hub: &Hub, addr: NodeId) -> Result<TcpStream, Dialled> {
    let socket = match addr.ip {
        std::net::IpAddr::V4(_) => TcpSocket::new_v4(),
        std::net::IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let connecting = async {
        let socket = socket?;
        let from = hub.settings.bind;
        // Where a hive listens on one address it also comes from there, so that others know it by
        // its address. If that fails, any address is better than none.
        if !from.is_unspecified()
            && from.is_ipv4() == addr.ip.is_ipv4()
            && let Err(error) = socket.bind(SocketAddr::new(from, 0))
        {
            tracing::debug!("peer {addr}: not dialled from {from}: {error}");
        }
        socket.connect(SocketAddr::new(addr.ip, addr.port)).await
    };
    let outcome = match timeout(hub.settings.peer_timeout / 2, connecting).await {
        // A port of the range that the system gives to clients can be connected to itself.
        Ok(Ok(stream)) if is_loop(&stream) => Dialled::Refused,
        Ok(Ok(stream)) => {
            hub.tune(&stream);
            return Ok(stream);
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Dialled::Refused,
        Ok(Err(error)) => {
            tracing::debug!("peer {addr}: cannot connect: {error}");
            Dialled::Silent
        }
        Err(_) => Dialled::Silent,
    };
    Err(outcome)
}

fn is_loop(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(here), Ok(there)) if here == there)
}
