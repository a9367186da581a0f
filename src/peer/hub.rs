//! What all tasks of the links share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PeerSettings;
use super::codec::{self, Hello};
use super::counters::{Complaints, Counters};
use super::link::{Greeted, Link, Posted};
use super::table::{Adopted, Table};
use crate::election::{Dialled, Incarnation, Input, NodeId};
use crate::secrets::Secrets;

/// One run of a hive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
}

impl Peer {
    /// What is reported of a dial that found it.
    pub(super) fn found(self) -> Dialled {
        Dialled::Hive { node: self.node, incarnation: self.incarnation }
    }
}

pub(super) struct Hub {
    pub(super) settings: PeerSettings,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) counters: Counters,
    pub(super) complaints: Complaints,
    pub(super) tasks: TaskTracker,
    /// Ends listening and dialling.
    pub(super) stop: CancellationToken,
    /// Cuts all links.
    pub(super) cut: CancellationToken,
    table: Mutex<Table>,
    started: Instant,
    ids: AtomicU64,
}

impl Hub {
    pub(super) fn new(settings: PeerSettings, inputs: mpsc::Sender<Input>) -> Arc<Hub> {
        let silence = settings.peer_timeout;
        Arc::new(Hub {
            settings,
            inputs,
            counters: Counters::default(),
            complaints: Complaints::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            table: Mutex::new(Table::new(silence)),
            started: Instant::now(),
            ids: AtomicU64::new(1),
        })
    }

    /// Never held across an await, and nothing in it waits.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This run of this hive.
    pub(super) fn me(&self) -> Peer {
        Peer { node: self.settings.me, incarnation: self.settings.incarnation }
    }

    /// A number nothing else of this hub has.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What this hive says first on a connection.
    pub(super) fn hello(&self, dial: u64) -> Hello {
        Hello {
            minor: codec::MINOR,
            abilities: 0,
            name: self.settings.name.clone(),
            node: self.settings.me,
            incarnation: self.settings.incarnation,
            dial,
        }
    }

    /// How long nothing may be said on a link, and how long a write may take.
    pub(super) fn idle_limit(&self) -> Duration {
        self.settings.peer_timeout * 10
    }

    /// Sends small frames at once, and has the kernel give up on a dead peer.
    pub(super) fn tune(&self, stream: &TcpStream) {
        let user_timeout = self.settings.peer_timeout * 2;
        let tuned = stream
            .set_nodelay(true)
            .and_then(|()| SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout)));
        if let Err(error) = tuned {
            tracing::debug!("a peer connection could not be tuned: {error}");
        }
    }

    /// Makes a greeted connection a link, or a spare one that only ends in good order. `None`: too
    /// many.
    ///
    /// Whoever calls this must serve the link, without an await in between.
    pub(super) fn adopt(&self, greeted: Greeted) -> Option<Arc<Link>> {
        let link = Link::new(self.next_id(), greeted, self.cut.child_token(), self.now());
        let link = Arc::new(link);
        let peer = link.peer;
        self.counters.greeted.add(1);
        let adopted = self.table().adopt(&link, self.now());
        match adopted {
            Adopted::First => {}
            Adopted::Duplicate => self.counters.duplicates.add(1),
            Adopted::Full => {
                self.counters.turned_away.add(1);
                self.complain_of_limit(peer.node, "links");
                return None;
            }
        }
        if self.stop.is_cancelled() {
            link.retire();
        }
        // The secrets may have changed since the handshake.
        self.cut_unless_accepted(&link, &self.settings.keyring.secrets());
        Some(link)
    }

    /// Whether this hive dialled the link to this peer, with another secret than the one it uses
    /// now: then it makes a new one.
    pub(super) fn is_outdated(&self, peer: Peer) -> bool {
        let secrets = self.settings.keyring.secrets();
        let table = self.table();
        let link = table.links().find(|link| link.peer == peer);
        link.is_some_and(|link| link.dialled_by(self.me()) && link.secret() != secrets.first())
    }

    fn cut_unless_accepted(&self, link: &Link, secrets: &Secrets) {
        let accepted = match link.secret() {
            Some(secret) => secrets.all().contains(secret),
            None => secrets.is_empty(),
        };
        if !accepted {
            self.counters.old_secret.add(1);
            let peer = link.peer.node;
            tracing::info!(%peer, "link closed: its secret is no longer accepted");
            link.cut.cancel();
        }
    }

    /// Queues a frame on a link; a link that does not get rid of its frames is cut.
    pub(super) fn post(&self, link: &Link, bytes: &Bytes, state: bool) {
        if link.post(bytes.clone(), state) == Posted::Overflow {
            self.counters.overflowed.add(1);
            self.complaints.about(
                link.peer.node,
                format_args!("does not read what it is sent, its link is closed"),
            );
            link.cut.cancel();
        }
    }

    /// Hands an input to the core. `false`: the core is gone.
    pub(super) async fn report(&self, input: Input) -> bool {
        self.inputs.send(input).await.is_ok()
    }

    /// How a connection that was closed without a word may be explained.
    pub(super) fn guess(&self) -> &'static str {
        if self.settings.keyring.secrets().is_empty() {
            "does it have a secret (--secret-file) that this hive lacks?"
        } else {
            "does it have this hive's secret (--secret-file) and --name?"
        }
    }

    pub(super) fn complain_of_limit(&self, who: NodeId, what: &str) {
        self.complaints.about(who, format_args!("closed, there are too many {what}"));
    }
}

/// Closes the links whose secret is taken out, and wakes the diallers to renew those that are made
/// with another one than the first.
pub(super) async fn follow_secrets(hub: Arc<Hub>) {
    let mut keyring = hub.settings.keyring.clone();
    loop {
        tokio::select! {
            () = keyring.changed() => {}
            () = hub.stop.cancelled() => return,
        }
        let secrets = keyring.secrets();
        let table = hub.table();
        table.links().for_each(|link| hub.cut_unless_accepted(link, &secrets));
        table.kick_all();
    }
}
