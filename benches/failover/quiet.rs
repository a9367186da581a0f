//! What needs no fault: how soon an empty hive takes writes, and what one costs that does nothing.

use std::time::{Duration, Instant};

use redis_hive::cli::dev::nodes::{Options, Part};

use crate::client::Client;
use crate::harness::{Hive, SOON, wait_until};
use crate::usage::{cpu_seconds, resident_mib};

/// How long an idle hive is watched for one sample.
pub const WATCHED: Duration = Duration::from_secs(20);

/// From before the first of three empty nodes is started, all of them listed in DNS: the first acknowledged write through any
/// proxy, and the moment from which every proxy has taken one.
pub fn start(options: &dyn Fn(&mut Options)) -> (Duration, Duration) {
    let mut hive = Hive::empty(options).expect("a Redis server");
    // Else the first one would find itself alone, and lead before there is anybody to agree with.
    (1..=3).for_each(|host| hive.dns().list(hive.ip(host)));
    let began = Instant::now();
    (1..=3).for_each(|host| hive.start(host).expect("start a node"));
    let mut clients: Vec<Client> =
        (1..=3).map(|host| Client::start(&format!("c{host}"), vec![hive.proxy(host)])).collect();
    wait_until("every proxy takes writes", SOON, || {
        clients.iter().all(|client| client.acked() > 0).then_some(())
    });
    let firsts = clients.iter_mut().filter_map(|client| client.stop().acked.first().copied());
    let spans: Vec<Duration> = firsts.map(|(at, _)| at - began).collect();
    let of = |choose: fn(Duration, Duration) -> Duration| spans.iter().copied().reduce(choose);
    (of(Duration::min).unwrap_or_default(), of(Duration::max).unwrap_or_default())
}

/// One sidecar over one span.
pub struct Idle {
    /// Percent of one CPU as the scheduler counts it, to the nanosecond.
    pub scheduled: f64,
    /// Percent of one CPU by `utime + stime`, which counts in ticks.
    pub ticks: f64,
    /// `VmRSS` at its end, MiB.
    pub resident: f64,
}

/// Watches all sidecars of a settled hive that nobody uses.
pub fn idle(hive: &mut Hive) -> Vec<Idle> {
    hive.settle();
    let pids: Vec<u32> = (1..=3).map(|host| sidecar(hive, host)).collect();
    let began = Instant::now();
    let before: Vec<(f64, f64)> = pids.iter().map(|pid| cpu_seconds(*pid)).collect();
    std::thread::sleep(WATCHED);
    let span = began.elapsed().as_secs_f64();
    let used = pids.iter().zip(before).map(|(pid, (scheduled, ticks))| {
        let (scheduled_now, ticks_now) = cpu_seconds(*pid);
        Idle {
            scheduled: (scheduled_now - scheduled) / span * 100.0,
            ticks: (ticks_now - ticks) / span * 100.0,
            resident: resident_mib(*pid),
        }
    });
    used.collect()
}

fn sidecar(hive: &mut Hive, host: u8) -> u32 {
    let node = hive.node(host).expect("node");
    assert!(node.alive(Part::Both));
    // Redis comes first.
    node.pids()[1]
}
