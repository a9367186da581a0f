//! Short connections.

use std::io;
use std::time::Instant;

use super::{Scale, Sheet, metered};
use crate::load::Took;
use crate::report::{CONNECTIONS, CPU_CONNECTIONS, Finding, P50, P99};
use crate::systems::System;
use crate::talk::{self, Exchange};

/// Clients at the same time, a thread each.
const CLIENTS: usize = 8;

/// Connect, PING, close.
pub fn connect(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let addr = system.addr;
    let mut spent = metered(system, || {
        let start = Instant::now();
        let client = || -> io::Result<Vec<u32>> {
            let ping = Exchange::ping();
            let mut latencies = Vec::new();
            while start.elapsed() < scale.span {
                let began = Instant::now();
                ping.over(&mut talk::open(addr)?)?;
                latencies.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
            }
            Ok(latencies)
        };
        let all: io::Result<Vec<Vec<u32>>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            let joined = clients.into_iter().map(|client| client.join());
            joined.map(|client| client.map_err(|_| io::Error::other("a panic"))?).collect()
        });
        let latencies = all?.concat();
        let seconds = start.elapsed().as_secs_f64();
        Ok(Took { exchanges: latencies.len() as u64, seconds, latencies })
    })?;
    let connections = spent.took.exchanges as f64;
    let sheet = Sheet::of("connect, PING, close")
        .add(&CONNECTIONS, connections / spent.took.seconds)
        .add(&P50, spent.took.quantile(0.5))
        .add(&P99, spent.took.quantile(0.99));
    Ok(sheet.cpu(&spent, &CPU_CONNECTIONS, connections / 1e6).findings)
}
