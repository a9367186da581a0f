//! Small requests: alone, of many at once, pipelined.

use std::io;

use super::{Scale, Sheet, steady};
use crate::report::{CPU_REQUESTS, Finding, P50, P99, P999, REQUESTS};
use crate::systems::System;
use crate::talk::{Exchange, SMALL};

/// Clients of the loads with many.
pub const MANY: usize = 50;

/// One connection, one request at a time.
pub fn latency(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    both(scale, system, &Load { name: "1 connection", connections: 1, depth: 1, rare: true })
}

/// Many connections, one request at a time on each.
pub fn many(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    both(scale, system, &Load { name: "50 connections", connections: MANY, depth: 1, rare: false })
}

/// The same beside a hive that has a lease.
pub fn lease(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let name = "50 connections, lease";
    both(scale, system, &Load { name, connections: MANY, depth: 1, rare: false })
}

/// Many connections, several requests at a time on each.
pub fn pipeline(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, depth) in [("pipeline 16", 16), ("pipeline 64", 64)] {
        let load = Load { name, connections: MANY, depth, rare: false };
        findings.extend(both(scale, system, &load)?);
    }
    Ok(findings)
}

struct Load {
    name: &'static str,
    connections: usize,
    depth: usize,
    /// Whether rare latencies are told.
    rare: bool,
}

fn both(scale: &Scale, system: &mut System, load: &Load) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (command, exchange) in [("GET", Exchange::get(SMALL)), ("SET", Exchange::set(SMALL))] {
        let exchange = exchange.pipelined(load.depth);
        let mut spent = steady(scale, system, load.connections, &exchange)?;
        let requests = (spent.took.exchanges * exchange.requests) as f64;
        let sheet = Sheet::of(format!("{}, {command}", load.name))
            .add(&REQUESTS, requests / spent.took.seconds)
            .add(&P50, spent.took.quantile(0.5))
            .add(&P99, spent.took.quantile(0.99));
        let sheet = if load.rare { sheet.add(&P999, spent.took.quantile(0.999)) } else { sheet };
        let sheet = sheet.cpu(&spent, &CPU_REQUESTS, requests / 1e6);
        findings.extend(sheet.findings);
    }
    Ok(findings)
}
