//! Clients of the read endpoint. Its proxy leads to the local Redis and nowhere else; while it cannot,
//! it hands its clients over to the proxy of the write endpoint, where they are visitors: served
//! as everybody there, and sent home a few at a time when the local Redis is back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

use super::accept;
use super::desk::{Desk, Shared};

/// A proxy as another one sees it: clients can be handed over to it.
pub(super) struct Entrance(Arc<Shared>);

impl Entrance {
    pub(super) fn new(shared: Arc<Shared>) -> Entrance {
        Entrance(shared)
    }

    /// How many clients there are on both sides.
    pub(super) fn seats(&self) -> Arc<AtomicUsize> {
        self.0.seats.clone()
    }

    /// Takes a client over, to be held, served or turned away there.
    pub(super) fn take(&self, client: TcpStream) {
        // It fails only where the runtime is ending; the socket is closed then.
        if let Ok(client) = client.into_std() {
            accept::place(client, &self.0, true);
        }
    }
}

/// Asks every worker to send home one in so many of its visitors, on average.
pub(super) fn send_home(desks: &[Desk], one_in: u32) {
    for desk in desks {
        desk.send_home.store(one_in.max(1), Ordering::SeqCst);
        desk.bell.notify_one();
    }
}

/// Whether this one is among the one in so many: asked of each in turns that count down to one, it
/// sends everybody at a moment of his own.
pub(super) fn is_chosen(dice: &RandomState, slot: u32, one_in: u32) -> bool {
    dice.hash_one(slot).is_multiple_of(u64::from(one_in.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_that_count_down_send_everybody_at_a_moment_of_his_own() {
        let mut here: Vec<u32> = (0..1000).collect();
        for one_in in (1..=50).rev() {
            let dice = RandomState::new();
            let before = here.len();
            here.retain(|slot| !is_chosen(&dice, *slot, one_in));
            // Twenty on average; a hundred would be eighteen times the usual deviation.
            assert!(before - here.len() < 100, "{} at once", before - here.len());
        }
        assert!(here.is_empty());
        assert!(is_chosen(&RandomState::new(), 7, 0));
    }

    /// Whoever connected first must not always be the first to go.
    #[test]
    fn it_is_chance_that_chooses() {
        let often = (0..200).filter(|_| is_chosen(&RandomState::new(), 0, 2)).count();
        assert!((20..180).contains(&often), "{often} of 200");
    }
}
