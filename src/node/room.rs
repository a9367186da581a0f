//! How many clients a proxy may have, so that a Redis keeps connections for whoever looks after it:
//! hives, replicas, people.

use std::collections::VecDeque;
use std::time::Instant;

use crate::redis::Crowd;

/// Connections of a Redis that no proxy takes, or half of all where there are fewer than twice as many.
const RESERVE: u64 = 64;
/// Counts that are remembered: at several a second they reach back further than an answer may take.
const COUNTS: usize = 32;

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
    /// Clients of this proxy that had a connection to the Redis, and when that was counted, oldest
    /// first. The first one is from before the figures that were used last.
    counts: VecDeque<(Instant, u64)>,
}

impl Room {
    /// The most clients from now on, if that is news; `Some(None)`: nothing is known.
    ///
    /// What is free is divided among the proxies at each reading, and each adds its part to what it
    /// had when the reading was asked for: after a few readings all the room is found, wherever the
    /// clients are. Only clients that storm several hives between two readings can reach into the
    /// reserve, for that moment. To be asked several times a second.
    pub fn limit(&mut self, now: Instant, attached: u64, share: Share) -> Option<Option<usize>> {
        if self.counts.len() == COUNTS {
            self.counts.pop_front();
        }
        self.counts.push_back((now, attached));
        if self.used == share.crowd {
            return None;
        }
        self.used = share.crowd;
        let Some(crowd) = share.crowd else { return Some(None) };
        // Connections opened after Redis counted them are not in the reading and must not be added
        // to it; nobody knows when it did, but it was not before it was asked.
        while self.counts.get(1).is_some_and(|(at, _)| *at <= crowd.asked) {
            self.counts.pop_front();
        }
        let before = self.counts.front().filter(|(at, _)| *at <= crowd.asked);
        let before = before.map_or(0, |(_, count)| *count).min(attached);
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
    use std::time::Duration;

    /// A reading asked for this many milliseconds after the start.
    fn share(start: Instant, asked: u64, connected: u64, max: u64, among: u64) -> Share {
        let crowd = Crowd {
            run_id: Id([1; 20]),
            clients: Clients { connected, max },
            asked: start + Duration::from_millis(asked),
        };
        Share { crowd: Some(crowd), among }
    }

    #[test]
    fn what_is_free_is_divided_and_added_to_what_one_has() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let share = |asked, connected, max, among| share(start, asked, connected, max, among);
        let mut room = Room::default();
        assert_eq!(room.limit(at(0), 0, share(0, 0, 10_000, 1)), Some(Some(9_936)));
        let read = share(50, 1_000, 10_000, 4);
        assert_eq!(room.limit(at(100), 300, read), Some(Some(2_234)), "0 were here before");
        let read = share(150, 1_000, 10_000, 4);
        assert_eq!(room.limit(at(200), 300, read), Some(Some(300 + 2_234)));
        let read = share(250, 9_936, 10_000, 4);
        assert_eq!(room.limit(at(300), 200, read), Some(Some(200)), "100 have gone");
        let read = share(350, 9_999, 10_000, 4);
        assert_eq!(room.limit(at(400), 200, read), Some(Some(200)));
        let read = share(450, 0, 20, 0);
        assert_eq!(room.limit(at(500), 0, read), Some(Some(10)), "few are halved");
    }

    #[test]
    fn who_came_while_a_reading_was_on_its_way_is_not_added_to_it() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let first = share(start, 10, 0, 1_000, 1);
        let mut room = Room::default();
        assert_eq!(room.limit(at(0), 0, first), Some(Some(936)));
        assert_eq!(room.limit(at(100), 100, first), None);
        // Asked now, it finds 150; more come before it is heard of.
        assert_eq!(room.limit(at(300), 400, first), None);
        assert_eq!(room.limit(at(400), 500, first), None);
        let late = share(start, 200, 150, 1_000, 1);
        assert_eq!(room.limit(at(500), 600, late), Some(Some(100 + 786)));
        for turn in 0..100 {
            assert_eq!(room.limit(at(600 + turn), 600, late), None);
        }
        assert_eq!(room.counts.len(), COUNTS, "bounded while nothing is read");
        let read = share(start, 590, 600, 1_000, 1);
        assert_eq!(room.limit(at(800), 600, read), Some(Some(336)), "asked too long ago");
    }

    #[test]
    fn the_same_reading_says_nothing_new() {
        let now = Instant::now();
        let mut room = Room::default();
        let nothing = Share { crowd: None, among: 3 };
        assert_eq!(room.limit(now, 5, nothing), None);
        let seen = share(now, 0, 5, 1_000, 3);
        assert!(room.limit(now, 5, seen).is_some());
        assert_eq!(room.limit(now, 400, seen), None);
        let other = room.limit(now, 400, nothing);
        assert_eq!(other, Some(None), "another master: nothing is known of it");
    }

    /// Readings in turn, while clients storm the hives that `stormed` says.
    fn filled(hives: usize, stormed: impl Fn(usize) -> bool) -> u64 {
        const MAX: u64 = 1_000;
        let start = Instant::now();
        let mut clients = vec![0; hives];
        let mut rooms: Vec<Room> = (0..hives).map(|_| Room::default()).collect();
        let mut last = Share { crowd: None, among: hives as u64 };
        for turn in 0..hives * 40 {
            let at = turn % hives;
            let millis = turn as u64 * 100;
            let now = start + Duration::from_millis(millis);
            // Asked once more before the next reading, as it is several times a second.
            for (room, here) in rooms.iter_mut().zip(&clients) {
                let _ = room.limit(now, *here, last);
            }
            last = share(start, millis, clients.iter().sum(), MAX, hives as u64);
            let limit = rooms[at].limit(now, clients[at], last);
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
