//! What is no hive, or no good one: it loses its connection, and nobody else notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_hive::election::{Dialled, Incarnation, Input, NodeId};
use redis_hive::peer::PeerSettings;
use redis_hive::peer::codec::{self, HEADER_LEN, MINOR};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::frames::{self, Random};
use crate::net::{Hive, closed, connect, free, greeted, hello, read_hello, settings, talk, until};

/// A frame as the hive of `hello` would send it.
fn frame_of(hello: &codec::Hello, number: u64) -> Vec<u8> {
    codec::encode(&frames::state(hello.node, hello.incarnation, number)).to_vec()
}

#[tokio::test]
async fn ten_megabytes_of_random_bytes_do_no_harm() {
    let mut a = Hive::start(free([127, 71, 1, 1]), 1).await;
    let mut b = Hive::start(free([127, 71, 1, 2]), 2).await;
    a.peers.dial(vec![b.id]);
    talk(&mut a, &mut b).await;
    let mut random = Random(1);
    let noise: Vec<u8> = (0..10 << 20 >> 3).flat_map(|_| random.u64().to_be_bytes()).collect();
    // At once, and behind a good hello.
    let mut early = connect(a.id).await;
    let mut late = greeted(a.id, &hello(1, 9)).await;
    for stream in [&mut early, &mut late] {
        // Written until the other side has had enough.
        let _ = stream.write_all(&noise).await;
        closed(stream).await;
    }
    until("count", || a.peers.counters().malformed == 2).await;
    talk(&mut a, &mut b).await;
    assert_eq!(a.peers.linked().len(), 1);
}

#[tokio::test]
async fn a_hive_of_another_name_is_foreign() {
    let mut a = Hive::start(free([127, 71, 2, 1]), 1).await;
    let id = free([127, 71, 2, 2]);
    let other = PeerSettings { name: "other".into(), ..settings(id, 2) };
    let mut b = Hive::with(other).await;
    a.peers.dial(vec![id]);
    assert_eq!(a.outcome(id).await, Dialled::Foreign);
    until("count", || b.peers.counters().foreign > 0).await;
    assert!(a.peers.linked().is_empty() && b.peers.linked().is_empty());
    assert!(b.reported().is_empty(), "nothing of another hive reaches the core");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whoever reads the log is told once which address it is and what is wrong with it.
#[tokio::test]
async fn a_foreign_hive_is_complained_about_in_one_line() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = subscriber.finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut a = Hive::start(free([127, 71, 10, 1]), 1).await;
    let id = free([127, 71, 10, 2]);
    let _b = Hive::with(PeerSettings { name: "other\n".into(), ..settings(id, 2) }).await;
    a.peers.dial(vec![id]);
    for _ in 0..4 {
        assert_eq!(a.outcome(id).await, Dialled::Foreign);
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let what = r#"belongs to the hive \"other\\n\", this is \"test\" (--name), closed"#;
    let about = format!("trouble with a peer peer={id} what=\"{what}\" untold=0");
    assert_eq!(log.matches(&about).count(), 1, "{log}");
    // Its own line about the dialler, and no more.
    assert_eq!(log.lines().count(), 2, "{log}");
}

#[tokio::test]
async fn a_hive_of_another_major_version_is_foreign() {
    let mut a = Hive::start(free([127, 71, 3, 1]), 1).await;
    let mut future = codec::encode_hello(&hello(3, 3)).to_vec();
    future[2] = codec::MAJOR + 1;

    let mut stream = connect(a.id).await;
    stream.write_all(&future).await.unwrap();
    assert!(!closed(&mut stream).await.is_empty(), "it is told which version this is");
    until("count", || a.peers.counters().foreign == 1).await;

    let listener = TcpListener::bind("127.71.3.2:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let addr = NodeId::new(addr.ip(), addr.port());
    a.peers.dial(vec![addr]);
    let (mut stream, _) = listener.accept().await.unwrap();
    read_hello(&mut stream).await;
    stream.write_all(&future).await.unwrap();
    assert_eq!(a.outcome(addr).await, Dialled::Foreign);
}

#[tokio::test]
async fn what_closes_without_a_hello_is_foreign() {
    let mut a = Hive::start(free([127, 71, 4, 1]), 1).await;
    let listener = TcpListener::bind("127.71.4.2:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let addr = NodeId::new(addr.ip(), addr.port());
    a.peers.dial(vec![addr]);
    let closing = async {
        loop {
            drop(listener.accept().await);
        }
    };
    tokio::select! {
        outcome = a.outcome(addr) => assert_eq!(outcome, Dialled::Foreign),
        () = closing => {}
    }
}

#[tokio::test]
async fn a_newer_minor_may_say_more() {
    let mut a = Hive::start(free([127, 71, 5, 1]), 1).await;
    let newer = codec::Hello { minor: MINOR + 1, abilities: u32::MAX, ..hello(5, 5) };
    let mut stream = connect(a.id).await;
    stream.write_all(&longer(&codec::encode_hello(&newer))).await.unwrap();
    read_hello(&mut stream).await;

    let mut unknown = frame_of(&newer, 1);
    unknown[3] = 0x7f;
    let mut said = longer(&frame_of(&newer, 2));
    said.extend(unknown);
    said.extend(frame_of(&newer, 3));
    // Byte by byte: frames do not come in one piece.
    for byte in said {
        stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(a.frame().await.number, 2);
    assert_eq!(a.frame().await.number, 3);
    assert_eq!(a.peers.counters().skipped, 1);
}

/// The same frame with bytes behind its body that this version does not know.
fn longer(frame: &[u8]) -> Vec<u8> {
    let mut longer = frame.to_vec();
    longer.extend([0xaa; 5]);
    let len = (longer.len() - HEADER_LEN) as u32;
    longer[4..HEADER_LEN].copy_from_slice(&len.to_be_bytes());
    longer
}

#[tokio::test]
async fn broken_rules_close_the_link_and_are_counted() {
    let mut a = Hive::start(free([127, 71, 6, 1]), 1).await;
    let me = hello(6, 6);
    let mut unknown = frame_of(&me, 2);
    unknown[3] = 0x7f;
    let mut endless = frame_of(&me, 2);
    endless[4..HEADER_LEN].copy_from_slice(&u32::MAX.to_be_bytes());
    let impostor = frame_of(&codec::Hello { incarnation: Incarnation(7), ..me.clone() }, 2);
    let cases = [
        longer(&frame_of(&me, 2)),
        unknown,
        endless[..HEADER_LEN].to_vec(),
        impostor,
        codec::encode_hello(&me).to_vec(),
    ];
    for (count, case) in (1..).zip(cases) {
        let mut stream = greeted(a.id, &me).await;
        stream.write_all(&frame_of(&me, 1)).await.unwrap();
        stream.write_all(&case).await.unwrap();
        closed(&mut stream).await;
        assert_eq!(a.frame().await.number, 1, "what was right before is passed on");
        until("count", || a.peers.counters().malformed == count).await;
    }
}

/// A thousand connections that say nothing: a hive that comes later has its link at once, and
/// those are closed.
#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_out() {
    let mut a = Hive::start(free([127, 71, 7, 1]), 1).await;
    let mut b = Hive::start(free([127, 71, 7, 2]), 2).await;
    b.peers.dial(vec![a.id]);
    talk(&mut a, &mut b).await;
    let mut crowd = Vec::new();
    for _ in 0..1000 {
        crowd.push(connect(a.id).await);
    }
    let mut late = Hive::start(free([127, 71, 7, 3]), 3).await;
    let start = Instant::now();
    late.peers.dial(vec![a.id]);
    late.dialled(a.id, a.found()).await;
    let took = start.elapsed();
    assert!(took < Duration::from_millis(500), "a link took {took:?} beside the crowd");
    talk(&mut a, &mut b).await;
    b.reported();
    talk(&mut late, &mut a).await;
    for stream in &mut crowd {
        closed(stream).await;
    }
    let counts = a.peers.counters();
    assert_eq!(counts.turned_away + counts.mute, 1000);
    assert_eq!(counts.links, 2);
}

#[tokio::test]
async fn there_are_no_more_links_than_allowed() {
    let a = Hive::start(free([127, 71, 8, 1]), 1).await;
    let mut streams = Vec::new();
    for incarnation in 0..256 {
        streams.push(greeted(a.id, &hello(8, 1000 + incarnation)).await);
    }
    until("all links", || a.peers.linked().len() == 256).await;
    let mut one_more = greeted(a.id, &hello(8, 500)).await;
    closed(&mut one_more).await;
    assert_eq!(a.peers.counters().turned_away, 1);
    drop(streams.pop());
    until("room", || a.peers.linked().len() == 255).await;
    let _again = greeted(a.id, &hello(8, 501)).await;
    until("its link", || a.peers.linked().len() == 256).await;
}

/// It says hello and closes, for ever: it is asked again, and not as fast as it can answer.
#[tokio::test]
async fn a_hive_that_drops_its_links_is_not_hammered() {
    let mut a = Hive::start(free([127, 71, 9, 1]), 1).await;
    let listener = TcpListener::bind("127.71.9.2:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let me = NodeId::new(addr.ip(), addr.port());
    let answer = codec::encode_hello(&codec::Hello { node: me, dial: 0, ..hello(9, 9) });
    a.peers.dial(vec![me]);
    let dropping = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_hello(&mut stream).await;
            stream.write_all(&answer).await.unwrap();
        }
    };
    let losses = async {
        for _ in 0..6 {
            let lost =
                a.next("loss", |input| matches!(input, Input::LinkDown { .. }).then_some(()));
            lost.await;
        }
    };
    let start = Instant::now();
    tokio::select! {
        () = dropping => {}
        () = losses => {}
    }
    // 20 + 40 + 80 + 160 + 200 ms
    assert!(start.elapsed() >= Duration::from_millis(400), "six links in {:?}", start.elapsed());
}
