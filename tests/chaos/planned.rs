//! Planned changes: pods that are told to stop and are replaced. They may cost nothing.

use std::time::{Duration, Instant};

use super::run::{Chaos, Done, LATER, Loss, SOON, Step};

/// A pod has to have stopped within this time: the drain and some more.
const STOP: Duration = Duration::from_secs(25);

/// Each once in every run.
pub const STEPS: [Step; 3] = [
    Step { name: "switchover, three times", loss: Loss::None, within: SOON, run: switchover },
    Step {
        name: "rolling replacement, a new empty pod before each old one goes",
        loss: Loss::None,
        within: SOON,
        run: rolling,
    },
    Step {
        name: "rolling restart, each pod empty on its old address",
        loss: Loss::None,
        within: SOON,
        run: restart,
    },
];

/// The same for long runs.
pub const MORE: [Step; 2] = [
    Step {
        name: "the leader's pod is told to stop and replaced",
        loss: Loss::None,
        within: SOON,
        run: leader,
    },
    Step {
        name: "a follower's pod is told to stop and replaced",
        loss: Loss::None,
        within: SOON,
        run: follower,
    },
];

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// The pod leaves the Service and gets its signal in the same moment, as in Kubernetes.
fn stop(c: &mut Chaos, host: u8) -> Done {
    c.hive.service.remove(host);
    c.hive.stop(host, STOP)?;
    Ok(())
}

/// Waits for the pod's readiness.
fn ready(c: &Chaos, host: u8) -> Done {
    let start = Instant::now();
    while !c.hive.ready(host) {
        if start.elapsed() > LATER {
            return Err(format!("the pod {host} is not ready after {LATER:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn switchover(c: &mut Chaos) -> Done {
    for _ in 0..3 {
        let before = c.ready()?;
        let host = c.rng.pick(&c.hive.hosts());
        switch(c, host)?;
        let after = c.ready()?;
        if after.master == before.master {
            return Err("the switchover was reported as done, and the master did not move".into());
        }
        c.wait(100, 300);
    }
    Ok(())
}

/// A follower that has not yet got a value of 1 MiB is refused; a moment later it has.
fn switch(c: &mut Chaos, host: u8) -> Done {
    let start = Instant::now();
    loop {
        match c.hive.command(host, &["switchover"]) {
            Err(why) if why.contains("bytes behind") && start.elapsed() < SOON => c.wait(50, 100),
            other => return other.map(|_| ()),
        }
    }
}

fn leader(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    stop(c, before.leader)?;
    io(c.hive.remove(before.leader))?;
    let new = io(c.hive.add())?;
    ready(c, new)
}

fn follower(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let host = c.other(before.leader);
    stop(c, host)?;
    io(c.hive.remove(host))?;
    let new = io(c.hive.add())?;
    ready(c, new)
}

/// A Deployment's rolling update with one pod more.
pub fn rolling(c: &mut Chaos) -> Done {
    for host in c.hive.hosts() {
        let new = io(c.hive.add())?;
        ready(c, new)?;
        stop(c, host)?;
        io(c.hive.remove(host))?;
    }
    Ok(())
}

/// A StatefulSet's: one pod less, the address stays.
fn restart(c: &mut Chaos) -> Done {
    for host in c.hive.hosts() {
        stop(c, host)?;
        io(c.hive.revive(host, super::hive::Part::Both))?;
        c.hive.service.add(host);
        ready(c, host)?;
    }
    Ok(())
}
