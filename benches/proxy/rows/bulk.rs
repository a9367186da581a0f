//! Large values.

use std::io;

use super::{Scale, Sheet, steady};
use crate::report::{CPU_BYTES, Finding, MEGABYTES, P50, P99};
use crate::systems::System;
use crate::talk::Exchange;

/// Clients.
pub const CONNECTIONS: usize = 8;
/// The values, with how they are called.
pub const VALUES: [(&str, usize); 2] = [("64 KiB", 64 * 1024), ("1 MiB", 1024 * 1024)];

/// Some connections, one value at a time on each.
pub fn bulk(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, bytes) in VALUES {
        for (command, exchange) in [("GET", Exchange::get(bytes)), ("SET", Exchange::set(bytes))] {
            let mut spent = steady(scale, system, CONNECTIONS, &exchange)?;
            let moved = spent.took.exchanges as f64 * bytes as f64;
            let sheet = Sheet::of(format!("{name}, {command}"))
                .add(&MEGABYTES, moved / 1e6 / spent.took.seconds)
                .add(&P50, spent.took.quantile(0.5))
                .add(&P99, spent.took.quantile(0.99))
                .cpu(&spent, &CPU_BYTES, moved / 1e9);
            findings.extend(sheet.findings);
        }
    }
    Ok(findings)
}
