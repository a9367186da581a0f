//! The texts of Lua scripts that went by, so that a session which runs them by their SHA-1 can go on
//! with a master that has never seen them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha1_smol::Sha1;

/// Bytes kept, in texts and what goes with them.
const MOST: usize = 1024 * 1024;
/// Longest text kept: none pushes out all others.
const LONGEST: usize = MOST / 4;
/// Bytes a script takes beside its text, about.
const BESIDE: usize = 250;
/// Texts looked out for at most.
const WANTED: usize = 1024;

/// A script's SHA-1 as Redis writes it: 40 lower-case hex digits.
pub(super) type Sha = [u8; 40];

/// One for all threads. The least recently used go first.
#[derive(Default)]
pub(super) struct Scripts {
    /// Most texts have been seen before: they are known by this, which costs a fifth of SHA-1. With
    /// keys of its own, so that nobody can make two texts look the same.
    hasher: RandomState,
    store: Mutex<Store>,
    /// How many texts came that had been looked out for.
    learned: AtomicU32,
}

#[derive(Default)]
struct Store {
    scripts: HashMap<u64, Script>,
    by_sha: HashMap<Sha, u64>,
    /// Those that were asked for in vain.
    wanted: BTreeSet<Sha>,
    /// Who was used when, oldest first.
    order: BTreeMap<u64, u64>,
    uses: u64,
    bytes: usize,
}

struct Script {
    text: Arc<[u8]>,
    sha: Sha,
    used: u64,
}

impl Scripts {
    /// Keeps this text, as it was sent to a master.
    pub(super) fn offer(&self, text: &[u8]) {
        if text.len() > LONGEST {
            return;
        }
        let key = self.hasher.hash_one(text);
        if self.store().touch(key) {
            return;
        }
        // Not under the lock, which every thread may want.
        let sha = sha(text);
        let mut store = self.store();
        store.put(key, sha, text.into());
        if store.wanted.remove(&sha) {
            self.learned.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The text with this SHA-1.
    pub(super) fn get(&self, sha: &Sha) -> Option<Arc<[u8]>> {
        let mut store = self.store();
        let key = store.by_sha.get(sha).copied()?;
        store.touch(key);
        store.scripts.get(&key).map(|script| script.text.clone())
    }

    /// Whether all of these are here.
    pub(super) fn have(&self, shas: &[Sha]) -> bool {
        if shas.is_empty() {
            return true;
        }
        let store = self.store();
        shas.iter().all(|sha| store.by_sha.contains_key(sha))
    }

    /// Those of these that are here. The others are looked out for.
    pub(super) fn known_of<'a>(&self, shas: impl IntoIterator<Item = &'a Sha>) -> Vec<Sha> {
        let mut store = self.store();
        let (known, wanted): (Vec<Sha>, Vec<Sha>) =
            shas.into_iter().copied().partition(|sha| store.by_sha.contains_key(sha));
        for sha in wanted {
            if store.wanted.len() >= WANTED {
                store.wanted.pop_first();
            }
            store.wanted.insert(sha);
        }
        known
    }

    /// Another number than before if a text has come that [`Scripts::known_of`] was asked for in vain.
    pub(super) fn learned(&self) -> u32 {
        self.learned.load(Ordering::Relaxed)
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Notes that a script is in use; false if it is not here.
    fn touch(&mut self, key: u64) -> bool {
        self.uses += 1;
        let Some(script) = self.scripts.get_mut(&key) else { return false };
        self.order.remove(&std::mem::replace(&mut script.used, self.uses));
        self.order.insert(self.uses, key);
        true
    }

    fn put(&mut self, key: u64, sha: Sha, text: Arc<[u8]>) {
        self.uses += 1;
        let used = self.uses;
        self.bytes += text.len() + BESIDE;
        self.order.insert(used, key);
        self.by_sha.insert(sha, key);
        // Another thread may have put it meanwhile.
        if let Some(old) = self.scripts.insert(key, Script { text, sha, used }) {
            self.order.remove(&old.used);
            self.bytes -= old.text.len() + BESIDE;
        }
        while self.bytes > MOST && self.drop_oldest() {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_first() else { return false };
        if let Some(script) = self.scripts.remove(&key) {
            self.by_sha.remove(&script.sha);
            self.bytes -= script.text.len() + BESIDE;
        }
        true
    }
}

fn sha(text: &[u8]) -> Sha {
    let mut hex = [b'0'; 40];
    let digest = Sha1::from(text).digest().bytes();
    for (two, byte) in hex.chunks_exact_mut(2).zip(digest) {
        for (digit, half) in two.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if half < 10 { b'0' + half } else { b'a' + half - 10 };
        }
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `SCRIPT LOAD "return 1"` answers.
    const RETURN_1: &Sha = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

    #[test]
    fn a_text_is_found_by_the_sha_that_redis_gives_it() {
        let scripts = Scripts::default();
        assert!(scripts.get(RETURN_1).is_none());
        scripts.offer(b"return 1");
        assert_eq!(scripts.get(RETURN_1).as_deref(), Some(&b"return 1"[..]));
        assert!(scripts.have(&[*RETURN_1]) && !scripts.have(&[*RETURN_1, [b'0'; 40]]));
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_bytes_stay_within_bounds() {
        let text = |n: usize| format!("{n:010000}").into_bytes();
        let scripts = Scripts::default();
        for n in 0..1_000 {
            scripts.offer(&text(n));
            assert!(scripts.get(&sha(&text(0))).is_some(), "in use all the time, after {n}");
            assert!(scripts.store().bytes <= MOST);
        }
        let kept: Vec<_> = (1..1_000).filter(|n| scripts.get(&sha(&text(*n))).is_some()).collect();
        assert_eq!(kept, (1_000 - kept.len()..1_000).collect::<Vec<_>>(), "the newest");
        assert!((95..105).contains(&kept.len()), "{}", kept.len());
        let store = scripts.store();
        assert_eq!(store.order.len(), store.scripts.len());
        assert_eq!(store.by_sha.len(), store.scripts.len());
        assert_eq!(store.bytes, store.scripts.len() * (10_000 + BESIDE));
    }

    #[test]
    fn who_asks_for_a_text_that_is_not_here_learns_when_it_is() {
        let scripts = Scripts::default();
        scripts.offer(b"return 2");
        assert_eq!(scripts.learned(), 0, "nobody has asked");
        assert!(scripts.known_of([RETURN_1]).is_empty());
        scripts.offer(b"return 1");
        assert_eq!(scripts.learned(), 1);
        assert_eq!(scripts.known_of([RETURN_1, &[b'0'; 40]]), [*RETURN_1]);
        for n in 0..2 * WANTED {
            scripts.known_of([&sha(&n.to_be_bytes())]);
        }
        assert_eq!(scripts.store().wanted.len(), WANTED);
    }

    #[test]
    fn the_same_again_takes_no_room_and_a_huge_one_is_not_kept() {
        let scripts = Scripts::default();
        (0..10).for_each(|_| scripts.offer(b"return 1"));
        let huge = vec![b'x'; LONGEST + 1];
        scripts.offer(&huge);
        assert!(scripts.get(&sha(&huge)).is_none());
        assert_eq!(scripts.store().bytes, 8 + BESIDE);
    }
}
