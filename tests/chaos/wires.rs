//! Partitions, loss, delay, and a DNS that is wrong, late or silent.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use redis_hive::cli::dev::dns::Fault;
use redis_hive::cli::dev::process::Process;

use super::history::now;
use super::hive::Part;
use super::lab::{self, nft};
use super::net::Ports;
use super::run::{Chaos, Done, LATER, Loss, SOON, Step};

/// A master that nobody reaches is another one after 5 s and the time it takes.
const REACH: Duration = Duration::from_secs(7);

/// Each once in every run.
pub const STEPS: [Step; 10] = [
    Step { name: "the leader is cut off", loss: Loss::Tail, within: SOON, run: leader_cut },
    Step { name: "nobody hears the leader", loss: Loss::Tail, within: SOON, run: mute },
    Step {
        name: "the hive port of the leader is cut",
        loss: Loss::None,
        within: SOON,
        run: hive_port,
    },
    Step {
        name: "the Redis port of the leader is cut",
        loss: Loss::Tail,
        within: SOON,
        run: redis_port,
    },
    Step {
        name: "the leader's wire is pulled and put back",
        loss: Loss::Tail,
        within: SOON,
        run: pulled,
    },
    Step {
        name: "10 to 30 % of the leader's packets are lost",
        loss: Loss::Tail,
        within: SOON,
        run: loss,
    },
    Step {
        name: "50 ms of delay on the way to the leader",
        loss: Loss::None,
        within: SOON,
        run: delay,
    },
    Step {
        name: "DNS is silent while the leader's Redis dies",
        loss: Loss::Tail,
        within: SOON,
        run: dns_silent,
    },
    Step {
        name: "DNS is slow while a follower is replaced",
        loss: Loss::None,
        within: SOON,
        run: dns_slow,
    },
    Step {
        name: "DNS is stale and lists dead addresses",
        loss: Loss::None,
        within: LATER,
        run: dns_stale,
    },
];

/// The same for long runs.
pub const MORE: [Step; 5] = [
    Step { name: "a follower is cut off", loss: Loss::Tail, within: SOON, run: follower_cut },
    Step { name: "the leader hears nobody", loss: Loss::Tail, within: SOON, run: deaf },
    Step {
        name: "the hive port between two followers is cut",
        loss: Loss::None,
        within: SOON,
        run: followers_hive_port,
    },
    Step {
        name: "the Redis port of a follower is cut",
        loss: Loss::None,
        within: SOON,
        run: followers_redis_port,
    },
    Step {
        name: "DNS is down while a follower's hive restarts",
        loss: Loss::None,
        within: SOON,
        run: dns_down,
    },
];

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// Cuts, waits and heals.
fn cut(c: &mut Chaos, one: u8, others: &[u8], ports: Ports, ms: u64) -> Done {
    io(c.hive.lab.change(|net| net.cut(&[one], others, ports)))?;
    c.wait(ms, ms + 500);
    io(c.hive.lab.change(|net| net.heal()))
}

fn leader_cut(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    let start = now();
    cut(c, before.leader, &others, Ports::All, 2000)?;
    // Without a quorum both sides take writes: if that is not seen, the check for it is blind.
    if c.load.history.overlaps(start).is_empty() {
        return Err("nobody saw that there were two masters".into());
    }
    Ok(())
}

fn follower_cut(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    let others = c.others(host);
    cut(c, host, &others, Ports::All, 2000)
}

fn one_way(c: &mut Chaos, mute: bool) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    io(c.hive.lab.change(|net| {
        for other in others {
            let (from, to) = if mute { (before.leader, other) } else { (other, before.leader) };
            net.cut_one_way(from, to, Ports::All);
        }
    }))?;
    c.wait(2000, 2500);
    io(c.hive.lab.change(|net| net.heal()))
}

fn mute(c: &mut Chaos) -> Done {
    one_way(c, true)
}

fn deaf(c: &mut Chaos) -> Done {
    one_way(c, false)
}

fn hive_port(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    cut(c, before.leader, &others, Ports::Hive, 2000)?;
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn followers_hive_port(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    if let [one, rest @ ..] = &others[..] {
        cut(c, *one, rest, Ports::Hive, 2000)?;
    }
    let after = c.ready()?;
    if after == before { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
}

/// What reaches further than the master has to take over while it lasts.
fn redis_port(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    io(c.hive.lab.change(|net| {
        for other in others {
            net.cut_one_way(other, before.leader, Ports::RedisThere);
        }
    }))?;
    let gone = format!("{}:", lab::ip(before.master));
    let start = Instant::now();
    let mut moved = false;
    while !moved && start.elapsed() < REACH {
        c.wait(50, 50);
        let status = c.hive.status(before.leader);
        moved = status.is_some_and(|s| s["master"].as_str().is_some_and(|m| !m.starts_with(&gone)));
    }
    io(c.hive.lab.change(|net| net.heal()))?;
    if moved {
        Ok(())
    } else {
        Err(format!("after {REACH:?} the master is still the one that nobody reaches"))
    }
}

fn followers_redis_port(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    let others = c.others(host);
    cut(c, host, &others, Ports::Redis, 2500)?;
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn pulled(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    io(c.hive.lab.change(|net| {
        net.down.insert(before.leader);
    }))?;
    c.wait(2000, 2500);
    io(c.hive.lab.change(|net| net.heal()))
}

fn loss(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let percent = c.rng.between(10, 31) as u8;
    io(c.hive.lab.change(|net| {
        net.loss.insert(before.leader, percent);
    }))?;
    c.wait(3000, 4000);
    io(c.hive.lab.change(|net| net.heal()))
}

/// Everything that is sent to a node's hive and Redis waits in a relay beside it. Connections
/// that are open are cut: the relay cannot take them over.
pub fn delayed(c: &mut Chaos, host: u8, ms: u64) -> Result<Process, String> {
    let exe = io(std::env::current_exe())?;
    let args: Vec<OsString> =
        ["--relay", &ms.to_string(), &lab::ip(host).to_string()].map(OsString::from).into();
    let log = c.hive.dir().join("relay.log");
    let relay = io(super::hive::launch(host, &exe, args, log))?;
    io(nft(&format!("n{host}"), &super::relay::rules()))?;
    Ok(relay)
}

/// The relay goes, and with it the connections through it.
pub fn undelayed(host: u8, relay: Process) -> Done {
    io(nft(&format!("n{host}"), "delete table ip chaos"))?;
    drop(relay);
    Ok(())
}

fn delay(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = before.leader;
    let relay = delayed(c, host, 50)?;
    // A restart of the followers' hives makes every connection a new one, through the relay.
    for other in c.others(host) {
        io(c.hive.kill(other, Part::Hive))?;
        io(c.hive.revive(other, Part::Hive))?;
    }
    c.wait(500, 500);
    c.hive.settle(SOON)?;
    c.wait(1500, 2000);
    let during = c.hive.settle(SOON)?.0;
    undelayed(host, relay)?;
    if during.master == before.master { Ok(()) } else { Err("a delay moved the master".into()) }
}

fn dns_down(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.hive.dns.set_fault(Fault::ServFail);
    let host = c.other(before.leader);
    io(c.hive.kill(host, Part::Hive))?;
    io(c.hive.revive(host, Part::Hive))?;
    c.wait(1500, 2000);
    c.hive.dns.set_fault(Fault::None);
    Ok(())
}

fn dns_silent(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.hive.dns.set_fault(Fault::Drop);
    c.wait(500, 1000);
    io(c.hive.kill(before.master, Part::Redis))?;
    io(c.hive.revive(before.master, Part::Redis))?;
    let settled = c.hive.settle(SOON);
    c.hive.dns.set_fault(Fault::None);
    settled.map(|_| ())
}

fn dns_slow(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.hive.dns.set_fault(Fault::Slow(Duration::from_millis(800)));
    let host = c.other(before.leader);
    io(c.hive.remove(host))?;
    io(c.hive.add())?;
    c.wait(1000, 1500);
    let settled = c.hive.settle(LATER);
    c.hive.dns.set_fault(Fault::None);
    settled.map(|_| ())
}

/// A new pod is not listed for a while, one that is gone still is, with an address of nobody.
fn dns_stale(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    io(c.hive.remove(host))?;
    c.hive.dns.list(lab::ip(host));
    c.hive.dns.list(lab::ip(249));
    let new = io(c.hive.add())?;
    c.hive.dns.unlist(lab::ip(new));
    let stale = if c.long() { 30_000 } else { 3_000 };
    c.wait(stale, stale);
    c.hive.dns.list(lab::ip(new));
    c.hive.dns.unlist(lab::ip(host));
    let settled = c.hive.settle(LATER);
    c.hive.dns.unlist(lab::ip(249));
    settled.map(|_| ())
}
