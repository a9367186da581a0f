//! `--quorum 2`: never two masters, asserted on what clients were told and when. Every write tells
//! which promotion of which Redis executed it; the times of two promotions may not overlap.

use std::time::Duration;

use super::hive::Part;
use super::load::Amount;
use super::net::Ports;
use super::plan::{DRAIN, FEW, Plan};
use super::run::{Chaos, Done, Loss, SOON, Step};

/// Writers on all sides, some of them slow.
const BUSY: Amount =
    Amount { writers: 6, pause: Duration::from_millis(2), big_every: None, slow: 1 };

const STEPS: [Step; 3] = [
    Step {
        name: "the leader is cut off at a random phase",
        loss: Loss::Tail,
        within: SOON,
        run: cut,
    },
    Step {
        name: "the leader is cut off, its pod stands still for a while",
        loss: Loss::Tail,
        within: SOON,
        run: cut_and_pod_frozen,
    },
    Step {
        name: "the leader's hive stands still, nothing is cut",
        loss: Loss::Tail,
        within: SOON,
        run: frozen,
    },
];

/// The same for long runs.
const MORE: [Step; 2] = [
    Step {
        name: "only one direction of the leader's links lives",
        loss: Loss::Tail,
        within: SOON,
        run: one_way,
    },
    Step {
        name: "the leader is cut off, its hive stands still for a while",
        loss: Loss::Tail,
        within: SOON,
        run: cut_and_frozen,
    },
];

/// Two copies and a vote.
const WITNESS: [Step; 3] = [
    Step { name: "the witness is killed", loss: Loss::None, within: SOON, run: without_witness },
    Step {
        name: "the leader's pod is killed",
        loss: Loss::Tail,
        within: SOON,
        run: without_leader,
    },
    Step {
        name: "the follower's pod is killed",
        loss: Loss::None,
        within: SOON,
        run: without_follower,
    },
];

/// All hives with a quorum.
pub fn run(plan: &mut Plan) {
    let quorum = ["--quorum", "2", "--drain-timeout", DRAIN].map(str::to_owned);
    let rounds = if plan.long { 10 } else { 1 };
    for _ in 0..rounds {
        plan.hive("quorum 2 of 3", 3, &quorum, BUSY, &STEPS);
        if plan.long {
            plan.hive("quorum 2 of 3", 3, &quorum, BUSY, &MORE);
        }
    }
    plan.hive_with_witness("two nodes and a witness", &quorum, Amount { slow: 0, ..FEW }, &WITNESS);
}

fn io<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// Cuts the leader off at any phase of its heartbeats; `frozen` stands still for a part of it.
fn cut_leader(c: &mut Chaos, frozen: Option<Part>) -> Done {
    let before = c.ready()?;
    let others = c.others(before.leader);
    c.wait(0, 400);
    io(c.hive.lab.change(|net| net.cut(&[before.leader], &others, Ports::All)))?;
    match frozen {
        None => c.wait(2000, 2500),
        Some(part) => {
            c.wait(0, 700);
            io(c.hive.freeze(before.leader, part))?;
            c.wait(500, 1800);
            io(c.hive.thaw(before.leader, part))?;
            c.wait(300, 800);
        }
    }
    let opened = c.hive.status(before.leader).is_some_and(|s| s["role"] == "leader");
    io(c.hive.lab.change(|net| net.heal()))?;
    if opened { Err("one of three still leads with a quorum of two".into()) } else { Ok(()) }
}

fn cut(c: &mut Chaos) -> Done {
    cut_leader(c, None)
}

fn cut_and_frozen(c: &mut Chaos) -> Done {
    cut_leader(c, Some(Part::Hive))
}

fn cut_and_pod_frozen(c: &mut Chaos) -> Done {
    cut_leader(c, Some(Part::Both))
}

fn one_way(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let mute = c.rng.chance(1, 2);
    let others = c.others(before.leader);
    c.wait(0, 400);
    io(c.hive.lab.change(|net| {
        for other in others {
            let (from, to) = if mute { (before.leader, other) } else { (other, before.leader) };
            net.cut_one_way(from, to, Ports::All);
        }
    }))?;
    c.wait(2000, 2500);
    io(c.hive.lab.change(|net| net.heal()))
}

fn frozen(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    c.wait(0, 400);
    io(c.hive.freeze(before.leader, Part::Hive))?;
    c.wait(300, 2500);
    io(c.hive.thaw(before.leader, Part::Hive))
}

/// Without this one the others go on, and are whole again with it.
fn without(c: &mut Chaos, host: u8) -> Done {
    io(c.hive.kill(host, Part::Both))?;
    c.hive.service.remove(host);
    let settled = c.hive.settle(SOON);
    c.wait(300, 600);
    io(c.hive.revive(host, if c.witness == Some(host) { Part::Hive } else { Part::Both }))?;
    if c.witness != Some(host) {
        c.hive.service.add(host);
    }
    settled.map(|_| ())
}

fn without_witness(c: &mut Chaos) -> Done {
    c.ready()?;
    let host = c.witness.ok_or("no witness")?;
    without(c, host)
}

fn without_leader(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    without(c, before.leader)
}

fn without_follower(c: &mut Chaos) -> Done {
    let before = c.ready()?;
    let witness = c.witness;
    let host = c.others(before.leader).into_iter().find(|h| Some(*h) != witness);
    without(c, host.ok_or("no follower")?)
}
