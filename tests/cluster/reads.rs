//! The read endpoint: from the local Redis while its copy is current, else from the master; away at
//! once, back by and by, and no connection is cut for a change of master.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};
use redis_hive::cli::dev::nodes::Part;

use super::asks::post;
use super::clients::{fill, put};
use super::harness::{Hive, SOON, holds_for, wait_until};

/// A client's own wait for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

fn connect(hive: &Hive, addr: SocketAddr) -> RedisResult<Connection> {
    let connection = hive.connect(addr)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// Which run of a Redis answers on this connection.
fn run_of(connection: &mut Connection) -> RedisResult<String> {
    let info: String = redis::cmd("INFO").arg("server").query(connection)?;
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    Ok(run.unwrap_or_default().trim_end().to_owned())
}

/// Whether the Redis of `node` answers behind the read endpoint of `host`.
fn serves(hive: &Hive, node: u8, host: u8) -> bool {
    let run = connect(hive, hive.reads(host)).and_then(|mut reader| run_of(&mut reader));
    run.is_ok_and(|run| hive.info(node, "run_id") == Some(run))
}

fn local(hive: &Hive, host: u8) -> Option<bool> {
    hive.status(host)?.pointer("/proxy/read/local")?.as_bool()
}

fn clients(hive: &Hive, host: u8) -> Option<u64> {
    hive.status(host)?.pointer("/proxy/read/clients")?.as_u64()
}

/// Reads one key again and again, and never opens a second connection.
struct Reader {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    thread: Option<JoinHandle<(Option<String>, Duration)>>,
}

impl Reader {
    fn start(hive: &Hive, host: u8) -> Reader {
        let (stop, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ended, counted) = (stop.clone(), reads.clone());
        let mut connection = connect(hive, hive.reads(host)).expect("connect to read");
        let thread = std::thread::spawn(move || {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !ended.load(Ordering::Relaxed) {
                let read: RedisResult<Option<String>> =
                    redis::cmd("GET").arg("kept:0").query(&mut connection);
                match read {
                    Ok(Some(_)) => {}
                    Ok(None) => return (Some("the key is gone".to_owned()), longest),
                    Err(error) => return (Some(error.to_string()), longest),
                }
                longest = longest.max(last.elapsed());
                last = Instant::now();
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
            (None, longest)
        });
        Reader { stop, reads, thread: Some(thread) }
    }

    #[track_caller]
    fn wait_for(&self, more: u64) {
        let goal = self.reads.load(Ordering::Relaxed) + more;
        wait_until("more reads", SOON, || {
            let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            (over || self.reads.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Its first error, and the longest time between two answers.
    fn stop(mut self) -> (Option<String>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("the reader")
    }
}

/// Every node reads from its own Redis, only the master's takes writes there.
#[test]
fn every_node_reads_from_its_own_redis() {
    let Some(mut hive) = Hive::of(3) else { return };
    let agreed = hive.settle();
    for host in 1..=3 {
        assert!(serves(&hive, host, host));
        assert_eq!(local(&hive, host), Some(true));
        let written = put(&hive, hive.reads(host), &format!("by{host}"), "x");
        match written {
            Ok(()) => assert_eq!(host, agreed.master),
            Err(error) => assert_eq!(error.code(), Some("READONLY"), "{error}"),
        }
    }
    let own: Vec<_> = (0..5).map(|_| connect(&hive, hive.reads(1)).expect("connect")).collect();
    let write = connect(&hive, hive.proxy(1)).expect("connect");
    wait_until("both endpoints are counted", SOON, || {
        let status = hive.status(1)?;
        let count = |pointer| status.pointer(pointer).and_then(serde_json::Value::as_u64);
        (count("/proxy/read/clients") == Some(5) && count("/proxy/clients") == Some(1))
            .then_some(())
    });
    drop((own, write));
}

/// Planned changes round the hive, of which no reader notices anything, and the death of a master.
#[test]
fn no_reader_is_cut_for_a_change_of_master() {
    let Some(mut hive) = Hive::of(3) else { return };
    let mut agreed = hive.settle();
    fill(&hive, 1, "kept", 10, 2);
    let readers: Vec<Reader> = (1..=3).map(|host| Reader::start(&hive, host)).collect();
    for _ in 0..4 {
        readers.iter().for_each(|reader| reader.wait_for(100));
        let before = agreed;
        let (code, _, text) = post(&hive, before.leader, "/switchover");
        assert_eq!(code, 200, "{text}");
        agreed = hive.settle();
        assert_ne!(agreed.master, before.master);
    }
    readers.iter().for_each(|reader| reader.wait_for(100));
    for (host, reader) in (1..).zip(readers) {
        let (error, longest) = reader.stop();
        assert_eq!(error, None, "a reader of {host} in planned changes");
        assert!(longest < Duration::from_secs(1), "{longest:?} without an answer at {host}");
    }
    a_master_dies(&mut hive);
}

/// A Redis that becomes a replica keeps its connections with all that they have set; so does the read
/// endpoint.
#[test]
fn sessions_at_a_local_master_stay_there_when_it_becomes_a_replica() {
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let host = before.master;
    let mut session = connect(&hive, hive.reads(host)).expect("connect");
    let id = |session: &mut Connection| redis::cmd("CLIENT").arg("ID").query::<u64>(session);
    let get = |session: &mut Connection| redis::cmd("GET").arg("mine").query::<String>(session);
    let set = |session: &mut Connection| {
        redis::cmd("SET").arg(&["mine", "written"]).query::<String>(session)
    };
    redis::cmd("SELECT").arg(3).exec(&mut session).expect("SELECT");
    set(&mut session).expect("its Redis is the master");
    let was = id(&mut session).expect("CLIENT ID");
    let mut watcher = connect(&hive, hive.reads(host)).expect("connect");
    redis::cmd("WATCH").arg("other").exec(&mut watcher).expect("WATCH");
    let mut listener = connect(&hive, hive.reads(host)).expect("connect");
    let mut listener = listener.as_pubsub();
    listener.subscribe("channel").expect("SUBSCRIBE");

    let (code, _, text) = post(&hive, before.leader, "/switchover");
    assert_eq!(code, 200, "{text}");
    let after = hive.settle();
    assert_ne!(after.master, host);
    wait_until("the old master serves reads", SOON, || serves(&hive, host, host).then_some(()));
    assert_eq!(id(&mut session).expect("the same connection"), was);
    assert_eq!(get(&mut session).expect("in the same database"), "written");
    assert_eq!(set(&mut session).expect_err("a replica").code(), Some("READONLY"));
    redis::cmd("MULTI").exec(&mut watcher).expect("the same connection");
    let mut publisher = connect(&hive, hive.proxy(host)).expect("connect");
    redis::cmd("PUBLISH").arg(&["channel", "message"]).exec(&mut publisher).expect("PUBLISH");
    let heard: String = listener.get_message().and_then(|m| m.get_payload()).expect("a message");
    assert_eq!(heard, "message");
}

/// The same when it takes a second to find the next master.
#[test]
fn no_reader_of_a_copy_is_cut_for_a_failover_with_a_quorum() {
    let quorum = ["--quorum", "2"].map(String::from);
    let Some(mut hive) = Hive::with(3, |options| options.hive_args = quorum.into()) else {
        return;
    };
    fill(&hive, 1, "kept", 10, 2);
    a_master_dies(&mut hive);
}

/// Who reads from the copies that are left goes on as if nothing had happened.
#[track_caller]
fn a_master_dies(hive: &mut Hive) {
    let agreed = hive.settle();
    let others: Vec<u8> = (1..=3).filter(|host| *host != agreed.leader).collect();
    let readers: Vec<Reader> = others.iter().map(|host| Reader::start(hive, *host)).collect();
    readers.iter().for_each(|reader| reader.wait_for(100));
    hive.kill(agreed.leader, Part::Both).expect("kill");
    hive.settle();
    readers.iter().for_each(|reader| reader.wait_for(100));
    for (host, reader) in others.into_iter().zip(readers) {
        let (error, longest) = reader.stop();
        assert_eq!(error, None, "a reader of {host} when the master died");
        assert!(longest < Duration::from_secs(1), "{longest:?} without an answer at {host}");
        assert!(serves(hive, host, host));
    }
}

/// A link that breaks again and again, and comes back at once, cuts nobody.
#[test]
fn a_copy_that_flaps_cuts_nobody() {
    let Some(mut hive) = Hive::of(2) else { return };
    let agreed = hive.settle();
    fill(&hive, 1, "kept", 10, 1);
    let follower = hive.follower(agreed);
    let reader = Reader::start(&hive, follower);
    let mut direct = hive.connect(hive.redis(follower)).expect("connect");
    for _ in 0..5 {
        reader.wait_for(50);
        let killed: u64 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "master"])
            .query(&mut direct)
            .expect("the link is cut");
        assert_eq!(killed, 1);
        hive.settle();
    }
    assert_eq!(reader.stop().0, None);
    assert_eq!(local(&hive, follower), Some(true));
}

/// The local Redis dies: reads go on at the master at once. It comes back, is current, and stays so
/// for a while: new clients go there, the others by and by.
#[test]
fn reads_leave_a_lost_copy_at_once_and_come_back_gently() {
    const READERS: usize = 50;
    let Some(mut hive) = Hive::of(3) else { return };
    let agreed = hive.settle();
    fill(&hive, 1, "kept", 10, 2);
    let follower = hive.follower(agreed);
    let mut early = connect(&hive, hive.reads(follower)).expect("connect");
    run_of(&mut early).expect("an answer");

    hive.kill(follower, Part::Redis).expect("kill");
    let killed = Instant::now();
    assert!(run_of(&mut early).is_err(), "its connection went with the Redis");
    wait_until("another Redis answers", SOON, || {
        serves(&hive, agreed.master, follower).then_some(())
    });
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    let mut readers: Vec<_> =
        (0..READERS).map(|_| connect(&hive, hive.reads(follower)).expect("connect")).collect();
    readers.iter_mut().for_each(|reader| drop(run_of(reader).expect("an answer")));
    wait_until("all are counted", SOON, || {
        (clients(&hive, follower)? == READERS as u64).then_some(())
    });
    assert_eq!(local(&hive, follower), Some(false));

    hive.revive(follower, Part::Redis).expect("revive");
    wait_until("the copy is current", SOON, || hive.current(follower).then_some(()));
    let current = Instant::now();
    holds_for("a copy that has just come back is not read from", Duration::from_secs(3), || {
        local(&hive, follower) == Some(false)
    });
    wait_until("new clients go there", SOON, || serves(&hive, follower, follower).then_some(()));
    let home = Instant::now();
    assert!(home - current > Duration::from_secs(4), "{:?}", home - current);
    // The others go in the next ten seconds, never many at a time.
    let mut left = READERS as u64;
    let mut steps = 0;
    wait_until("all have come back", SOON, || {
        // The connection that asked above may still be counted.
        let now = clients(&hive, follower)?.min(left);
        assert!(left - now <= 10, "{} of {READERS} went at once", left - now);
        steps += u64::from(now < left);
        left = now;
        (left == 0).then_some(())
    });
    let took = home.elapsed();
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(13), "{took:?}");
    assert!(steps > 15, "in {steps} steps");
    assert_eq!(hive.settle(), agreed);
}

/// A hive without a Redis reads from the master, whoever that is.
#[test]
fn a_witness_reads_from_the_master() {
    let Some(mut hive) = Hive::of(2) else { return };
    hive.start_with(3, &["--witness"], &[]).expect("start");
    hive.kill(3, Part::Redis).expect("a witness has none");
    let agreed = hive.settle();
    assert!(local(&hive, 3) == Some(false) && serves(&hive, agreed.master, 3));
    hive.kill(agreed.leader, Part::Both).expect("kill");
    let after = hive.settle();
    assert!(serves(&hive, after.master, 3));
}

/// Without it nothing is listened on.
#[test]
fn it_can_be_switched_off() {
    let off = ["--read-port", "0"].map(String::from);
    let Some(hive) = Hive::with(1, |options| options.hive_args = off.into()) else { return };
    let refused = std::net::TcpStream::connect(hive.reads(1)).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(hive.status(1).expect("status")["proxy"]["read"], serde_json::Value::Null);
}

/// Where the local Redis is the master, the lease counts for reads too: after its end the read
/// endpoint says as little as the write endpoint.
#[test]
fn a_master_without_a_lease_is_not_read_from() {
    let quorum = ["--quorum", "2"].map(String::from);
    let Some(mut hive) = Hive::with(3, |options| options.hive_args = quorum.into()) else {
        return;
    };
    let agreed = hive.settle();
    fill(&hive, 1, "kept", 10, 2);
    let mut reader = connect(&hive, hive.reads(agreed.leader)).expect("connect");
    run_of(&mut reader).expect("an answer");
    for host in (1..=3).filter(|host| *host != agreed.leader) {
        hive.freeze(host, Part::Hive).expect("freeze");
    }
    wait_until("the lease is over", SOON, || {
        let status = hive.status(agreed.leader)?;
        status["lease_ms"].as_u64().is_none_or(|left| left == 0).then_some(())
    });
    reader.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    let read: RedisResult<String> = redis::cmd("GET").arg("kept:0").query(&mut reader);
    assert!(read.is_err(), "the open connection reads {read:?}");
    let late = connect(&hive, hive.reads(agreed.leader)).and_then(|mut reader| {
        reader.set_read_timeout(Some(Duration::from_millis(500)))?;
        redis::cmd("GET").arg("kept:0").query::<String>(&mut reader)
    });
    assert!(late.is_err(), "a new connection reads {late:?}");
    for host in (1..=3).filter(|host| *host != agreed.leader) {
        hive.thaw(host, Part::Hive).expect("thaw");
    }
    let after = hive.settle();
    assert!(serves(&hive, after.leader, after.leader));
}
