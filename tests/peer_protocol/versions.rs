//! Hives of 1.0 and of today together: the frames of 1.0 as they were, read by today's hive, and
//! today's frames before a reader of 1.0.

use std::path::PathBuf;

use redis_hive::election::frame::{Answer, Held};
use redis_hive::election::*;
use redis_hive::peer::PeerSettings;
use redis_hive::peer::codec::{self, HEADER_LEN, MINOR};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::frames::{self, Random};
use crate::frozen::{self, Taken};
use crate::net::{Hive, PATIENCE, connect, free, settings};
use crate::vectors;

/// The golden frames of 1.0 but its hello, in the order of their numbers.
fn frames_of_1_0() -> Vec<(String, Vec<u8>)> {
    let mut frames: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder())
        .expect("proto/vectors/1.0")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| name != "refused" && name != "hello")
        .map(|(name, path)| (name, vectors::bytes(&std::fs::read_to_string(path).expect("text"))))
        .collect();
    // Behind the header and the speaker's address and incarnation.
    frames.sort_by_key(|(_, bytes)| bytes[HEADER_LEN + 26..HEADER_LEN + 34].to_vec());
    frames
}

fn hello_of_1_0() -> Vec<u8> {
    vectors::bytes(&std::fs::read_to_string(folder().join("hello.txt")).expect("hello.txt"))
}

fn folder() -> PathBuf {
    vectors::folder().join("1.0")
}

/// What today's hive makes of each: the same as ever, and nothing of what came later.
fn meant(name: &str) -> Frame {
    let found = frames::golden().into_iter().find(|(known, _)| *known == name);
    let mut frame =
        found.unwrap_or_else(|| panic!("{name} was a frame of 1.0 and is none today")).1;
    if let Message::State(state) = &mut frame.message {
        (state.reach, state.clock, state.version) = (0, Wall(0), Version::default());
        state.troubles = Troubles::default();
    }
    frame
}

#[test]
fn every_frame_of_1_0_is_read_as_it_was_meant() {
    let frames = frames_of_1_0();
    assert_eq!(frames.len(), 18);
    for (name, bytes) in frames {
        let read = codec::decode_body(bytes[3], &bytes[HEADER_LEN..], 0);
        assert_eq!(read, Ok(Some(meant(&name))), "{name}");
        assert_eq!(frozen::judge(&bytes, 0), Ok(Taken::Read(bytes[3])), "{name}");
    }
    let bytes = hello_of_1_0();
    let hello = codec::decode_hello(&bytes[HEADER_LEN..]).expect("a hello");
    assert_eq!(hello, codec::Hello { minor: 0, ..frames::hello() });
    assert_eq!(frozen::judge(&bytes, 0), Ok(Taken::Read(frozen::HELLO)));
}

/// The frozen reader is no rubber stamp, and neither is today's towards an old sender.
#[test]
fn what_1_0_refused_is_refused_by_both() {
    for (name, bytes) in vectors::refused(&folder()) {
        assert!(frozen::judge(&bytes, 0).is_err(), "{name}: 1.0 took it");
        if let Some((header, body)) = bytes.split_first_chunk() {
            let whole = codec::Header::parse(header).is_ok_and(|header| header.len == body.len());
            let read = match bytes[3] {
                codec::kind::HELLO => codec::decode_hello(body).is_ok(),
                kind => codec::decode_body(kind, body, 0).is_ok(),
            };
            assert!(!(whole && read), "{name}: taken from a hive of 1.0");
        }
    }
}

#[test]
fn a_reader_of_1_0_takes_todays_frames_and_skips_what_it_does_not_know() {
    let random = (0..500).map(|seed| Random(seed).frame());
    let golden = frames::golden().into_iter().map(|(_, frame)| frame);
    let mut skipped = 0;
    for frame in golden.chain(random).chain([frames::largest()]) {
        let bytes = codec::encode(&frame);
        let expected = match frame.message {
            Message::Answer(_) => Taken::Skipped,
            _ => Taken::Read(bytes[3]),
        };
        assert_eq!(frozen::judge(&bytes, MINOR), Ok(expected), "{frame:?}");
        skipped += usize::from(expected == Taken::Skipped);
        // A hive of its own age would have no right to say more than it understands.
        let grown = matches!(frame.message, Message::Answer(_) | Message::State(_));
        assert_eq!(frozen::judge(&bytes, 0).is_err(), grown);

        let mut longer = bytes.to_vec();
        longer.extend([0xaa; 5]);
        let len = (longer.len() - HEADER_LEN) as u32;
        longer[4..HEADER_LEN].copy_from_slice(&len.to_be_bytes());
        assert_eq!(frozen::judge(&longer, MINOR), Ok(expected), "with bytes behind it");
    }
    assert!(skipped > 10, "{skipped} answers");
    let hello = codec::encode_hello(&frames::hello());
    assert_eq!(frozen::judge(&hello, 0), Ok(Taken::Read(frozen::HELLO)));
}

/// A hive of today for one of 1.0, whose hello has this name.
async fn hive_of_today(ip: [u8; 4]) -> Hive {
    let name = frames::hello().name;
    Hive::with(PeerSettings { name, ..settings(free(ip), 1) }).await
}

/// The next whole frame from a hive of today, as a hive of 1.0 takes it.
async fn read(stream: &mut TcpStream) -> Taken {
    let reading = async {
        let mut frame = vec![0; HEADER_LEN];
        stream.read_exact(&mut frame).await.expect("a header");
        let len = u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]) as usize;
        frame.resize(HEADER_LEN + len, 0);
        stream.read_exact(&mut frame[HEADER_LEN..]).await.expect("a body");
        frozen::judge(&frame, MINOR).expect("1.0 goes on")
    };
    timeout(PATIENCE, reading).await.expect("a frame in time")
}

/// Both say all they can, and the link stays.
async fn talk(today: &mut Hive, old: &mut TcpStream) {
    let peer = (frames::hello().node, frames::hello().incarnation);
    for (name, bytes) in frames_of_1_0() {
        old.write_all(&bytes).await.expect("written");
        assert_eq!(today.frame().await, meant(&name), "{name}");
    }
    assert_eq!(today.peers.linked(), [peer]);
    let (node, incarnation) = (today.id, today.incarnation);
    let frame = |number, message| Frame { node, incarnation, number, message };
    let reason = "nobody is fit".to_owned();
    let answer = Answer { epoch: Epoch(7), verdict: Verdict::Unfit, reason };
    today.peers.send(peer.0, &frame(1, Message::Answer(answer)));
    assert_eq!(read(old).await, Taken::Skipped);
    let held = frame(2, Message::Held(Held { epoch: Epoch(7) }));
    today.peers.broadcast(&held);
    assert_eq!(read(old).await, Taken::Read(codec::kind::HELD));
    let state = today.say();
    today.peers.broadcast(&state);
    assert_eq!(read(old).await, Taken::Read(codec::kind::STATE));
    let counters = today.peers.counters();
    assert_eq!((counters.malformed, counters.foreign, counters.skipped), (0, 0, 0));
    assert_eq!(today.peers.linked(), [peer]);
}

#[tokio::test]
async fn a_hive_of_1_0_that_dials_is_a_peer() {
    let mut today = hive_of_today([127, 70, 15, 1]).await;
    let mut old = connect(today.id).await;
    old.write_all(&hello_of_1_0()).await.expect("written");
    assert_eq!(read(&mut old).await, Taken::Read(frozen::HELLO));
    talk(&mut today, &mut old).await;
}

#[tokio::test]
async fn a_hive_of_1_0_that_is_dialled_is_a_peer() {
    let mut today = hive_of_today([127, 70, 16, 1]).await;
    let listener = TcpListener::bind("127.70.16.2:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let addr = NodeId::new(addr.ip(), addr.port());
    today.peers.dial(vec![addr]);
    let (mut old, _) =
        timeout(PATIENCE, listener.accept()).await.expect("in time").expect("dialled");
    assert_eq!(read(&mut old).await, Taken::Read(frozen::HELLO));
    let mut hello = hello_of_1_0();
    // Who was dialled says 0 here.
    let dial = hello.len() - 8;
    hello[dial..].fill(0);
    old.write_all(&hello).await.expect("written");
    let (node, incarnation) = (frames::hello().node, frames::hello().incarnation);
    today.dialled(addr, Dialled::Hive { node, incarnation }).await;
    talk(&mut today, &mut old).await;
}
