//! Clients of the read endpoint. Its proxy leads to the local Redis and nowhere else; while it cannot,
//! it hands its clients over to the proxy of the write endpoint, where they are visitors: served
//! as everybody there, and sent home a few at a time when the local Redis is back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use super::accept;
use super::desk::{Desk, Shared};

/// A proxy as another one sees it: clients can be handed over to it.
pub(super) struct Entrance(Arc<Shared>);

impl Entrance {
    pub(super) fn new(shared: Arc<Shared>) -> Entrance {
        Entrance(shared)
    }

    /// Takes a client over, to be held, served or turned away there.
    pub(super) fn take(&self, client: TcpStream) {
        // It fails only where the runtime is ending; the socket is closed then.
        if let Ok(client) = client.into_std() {
            accept::place(client, &self.0, true);
        }
    }
}

/// Asks every worker to send home one in so many of its visitors.
pub(super) fn send_home(desks: &[Desk], one_in: u32) {
    for desk in desks {
        desk.send_home.store(one_in.max(1), Ordering::SeqCst);
        desk.bell.notify_one();
    }
}

/// Keeps one in `one_in` of these, rounded up, chosen by chance.
pub(super) fn choose(mut from: Vec<u32>, one_in: u32) -> Vec<u32> {
    let count = from.len().div_ceil(one_in.max(1) as usize);
    let dice = RandomState::new();
    for at in 0..count {
        let rest = from.len() - at;
        from.swap(at, at + dice.hash_one(at) as usize % rest);
    }
    from.truncate(count);
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_chosen_and_nobody_twice() {
        for (count, one_in, chosen) in
            [(0, 5, 0), (1, 50, 1), (100, 10, 10), (101, 10, 11), (7, 1, 7)]
        {
            let mut got = choose((0..count).collect(), one_in);
            got.sort_unstable();
            got.dedup();
            assert_eq!(got.len(), chosen, "one in {one_in} of {count}");
            assert!(got.iter().all(|slot| *slot < count));
        }
        assert_eq!(choose(vec![1, 2], 0).len(), 2);
    }

    /// Whoever connected first must not always be the first to go.
    #[test]
    fn it_is_chance_that_chooses() {
        let firsts: std::collections::BTreeSet<u32> =
            (0..50).flat_map(|_| choose((0..1000).collect(), 1000)).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }
}
