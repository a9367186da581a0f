//! What becomes of a blocked session, by the word of the servers.

use std::io::Write;
use std::path::Path;

use super::super::conversation::*;
use super::Client;
use crate::servers::{Server, eventually};

/// Blocking commands for a time, and what must be there.
const BLOCKING: &[&str] = &[
    "BLPOP k TIME",
    "BRPOP k l TIME",
    "BRPOPLPUSH k l TIME",
    "BLMOVE k l LEFT RIGHT TIME",
    "BZPOPMIN z TIME",
    "BZPOPMAX z y TIME",
    "XREAD BLOCK TIME STREAMS x 0-0",
    "XREADGROUP GROUP g c BLOCK TIME STREAMS group >",
    "BLMPOP TIME 1 k LEFT",
    "BZMPOP TIME 1 z MAX",
];

/// Those that this server knows, with this time in milliseconds.
fn blocking(binary: &Path, milliseconds: u32) -> Vec<String> {
    let old = binary.ends_with("redis-6.2");
    let known = BLOCKING.iter().filter(|line| !old || !line.contains("MPOP"));
    let seconds = f64::from(milliseconds) / 1000.0;
    known
        .map(|line| match line.contains("BLOCK") {
            true => line.replace("TIME", &milliseconds.to_string()),
            false => line.replace("TIME", &seconds.to_string()),
        })
        .collect()
}

fn with_group(binary: &Path) -> Server {
    let server = Server::master(binary);
    server.ask(&["XGROUP", "CREATE", "group", "g", "$", "MKSTREAM"]);
    server
}

pub fn the_null_reply_is_that_of_a_timeout(binary: &Path) {
    let server = with_group(binary);
    for version in ["2", "3"] {
        for line in blocking(binary, 10) {
            let mut client = Client::speaking(&server, version);
            client.it.to_client.clear();
            client.send(&request(&line));
            assert!(client.it.ledger.is_settled(), "{line}");
            client.receive(&line, |it| it.may_move()[0].is_ok());
            let real = client.got();

            client.it.held = true;
            client.send(&request(&line));
            client.it.now += 10;
            assert!(client.it.answer("-READONLY x\r\n").undone, "{line}");
            assert_eq!(client.it.again(), Some(real), "{line} in RESP{version}");
        }
    }
}

/// What a blocked session gets in a planned change, and how it goes on.
pub fn a_demoted_master_undoes_and_another_goes_on(binary: &Path) {
    let (old, new) = (with_group(binary), with_group(binary));
    for version in ["2", "3"] {
        for line in blocking(binary, 60_000) {
            old.ask(&["REPLICAOF", "NO", "ONE"]);
            let mut client = Client::speaking(&old, version);
            client.it.to_client.clear();
            client.send(&request(&line));
            eventually("it blocks", || {
                (old.info_of("clients", "blocked_clients") == "1").then_some(())
            });
            client.it.held = true;
            client.it.now += 1000;
            old.ask(&["REPLICAOF", "127.0.0.1", "1"]);
            assert!(client.receive(&line, |_| false), "{line}");
            assert_eq!(client.it.to_client, b"", "{line}");
            go_on(client, &new, &line, version);
        }
    }
}

pub fn a_replica_refuses_and_a_master_goes_on(binary: &Path) {
    let (old, new) = (with_group(binary), with_group(binary));
    old.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    for line in blocking(binary, 60_000).iter().filter(|line| !line.starts_with("XREAD ")) {
        let mut client = Client::new(&old);
        client.it.held = true;
        client.send(&request(line));
        client.it.now += 1000;
        assert!(client.receive(line, |_| false), "{line}");
        assert_eq!(client.it.to_client, b"", "{line}");
        go_on(client, &new, line, "2");
    }
}

/// Sends the request again, to a master which then has something for it.
fn go_on(mut client: Client, master: &Server, line: &str, version: &str) {
    client.it.down.clear();
    client.stream = Client::speaking(master, version).stream;
    client.it.ledger.moved();
    let again = client.it.again().expect("it is sent again");
    assert!(again.contains("59.000") || again.contains("59000"), "{line}: {again}");
    client.stream.write_all(&request(&again)).expect("it takes requests");
    assert!(client.it.ledger.is_settled());
    for give in ["RPUSH k v", "ZADD z 1 v", "XADD x * f v", "XADD group * f v"] {
        master.ask(&give.split(' ').collect::<Vec<_>>());
    }
    client.receive(line, |it| it.may_move() == [Ok(()); 2]);
    assert!(client.got().contains("v\r\n"), "{line}: {}", client.got());
    master.ask(&["DEL", "k", "l", "z", "x"]);
    master.ask(&["XGROUP", "SETID", "group", "g", "$"]);
}
