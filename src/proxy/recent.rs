//! The requests that a worker passed on last, in one ring for all its sessions: what an old master did
//! not do can be sent to the next one, as long as nothing newer has taken its place.

use super::ledger::Mark;

/// Bytes of the ring, of which no more is touched than was ever needed.
const ROOM: usize = 256 * 1024;
/// The longest piece that is remembered.
const LONGEST: usize = 4 * 1024;

const _: () = assert!(ROOM.is_power_of_two() && LONGEST <= ROOM && LONGEST <= Mark::LONGEST);

/// One for each worker.
pub(super) struct Recent {
    ring: Box<[u8]>,
    /// Where the next piece goes: counts on and on, from the size of the ring.
    next: u64,
}

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { ring: vec![0; ROOM].into_boxed_slice(), next: ROOM as u64 }
    }

    /// Remembers this piece, unless it is too long.
    #[inline]
    pub(super) fn note(&mut self, piece: &[u8]) -> Option<Mark> {
        if piece.len() > LONGEST {
            return None;
        }
        let left = ROOM - place(self.next);
        if piece.len() > left {
            // No piece is in two parts.
            self.next += left as u64;
        }
        let at = place(self.next);
        self.ring.get_mut(at..at + piece.len())?.copy_from_slice(piece);
        let mark = Mark::new(self.next, piece.len());
        self.next += piece.len() as u64;
        mark
    }

    /// The piece with this mark, if it is still here.
    pub(super) fn get(&self, mark: Mark) -> Option<&[u8]> {
        if self.next - mark.from() > ROOM as u64 {
            return None;
        }
        let at = place(mark.from());
        self.ring.get(at..at + mark.len())
    }
}

fn place(count: u64) -> usize {
    count as usize % ROOM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_here_until_the_ring_is_full_of_newer_ones() {
        let mut recent = Recent::new();
        let pieces: Vec<Vec<u8>> =
            (0..1000).map(|n| format!("{n:0width$}", width = 1 + n * 7 % LONGEST).into()).collect();
        let mut marks: Vec<Mark> = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            marks.push(recent.note(piece).unwrap());
            let mut newer = 0;
            for (mark, piece) in marks.iter().zip(&pieces[..=n]).rev() {
                newer += piece.len();
                match recent.get(*mark) {
                    Some(found) => assert_eq!(found, piece),
                    None => assert!(newer > ROOM - LONGEST, "{newer} bytes were newer"),
                }
                assert!(newer <= ROOM || recent.get(*mark).is_none());
            }
        }
        assert_eq!(recent.get(marks[0]), None);
    }

    #[test]
    fn what_is_too_long_takes_no_room() {
        let mut recent = Recent::new();
        let mark = recent.note(b"PING").unwrap();
        (0..100).for_each(|_| assert_eq!(recent.note(&[0; LONGEST + 1]), None));
        assert_eq!(recent.get(mark), Some(&b"PING"[..]));
        assert_eq!(
            recent.note(&[1; LONGEST]).and_then(|mark| recent.get(mark)),
            Some(&[1; LONGEST][..])
        );
    }
}
