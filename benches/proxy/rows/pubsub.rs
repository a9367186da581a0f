//! One publisher, many subscribers.

use std::io;
use std::time::Instant;

use super::{Scale, Sheet, metered};
use crate::load::{Load, Took};
use crate::report::{CPU_MESSAGES, Finding, MESSAGES, P99};
use crate::systems::System;
use crate::talk::{Exchange, bulk, open, request};

const SUBSCRIBERS: usize = 50;
/// Messages published at once; the next ones follow when everybody has got these.
const BATCH: usize = 32;
const CHANNEL: &[u8] = b"bench:news";
const MESSAGE: &[u8] = b"a message of thirty-two bytes...";

/// All through the same proxy, the publisher as well.
pub fn pubsub(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let mut subscribers = Load::connect(system.addr, SUBSCRIBERS)?;
    subscribers.run_times(&subscribe(), 0)?;
    let mut publisher = open(system.addr)?;
    let mut round = || -> io::Result<Took> {
        // Nothing is read in between, so that the three of them take one turn.
        io::Write::write_all(&mut publisher, &publish().request)?;
        let took = subscribers.run_times(&delivery(), 0)?;
        publish().answered(&mut publisher)?;
        Ok(took)
    };
    let warm = Instant::now();
    while warm.elapsed() < scale.span / 8 {
        round()?;
    }
    let mut spent = metered(system, || {
        let start = Instant::now();
        let mut all = Took::default();
        while start.elapsed() < scale.span {
            let took = round()?;
            all.exchanges += took.exchanges;
            all.latencies.extend(took.latencies);
        }
        all.seconds = start.elapsed().as_secs_f64();
        Ok(all)
    })?;
    let messages = (spent.took.exchanges * BATCH as u64) as f64;
    let sheet = Sheet::of("pub/sub, 1 to 50")
        .add(&MESSAGES, messages / spent.took.seconds)
        .add(&P99, spent.took.quantile(0.99));
    Ok(sheet.cpu(&spent, &CPU_MESSAGES, messages / 1e6).findings)
}

fn subscribe() -> Exchange {
    let mut reply = b"*3\r\n".to_vec();
    bulk(b"subscribe", &mut reply);
    bulk(CHANNEL, &mut reply);
    reply.extend_from_slice(b":1\r\n");
    Exchange { request: request(&[b"SUBSCRIBE", CHANNEL]), reply, requests: 1 }
}

fn publish() -> Exchange {
    let request = request(&[b"PUBLISH", CHANNEL, MESSAGE]);
    let reply = format!(":{SUBSCRIBERS}\r\n").into_bytes();
    Exchange { request, reply, requests: 1 }.pipelined(BATCH)
}

/// What every subscriber gets, without asking.
fn delivery() -> Exchange {
    let reply = request(&[b"message", CHANNEL, MESSAGE]);
    Exchange { request: Vec::new(), reply, requests: 1 }.pipelined(BATCH)
}
