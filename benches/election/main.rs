//! How long an election takes among 3, 10 and 50 hives on a virtual clock, and what their state
//! frames weigh. `benches/README.md` says what the model leaves out.

#[path = "../support/figures.rs"]
#[allow(dead_code)]
mod figures;
mod model;
mod world;

use std::hint::black_box;
use std::time::Instant;

use clap::Parser;
use redis_hive::election::frame::{FactSheet, Heard, LeaderNews, Resignation};
use redis_hive::election::{Epoch, Id, Incarnation, Leadership, Master, Message, RedisAddr, Wall};
use redis_hive::peer::codec::{HEADER_LEN, MAX_BODY, decode_frame, encode};

use figures::{Budget, Figure};
use world::{MS, World};

/// The most items of one kind of news that a state frame passes on.
const NEWS_MAX: usize = 32;

/// Simulates elections after a leader's death.
#[derive(Parser)]
struct Arguments {
    /// Elections of each kind
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// How many hives
    #[arg(long, value_delimiter = ',', default_values_t = [3, 10, 50])]
    hives: Vec<usize>,
}

/// What one election gave: milliseconds from a leader's death.
struct Elected {
    /// Before it: percent of a CPU that core and codec of one hive took.
    idle: f64,
    /// Another one says that it leads.
    announced: f64,
    /// Every proxy has its route.
    routed: f64,
    /// The longest frame that was said.
    longest: bytes::Bytes,
}

fn main() {
    let command = std::iter::once("election".to_owned()).chain(figures::arguments());
    let arguments = Arguments::parse_from(command);
    let mut table = Vec::new();
    let mut frames = Vec::new();
    for hives in &arguments.hives {
        for cpu_counts in [false, true] {
            let note = if cpu_counts { ", real CPU time of every turn" } else { "" };
            let mut announced = Figure::new(format!("{hives} hives: announced{note}"), "ms", 1);
            if *hives == 50 {
                announced = announced.within(Budget::median(300.0));
            }
            let mut routed = Figure::new(format!("{hives} hives: all routed{note}"), "ms", 1);
            let mut idle = Figure::new(format!("{hives} hives: CPU of one before it"), "%", 3);
            let mut longest = bytes::Bytes::new();
            for seed in 1..=arguments.rounds {
                let one = elect(*hives, seed, cpu_counts);
                announced.add(one.announced);
                routed.add(one.routed);
                idle.add(one.idle);
                longest = if one.longest.len() > longest.len() { one.longest } else { longest };
            }
            eprintln!("{hives} hives{note}: done");
            table.extend([announced, routed]);
            if cpu_counts {
                table.push(idle);
                frames.extend(weigh(&format!("{hives} hives"), &longest));
                frames.extend(weigh(
                    &format!("{hives} hives, every list full"),
                    &fullest(&longest, *hives),
                ));
            }
        }
    }
    figures::print("Simulated elections, from the leader's death", &table);
    figures::print("The longest state frame of these elections", &frames);
}

/// One hive is settled, then its leader's node dies at a random moment of its heartbeats.
fn elect(hives: usize, seed: u64, cpu_counts: bool) -> Elected {
    let mut world = World::new(hives, seed, cpu_counts);
    let settled = |world: &World| {
        world.leader().is_some_and(|it| world.all_forward_to(it) && world.all_current(it))
    };
    assert!(world.run_until(30_000 * MS, settled), "{hives} hives do not settle (seed {seed})");
    let moment = 2_000 * MS + world.below(400 * MS);
    let (cpu, quiet_since) = (world.cpu, world.now);
    world.run_until(moment, |_| false);
    let quiet = (world.now - quiet_since) as f64 / 1e6;
    let idle = (world.cpu - cpu).as_secs_f64() / quiet / hives as f64 * 100.0;
    let old = world.leader().expect("they have settled");
    world.kill(old);
    let died = world.now;
    let since = |world: &World| (world.now - died) as f64 / MS as f64;
    assert!(world.run_until(10_000 * MS, |w| w.leader().is_some()), "nobody leads (seed {seed})");
    let (announced, new) = (since(&world), world.leader().expect("just seen"));
    let routed = world.run_until(10_000 * MS, |world| world.all_forward_to(new));
    assert!(routed, "not all follow (seed {seed})");
    Elected { idle, announced, routed: since(&world), longest: world.longest.clone() }
}

/// What a frame costs: its length, and the time to pack and to read it.
fn weigh(what: &str, bytes: &bytes::Bytes) -> [Figure; 3] {
    let frame = decode_frame(bytes).expect("what the codec wrote");
    let limit = (MAX_BODY + HEADER_LEN) as f64;
    let mut length =
        Figure::new(format!("{what}: length"), "bytes", 0).within(Budget::worst(limit));
    length.add(bytes.len() as f64);
    let mut packing = Figure::new(format!("{what}: encode"), "us", 2);
    let mut reading = Figure::new(format!("{what}: decode"), "us", 2);
    for _ in 0..100 {
        packing.add(each(|| drop(black_box(encode(black_box(&frame))))));
        reading.add(each(|| drop(black_box(decode_frame(black_box(bytes))))));
    }
    [length, packing, reading]
}

/// The frame with everything in it that hives of this number could ever say, as often as the core
/// says it at most.
fn fullest(bytes: &bytes::Bytes, hives: usize) -> bytes::Bytes {
    let mut frame = decode_frame(bytes).expect("what the codec wrote");
    let Message::State(state) = &mut frame.message else { panic!("the longest frame is a state") };
    let run = Id([7; 20]);
    let addr = RedisAddr::new(world::node(0).ip, 6379);
    let master = Master { addr, run_id: run, replid: run, root: run };
    let (leader, incarnation) = (world::node(0), Incarnation(1));
    let leadership = Leadership { epoch: Epoch(1), leader, incarnation, master };
    let all = || (0..hives).map(world::node);
    state.hears = all().map(|node| Heard { node, incarnation, number: 1 }).collect();
    state.usable = all().collect();
    let news = hives.min(NEWS_MAX);
    state.leaders = vec![LeaderNews { leadership, age_ms: 1 }; news];
    let given_up = Resignation { epoch: Epoch(1), leader, incarnation, successor: Some(leader) };
    state.resignations = vec![given_up; news];
    let sheet = FactSheet {
        leadership,
        against: leader,
        against_incarnation: incarnation,
        against_epoch: Epoch(1),
        root: run,
        dataset_bytes: 1,
        keys: 1,
        holders: 1,
        offset: 1,
        since: Wall(1),
    };
    state.sheets = vec![sheet; news];
    encode(&frame)
}

/// Microseconds of one call, of a hundred.
fn each(call: impl Fn()) -> f64 {
    let began = Instant::now();
    (0..100).for_each(|_| call());
    began.elapsed().as_secs_f64() * 1e6 / 100.0
}
