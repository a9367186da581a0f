//! System calls, counted by strace; of Redis itself where nothing stands before it.

use std::fs;
use std::io;

use super::bulk::{self, VALUES};
use super::small::MANY;
use super::{Scale, Sheet};
use crate::load::Load;
use crate::meter::{Strace, total_calls};
use crate::report::{CALLS, Finding};
use crate::systems::System;
use crate::talk::{Exchange, SMALL};

/// Everything is slow under strace, so few requests of each kind.
pub fn calls(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let [(middle, middle_bytes), (large, large_bytes)] = VALUES;
    let bulk = bulk::CONNECTIONS;
    let loads = [
        ("1 connection, GET".to_owned(), 1, 1000, Exchange::get(SMALL)),
        ("50 connections, GET".to_owned(), MANY, 3000, Exchange::get(SMALL)),
        (format!("{middle}, GET"), bulk, 320, Exchange::get(middle_bytes)),
        (format!("{middle}, SET"), bulk, 320, Exchange::set(middle_bytes)),
        (format!("{large}, GET"), bulk, 64, Exchange::get(large_bytes)),
        (format!("{large}, SET"), bulk, 64, Exchange::set(large_bytes)),
    ];
    fs::create_dir_all(&scale.out)?;
    let mut findings = Vec::new();
    for (name, connections, times, exchange) in loads {
        let file = format!("{} {name}.calls", system.name).replace(", ", "-").replace(' ', "-");
        let file = scale.out.join(file);
        let counted = count(system, connections, times, &exchange, &file)?;
        findings.extend(Sheet::of(format!("system calls: {name}")).add(&CALLS, counted).findings);
    }
    Ok(findings)
}

/// Calls per request.
fn count(
    system: &mut System,
    connections: usize,
    times: u64,
    exchange: &Exchange,
    file: &std::path::Path,
) -> io::Result<f64> {
    let pids = if system.is_proxy() { system.processes() } else { vec![system.redis_pid] };
    let mut load = Load::connect(system.addr, connections)?;
    load.run_times(exchange, times / 8)?;
    let mut strace = Strace::attach(&pids, file)?;
    let took = load.run_times(exchange, times)?;
    strace.end()?;
    Ok(total_calls(&fs::read_to_string(file)?)? / took.exchanges as f64)
}
