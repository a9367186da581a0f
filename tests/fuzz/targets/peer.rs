//! The peer port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::Duration;

use redis_hive::election::{Incarnation, NodeId};
use redis_hive::peer::codec::{self, HEADER_LEN, Header, MAX_BODY, MINOR};
use redis_hive::peer::{PeerSettings, Peers, start};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::sync::mpsc;

use super::{exchange, forever};

#[path = "../../peer_protocol/decoder.rs"]
mod decoder;

use decoder::Decoded;

/// The sender's minor version in one byte, then frames as a link reads them; then all of it once more
/// as one frame of the right length. What is read can be written again, this version has one form for
/// everything, and a second decoder finds the same.
pub fn frames(input: &[u8]) {
    let Some((minor, rest)) = input.split_first() else { return };
    let minor = u16::from(*minor);
    let mut at = 0;
    while let Some(length) = judged(rest.get(at..).unwrap_or_default(), minor) {
        at += length;
    }
    let mut one = rest.to_vec();
    if let Some(stated) = one.get_mut(4..HEADER_LEN) {
        stated.copy_from_slice(&((rest.len() - HEADER_LEN) as u32).to_be_bytes());
        judged(&one, minor);
    }
}

/// The length of the frame that this begins with.
fn judged(bytes: &[u8], minor: u16) -> Option<usize> {
    let (head, behind) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::parse(head).ok()?;
    assert!(header.len <= MAX_BODY);
    let body = behind.get(..header.len)?;
    let whole = bytes.get(..HEADER_LEN + header.len)?;
    judged_alike(whole, body);
    if let Ok(Some(frame)) = codec::decode_body(header.kind, body, minor) {
        let written = codec::encode(&frame);
        assert!(minor != MINOR || written == whole, "two forms of the same");
        assert_eq!(codec::decode_frame(&written), Ok(frame));
    }
    Some(whole.len())
}

fn judged_alike(whole: &[u8], body: &[u8]) {
    let second = decoder::decode(whole).ok().map(|(decoded, _)| decoded);
    let ours = match &second {
        Some(Decoded::Hello(_)) => codec::decode_hello(body).ok().map(Decoded::Hello),
        _ => codec::decode_frame(whole).ok().map(|frame| Decoded::Frame(Box::new(frame))),
    };
    assert_eq!(ours, second);
}

/// A hive that nobody belongs to, and where it listens.
struct Hive {
    _peers: Peers,
    addr: SocketAddr,
}

impl Hive {
    fn start() -> Hive {
        forever(|| async {
            loop {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                let addr = free.local_addr().expect("bound");
                drop(free);
                let (sender, mut inputs) = mpsc::channel(64);
                // Somebody else may have been given the port: then another one.
                if let Ok(peers) = start(settings(addr), sender).await {
                    tokio::spawn(async move { while inputs.recv().await.is_some() {} });
                    return Hive { _peers: peers, addr };
                }
            }
        })
    }
}

fn settings(addr: SocketAddr) -> PeerSettings {
    PeerSettings {
        me: NodeId::new(addr.ip(), addr.port()),
        incarnation: Incarnation(1),
        name: "fuzzed".to_owned(),
        bind: addr.ip(),
        heartbeat: Duration::from_millis(200),
        peer_timeout: Duration::from_secs(1),
        keyring: Keyring::fixed(Secrets::default()),
    }
}

/// Everything that somebody may say who connects: it is answered by a hello at most, and the
/// connection is closed at the latest when nothing more can come.
pub fn handshake(input: &[u8]) {
    static HIVE: LazyLock<Hive> = LazyLock::new(Hive::start);
    let answer = exchange(HIVE.addr, input);
    assert!(answer.len() <= HEADER_LEN + codec::MAX_HELLO, "{} bytes", answer.len());
    let Some((head, body)) = answer.split_first_chunk() else { return };
    let header = Header::parse(head).expect("the header of a hello");
    assert_eq!((header.kind, header.len), (codec::kind::HELLO, body.len()));
    assert_eq!(codec::decode_hello(body).expect("a hello").name, "fuzzed");
}
