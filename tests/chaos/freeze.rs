//! Processes that stand still, and Redis servers that are busy.

use std::time::{Duration, Instant};

use redis_hive::cli::dev::launch::REDIS_PORT;

use super::hive::{Part, connect};
use super::lab;
use super::run::{Chaos, Done, LATER, Loss, SOON, Step};

/// Each once in every run.
pub const STEPS: [Step; 6] = [
    Step {
        name: "the leader's hive stands still for 2 s",
        loss: Loss::None,
        within: SOON,
        run: leaders_hive,
    },
    Step {
        name: "the master's Redis stands still for 3 s",
        loss: Loss::None,
        within: SOON,
        run: masters_redis_briefly,
    },
    Step {
        name: "the master's Redis stands still for 9 s",
        loss: Loss::Tail,
        within: LATER,
        run: masters_redis_long,
    },
    Step {
        name: "the leader's pod stands still for 3 s",
        loss: Loss::Tail,
        within: SOON,
        run: leaders_pod,
    },
    Step {
        name: "a script blocks the master's Redis for 3 s",
        loss: Loss::None,
        within: SOON,
        run: script_briefly,
    },
    Step {
        name: "a script blocks the master's Redis for 12 s",
        loss: Loss::None,
        within: SOON,
        run: script_long,
    },
];

/// The same for long runs.
pub const MORE: [Step; 2] = [
    Step {
        name: "a follower's hive stands still for 2 s",
        loss: Loss::None,
        within: SOON,
        run: followers_hive,
    },
    Step {
        name: "a follower's pod stands still for 2 s",
        loss: Loss::None,
        within: SOON,
        run: followers_pod,
    },
];

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

fn stand(c: &mut Chaos, host: u8, part: Part, ms: u64) -> Done {
    io(c.hive.freeze(host, part))?;
    c.wait(ms, ms);
    io(c.hive.thaw(host, part))
}

fn leaders_hive(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    stand(c, before.leader, Part::Hive, 2000)?;
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn followers_hive(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    stand(c, host, Part::Hive, 2000)?;
    let after = c.ready()?;
    if after == before { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
}

fn masters_redis_briefly(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    stand(c, before.master, Part::Redis, 3000)?;
    same(c, before)
}

fn masters_redis_long(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    stand(c, before.master, Part::Redis, 9000)?;
    let after = c.ready()?;
    if after.master != before.master { Ok(()) } else { Err("no failover".into()) }
}

fn leaders_pod(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    stand(c, before.leader, Part::Both, 3000)
}

fn followers_pod(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    stand(c, host, Part::Both, 2000)?;
    same(c, before)
}

fn script_briefly(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    block(before.master, 3)?;
    same(c, before)
}

fn script_long(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    block(before.master, 12)?;
    same(c, before)
}

/// Keeps a Redis busy for about this long, by a script that only computes. After five seconds
/// Redis answers everybody that it is busy, and lets the script be stopped.
fn block(host: u8, seconds: u64) -> Done {
    const COUNT: &str = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i end return 1";
    const PROBE: u64 = 20_000_000;
    let addr = std::net::SocketAddr::from((lab::watched(host), REDIS_PORT));
    let open = || connect(addr, Duration::from_secs(60)).map_err(|e| e.to_string());
    let mut connection = open()?;
    let mut run = |turns: u64| {
        let start = Instant::now();
        let done = redis::cmd("EVAL").arg(COUNT).arg(0).arg(turns).exec(&mut connection);
        (start.elapsed(), done)
    };
    // How fast it counts depends on the machine and on what else runs.
    let (probe, done) = run(PROBE);
    done.map_err(|e| e.to_string())?;
    let stopped = seconds > 5;
    let wanted = if stopped { 10 * seconds } else { seconds };
    let turns = wanted * 1_000_000 * PROBE / (probe.as_micros() as u64).max(1);
    if stopped {
        let mut other = open()?;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(seconds));
            let _ = redis::cmd("SCRIPT").arg("KILL").exec(&mut other);
        });
    }
    let (took, _) = run(turns);
    let wanted = Duration::from_secs(seconds);
    if took < wanted * 2 / 3 || took > wanted * 2 {
        println!("     note: the script ran for {took:.1?} instead of {wanted:?}");
    }
    Ok(())
}

/// There was no failover.
fn same(c: &mut Chaos, before: super::hive::Agreed) -> Done {
    let after = c.ready()?;
    if after.master == before.master {
        Ok(())
    } else {
        Err(format!("a failover: {before:?} became {after:?}"))
    }
}
