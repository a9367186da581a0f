//! Faults by chance: several at once, for random spans, from a seed.

use std::time::Duration;

use redis_hive::cli::dev::dns::Fault;

use super::hive::Part;
use super::load::Amount;
use super::net::Ports;
use super::plan::{DRAIN, FEW, Means, Plan};
use super::planned;
use super::rng::Rng;
use super::run::{Chaos, Done, LATER, Loss, SOON, Step};

/// How long faults go on in one round.
const ROUND_MS: u64 = 9_000;

/// One round on a hive of its own; what happens follows from the seed alone. False if nobody asked
/// for it.
pub fn run(plan: &mut Plan, seed: u64) -> bool {
    let name = format!("mix {seed}");
    if plan.wanted(&name, "") {
        go_round(plan, &name, seed);
        return true;
    }
    false
}

fn go_round(plan: &mut Plan, name: &str, seed: u64) {
    let mut rng = Rng::new(seed);
    let nodes = rng.between(3, if plan.long { 6 } else { 5 }) as usize;
    let args = ["--drain-timeout".to_owned(), DRAIN.to_owned()];
    let means = Means { nodes, witness: false, args: &args, amount: FEW, seed };
    let Some(mut chaos) = plan.start(name, means) else { return };
    chaos.rng = rng;
    let step = Step { name: "a mix of faults", loss: Loss::Tail, within: LATER, run: round };
    let mut verdict = chaos.step(&step);
    if verdict.wrong.is_empty() {
        verdict.wrong = chaos.judge_all();
    } else if verdict.stalled {
        println!("     nothing is concluded from it: that was this machine's fault");
        return;
    }
    let wrong = verdict.wrong;
    if !plan.count(name, &wrong) {
        for fault in &chaos.faults {
            println!(
                "     {:9.1} to {:9.1} ms: {}",
                fault.start as f64 / 1e3,
                fault.end as f64 / 1e3,
                fault.name
            );
        }
    }
}

/// A data set that takes a while to copy, and all pods replaced.
pub fn big_data_set(plan: &mut Plan) {
    let step = Step {
        name: "rolling replacement of 200 MB",
        loss: Loss::None,
        within: LATER,
        run: fill_and_roll,
    };
    let amount = Amount { big_every: None, ..FEW };
    plan.hive("200 MB", 3, &["--drain-timeout".into(), DRAIN.into()], amount, &[step]);
}

fn fill_and_roll(c: &mut Chaos) -> Done {
    const FILL: &str = "local v = string.rep('x', 1000) for i = 1, 2000 do \
                        redis.call('SET', 'fill:' .. ARGV[1] .. ':' .. i, v) end";
    let before = c.ready()?;
    let mut master = c.hive.redis(before.master).map_err(|e| e.to_string())?;
    for part in 0..100 {
        redis::cmd("EVAL")
            .arg(FILL)
            .arg(0)
            .arg(part)
            .exec(&mut master)
            .map_err(|e| e.to_string())?;
    }
    planned::rolling(c)?;
    let after = c.ready()?;
    let mut master = c.hive.redis(after.master).map_err(|e| e.to_string())?;
    let keys: u64 = redis::cmd("DBSIZE").query(&mut master).map_err(|e| e.to_string())?;
    if keys > 200_000 { Ok(()) } else { Err(format!("{keys} of more than 200000 keys are left")) }
}

/// Something that was broken and has to be mended.
enum Broken {
    Dead(u8, Part),
    Frozen(u8, Part),
    Wires,
    Dns,
    Gone,
}

/// At most two things are broken at once, and one node stays untouched: what no set could survive
/// has its own steps.
fn round(c: &mut Chaos) -> Done {
    let begin = super::history::now();
    let elapsed_ms = || (super::history::now() - begin) / 1000;
    c.ready()?;
    let mut broken: Vec<(usize, u64, Broken)> = Vec::new();
    while elapsed_ms() < ROUND_MS || !broken.is_empty() {
        let late = elapsed_ms();
        let (due, rest): (Vec<_>, Vec<_>) =
            broken.into_iter().partition(|(_, until, _)| *until <= late);
        broken = rest;
        for (fault, _, what) in due {
            mend(c, &what, &broken)?;
            c.end(fault);
        }
        if late < ROUND_MS && broken.len() < 2 && c.rng.chance(1, 2) {
            let span = c.rng.between(100, 4000);
            if let Some((name, host, what)) = break_something(c, &broken)? {
                let fault = c.begin(format!("{name} for {span} ms"), vec![host]);
                broken.push((fault, elapsed_ms() + span, what));
            }
        }
        c.wait(100, 500);
    }
    c.hive.lab.change(|net| net.heal()).map_err(|e| e.to_string())?;
    c.revive_all()
}

fn break_something(
    c: &mut Chaos,
    broken: &[(usize, u64, Broken)],
) -> Result<Option<(String, u8, Broken)>, String> {
    let io = |result: std::io::Result<()>| result.map_err(|e| e.to_string());
    let hosts: Vec<u8> = c.hive.hosts();
    let touched = |host: &u8| {
        broken
            .iter()
            .any(|(_, _, b)| matches!(b, Broken::Dead(h, _) | Broken::Frozen(h, _) if h == host))
    };
    let whole: Vec<u8> = hosts.iter().copied().filter(|h| !touched(h)).collect();
    // Two copies stay, whatever happens.
    if whole.len() < 3 {
        return Ok(None);
    }
    let host = c.rng.pick(&whole);
    let part = c.rng.pick(&[Part::Redis, Part::Hive, Part::Both]);
    let ports = c.rng.pick(&[Ports::All, Ports::Hive, Ports::Redis]);
    let wires = broken.iter().any(|(_, _, b)| matches!(b, Broken::Wires));
    let others: Vec<u8> = hosts.into_iter().filter(|h| *h != host).collect();
    let other = c.rng.pick(&others);
    let kind = c.rng.between(0, 10);
    let (name, what) = match kind {
        0 | 1 => {
            io(c.hive.kill(host, part))?;
            (format!("{part:?} of {host} dead"), Broken::Dead(host, part))
        }
        2 | 3 => {
            io(c.hive.freeze(host, part))?;
            (format!("{part:?} of {host} frozen"), Broken::Frozen(host, part))
        }
        4 if !wires => {
            io(c.hive.lab.change(|net| net.cut(&[host], &others, ports)))?;
            (format!("{ports:?} of {host} cut"), Broken::Wires)
        }
        5 if !wires => {
            io(c.hive.lab.change(|net| net.cut_one_way(host, other, ports)))?;
            (format!("{ports:?} from {host} to {other} cut"), Broken::Wires)
        }
        6 if !wires => {
            let percent = c.rng.between(10, 31) as u8;
            io(c.hive.lab.change(|net| {
                net.loss.insert(host, percent);
            }))?;
            (format!("{percent} % of the packets of {host} lost"), Broken::Wires)
        }
        7 if !wires => {
            io(c.hive.lab.change(|net| {
                net.down.insert(host);
            }))?;
            (format!("the wire of {host} pulled"), Broken::Wires)
        }
        8 => {
            let slow = Fault::Slow(Duration::from_millis(500));
            let fault = c.rng.pick(&[Fault::ServFail, Fault::Drop, slow]);
            c.hive.dns.set_fault(fault);
            (format!("DNS {fault:?}"), Broken::Dns)
        }
        9 => {
            io(c.hive.remove(host))?;
            let new = c.hive.add().map_err(|e| e.to_string())?;
            (format!("pod {host} replaced by {new}"), Broken::Gone)
        }
        _ => return Ok(None),
    };
    Ok(Some((name, host, what)))
}

fn mend(c: &mut Chaos, what: &Broken, still: &[(usize, u64, Broken)]) -> Done {
    let done = match what {
        Broken::Dead(host, part) => c.hive.revive(*host, *part),
        Broken::Frozen(host, part) => c.hive.thaw(*host, *part),
        Broken::Wires => c.hive.lab.change(|net| net.heal()),
        Broken::Dns => {
            if !still.iter().any(|(_, _, b)| matches!(b, Broken::Dns)) {
                c.hive.dns.set_fault(Fault::None);
            }
            Ok(())
        }
        Broken::Gone => c.hive.settle(SOON).map_or(Ok(()), |_| Ok(())),
    };
    done.map_err(|e| e.to_string())
}
