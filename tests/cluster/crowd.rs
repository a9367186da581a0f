//! More clients than the master takes: the hives leave room for themselves and for people.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::harness::{Hive, SOON, wait_until};

/// What every Redis here takes.
const MAX: usize = 400;
/// What the proxies take of it: 64 are left.
const ROOM: usize = MAX - 64;
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Connects and asks; `None` if there were too many.
fn client(addr: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(addr).expect("a proxy takes it, if only to refuse it");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    // Refused at once, it may be reset while it writes.
    let _ = stream.write_all(b"PING\r\n");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("an answer");
    if &answer == b"+PONG\r\n" {
        return Some(stream);
    }
    assert_eq!(answer, TOO_MANY[..7]);
    None
}

/// Opens clients, in turn through these endpoints, until there is no more room for a while.
fn fill(endpoints: &[SocketAddr]) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    let mut refused = 0;
    for addr in endpoints.iter().cycle() {
        match client(*addr) {
            Some(stream) => {
                refused = 0;
                clients.push(stream);
            }
            None => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if refused > 20 * endpoints.len() {
            break;
        }
    }
    clients
}

fn small() -> Option<Hive> {
    Hive::with(3, |options| {
        options.redis_args = ["--maxclients".to_owned(), MAX.to_string()].into();
    })
}

/// Through all hives or through one: all the room is found, and no more than that.
#[test]
fn the_last_connections_of_the_master_are_not_for_clients() {
    let Some(mut hive) = small() else { return };
    let agreed = hive.settle();
    let all: Vec<SocketAddr> = (1..=3).map(|host| hive.proxy(host)).collect();
    let follower = hive.follower(agreed);
    for endpoints in [all, vec![hive.proxy(follower)]] {
        let clients = fill(&endpoints);
        let connected = hive.counter(agreed.master, "connected_clients") as usize;
        assert!(connected <= ROOM + 1, "{connected} connections beside those who look");
        assert!(clients.len() + 15 >= ROOM, "only {} clients found room", clients.len());
        assert_eq!(hive.agreed(&[1, 2, 3]), Some(agreed), "nobody is disturbed by it");
        drop(clients);
        wait_until("they have gone", SOON, || {
            (hive.counter(agreed.master, "connected_clients") < 30).then_some(())
        });
    }
}

/// The read endpoint leaves as many to the local Redis; beside a master both endpoints share.
#[test]
fn reads_leave_room_too() {
    let Some(mut hive) = small() else { return };
    let agreed = hive.settle();
    for host in [hive.follower(agreed), agreed.master] {
        let endpoints = [hive.reads(host), hive.proxy(host)];
        let endpoints = if host == agreed.master { &endpoints } else { &endpoints[..1] };
        let clients = fill(endpoints);
        let connected = hive.counter(host, "connected_clients") as usize;
        assert!(connected <= ROOM + 1, "{connected} connections at {host}");
        assert!(clients.len() + 15 >= ROOM, "only {} clients found room", clients.len());
    }
    assert_eq!(hive.settle(), agreed);
}
