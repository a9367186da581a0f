//! How many clients a proxy may have, so that a Redis keeps connections for whoever looks after it:
//! hives, replicas, people.

use crate::redis::Crowd;

/// Connections of a Redis that no proxy takes, or half of all where there are fewer than twice as many.
const RESERVE: u64 = 64;

/// A Redis, as far as the room in it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Its newest figures.
    pub crowd: Option<Crowd>,
    /// So many proxies divide the room among them.
    pub among: u64,
}

/// What the limit of one proxy was made of.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The figures that were used last.
    used: Option<Crowd>,
    /// Clients of this proxy that had a connection to the Redis before newer figures came.
    attached: u64,
}

impl Room {
    /// The most clients from now on, if that is news; `Some(None)`: nothing is known.
    ///
    /// What is free is divided among the proxies at each reading, and each adds its part to what it
    /// has: after a few readings all the room is found, wherever the clients are. Only clients that
    /// storm several hives between two readings can reach into the reserve, for that moment. To be
    /// asked several times a second.
    pub fn limit(&mut self, attached: u64, share: Share) -> Option<Option<usize>> {
        // Connections opened after the reading are not in it and must not be added to it.
        let before = std::mem::replace(&mut self.attached, attached).min(attached);
        if self.used == share.crowd {
            return None;
        }
        self.used = share.crowd;
        let Some(crowd) = share.crowd else { return Some(None) };
        let max = crowd.clients.max;
        let most = max.saturating_sub(RESERVE.min(max / 2));
        let part = most.saturating_sub(crowd.clients.connected) / share.among.max(1);
        Some(Some(usize::try_from(before + part).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Id;
    use crate::redis::Clients;
    use std::time::Instant;

    fn share(connected: u64, max: u64, among: u64) -> Share {
        let crowd =
            Crowd { run_id: Id([1; 20]), clients: Clients { connected, max }, at: Instant::now() };
        Share { crowd: Some(crowd), among }
    }

    #[test]
    fn what_is_free_is_divided_and_added_to_what_one_has() {
        let mut room = Room::default();
        assert_eq!(room.limit(0, share(0, 10_000, 1)), Some(Some(9_936)));
        assert_eq!(
            room.limit(300, share(1_000, 10_000, 4)),
            Some(Some(2_234)),
            "0 were here before"
        );
        assert_eq!(room.limit(300, share(1_000, 10_000, 4)), Some(Some(300 + 2_234)));
        assert_eq!(room.limit(200, share(9_936, 10_000, 4)), Some(Some(200)), "100 have gone");
        assert_eq!(room.limit(200, share(9_999, 10_000, 4)), Some(Some(200)));
        assert_eq!(room.limit(0, share(0, 20, 0)), Some(Some(10)), "few are halved");
    }

    #[test]
    fn the_same_reading_says_nothing_new() {
        let mut room = Room::default();
        let nothing = Share { crowd: None, among: 3 };
        assert_eq!(room.limit(5, nothing), None);
        let seen = share(5, 1_000, 3);
        assert!(room.limit(5, seen).is_some());
        assert_eq!(room.limit(400, seen), None);
        assert_eq!(room.limit(400, nothing), Some(None), "another master: nothing is known of it");
    }

    /// Readings in turn, while clients storm the hives that `stormed` says.
    fn filled(hives: usize, stormed: impl Fn(usize) -> bool) -> u64 {
        const MAX: u64 = 1_000;
        let mut clients = vec![0; hives];
        let mut rooms: Vec<Room> = (0..hives).map(|_| Room::default()).collect();
        let mut last = Share { crowd: None, among: hives as u64 };
        for turn in 0..hives * 40 {
            let at = turn % hives;
            // Asked once more before the next reading, as it is several times a second.
            for (room, here) in rooms.iter_mut().zip(&clients) {
                let _ = room.limit(*here, last);
            }
            last = share(clients.iter().sum(), MAX, hives as u64);
            let limit = rooms[at].limit(clients[at], last);
            if let (true, Some(Some(limit))) = (stormed(at), limit) {
                clients[at] = limit as u64;
            }
            assert!(clients.iter().sum::<u64>() <= MAX - RESERVE, "{clients:?} in turn {turn}");
        }
        clients.iter().sum()
    }

    #[test]
    fn all_the_room_is_found_wherever_the_clients_are() {
        for (hives, full) in [(1, 936), (3, 930), (5, 925)] {
            assert!(filled(hives, |_| true) >= full);
            assert!(filled(hives, |at| at == 0) >= full);
        }
    }
}
