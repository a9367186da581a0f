//! What hives say to each other over TCP: codec, handshake and links. `proto/peer.md` specifies it.
//!
//! [`start`] listens and gives a handle; everything that comes in or happens on a link arrives as
//! an [`Input`] on one bounded channel. No method of the handle waits for anybody: a slow or dead
//! peer fills its own queue and loses its own link.

mod accept;
pub mod codec;
mod counters;
mod dial;
mod form;
mod handshake;
mod hub;
mod link;
mod pipe;
mod seal;
mod table;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

pub use counters::PeerCounts;

use crate::election::{Frame, Incarnation, Input, Message, NodeId};
use crate::secrets::Keyring;
use hub::Hub;

/// What the links need to know.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// This hive's identity; its port is listened on.
    pub me: NodeId,
    /// This run of it.
    pub incarnation: Incarnation,
    /// Hives of another name are turned away; at most [`codec::MAX_NAME`] bytes.
    pub name: String,
    /// The address to listen on. `::` takes IPv4 too, and is `0.0.0.0` where there is no IPv6.
    pub bind: IpAddr,
    /// `--heartbeat`: how often the driver broadcasts a state.
    pub heartbeat: Duration,
    /// `--peer-timeout`: the measure of every deadline on a link.
    pub peer_timeout: Duration,
    /// What peers must prove; without a secret everybody who connects is believed.
    pub keyring: Keyring,
}

/// Why the peer port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Something listens there already.
    #[error("peer port {addr} is taken; choose another one with --peer-port")]
    Taken {
        /// The address tried.
        addr: SocketAddr,
    },
    /// It cannot be listened on.
    #[error("cannot listen on peer port {addr} (--bind, --peer-port): {source}")]
    Listen {
        /// The address tried.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The hive's name does not fit a hello.
    #[error("--name is {0} bytes long, at most {max} are allowed", max = codec::MAX_NAME)]
    Name(usize),
}

/// The handle of all links. Clones share them; when the last one is dropped all links are cut.
#[derive(Clone)]
pub struct Peers {
    owner: Arc<Owner>,
}

/// Listens on the peer port. Must be called within a tokio runtime, whose tasks the links are.
///
/// `inputs` receives `Dialled`, `LinkDown` and `Frame`. While it is full the links are not read.
/// After a `LinkDown` the node's own address is dialled once, wanted or not, unless the link came
/// from another IP than the one that node states.
///
/// # Errors
/// [`PeerError`]; nothing was started then.
pub async fn start(
    settings: PeerSettings,
    inputs: mpsc::Sender<Input>,
) -> Result<Peers, PeerError> {
    if settings.name.len() > codec::MAX_NAME {
        return Err(PeerError::Name(settings.name.len()));
    }
    let listener = accept::listen(settings.bind, settings.me.port)?;
    let hub = Hub::new(settings, inputs);
    hub.tasks.spawn(accept::run(hub.clone(), listener));
    hub.tasks.spawn(hub::follow_secrets(hub.clone()));
    Ok(Peers { owner: Arc::new(Owner(hub)) })
}

impl Peers {
    /// The addresses to keep links to, instead of those given before. Links to others stay with
    /// their owners. At most 1,024 are taken, the lowest first. Within the runtime only.
    pub fn dial(&self, wanted: Vec<NodeId>) {
        dial::want(&self.owner.0, wanted);
    }

    /// Sends a frame to every linked hive.
    pub fn broadcast(&self, frame: &Frame) {
        let bytes = codec::encode(frame);
        let state = matches!(frame.message, Message::State(_));
        self.owner.0.table().links().for_each(|link| self.owner.0.post(link, &bytes, state));
    }

    /// Sends a frame to one hive; it is dropped (and counted) if there is no link to it.
    pub fn send(&self, to: NodeId, frame: &Frame) {
        let hub = &self.owner.0;
        let bytes = codec::encode(frame);
        let state = matches!(frame.message, Message::State(_));
        let mut sent = false;
        for link in hub.table().links().filter(|link| link.peer.node == to) {
            hub.post(link, &bytes, state);
            sent = true;
        }
        if !sent {
            hub.counters.unsent.add(1);
        }
    }

    /// The hives with a live link, in no particular order.
    pub fn linked(&self) -> Vec<(NodeId, Incarnation)> {
        let table = self.owner.0.table();
        table.links().map(|link| (link.peer.node, link.peer.incarnation)).collect()
    }

    /// What has happened so far.
    pub fn counters(&self) -> PeerCounts {
        let links = self.owner.0.table().links().count();
        self.owner.0.counters.snapshot(links)
    }

    /// Stops listening and dialling, writes what is queued, and closes all links. Takes at most a
    /// second. No `LinkDown` is reported any more.
    pub async fn shutdown(&self) {
        let hub = &self.owner.0;
        hub.stop.cancel();
        hub.table().links().for_each(|link| link.retire());
        hub.tasks.close();
        if timeout(Duration::from_millis(500), hub.tasks.wait()).await.is_err() {
            hub.cut.cancel();
            // A task that does not end now hangs in nothing but the closed channel of the driver.
            let _ = timeout(Duration::from_millis(500), hub.tasks.wait()).await;
        }
    }
}

struct Owner(Arc<Hub>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop.cancel();
        self.0.cut.cancel();
    }
}
