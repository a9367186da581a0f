//! What the links count, and how often they complain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::election::NodeId;

/// How often one address is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Addresses remembered as complained about; nobody fills the memory or the log with more.
const MAX_COMPLAINTS: usize = 256;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Totals since the start, and the number of live links.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct PeerCounts {
            /// Live links now.
            pub links: usize,
            $($(#[$doc])* pub $name: u64),*
        }

        #[derive(Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter),*
        }

        impl Counters {
            pub(super) fn snapshot(&self, links: usize) -> PeerCounts {
                PeerCounts { links, $($name: self.$name.get()),* }
            }
        }
    };
}

counters!(
    /// Connections accepted.
    accepted,
    /// Connections tried.
    dialled,
    /// Hellos exchanged with a hive of this name and version.
    greeted,
    /// Frames received and passed on.
    frames_in,
    /// Frames written.
    frames_out,
    /// Bytes received after the hello.
    bytes_in,
    /// Bytes written after the hello.
    bytes_out,
    /// Frames for a hive without a link.
    unsent,
    /// Frames of a newer minor version that were skipped.
    skipped,
    /// Connections closed because the other side has another name or major version.
    foreign,
    /// Connections closed because of bytes that are no frame, or no frame of the one who sent it.
    malformed,
    /// Connections closed because the other side has a secret and this one has none.
    has_secret,
    /// Connections closed because this side has a secret and the other one has none.
    no_secret,
    /// Connections closed because the other side has another secret, or name.
    wrong_secret,
    /// Connections closed because of a sealed record that was not made for them: changed, replayed,
    /// or out of order.
    forged,
    /// Sealed links that ended without the record that says so: a peer died, or somebody cut them.
    truncated,
    /// Links made anew because another secret is used now; counted by the dialler.
    renewed,
    /// Links closed because their secret was taken out.
    old_secret,
    /// Connections closed because the hello did not come in time.
    mute,
    /// Connections closed because there were too many.
    turned_away,
    /// Second connections between two hives.
    duplicates,
    /// Links closed because their queue was full.
    overflowed,
    /// Links closed because nothing was said on them for too long.
    idle,
);

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Warns about an address once, then at most once a minute.
#[derive(Default)]
pub(super) struct Complaints(Mutex<BTreeMap<NodeId, Last>>);

/// The last complaint about an address, and how many were left out since.
struct Last {
    at: Instant,
    untold: u64,
}

impl Complaints {
    /// One line about `who`, an address dialled or (port 0) one that connections come from.
    pub(super) fn about(&self, who: NodeId, what: fmt::Arguments<'_>) {
        let Some(untold) = self.due(who, Instant::now()) else { return };
        let what = what.to_string();
        if who.port == 0 {
            tracing::warn!(from = %who.ip, what, untold, "trouble on the peer port");
        } else {
            tracing::warn!(peer = %who, what, untold, "trouble with a peer");
        }
    }

    /// Whether a line is due; then with the number of those that were left out before it.
    fn due(&self, who: NodeId, now: Instant) -> Option<u64> {
        let mut lasts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |last: &Last| now.duration_since(last.at) < COMPLAIN_EVERY;
        if let Some(last) = lasts.get_mut(&who).filter(|last| recent(last)) {
            last.untold += 1;
            return None;
        }
        if lasts.len() >= MAX_COMPLAINTS {
            lasts.retain(|_, last| recent(last));
        }
        if lasts.len() >= MAX_COMPLAINTS && !lasts.contains_key(&who) {
            return None;
        }
        let before = lasts.insert(who, Last { at: now, untold: 0 });
        Some(before.map_or(0, |last| last.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u32) -> NodeId {
        NodeId::new(Ipv4Addr::from_bits(n).into(), 0)
    }

    #[test]
    fn complains_once_a_minute_about_each_address() {
        let complaints = Complaints::default();
        let start = Instant::now();
        assert_eq!(complaints.due(address(1), start), Some(0));
        assert_eq!(complaints.due(address(2), start), Some(0));
        assert_eq!(complaints.due(address(1), start + Duration::from_secs(58)), None);
        assert_eq!(complaints.due(address(1), start + Duration::from_secs(59)), None);
        assert_eq!(complaints.due(address(1), start + Duration::from_secs(60)), Some(2));
    }

    #[test]
    fn a_flood_of_addresses_fills_neither_memory_nor_log() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let lines = (0..10_000).filter(|n| complaints.due(address(*n), start).is_some()).count();
        assert_eq!(lines, MAX_COMPLAINTS);
        let later = complaints.due(address(10_001), start + COMPLAIN_EVERY);
        assert_eq!(later, Some(0), "room after a minute");
    }
}
