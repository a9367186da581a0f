//! Clients of Redis Sentinel are told the master of a real hive, and follow it.

use std::net::SocketAddr;
use std::time::Duration;

use redis_hive::cli::dev::nodes::{PROXY_PORT, Part, READ_PORT, REDIS_PORT};

use super::asks::cli;
use super::harness::{Hive, SOON, wait_until};

const PORT: u16 = 26379;

fn hive(announce: &str) -> Option<Hive> {
    Hive::with(3, |options| {
        let flags = ["--sentinel-port", "26379", "--sentinel-announce", announce];
        options.hive_args = flags.map(String::from).into();
    })
}

fn ask<T: redis::FromRedisValue>(hive: &Hive, host: u8, words: &[&str]) -> redis::RedisResult<T> {
    let client = redis::Client::open((hive.ip(host).to_string(), PORT))?;
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut command = redis::cmd("SENTINEL");
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command.query(&mut connection)
}

/// What each of these hives names as the master.
fn named(hive: &Hive, hosts: &[u8]) -> Vec<Option<SocketAddr>> {
    let name = |host: &u8| {
        let words = ["GET-MASTER-ADDR-BY-NAME", "mymaster"];
        let (ip, port): (String, u16) = ask(hive, *host, &words).ok()?;
        Some(SocketAddr::new(ip.parse().ok()?, port))
    };
    hosts.iter().map(name).collect()
}

/// The addresses of one field's list, those that are down left out.
fn listed(hive: &Hive, host: u8, asked: &str) -> Vec<SocketAddr> {
    type Fields = std::collections::BTreeMap<String, String>;
    let found: Vec<Fields> = ask(hive, host, &[asked, "mymaster"]).unwrap_or_default();
    let up = found.iter().filter(|fields| !fields["flags"].contains("s_down"));
    let addr = |fields: &Fields| {
        let (ip, port) = (fields["ip"].parse().expect("an ip"), fields["port"].parse());
        SocketAddr::new(ip, port.expect("a port"))
    };
    let mut found: Vec<_> = up.map(addr).collect();
    found.sort();
    found
}

#[track_caller]
fn follows(announce: &str, master_port: u16, replica_port: u16) {
    let Some(mut hive) = hive(announce) else { return };
    let first = hive.settle();
    let at = |hive: &Hive, host, port| SocketAddr::from((hive.ip(host), port));
    let all = [1, 2, 3];
    let expected = vec![Some(at(&hive, first.master, master_port)); 3];
    wait_until("all name the master", SOON, || (named(&hive, &all) == expected).then_some(()));
    for host in all {
        let others = |but: u8| all.into_iter().filter(move |other| *other != but);
        let replicas: Vec<_> =
            others(first.master).map(|other| at(&hive, other, replica_port)).collect();
        wait_until("both replicas are listed", SOON, || {
            (listed(&hive, host, "REPLICAS") == replicas).then_some(())
        });
        let hives: Vec<_> = others(host).map(|other| at(&hive, other, PORT)).collect();
        assert_eq!(listed(&hive, host, "SENTINELS"), hives);
    }
    let said = cli(&hive, first.leader, &["switchover"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let second = hive.settle();
    assert_ne!(second.master, first.master);
    hear_of_the_next(&mut hive, second.master, |hive, host| at(hive, host, master_port));
}

/// The master's node is killed: who has subscribed hears of the next one, and both others name it.
#[track_caller]
fn hear_of_the_next(hive: &mut Hive, master: u8, at: impl Fn(&Hive, u8) -> SocketAddr) {
    let hosts: Vec<u8> = (1..=3).filter(|host| *host != master).collect();
    let client = redis::Client::open((hive.ip(hosts[0]).to_string(), PORT)).expect("an address");
    let mut connection = client.get_connection().expect("it listens");
    connection.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut messages = connection.as_pubsub();
    messages.subscribe("+switch-master").expect("a subscription");
    hive.kill(master, Part::Both).expect("kill");
    let told: String = messages.get_message().expect("a message").get_payload().expect("its text");
    let next = hive.settle().master;
    let (old, new) = (at(hive, master), at(hive, next));
    let place = |addr: SocketAddr| format!("{} {}", addr.ip(), addr.port());
    assert_eq!(told, format!("mymaster {} {}", place(old), place(new)));
    wait_until("both name it", SOON, || (named(hive, &hosts) == vec![Some(new); 2]).then_some(()));
}

#[test]
fn servers_are_announced() {
    follows("master", REDIS_PORT, REDIS_PORT);
}

#[test]
fn endpoints_are_announced() {
    follows("proxy", PROXY_PORT, READ_PORT);
}
