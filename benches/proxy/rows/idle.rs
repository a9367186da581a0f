//! Connections that do nothing.

use std::io;
use std::time::{Duration, Instant};

use super::small::MANY;
use super::{Scale, Sheet, steady};
use crate::load::{Load, PATIENCE};
use crate::meter;
use crate::report::{CPU_REQUESTS, Finding, P50, P99, REQUESTS, RESIDENT};
use crate::systems::System;
use crate::talk::{self, Exchange, SMALL};

/// Connections that are opened before each says its PING.
const STEP: usize = 50;
/// How long memory has to stay as it is to count as settled.
const CALM: Duration = Duration::from_millis(300);
/// Longest wait for that.
const SETTLED: Duration = Duration::from_secs(3);

/// What each takes of a fresh proxy after one PING, and how others fare beside them.
pub fn idle(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    system.restart()?;
    // Whatever is allocated once is there before the first of them.
    Load::connect(system.addr, MANY)?.run_times(&Exchange::get(SMALL), 1000)?;
    let before = settled(system)?;
    let mut idle = Vec::new();
    while idle.len() * STEP < scale.idle {
        let count = STEP.min(scale.idle - idle.len() * STEP);
        let mut some = Load::connect(system.addr, count)?;
        some.run_times(&Exchange::ping(), 0)?;
        idle.push(some);
    }
    let after = settled(system)?;
    let exchange = Exchange::get(SMALL);
    let mut spent = steady(scale, system, MANY, &exchange)?;
    let requests = spent.took.exchanges as f64;
    let sheet = Sheet::of(format!("50 connections beside {} idle ones, GET", scale.idle))
        .add(&REQUESTS, requests / spent.took.seconds)
        .add(&P50, spent.took.quantile(0.5))
        .add(&P99, spent.took.quantile(0.99))
        .cpu(&spent, &CPU_REQUESTS, requests / 1e6);
    // None of them was lost meanwhile.
    idle.iter_mut().try_for_each(|some| some.run_times(&Exchange::ping(), 0).map(drop))?;
    drop(idle);
    left(system)?;
    let sheet = match system.is_proxy() {
        true => sheet.add(&RESIDENT, (after - before) / scale.idle as f64),
        false => sheet,
    };
    Ok(sheet.findings)
}

/// Memory of the proxy in KiB once it stays as it is.
pub fn settled(system: &mut System) -> io::Result<f64> {
    let pids = system.processes();
    let (deadline, mut since) = (Instant::now() + SETTLED, Instant::now());
    let mut found = meter::resident_kib(&pids)?;
    while since.elapsed() < CALM && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        let now = meter::resident_kib(&pids)?;
        if now != found {
            (found, since) = (now, Instant::now());
        }
    }
    Ok(found)
}

/// Waits until Redis has forgotten the clients.
fn left(system: &System) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while talk::info(system.redis, "connected_clients")? > MANY as u64 {
        if Instant::now() > deadline {
            return Err(io::Error::other("connections to Redis outlive their clients"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
