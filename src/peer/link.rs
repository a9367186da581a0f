//! A link: one TCP connection between two hives, used in both directions.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::codec::{CodecError, HEADER_LEN, Header, Hello, decode_body};
use super::hub::{Hub, Peer};
use super::pipe::{Ended, Receiver, Sender};
use super::seal::{SealError, Sealed};
use super::{accept, dial};
use crate::election::{Frame, Input};
use crate::secrets::Secret;

/// Frames that may wait on a link, besides the newest state.
const MAX_QUEUE: usize = 64;
/// How long a retired connection stays open for the other side to retire it too. Without it the
/// other side could see this one end before it knows the new one.
const RETIRE_GRACE: Duration = Duration::from_millis(100);
/// How long the other side may take to end a retired connection.
const RETIRE_LIMIT: Duration = Duration::from_secs(1);

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// It waits to be written.
    Queued,
    /// The connection is being given up.
    Retired,
    /// Too many wait already.
    Overflow,
}

/// A connection with both hellos exchanged.
pub(super) struct Greeted {
    pub(super) hello: Hello,
    pub(super) sealed: Option<Sealed>,
    /// Who dialled, and which of its dials it was.
    pub(super) dialled: (Peer, u64),
    /// Where the connection comes from or goes to.
    pub(super) remote: IpAddr,
}

pub(super) struct Link {
    pub(super) id: u64,
    pub(super) peer: Peer,
    /// Cuts the connection at once.
    pub(super) cut: CancellationToken,
    /// Who dialled, and which of its dials it was.
    dialled: (Peer, u64),
    /// Where the connection comes from or goes to.
    remote: IpAddr,
    /// The peer's minor version.
    minor: u16,
    sealed: Option<Sealed>,
    /// When the last frame came, in milliseconds of the hub's time.
    heard: AtomicU64,
    retired: AtomicBool,
    queue: Mutex<VecDeque<Waiting>>,
    wake: Notify,
}

struct Waiting {
    bytes: Bytes,
    state: bool,
}

/// Why a connection ended.
enum End {
    Closed,
    Truncated,
    Broken(io::Error),
    Malformed(CodecError),
    Forged(SealError),
    Impostor,
    Idle,
    Stopped,
}

impl From<Ended> for End {
    fn from(ended: Ended) -> End {
        match ended {
            Ended::Closed => End::Closed,
            Ended::Truncated => End::Truncated,
            Ended::Broken(error) => End::Broken(error),
            Ended::Forged(error) => End::Forged(error),
        }
    }
}

impl Link {
    pub(super) fn new(id: u64, from: Greeted, cut: CancellationToken, now: Duration) -> Link {
        let Greeted { hello, sealed, dialled, remote } = from;
        Link {
            id,
            peer: Peer { node: hello.node, incarnation: hello.incarnation },
            cut,
            dialled,
            remote: remote.to_canonical(),
            minor: hello.minor,
            sealed,
            heard: AtomicU64::new(now.as_millis() as u64),
            retired: AtomicBool::new(false),
            queue: Mutex::new(VecDeque::new()),
            wake: Notify::new(),
        }
    }

    /// The secret that the link was made with.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.sealed.as_ref().map(|sealed| &sealed.secret)
    }

    pub(super) fn dialled_by(&self, peer: Peer) -> bool {
        self.dialled.0 == peer
    }

    /// Whether this new connection takes the place of `old`. Both ends must find the same.
    pub(super) fn beats(&self, old: &Link, now: Duration, silence: Duration) -> bool {
        let heard = Duration::from_millis(old.heard.load(Ordering::Relaxed));
        if now.saturating_sub(heard) > silence {
            return true;
        }
        let (dialler, dial) = self.dialled;
        let (old_dialler, old_dial) = old.dialled;
        dialler < old_dialler || (dialler == old_dialler && dial > old_dial)
    }

    /// Takes over what waits on the connection that this one replaces.
    pub(super) fn inherit(&self, old: &Link) {
        self.waiting().append(&mut old.waiting());
    }

    /// Queues a frame. A state replaces one that still waits, at the end of the queue: frames
    /// leave in the order of their numbers.
    pub(super) fn post(&self, bytes: Bytes, state: bool) -> Posted {
        if self.retired.load(Ordering::Relaxed) {
            return Posted::Retired;
        }
        let mut queue = self.waiting();
        if state {
            queue.retain(|waiting| !waiting.state);
        } else if queue.iter().filter(|waiting| !waiting.state).count() >= MAX_QUEUE {
            return Posted::Overflow;
        }
        queue.push_back(Waiting { bytes, state });
        drop(queue);
        self.wake.notify_one();
        Posted::Queued
    }

    /// Writes what waits, takes nothing more, and ends in good order.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the peer's address can be believed to lead back to it, so that a dial there tells
    /// whether it lives. Nobody makes this hive dial a third one by naming it.
    fn comes_from_its_address(&self) -> bool {
        self.remote == self.peer.node.ip
    }
}

/// Moves frames over an adopted connection until it ends; then tells the core, if it was the link.
pub(super) async fn serve(hub: Arc<Hub>, stream: TcpStream, link: Arc<Link>) {
    let end = tokio::select! {
        end = exchange(&hub, stream, &link) => end,
        () = link.cut.cancelled() => End::Stopped,
    };
    let was_link = hub.table().leave(&link);
    note(&hub, &link, &end);
    if !was_link || hub.stop.is_cancelled() {
        return;
    }
    let Peer { node, incarnation } = link.peer;
    if hub.report(Input::LinkDown { node, incarnation }).await {
        let dialler_woken = hub.table().kick(link.peer);
        if !dialler_woken && link.comes_from_its_address() {
            dial::once(&hub, node);
        }
    }
}

async fn exchange(hub: &Arc<Hub>, mut stream: TcpStream, link: &Arc<Link>) -> End {
    let (reader, writer) = stream.split();
    let seal = link.sealed.as_ref().map(|sealed| &sealed.seal);
    let mut reading = std::pin::pin!(read_frames(hub, link, Receiver::new(reader, seal)));
    tokio::select! {
        end = &mut reading => end,
        written = write_frames(hub, link, Sender::new(writer, seal)) => match written {
            Ok(()) => match timeout(RETIRE_LIMIT, reading).await {
                // It was asked to end, and need not say that it does.
                Ok(End::Truncated) | Err(_) => End::Closed,
                Ok(end) => end,
            },
            Err(error) => End::Broken(error),
        },
    }
}

async fn read_frames(hub: &Hub, link: &Link, mut receiver: Receiver<'_>) -> End {
    let mut buffer = BytesMut::new();
    let mut deadline = Instant::now() + hub.idle_limit();
    loop {
        loop {
            let frame = match next_frame(&mut buffer, link.minor) {
                Ok(Next::Frame(frame)) => Some(frame),
                Ok(Next::Skipped) => None,
                Ok(Next::Incomplete) => break,
                Err(error) => return End::Malformed(error),
            };
            link.heard.store(hub.now().as_millis() as u64, Ordering::Relaxed);
            if let Some(frame) = frame {
                if (frame.node, frame.incarnation) != (link.peer.node, link.peer.incarnation) {
                    return End::Impostor;
                }
                hub.counters.frames_in.add(1);
                if !hub.report(Input::Frame(frame)).await {
                    return End::Stopped;
                }
            } else {
                hub.counters.skipped.add(1);
            }
            deadline = Instant::now() + hub.idle_limit();
        }
        match timeout_at(deadline, receiver.receive(&mut buffer)).await {
            Ok(Ok(count)) => hub.counters.bytes_in.add(count as u64),
            Ok(Err(ended)) => return ended.into(),
            Err(_) => return End::Idle,
        }
    }
}

enum Next {
    Frame(Box<Frame>),
    Skipped,
    Incomplete,
}

/// Takes a whole frame off the buffer. What is wrong with a header is seen before its body came.
fn next_frame(buffer: &mut BytesMut, minor: u16) -> Result<Next, CodecError> {
    let Some(header) = buffer.first_chunk::<HEADER_LEN>() else {
        return Ok(Next::Incomplete);
    };
    let header = Header::parse(header)?;
    let Some(body) = buffer.get(HEADER_LEN..HEADER_LEN + header.len) else {
        return Ok(Next::Incomplete);
    };
    let frame = decode_body(header.kind, body, minor)?;
    buffer.advance(HEADER_LEN + header.len);
    Ok(frame.map_or(Next::Skipped, |frame| Next::Frame(Box::new(frame))))
}

/// Writes what is posted. Returns when the link is retired and everything is written.
async fn write_frames(hub: &Hub, link: &Link, mut sender: Sender<'_>) -> io::Result<()> {
    loop {
        let next = link.waiting().pop_front();
        match next {
            Some(Waiting { bytes, .. }) => {
                let count = timeout(hub.idle_limit(), sender.send(&bytes)).await??;
                hub.counters.frames_out.add(1);
                hub.counters.bytes_out.add(count as u64);
            }
            None if link.retired.load(Ordering::Relaxed) => break,
            None => link.wake.notified().await,
        }
    }
    tokio::select! {
        () = sleep(RETIRE_GRACE) => {}
        () = hub.stop.cancelled() => {}
    }
    timeout(hub.idle_limit(), sender.end()).await?
}

/// Counts and tells how a connection ended.
fn note(hub: &Hub, link: &Link, end: &End) {
    let who = link.peer.node;
    match end {
        End::Closed => tracing::debug!("peer {who}: the link was closed"),
        End::Truncated => {
            hub.counters.truncated.add(1);
            tracing::debug!("peer {who}: the link was cut off");
        }
        End::Stopped => tracing::debug!("peer {who}: the link was cut"),
        End::Broken(error) => tracing::debug!("peer {who}: the link broke: {error}"),
        End::Idle => {
            hub.counters.idle.add(1);
            tracing::debug!("peer {who}: nothing was said on the link, closed");
        }
        End::Malformed(error) => {
            hub.counters.malformed.add(1);
            hub.complaints.about(who, format_args!("{error}, link closed"));
        }
        End::Forged(error) => {
            hub.counters.forged.add(1);
            hub.complaints.about(who, format_args!("{error}, link closed"));
        }
        End::Impostor => {
            hub.counters.malformed.add(1);
            let from = accept::source(link.remote);
            hub.complaints.about(from, format_args!("frame in another hive's name, link closed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Incarnation, NodeId};

    fn peer(n: u8) -> Peer {
        Peer { node: NodeId::new([10, 0, 0, n].into(), 6390), incarnation: Incarnation(n.into()) }
    }

    fn link(dialler: u8, dial: u64, heard: Duration) -> Link {
        let Peer { node, incarnation } = peer(1);
        let name = String::new();
        let hello = Hello { minor: 0, abilities: 0, name, node, incarnation, dial };
        let dialled = (peer(dialler), dial);
        let greeted = Greeted { hello, sealed: None, dialled, remote: node.ip };
        Link::new(dial, greeted, CancellationToken::new(), heard)
    }

    fn queued(link: &Link) -> Vec<u8> {
        link.waiting().iter().map(|waiting| waiting.bytes[0]).collect()
    }

    #[test]
    fn the_newest_state_replaces_the_waiting_one_and_frames_keep_their_order() {
        let link = link(1, 1, Duration::ZERO);
        for (byte, state) in [(1, true), (2, false), (3, true), (4, false), (5, true)] {
            assert_eq!(link.post(Bytes::from(vec![byte]), state), Posted::Queued);
        }
        assert_eq!(queued(&link), [2, 4, 5]);
    }

    #[test]
    fn only_messages_fill_the_queue() {
        let link = link(1, 1, Duration::ZERO);
        let frame = Bytes::from_static(b"x");
        for _ in 0..MAX_QUEUE {
            assert_eq!(link.post(frame.clone(), false), Posted::Queued);
            assert_eq!(link.post(frame.clone(), true), Posted::Queued);
        }
        assert_eq!(link.post(frame.clone(), false), Posted::Overflow);
        assert_eq!(link.post(frame, true), Posted::Queued);
        assert_eq!(queued(&link).len(), MAX_QUEUE + 1);
    }

    #[test]
    fn a_retired_connection_takes_nothing_and_hands_on_what_waits() {
        let (old, new) = (link(1, 1, Duration::ZERO), link(1, 2, Duration::ZERO));
        old.post(Bytes::from_static(b"1"), false);
        new.inherit(&old);
        old.retire();
        assert_eq!(old.post(Bytes::from_static(b"2"), true), Posted::Retired);
        assert_eq!((queued(&old), queued(&new)), (vec![], vec![b'1']));
    }

    /// Whichever of the two a side saw first, it keeps the same one.
    #[test]
    fn both_ends_keep_the_same_connection() {
        let now = Duration::from_secs(5);
        let second = Duration::from_secs(1);
        let order = [link(1, 9, now), link(1, 8, now), link(2, 99, now), link(2, 3, now)];
        for (place, better) in order.iter().enumerate() {
            for worse in &order[place + 1..] {
                assert!(better.beats(worse, now, second));
                assert!(!worse.beats(better, now, second));
            }
        }
    }

    #[test]
    fn a_link_that_was_silent_for_a_peer_timeout_loses_against_any_new_one() {
        let second = Duration::from_secs(1);
        let (silent, new) = (link(1, 9, Duration::ZERO), link(2, 1, second * 2));
        assert!(!new.beats(&silent, second, second));
        assert!(new.beats(&silent, second * 2, second));
    }
}
