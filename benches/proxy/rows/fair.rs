//! One client with small requests while another one takes all it can get.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Scale, Sheet};
use crate::load::{Load, Took};
use crate::report::{Finding, MEGABYTES, P50, P99, RAISED, REQUESTS};
use crate::systems::System;
use crate::talk::{Exchange, SMALL};

/// Bytes of each value that the greedy client gets.
const BULK: usize = 1024 * 1024;
/// Values that it has before anything is measured beside it.
const WARM: u64 = 10;

/// Without the greedy client, and with it.
pub fn fair(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let mut alone = small(scale, system)?;
    let before = alone.quantile(0.99);
    let addr = system.addr;
    let (stop, values) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut beside, pumped) = std::thread::scope(|scope| -> io::Result<(Took, Took)> {
        let greedy = scope.spawn(|| {
            Load::connect(addr, 1)?.run(&Exchange::get(BULK), |begun, _| {
                values.store(begun, Ordering::Relaxed);
                !stop.load(Ordering::Relaxed)
            })
        });
        while values.load(Ordering::Relaxed) < WARM && !greedy.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let beside = small(scale, system);
        stop.store(true, Ordering::Relaxed);
        let pumped = greedy.join().map_err(|_| io::Error::other("a panic"))?;
        Ok((beside?, pumped?))
    })?;
    let rate = pumped.exchanges as f64 * BULK as f64 / 1e6 / pumped.seconds;
    let raised = beside.quantile(0.99) / before;
    let beside = sheet("the same beside one that pumps 1 MiB values", beside);
    let mut findings = sheet("1 small client alone", alone).findings;
    findings.extend(beside.add(&RAISED, raised).add(&MEGABYTES, rate).findings);
    Ok(findings)
}

fn small(scale: &Scale, system: &System) -> io::Result<Took> {
    Load::connect(system.addr, 1)?.run_for(&Exchange::get(SMALL), scale.span)
}

fn sheet(load: &str, mut took: Took) -> Sheet {
    Sheet::of(load)
        .add(&REQUESTS, took.exchanges as f64 / took.seconds)
        .add(&P50, took.quantile(0.5))
        .add(&P99, took.quantile(0.99))
}
