//! Links between hives that behave, and die.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use redis_hive::election::frame::{Held, Message};
use redis_hive::election::{Dialled, Epoch, Frame, Input, NodeId};
use redis_hive::peer::{PeerError, start};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::net::{Hive, closed, connect, free, greeted, hello, settings, talk, until};

#[tokio::test]
async fn one_way_dialability_gives_a_link_in_both_directions() {
    let mut a = Hive::start(free([127, 70, 1, 1]), 1).await;
    let mut b = Hive::start(free([127, 70, 1, 2]), 2).await;
    a.peers.dial(vec![b.id]);
    a.dialled(b.id, b.found()).await;
    talk(&mut a, &mut b).await;
    assert_eq!(a.peers.counters().dialled, 1);
    assert_eq!(b.peers.counters().dialled, 0);
}

#[tokio::test]
async fn a_link_survives_the_restart_of_either_side() {
    let mut a = Hive::start(free([127, 70, 2, 1]), 1).await;
    let mut b = Hive::start(free([127, 70, 2, 2]), 2).await;
    a.peers.dial(vec![b.id]);
    talk(&mut a, &mut b).await;
    for run in 3..8 {
        b.peers.shutdown().await;
        a.link_down(&b).await;
        a.dialled(b.id, Dialled::Refused).await;
        b = Hive::start(b.id, run).await;
        a.dialled(b.id, b.found()).await;
        talk(&mut a, &mut b).await;
    }
    for run in 8..12 {
        a.peers.shutdown().await;
        b.link_down(&a).await;
        // B was never told to dial A: it looks once, to tell a death from a broken link.
        assert_eq!(b.outcome(a.id).await, Dialled::Refused);
        a = Hive::start(a.id, run).await;
        a.peers.dial(vec![b.id]);
        talk(&mut a, &mut b).await;
    }
}

#[tokio::test]
async fn a_death_is_seen_at_once() {
    let mut a = Hive::start(free([127, 70, 3, 1]), 1).await;
    let mut quickest = Duration::MAX;
    for run in 0..5 {
        let mut b = Hive::start(free([127, 70, 3, 2]), 2 + run).await;
        a.peers.dial(vec![b.id]);
        talk(&mut a, &mut b).await;
        // Steady enough for its address to be dialled without a pause when it ends.
        tokio::time::sleep(Duration::from_millis(120)).await;
        let start = Instant::now();
        let Hive { id, peers, .. } = b;
        drop(peers);
        a.dialled(id, Dialled::Refused).await;
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest < Duration::from_millis(15), "the quickest of five took {quickest:?}");
}

/// Both dial each other in the same instant: one connection stays, and nobody sees a loss.
#[tokio::test]
async fn of_two_connections_one_stays_and_nothing_is_lost_or_doubled() {
    for round in 0..10 {
        let mut a = Hive::start(free([127, 70, 4, 1]), 100 + round).await;
        let mut b = Hive::start(free([127, 70, 4, 2]), 200 + round).await;
        if round % 2 == 0 {
            a.peers.dial(vec![b.id]);
            b.peers.dial(vec![a.id]);
        } else {
            // The higher one is first, so that its link is replaced in use.
            b.peers.dial(vec![a.id]);
            a.linked_to(&b).await;
            a.peers.dial(vec![b.id]);
            b.peers.dial(vec![a.id]);
        }
        a.linked_to(&b).await;
        b.linked_to(&a).await;
        for number in 1..=30 {
            for hive in [&a, &b] {
                let (node, incarnation) = (hive.id, hive.incarnation);
                let message = Message::Held(Held { epoch: Epoch(number) });
                hive.peers.broadcast(&Frame { node, incarnation, number, message });
            }
            tokio::task::yield_now().await;
        }
        for hive in [&mut a, &mut b] {
            let mut numbers = Vec::new();
            while numbers.len() < 30 {
                let input = hive.next("input", |input| Some(input.clone())).await;
                assert!(!matches!(input, Input::LinkDown { .. }), "round {round}: a link was lost");
                if let Input::Frame(frame) = input {
                    numbers.push(frame.number);
                }
            }
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(1..=30), "round {round}");
            assert_eq!(hive.peers.linked().len(), 1);
        }
        outlive_the_second_connection(&mut a, &mut b).await;
    }
}

/// Heartbeats for longer than a retired connection lasts: if the two had kept different ones, both
/// would end by then.
async fn outlive_the_second_connection(a: &mut Hive, b: &mut Hive) {
    let end = Instant::now() + Duration::from_millis(250);
    while Instant::now() < end {
        heartbeat(a, b).await;
        heartbeat(b, a).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn heartbeat(from: &Hive, to: &mut Hive) {
    let frame = crate::frames::state(from.id, from.incarnation, 1000);
    from.peers.broadcast(&frame);
    to.next("heartbeat", |input| match input {
        Input::Frame(heard) => (heard.number == 1000).then_some(()),
        Input::LinkDown { .. } => panic!("the link was lost"),
        _ => None,
    })
    .await;
}

/// A hive that is listed under two addresses is one hive with one link.
#[tokio::test]
async fn a_hive_under_two_addresses_is_one_hive() {
    let mut a = Hive::start(free([127, 70, 5, 1]), 1).await;
    let id = free([127, 70, 5, 2]);
    let bind = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut b = Hive::with(redis_hive::peer::PeerSettings { bind, ..settings(id, 2) }).await;
    let alias = NodeId::new([127, 70, 5, 3].into(), id.port);
    a.peers.dial(vec![alias, id]);
    let mut found = [false; 2];
    while found != [true; 2] {
        let input = a.next("input", |input| Some(input.clone())).await;
        assert!(!matches!(input, Input::LinkDown { .. }));
        for (found, at) in found.iter_mut().zip([alias, id]) {
            *found |= input == Input::Dialled { addr: at, outcome: b.found() };
        }
    }
    talk(&mut a, &mut b).await;
    let dials = a.peers.counters().dialled;
    talk(&mut a, &mut b).await;
    assert_eq!(a.peers.linked().len(), 1);
    assert_eq!(a.peers.counters().dialled, dials, "a linked hive is dialled again");
}

#[tokio::test]
async fn a_hive_knows_itself() {
    let mut a = Hive::start(free([127, 70, 6, 1]), 1).await;
    let dead = free([127, 70, 6, 2]);
    a.peers.dial(vec![a.id, dead]);
    assert_eq!(a.outcome(a.id).await, Dialled::Myself);
    for _ in 0..5 {
        assert_eq!(a.outcome(dead).await, Dialled::Refused);
    }
    assert!(a.peers.linked().is_empty());
    let again = |input: &Input| matches!(input, Input::Dialled { addr, .. } if *addr == a.id);
    let reported: Vec<Input> = std::iter::from_fn(|| a.inputs.try_recv().ok()).collect();
    assert!(!reported.iter().any(again), "it dials itself again");
}

#[tokio::test]
async fn a_dead_address_is_reported_again_and_again_until_it_is_unwanted() {
    let mut a = Hive::start(free([127, 70, 7, 1]), 1).await;
    let (one, two) = (free([127, 70, 7, 2]), free([127, 70, 7, 3]));
    a.peers.dial(vec![one]);
    let start = Instant::now();
    for _ in 0..6 {
        assert_eq!(a.outcome(one).await, Dialled::Refused);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "six attempts took {:?}", start.elapsed());
    a.peers.dial(vec![two]);
    a.reported();
    for _ in 0..5 {
        let addr = a
            .next("outcome", |input| match input {
                Input::Dialled { addr, .. } => Some(*addr),
                _ => None,
            })
            .await;
        assert_eq!(addr, two, "an unwanted address is dialled");
    }
}

#[tokio::test]
async fn what_accepts_and_says_nothing_is_somebody() {
    let mut a = Hive::start(free([127, 70, 8, 1]), 1).await;
    let mute = TcpListener::bind("127.70.8.2:0").await.unwrap();
    let addr = mute.local_addr().unwrap();
    let addr = NodeId::new(addr.ip(), addr.port());
    a.peers.dial(vec![addr]);
    let start = Instant::now();
    assert_eq!(a.outcome(addr).await, Dialled::Foreign);
    assert!(start.elapsed() < Duration::from_millis(1500), "after {:?}", start.elapsed());
}

/// It takes its link and never reads: the others get every frame, and its link ends.
#[tokio::test]
async fn a_peer_that_does_not_read_costs_nobody_else_anything() {
    let mut a = Hive::start(free([127, 70, 9, 1]), 1).await;
    let mut b = Hive::start(free([127, 70, 9, 2]), 2).await;
    a.peers.dial(vec![b.id]);
    talk(&mut a, &mut b).await;
    let deaf = greeted(a.id, &hello(9, 9)).await;
    until("second link", || a.peers.linked().len() == 2).await;

    let large = crate::frames::largest();
    let (node, incarnation) = (a.id, a.incarnation);
    let start = Instant::now();
    let mut number = 0;
    // Its queue overflows; on a slow machine the kernel gives up on it first.
    while a.peers.linked().len() == 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "the deaf peer is never given up");
        number += 1;
        let message = Message::Held(Held { epoch: Epoch(number) });
        a.peers.broadcast(&Frame { node, incarnation, number, message });
        let message = large.message.clone();
        a.peers.send(hello(9, 9).node, &Frame { node, incarnation, number, message });
        assert_eq!(b.frame().await.number, number, "the good peer missed a frame");
        // Or its link would be idle.
        let heartbeat = b.say();
        b.peers.broadcast(&heartbeat);
        a.hears(&heartbeat).await;
    }
    talk(&mut a, &mut b).await;
    drop(deaf);
}

/// The core stands still: its links wait, and everything arrives when it goes on.
#[tokio::test]
async fn a_core_that_does_not_read_holds_its_links_back() {
    let id = free([127, 70, 10, 1]);
    let (sender, mut inputs) = mpsc::channel(1);
    let peers = start(settings(id, 1), sender).await.unwrap();
    let mut b = Hive::start(free([127, 70, 10, 2]), 2).await;
    b.peers.dial(vec![id]);
    until("link", || b.peers.linked().len() == 1).await;
    for _ in 0..50 {
        let frame = b.say();
        b.peers.broadcast(&frame);
        tokio::task::yield_now().await;
    }
    // The handle still answers.
    peers.dial(vec![b.id]);
    assert_eq!(peers.linked().len(), 1);
    let last = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match inputs.recv().await {
                Some(Input::Frame(frame)) if frame.number == 50 => return frame,
                Some(_) => {}
                None => panic!("the links ended"),
            }
        }
    });
    assert_eq!(last.await.expect("the newest state").number, 50);
}

#[tokio::test]
async fn what_was_said_before_a_shutdown_arrives() {
    for round in 0..10 {
        let mut a = Hive::start(free([127, 70, 11, 1]), 100 + round).await;
        let mut b = Hive::start(free([127, 70, 11, 2]), 200 + round).await;
        a.peers.dial(vec![b.id]);
        talk(&mut a, &mut b).await;
        let last = a.say();
        a.peers.broadcast(&last);
        let start = Instant::now();
        a.peers.shutdown().await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(b.frame().await, last);
        b.link_down(&a).await;
    }
}

#[tokio::test]
async fn an_idle_link_is_closed() {
    let peer_timeout = Duration::from_millis(50);
    let id = free([127, 70, 12, 1]);
    let a = Hive::with(redis_hive::peer::PeerSettings { peer_timeout, ..settings(id, 1) }).await;
    let mut quiet = greeted(id, &hello(12, 12)).await;
    let start = Instant::now();
    closed(&mut quiet).await;
    assert!(start.elapsed() >= Duration::from_millis(400), "closed after {:?}", start.elapsed());
    until("count", || a.peers.counters().idle == 1).await;
}

#[tokio::test]
async fn a_dual_stack_port_takes_both_families() {
    let id = free([127, 70, 13, 1]);
    let bind = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut b = Hive::with(redis_hive::peer::PeerSettings { bind, ..settings(id, 2) }).await;
    let mut a = Hive::start(free([127, 70, 13, 2]), 1).await;
    a.peers.dial(vec![id]);
    a.dialled(id, b.found()).await;
    talk(&mut a, &mut b).await;
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        drop(connect(NodeId::new(Ipv6Addr::LOCALHOST.into(), id.port)).await);
    }
}

#[tokio::test]
async fn a_taken_port_and_a_long_name_are_told_with_their_flags() {
    let a = Hive::start(free([127, 70, 14, 1]), 1).await;
    let error = |settings| async {
        start(settings, mpsc::channel(1).0).await.map(drop).expect_err("an error")
    };
    let taken = error(settings(a.id, 2)).await;
    assert!(matches!(taken, PeerError::Taken { .. }), "{taken:?}");
    let text = taken.to_string();
    assert!(text.contains(&a.id.to_string()) && text.contains("--peer-port"), "{text}");

    let name = "n".repeat(256);
    let long = error(redis_hive::peer::PeerSettings { name, ..settings(a.id, 2) }).await;
    assert!(long.to_string().contains("--name"), "{long}");
}
