//! One round of one fault: from a healthy hive, through the outage, back to a healthy hive.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis_hive::cli::dev::nodes::Part;

use crate::client::{Client, Seen};
use crate::clients::missing;
use crate::faults::Fault;
use crate::harness::{Agreed, Hive, SOON, wait_until};

/// Writes that a client has done before the fault, and after it.
const SOME: u64 = 100;
/// All nodes of the hive.
pub const HOSTS: [u8; 3] = [1, 2, 3];

/// What one round gave.
pub struct Round {
    /// Of the client of another node's proxy.
    pub others: Duration,
    /// Of the client of the node's own proxy, which then goes to another one.
    pub own: Option<Duration>,
    /// Errors that the client of another node's proxy saw.
    pub errors: usize,
    /// Acknowledged writes that the hive does not have afterwards.
    pub lost: usize,
    /// What there is to read about it.
    pub story: Story,
}

/// What a reader needs to find out where the time went.
pub struct Story {
    head: String,
    logs: Vec<(PathBuf, usize)>,
}

/// Runs one round. The hive is healthy before and afterwards.
///
/// `number` decides which of the two other nodes the client uses: the one that wins the election,
/// or the other one.
pub fn round(hive: &mut Hive, fault: &Fault, number: usize) -> Round {
    let before = fresh(hive);
    let logs = lengths(hive);
    let host = before.leader;
    let mut others: Vec<u8> = HOSTS.into_iter().filter(|other| *other != host).collect();
    others.rotate_left(number % 2);
    let through: Vec<_> = others.iter().map(|other| hive.proxy(*other)).collect();
    let mut clients = vec![Client::start("others", through[..1].to_vec())];
    if fault.own.is_some() {
        clients.push(Client::start("own", vec![hive.proxy(host), through[1]]));
    }
    write_some(&clients);

    let (at, wall) = (Instant::now(), SystemTime::now());
    fault.strike(hive, host);
    let struck = at.elapsed();
    write_some(&clients);
    let after = wait_until("the others agree on another leader", SOON, || {
        hive.agreed(&others).filter(|now| now.epoch > before.epoch && now.leader != host)
    });
    assert_eq!(after.master == before.master, !fault.moves_the_master(), "{}", fault.what);
    if fault.ends_later() {
        wait_until("the stopping hive has ended", SOON, || {
            let node = hive.node(host).expect("the node exists");
            (!node.alive(Part::Hive)).then_some(())
        });
    }
    write_some(&clients);

    let seen: Vec<Seen> = clients.iter_mut().map(Client::stop).collect();
    let keys: Vec<String> = clients
        .iter()
        .zip(&seen)
        .flat_map(|(client, seen)| seen.acked.iter().map(|(_, number)| client.key(*number)))
        .collect();
    let lost = missing(hive, through[0], &keys).len();
    let mut head = format!("{}: node {host} led, struck in {struck:?}\n", fault.what);
    let _ = writeln!(head, "fault at {}", clock(wall));
    for (name, seen) in ["others", "own"].iter().zip(&seen) {
        tell(&mut head, name, seen, at, wall);
    }
    let mut outages = seen.iter().map(|seen| seen.outage(at).1);
    let round = Round {
        others: outages.next().unwrap_or_default(),
        own: outages.next(),
        errors: seen.first().map_or(0, |seen| seen.errors.len()),
        lost,
        story: Story::new(head, logs),
    };
    hive.kill(host, fault.part).expect("kill what is frozen or stopping");
    hive.revive(host, Part::Both).expect("revive");
    healthy(hive);
    round
}

/// A healthy hive without keys.
pub fn fresh(hive: &mut Hive) -> Agreed {
    let now = healthy(hive);
    empty(hive, now);
    now
}

/// Waits until all agree, all copies are current, and the leader is beside its master.
pub fn healthy(hive: &mut Hive) -> Agreed {
    wait_until("a leader beside its master", SOON, || {
        let now = hive.settle();
        (now.leader == now.master).then_some(now)
    })
}

/// The keys of earlier rounds would only make copies slow.
fn empty(hive: &Hive, now: Agreed) {
    let mut connection = hive.connect(hive.redis(now.master)).expect("connect to the master");
    redis::cmd("FLUSHALL").exec(&mut connection).expect("FLUSHALL");
    wait_until("both replicas are empty", SOON, || {
        let have = redis::cmd("WAIT").arg(2).arg(500).query::<usize>(&mut connection).ok()?;
        (have == 2).then_some(())
    });
}

/// Waits until every client has done some more writes.
pub fn write_some(clients: &[Client]) {
    let goals: Vec<u64> = clients.iter().map(|client| client.acked() + SOME).collect();
    wait_until("every client writes", SOON, || {
        clients.iter().zip(&goals).all(|(client, goal)| client.acked() >= *goal).then_some(())
    });
}

fn tell(head: &mut String, name: &str, seen: &Seen, at: Instant, wall: SystemTime) {
    let since = |then: Instant| {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        if then >= at { ms(then - at) } else { -ms(at - then) }
    };
    let (start, length) = seen.outage(at);
    let end = wall + (start + length).saturating_duration_since(at);
    let _ = writeln!(
        head,
        "{name}: no write for {length:?}, from {:.1} ms to {:.1} ms after the fault, until {}",
        since(start),
        since(start + length),
        clock(end)
    );
    for (then, error) in seen.errors.iter().take(20) {
        let _ = writeln!(head, "  {:9.1} ms: {error}", since(*then));
    }
}

/// The time of day (UTC) as in the logs.
pub fn clock(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs() % 86_400, since.subsec_micros());
    format!("{:02}:{:02}:{:02}.{micros:06}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// How long every log is now.
pub fn lengths(hive: &Hive) -> Vec<(PathBuf, usize)> {
    let logs = hive.nodes().iter().flat_map(|node| [node.hive_log(), node.redis_log()]);
    logs.map(|log| (log.clone(), std::fs::read(&log).map_or(0, |text| text.len()))).collect()
}

impl Story {
    /// What a round has to say itself, and the logs with their lengths when it began.
    pub fn new(head: String, logs: Vec<(PathBuf, usize)>) -> Story {
        Story { head, logs }
    }

    /// The head and what every log got since the round began.
    pub fn tell(&self) -> String {
        let mut text = self.head.clone();
        for (log, from) in &self.logs {
            let all = std::fs::read(log).unwrap_or_default();
            let new = String::from_utf8_lossy(all.get(*from..).unwrap_or_default());
            let _ = write!(text, "\n---- {}\n{new}", log.display());
        }
        text
    }
}
