//! Processes that die, alone and together, and pods that are replaced.

use std::path::Path;
use std::time::{Duration, Instant};

use super::hive::Part;
use super::run::{Chaos, Done, LATER, Loss, SOON, Step};
use super::watch;

/// Each once in every run.
pub const STEPS: [Step; 10] = [
    Step { name: "the leader's hive is killed", loss: Loss::None, within: SOON, run: leaders_hive },
    Step {
        name: "a follower's hive is killed",
        loss: Loss::None,
        within: SOON,
        run: followers_hive,
    },
    Step { name: "all hives are killed at once", loss: Loss::None, within: SOON, run: all_hives },
    Step {
        name: "the master's Redis is killed, back at once",
        loss: Loss::Tail,
        within: SOON,
        run: masters_redis,
    },
    Step {
        name: "a replica's Redis is killed",
        loss: Loss::None,
        within: SOON,
        run: replicas_redis,
    },
    Step {
        name: "the leader's pod is killed, back on its address",
        loss: Loss::Tail,
        within: SOON,
        run: leaders_pod,
    },
    Step {
        name: "a follower's pod is replaced",
        loss: Loss::None,
        within: SOON,
        run: followers_pod,
    },
    Step {
        name: "the leader's node vanishes silently and is replaced",
        loss: Loss::Tail,
        within: SOON,
        run: vanish,
    },
    Step {
        name: "a Redis over its memory limit is killed",
        loss: Loss::Tail,
        within: SOON,
        run: out_of_memory,
    },
    Step {
        name: "a stranger's Redis takes the address of a dead pod",
        loss: Loss::Tail,
        within: SOON,
        run: stranger,
    },
];

/// The same for long runs.
pub const MORE: [Step; 2] = [
    Step {
        name: "all hives are killed in turn",
        loss: Loss::None,
        within: SOON,
        run: hives_in_turn,
    },
    Step {
        name: "two of three pods are killed at once",
        loss: Loss::Tail,
        within: SOON,
        run: two_pods,
    },
];

/// All copies go.
pub const DISASTERS: [Step; 2] = [
    Step {
        name: "the whole set is killed and starts anew",
        loss: Loss::All,
        within: LATER,
        run: whole_set,
    },
    Step {
        name: "the master's Redis restarts without the boot fence",
        loss: Loss::All,
        within: LATER,
        run: unfenced,
    },
];

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

fn leaders_hive(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.wait(100, 400);
    io(c.hive.kill(before.leader, Part::Hive))?;
    c.wait(300, 900);
    io(c.hive.revive(before.leader, Part::Hive))?;
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn followers_hive(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    io(c.hive.kill(host, Part::Hive))?;
    c.wait(300, 900);
    io(c.hive.revive(host, Part::Hive))?;
    let after = c.ready()?;
    if after == before { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
}

fn hives_in_turn(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    for host in c.hive.hosts() {
        io(c.hive.kill(host, Part::Hive))?;
        c.wait(50, 300);
        io(c.hive.revive(host, Part::Hive))?;
        c.wait(100, 600);
    }
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn all_hives(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    for host in c.hive.hosts() {
        io(c.hive.kill(host, Part::Hive))?;
    }
    c.wait(200, 600);
    c.revive_all()?;
    let after = c.ready()?;
    if after.master == before.master { Ok(()) } else { Err("a living master was moved".into()) }
}

fn masters_redis(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    io(c.hive.kill(before.master, Part::Redis))?;
    io(c.hive.revive(before.master, Part::Redis))?;
    let after = c.ready()?;
    if after.master != before.master { Ok(()) } else { Err("the empty one is master".into()) }
}

fn replicas_redis(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.master);
    io(c.hive.kill(host, Part::Redis))?;
    c.wait(100, 500);
    io(c.hive.revive(host, Part::Redis))
}

fn leaders_pod(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    io(c.hive.kill(before.leader, Part::Both))?;
    c.wait(0, 1000);
    io(c.hive.revive(before.leader, Part::Both))
}

fn followers_pod(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    io(c.hive.remove(host))?;
    io(c.hive.add())?;
    Ok(())
}

/// No RST tells anybody: the wire is pulled first.
fn vanish(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    io(c.hive.lab.change(|net| {
        net.down.insert(before.leader);
    }))?;
    io(c.hive.kill(before.leader, Part::Both))?;
    c.wait(1500, 2000);
    io(c.hive.remove(before.leader))?;
    io(c.hive.add())?;
    Ok(())
}

/// What the kernel does to a container over its limit.
fn out_of_memory(c: &mut Chaos) -> Done {
    const MORE_MIB: u64 = 12;
    let before = c.ready()?;
    let pid = c.hive.redis_pid(before.master).ok_or("no Redis")?;
    let rss = || watch::usage(pid).map_or(0, |u| u.rss_mib);
    let limit = rss() + MORE_MIB;
    let mut master = c.hive.redis(before.master).map_err(|e| e.to_string())?;
    let start = Instant::now();
    for number in 0_u32.. {
        let value = vec![b'x'; 1 << 19];
        let key = format!("fill:{}", number % 60);
        redis::cmd("SET").arg(key).arg(value).exec(&mut master).map_err(|e| e.to_string())?;
        if rss() > limit {
            break;
        }
        if start.elapsed() > SOON {
            return Err("Redis does not grow".into());
        }
    }
    io(c.hive.kill(before.master, Part::Redis))?;
    c.wait(50, 300);
    io(c.hive.revive(before.master, Part::Redis))?;
    let after = c.ready()?;
    let mut master = c.hive.redis(after.master).map_err(|e| e.to_string())?;
    let fills: Vec<String> = (0..60).map(|n| format!("fill:{n}")).collect();
    redis::cmd("DEL").arg(fills).exec(&mut master).map_err(|e| e.to_string())
}

fn two_pods(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let other = c.other(before.leader);
    for host in [before.leader, other] {
        io(c.hive.kill(host, Part::Both))?;
    }
    c.wait(300, 1200);
    c.revive_all()
}

/// The pod is gone, its address is still listed, and a Redis of somebody else answers there: a
/// master with data of its own.
fn stranger(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    io(c.hive.kill(before.leader, Part::Both))?;
    let host = before.leader;
    // It is no copy of this hive, and may be a master.
    c.hive.watch.remove(host);
    let log = c.hive.dir().join(format!("stranger-{host}.log"));
    let server = c.hive.server().to_owned();
    let args = ["--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];
    let args = args.iter().map(std::ffi::OsString::from).collect();
    let stranger = io(super::hive::launch(host, Path::new(&server), args, log))?;
    let start = Instant::now();
    let set = |c: &Chaos| -> redis::RedisResult<()> {
        let mut redis = c.hive.redis(host)?;
        redis::cmd("SET").arg("of a stranger").arg(1).exec(&mut redis)
    };
    while let Err(e) = set(c) {
        if start.elapsed() > SOON {
            return Err(format!("the stranger does not start: {e}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    c.wait(1500, 2500);
    c.hive.settle(SOON)?;
    let mut redis = c.hive.redis(host).map_err(|e| e.to_string())?;
    let text: String = redis::cmd("INFO").query(&mut redis).map_err(|e| e.to_string())?;
    drop(stranger);
    if !text.contains("role:master") || !text.contains("db0:keys=1,") {
        return Err("somebody commanded the stranger".into());
    }
    let master = c.hive.settled()?;
    let mut found = c.hive.redis(master).map_err(|e| e.to_string())?;
    let stolen: bool =
        redis::cmd("EXISTS").arg("of a stranger").query(&mut found).map_err(|e| e.to_string())?;
    if stolen {
        return Err("the hive holds the stranger's data".into());
    }
    io(c.hive.remove(host))?;
    io(c.hive.add())?;
    Ok(())
}

fn whole_set(c: &mut Chaos) -> Done {
    c.forget()?;
    for host in c.hive.hosts() {
        io(c.hive.kill(host, Part::Both))?;
    }
    c.wait(100, 500);
    c.revive_all()?;
    c.hive.settle(Duration::from_secs(20))?;
    c.load.history.forget();
    c.replant()
}

/// This is what the fence is for: without it data may go, but the hive has to find together again.
fn unfenced(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.forget()?;
    c.hive.set_fenced(before.master, false);
    io(c.hive.kill(before.master, Part::Redis))?;
    io(c.hive.revive(before.master, Part::Redis))?;
    c.hive.settle(Duration::from_secs(20))?;
    c.hive.set_fenced(before.master, true);
    c.load.history.forget();
    c.replant()
}
