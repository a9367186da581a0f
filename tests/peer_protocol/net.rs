//! Hives over loopback: real ones, and raw connections that say what a test wants.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis_hive::election::{Dialled, Frame, Incarnation, Input, NodeId};
use redis_hive::peer::codec::{self, HEADER_LEN, Header, Hello, MINOR};
use redis_hive::peer::{PeerSettings, Peers, start};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::frames;

/// The longest a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A hive without a core: its links, and what they report.
pub struct Hive {
    pub id: NodeId,
    pub incarnation: Incarnation,
    pub peers: Peers,
    pub inputs: mpsc::Receiver<Input>,
    sent: u64,
}

pub fn settings(id: NodeId, incarnation: u64) -> PeerSettings {
    PeerSettings {
        me: id,
        incarnation: Incarnation(incarnation),
        name: "test".into(),
        bind: id.ip,
        heartbeat: Duration::from_millis(200),
        peer_timeout: Duration::from_secs(1),
        keyring: Keyring::fixed(Secrets::default()),
    }
}

/// An address on loopback where nothing listens. Every test has IPs of its own, and the port is
/// free on all of them and none that the system gives to clients.
pub fn free(ip: [u8; 4]) -> NodeId {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = (std::process::id() % 100) as u16 * 100;
    loop {
        let port = 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return NodeId::new(ip.into(), port);
        }
    }
}

impl Hive {
    pub async fn start(id: NodeId, incarnation: u64) -> Hive {
        Hive::with(settings(id, incarnation)).await
    }

    pub async fn with(settings: PeerSettings) -> Hive {
        let (sender, inputs) = mpsc::channel(1024);
        let (id, incarnation) = (settings.me, settings.incarnation);
        let peers = start(settings, sender).await.expect("the hive starts");
        Hive { id, incarnation, peers, inputs, sent: 0 }
    }

    /// The next input that `pick` takes; others are dropped.
    pub async fn next<T>(&mut self, what: &str, pick: impl Fn(&Input) -> Option<T>) -> T {
        let search = async {
            loop {
                let input = self.inputs.recv().await.expect("the links live");
                if let Some(found) = pick(&input) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no {what} in time"))
    }

    pub async fn dialled(&mut self, at: NodeId, wanted: Dialled) {
        self.next(&format!("{wanted:?} of {at}"), |input| match input {
            Input::Dialled { addr, outcome } => (*addr == at && *outcome == wanted).then_some(()),
            _ => None,
        })
        .await;
    }

    /// The next outcome of a dial to `at`.
    pub async fn outcome(&mut self, at: NodeId) -> Dialled {
        self.next(&format!("outcome of {at}"), |input| match input {
            Input::Dialled { addr, outcome } if *addr == at => Some(*outcome),
            _ => None,
        })
        .await
    }

    pub async fn link_down(&mut self, other: &Hive) {
        let (id, run) = (other.id, other.incarnation);
        self.next(&format!("loss of {id}"), |input| match input {
            Input::LinkDown { node, incarnation } => {
                (*node == id && *incarnation == run).then_some(())
            }
            _ => None,
        })
        .await;
    }

    pub async fn frame(&mut self) -> Frame {
        self.next("frame", |input| match input {
            Input::Frame(frame) => Some(Frame::clone(frame)),
            _ => None,
        })
        .await
    }

    pub async fn hears(&mut self, wanted: &Frame) {
        self.next("that frame", |input| match input {
            Input::Frame(frame) => (**frame == *wanted).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Everything that has been reported by now.
    pub fn reported(&mut self) -> Vec<Input> {
        std::iter::from_fn(|| self.inputs.try_recv().ok()).collect()
    }

    /// A state frame of this hive with the next number.
    pub fn say(&mut self) -> Frame {
        self.sent += 1;
        frames::state(self.id, self.incarnation, self.sent)
    }

    /// What a dial to this hive finds.
    pub fn found(&self) -> Dialled {
        Dialled::Hive { node: self.id, incarnation: self.incarnation }
    }

    pub async fn linked_to(&self, other: &Hive) {
        let link = (other.id, other.incarnation);
        until("link", || self.peers.linked().contains(&link)).await;
    }
}

/// A frame of each reaches the other.
pub async fn talk(one: &mut Hive, two: &mut Hive) {
    one.linked_to(two).await;
    two.linked_to(one).await;
    let (first, second) = (one.say(), two.say());
    one.peers.broadcast(&first);
    two.peers.send(one.id, &second);
    two.hears(&first).await;
    one.hears(&second).await;
}

/// Waits until `reached`.
pub async fn until(what: &str, reached: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "no {what} in time");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The hello of a hive that exists only in a test.
pub fn hello(n: u8, incarnation: u64) -> Hello {
    Hello {
        minor: MINOR,
        abilities: 0,
        name: "test".into(),
        node: NodeId::new([127, 77, 0, n].into(), 6390),
        incarnation: Incarnation(incarnation),
        dial: 1,
    }
}

pub async fn connect(to: NodeId) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new(to.ip, to.port)).await;
    stream.expect("the peer port takes connections")
}

/// A raw connection with both hellos exchanged.
pub async fn greeted(to: NodeId, hello: &Hello) -> TcpStream {
    let mut stream = connect(to).await;
    stream.write_all(&codec::encode_hello(hello)).await.expect("written");
    read_hello(&mut stream).await;
    stream
}

pub async fn read_hello(stream: &mut TcpStream) -> Hello {
    let mut header = [0; HEADER_LEN];
    let reading = async {
        stream.read_exact(&mut header).await.expect("a header");
        let header = Header::parse(&header).expect("a good header");
        let mut body = vec![0; header.len];
        stream.read_exact(&mut body).await.expect("a body");
        codec::decode_hello(&body).expect("a hello")
    };
    timeout(PATIENCE, reading).await.expect("a hello in time")
}

/// Reads until the other side closes; gives what it said.
pub async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _ = end.expect("closed in time");
    said
}
