//! A client that does not read.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::idle::settled;
use super::{Scale, Sheet};
use crate::load::Load;
use crate::meter;
use crate::report::{Finding, GROWTH};
use crate::systems::System;
use crate::talk::{self, Exchange};

/// Bytes of the reply.
const UNREAD: usize = 200_000_000;

/// How much a fresh proxy grows while the reply to one client is not read; then all of it is.
pub fn unread(scale: &Scale, system: &mut System) -> io::Result<Vec<Finding>> {
    static EXCHANGE: OnceLock<Exchange> = OnceLock::new();
    let exchange = EXCHANGE.get_or_init(|| Exchange::get(UNREAD));
    if talk::length(system.redis, UNREAD)? != UNREAD as u64 {
        Exchange::set(UNREAD).once(system.redis)?;
    }
    system.restart()?;
    // What a reply that is read takes is not of interest here.
    Load::connect(system.addr, 1)?.run_times(&Exchange::get(1024 * 1024), 20)?;
    let before = settled(system)?;
    let pids = system.processes();
    let mut client = talk::open(system.addr)?;
    client.write_all(&exchange.request)?;
    let (asked, mut most) = (Instant::now(), before);
    while asked.elapsed() < scale.span.max(Duration::from_secs(1)) {
        most = most.max(meter::resident_kib(&pids)?);
        std::thread::sleep(Duration::from_millis(5));
    }
    exchange.answered(&mut client)?;
    Ok(Sheet::of("200 MB that are not read").add(&GROWTH, (most - before) / 1024.0).findings)
}
