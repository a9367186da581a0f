//! Links with a secret: who has it talks, and who does not stays outside.

use std::time::Duration;

use redis_hive::election::frame::{Held, Message};
use redis_hive::election::{Dialled, Epoch, Frame, Input, NodeId};
use redis_hive::peer::PeerSettings;
use redis_hive::peer::codec::{self, Hello};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::frames;
use crate::net::{Hive, closed, connect, free, hello, settings, talk, until};
use crate::noise::Raw;

pub const SECRET: &str = "the-secret-of-these-tests";
pub const WRONG: &str = "not-the-secret-of-these-tests";

/// Settings of a hive that proves the first of these lines and accepts all.
pub fn locked(id: NodeId, incarnation: u64, secrets: &str) -> PeerSettings {
    let keyring = Keyring::fixed(Secrets::parse(secrets).expect("secrets"));
    PeerSettings { keyring, ..settings(id, incarnation) }
}

pub async fn hive(ip: [u8; 4], incarnation: u64) -> Hive {
    Hive::with(locked(free(ip), incarnation, SECRET)).await
}

/// A small frame of the hive of `hello`.
pub fn frame_of(hello: &Hello, number: u64) -> Vec<u8> {
    let message = Message::Held(Held { epoch: Epoch(number) });
    let (node, incarnation) = (hello.node, hello.incarnation);
    codec::encode(&Frame { node, incarnation, number, message }).to_vec()
}

#[tokio::test]
async fn hives_with_the_same_secret_talk() {
    let mut a = hive([127, 72, 1, 1], 1).await;
    let mut b = hive([127, 72, 1, 2], 2).await;
    a.peers.dial(vec![b.id]);
    talk(&mut a, &mut b).await;
    b.peers.shutdown().await;
    a.link_down(&b).await;
    a.dialled(b.id, Dialled::Refused).await;
    assert_eq!(a.peers.counters().truncated, 0, "it said that it ends");
}

/// Frames of every size, also of more than one record.
#[tokio::test]
async fn frames_of_every_size_arrive() {
    let mut a = hive([127, 72, 2, 1], 1).await;
    let me = Hello { minor: codec::MINOR + 1, ..hello(2, 9) };
    let mut raw = Raw::greeted(a.id, &me, SECRET).await;
    // A newer minor may append to a body what this one does not know: up to the largest frame.
    for (number, len) in (1..).zip([60, 4_000, 20_000, 65_519, 65_520, codec::MAX_BODY + 8]) {
        let mut frame = frame_of(&me, number);
        frame.resize(len, 0xaa);
        frame[4..8].copy_from_slice(&(len as u32 - 8).to_be_bytes());
        let (first, second) = frame.split_at(len.min(65_519));
        raw.say(first).await;
        if !second.is_empty() {
            raw.say(second).await;
        }
        assert_eq!(a.frame().await.number, number, "a frame of {len} bytes");
    }
    let largest = frames::golden().into_iter().map(|(_, frame)| frame);
    let largest = largest.max_by_key(|frame| codec::encode(frame).len()).expect("frames");
    a.peers.broadcast(&largest);
    assert_eq!(raw.hear().await, codec::encode(&largest));
}

/// What somebody on the network sees holds neither the name nor a frame.
#[tokio::test]
async fn nothing_readable_is_on_the_wire() {
    let mut a = hive([127, 72, 3, 1], 1).await;
    let mut b = hive([127, 72, 3, 2], 2).await;
    let listener = TcpListener::bind("127.72.3.3:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    a.peers.dial(vec![NodeId::new(addr.ip(), addr.port())]);
    let (mut near, _) = listener.accept().await.unwrap();
    let mut far = connect(b.id).await;
    let mut seen = Vec::new();
    let relay = async {
        let (mut up, mut down) = ([0; 4096], [0; 4096]);
        loop {
            let (to, bytes) = tokio::select! {
                count = near.read(&mut up) => (&mut far, &up[..count.unwrap()]),
                count = far.read(&mut down) => (&mut near, &down[..count.unwrap()]),
            };
            seen.extend_from_slice(bytes);
            to.write_all(bytes).await.unwrap();
        }
    };
    tokio::select! {
        () = relay => {}
        () = talk(&mut a, &mut b) => {}
    }
    let count = |what: &[u8]| seen.windows(what.len()).filter(|bytes| *bytes == what).count();
    assert!(seen.len() > 500, "{} bytes", seen.len());
    assert_eq!(count(b"test"), 0, "the name");
    assert_eq!(count(b"RH\x01"), 2, "only the two handshake frames have a header");
}

/// Cut in a record, in a frame, or between two: the link is lost, and half a frame is no frame.
#[tokio::test]
async fn a_connection_that_is_cut_off_is_a_loss() {
    let mut a = hive([127, 72, 10, 1], 1).await;
    let me = hello(10, 9);
    let frame = frame_of(&me, 1);
    let (half, _) = frame.split_at(20);
    for (count, cut) in (1..).zip(["record", "frame", "between", "said"]) {
        let mut raw = Raw::greeted(a.id, &me, SECRET).await;
        until("link", || a.peers.linked().len() == 1).await;
        match cut {
            "record" => {
                let record = raw.pack(&frame);
                raw.stream.write_all(&record[..30]).await.unwrap();
            }
            "frame" => raw.say(half).await,
            "between" => raw.say(&frame).await,
            _ => raw.say(&[]).await,
        }
        raw.stream.shutdown().await.unwrap();
        a.next("loss", |input| matches!(input, Input::LinkDown { .. }).then_some(())).await;
        assert_eq!(a.peers.counters().truncated, count.min(3), "{cut}");
    }
}

/// One of two has no secret: no link, and both can tell why.
#[tokio::test]
async fn a_hive_without_the_secret_stays_outside() {
    let mut a = hive([127, 72, 15, 1], 1).await;
    let mut open = Hive::start(free([127, 72, 15, 2]), 2).await;
    a.peers.dial(vec![open.id]);
    assert_eq!(a.outcome(open.id).await, Dialled::Foreign);
    until("count", || open.peers.counters().has_secret > 0).await;
    a.peers.dial(vec![]);
    open.peers.dial(vec![a.id]);
    assert_eq!(open.outcome(a.id).await, Dialled::Foreign);
    until("count", || a.peers.counters().no_secret > 0).await;
    assert!(a.peers.linked().is_empty() && open.peers.linked().is_empty());
}

#[tokio::test]
async fn a_hive_with_another_secret_stays_outside() {
    let mut a = hive([127, 72, 16, 1], 1).await;
    let mut b = Hive::with(locked(free([127, 72, 16, 2]), 2, WRONG)).await;
    a.peers.dial(vec![b.id]);
    b.peers.dial(vec![a.id]);
    for _ in 0..3 {
        assert_eq!(a.outcome(b.id).await, Dialled::Foreign);
        assert_eq!(b.outcome(a.id).await, Dialled::Foreign);
    }
    for hive in [&mut a, &mut b] {
        assert!(hive.peers.counters().wrong_secret > 0);
        assert!(hive.peers.linked().is_empty());
        let told = hive.reported();
        assert!(told.iter().all(|input| matches!(input, Input::Dialled { .. })), "{told:?}");
    }
}

/// It has the secret and dials itself by another name: it notices.
#[tokio::test]
async fn a_locked_hive_knows_itself() {
    let id = free([127, 72, 17, 1]);
    let bind = std::net::IpAddr::from([0, 0, 0, 0]);
    let mut a = Hive::with(PeerSettings { bind, ..locked(id, 1, SECRET) }).await;
    let alias = NodeId::new([127, 72, 17, 2].into(), id.port);
    a.peers.dial(vec![alias]);
    assert_eq!(a.outcome(alias).await, Dialled::Myself);
}

/// A connection that says nothing after a real one's hello is closed as any other.
#[tokio::test]
async fn a_sealed_link_without_frames_is_idle() {
    let id = free([127, 72, 18, 1]);
    let peer_timeout = Duration::from_millis(50);
    let a = Hive::with(PeerSettings { peer_timeout, ..locked(id, 1, SECRET) }).await;
    let mut raw = Raw::greeted(id, &hello(18, 9), SECRET).await;
    closed(&mut raw.stream).await;
    until("count", || a.peers.counters().idle == 1).await;
}
