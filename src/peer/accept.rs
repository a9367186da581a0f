//! The peer port: who connects here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::PeerError;
use super::codec::{CodecError, Hello, MAJOR};
use super::handshake::{self, Greeting};
use super::hub::{Hub, Peer};
use super::link::{self, Greeted};
use super::seal::Sealed;
use crate::election::NodeId;
use crate::listener;

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 512;
/// How long is waited when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the peer port. `::` takes IPv4 too, and becomes `0.0.0.0` where there is no IPv6.
pub(super) fn listen(bind: IpAddr, port: u16) -> Result<TcpListener, PeerError> {
    let addr = SocketAddr::new(bind, port);
    let opened = listener::open(bind, port, BACKLOG).and_then(TcpListener::from_std);
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => PeerError::Taken { addr },
        _ => PeerError::Listen { addr, source },
    })
}

/// Accepts until the hub is stopped.
pub(super) async fn run(hub: Arc<Hub>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                hub.counters.accepted.add(1);
                hub.tasks.spawn(receive(hub.clone(), stream, remote.ip().to_canonical()));
            }
            Err(error) => {
                let me = hub.settings.me;
                hub.complaints.about(me, format_args!("cannot accept connections: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How connections from an IP are named where a complaint is about them.
pub(super) fn source(ip: IpAddr) -> NodeId {
    NodeId::new(ip, 0)
}

async fn receive(hub: Arc<Hub>, mut stream: TcpStream, remote: IpAddr) {
    hub.tune(&stream);
    let Some((hello, sealed)) = greet(&hub, &mut stream, remote).await else {
        return;
    };
    let peer = Peer { node: hello.node, incarnation: hello.incarnation };
    let dialled = (peer, hello.dial);
    if let Some(link) = hub.adopt(Greeted { hello, sealed, dialled, remote }) {
        link::serve(hub, stream, link).await;
    }
}

/// The hello of a hive that may have a link; everybody else is counted and complained about.
async fn greet(
    hub: &Hub,
    stream: &mut TcpStream,
    remote: IpAddr,
) -> Option<(Hello, Option<Sealed>)> {
    let id = hub.next_id();
    let (evicted, crowded) = hub.table().begin(id);
    if crowded {
        hub.counters.turned_away.add(1);
        hub.complain_of_limit(source(remote), "connections that have said nothing yet");
    }
    let greeting = tokio::select! {
        greeting = timeout(handshake::DEADLINE, handshake::accepted(hub, stream)) => Some(greeting),
        () = evicted.cancelled() => None,
        () = hub.stop.cancelled() => None,
    };
    hub.table().finish(id);
    match greeting? {
        Ok(Ok(Greeting::Hive(hello, sealed))) => return Some((hello, sealed)),
        Ok(Ok(Greeting::Myself)) => {}
        Ok(Ok(wrong)) => turn_away(hub, source(remote), &wrong),
        // Port scanners and TCP health checks connect and leave: no line in the log.
        Ok(Err(error)) => tracing::debug!("connection from {remote} without a hello: {error}"),
        Err(_) => {
            hub.counters.mute.add(1);
            hub.complaints.about(source(remote), format_args!("no hello in time, closed"));
        }
    }
    None
}

/// Counts and tells why somebody is no peer.
pub(super) fn turn_away(hub: &Hub, who: NodeId, greeting: &Greeting) {
    let counters = &hub.counters;
    let told = |counter, why: &str| (counter, why.to_owned());
    let (counter, why) = match greeting {
        Greeting::Hive(..) | Greeting::Myself => return,
        Greeting::OtherName(name) => {
            let mine = &hub.settings.name;
            (&counters.foreign, format!("belongs to the hive {name:?}, this is {mine:?} (--name)"))
        }
        Greeting::Malformed(CodecError::Version(version)) => {
            (&counters.foreign, format!("speaks peer protocol {version}, this hive speaks {MAJOR}"))
        }
        Greeting::Malformed(error) => (&counters.malformed, format!("is no hive ({error})")),
        Greeting::HasSecret => {
            told(&counters.has_secret, "has a secret and this hive has none (--secret-file)")
        }
        Greeting::NoSecret => {
            told(&counters.no_secret, "has no secret, as this hive has (--secret-file)")
        }
        Greeting::WrongSecret => {
            told(&counters.wrong_secret, "has another secret (--secret-file) or another --name")
        }
        Greeting::Forged => told(&counters.forged, "cannot prove the secret: a replayed handshake"),
    };
    counter.add(1);
    hub.complaints.about(who, format_args!("{why}, closed"));
}
