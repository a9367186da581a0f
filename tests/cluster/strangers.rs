//! Others knock: hives of another name or protocol, noise, and crowds that say nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{HTTP_PORT, PEER_PORT, PROXY_PORT, READ_PORT};

use super::clients::{Writer, assert_kept_everywhere, missing};
use super::files;
use super::harness::{Agreed, Hive, SOON, holds_for, http_code, wait_until};

/// What happens to a hive of three while somebody misbehaves: nothing.
#[track_caller]
fn undisturbed(hive: &mut Hive, before: Agreed, misbehave: impl FnOnce(&mut Hive)) {
    let writers: Vec<Writer> = (1..=3)
        .map(|host| Writer::start(hive, &format!("by{host}"), &[hive.proxy(host)]))
        .collect();
    misbehave(hive);
    assert_eq!(hive.agreed(&[1, 2, 3]), Some(before));
    for host in 1..=3 {
        assert_eq!(http_code(hive.ip(host), "/livez"), 200, "node {host}");
    }
    let mut keys = Vec::new();
    for writer in writers {
        writer.wait_for(20);
        let written = writer.stop();
        assert_eq!(written.errors, 0, "{:?}", written.first_error);
        keys.extend(written.acked);
    }
    assert_eq!(missing(hive, hive.proxy(1), &keys), [""; 0]);
}

/// A hive of another name behind the same DNS: the two never mix, and each says so.
#[test]
fn a_hive_of_another_name() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    undisturbed(&mut hive, before, |hive| {
        hive.start_with(4, &["--name", "another"], &[]).expect("start");
        wait_until("the stranger says why it waits", SOON, || {
            let log = hive.hive_log(4);
            log.lines().any(|l| l.contains("WARN") && l.contains("--name")).then_some(())
        });
        wait_until("its Redis has started", SOON, || hive.info(4, "role"));
        holds_for("it follows and leads nobody", Duration::from_secs(3), || {
            let role = hive.status_text(4, "/role");
            role != "leader"
                && role != "follower"
                && hive.info(4, "role").as_deref() == Some("slave")
        });
    });
    assert_eq!(hive.info(before.master, "connected_slaves").as_deref(), Some("2"));
}

/// A peer that speaks a protocol of the future is told off, once, and costs nobody anything.
#[test]
fn a_peer_of_another_protocol_version() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    undisturbed(&mut hive, before, |hive| {
        let addr = SocketAddr::from((hive.ip(1), PEER_PORT));
        for _ in 0..20 {
            let mut peer = TcpStream::connect(addr).expect("connect");
            // Magic, major version 250, hello, 16 bytes of a body nobody here can know.
            let _ = peer.write_all(b"RH\xfa\x01\0\0\0\x100123456789abcdef");
            assert!(closes(&mut peer, Duration::from_secs(5)), "the link stays open");
        }
        wait_until("the version is named in the log", SOON, || {
            let log = hive.hive_log(1);
            log.lines().any(|l| l.contains("250")).then_some(())
        });
        let lines = hive.hive_log(1).lines().filter(|l| l.contains("250")).count();
        assert!(lines <= 20, "{lines} lines for 20 strangers");
    });
}

/// Ten megabytes of noise on every port of one node.
#[test]
fn ten_megabytes_of_random_bytes_on_every_port() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let keys = super::clients::fill(&hive, 1, "kept", 100, 2);
    undisturbed(&mut hive, before, |hive| {
        for port in [PROXY_PORT, READ_PORT, PEER_PORT, HTTP_PORT] {
            make_noise(SocketAddr::from((hive.ip(before.leader), port)));
        }
    });
    assert_kept_everywhere(&mut hive, 1, &keys);
}

/// Sends all of it, over as many connections as it takes, for at most half a minute.
fn make_noise(addr: SocketAddr) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = vec![0_u8; 64 * 1024];
    let mut left: usize = 10 << 20;
    let deadline = Instant::now() + Duration::from_secs(30);
    while left > 0 {
        assert!(Instant::now() < deadline, "{addr} takes no bytes: {left} are left");
        let Ok(mut stream) = TcpStream::connect_timeout(&addr, Duration::from_secs(2)) else {
            panic!("{addr} is gone")
        };
        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("timeout");
        while left > 0 {
            for byte in &mut noise {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *byte = seed.to_le_bytes()[0];
            }
            let len = left.min(noise.len());
            match stream.write(&noise[..len]) {
                Ok(sent) => left -= sent,
                Err(_) => break,
            }
        }
    }
}

/// A thousand connections that send nothing, on each port of one node.
#[test]
fn a_thousand_connections_that_send_nothing() {
    let Some(mut hive) = Hive::of(3) else { return };
    // Two ends of a thousand connections are more than the usual 1024.
    files::raise_open_files();
    let before = hive.settle();
    for port in [PROXY_PORT, READ_PORT, PEER_PORT, HTTP_PORT] {
        undisturbed(&mut hive, before, |hive| {
            let addr = SocketAddr::from((hive.ip(before.leader), port));
            let connect = |n| {
                TcpStream::connect_timeout(&addr, Duration::from_secs(2))
                    .unwrap_or_else(|e| panic!("connection {n} to {addr}: {e}"))
            };
            let crowd: Vec<TcpStream> = (0..1_000).map(connect).collect();
            holds_for("the others are served", Duration::from_secs(2), || {
                hive.agreed(&[1, 2, 3]) == Some(before)
            });
            drop(crowd);
        });
    }
}

fn closes(stream: &mut TcpStream, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut buffer = [0_u8; 4096];
    while Instant::now() < deadline {
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return true,
        }
    }
    false
}
