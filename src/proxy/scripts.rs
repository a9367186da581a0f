//! The bodies of Lua scripts that went by, so that a session which runs them by their SHA-1 can go on
//! with a master that has never seen them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept, in bodies and what goes with them.
const MOST: usize = 1024 * 1024;
/// Bytes a script takes beside its body, about.
const BESIDE: usize = 200;

/// A script's SHA-1 as Redis writes it: 40 lower-case hex digits.
pub(super) type Sha = [u8; 40];

/// One for all threads. The least recently used go first.
#[derive(Default)]
pub(super) struct Scripts(Mutex<Store>);

#[derive(Default)]
struct Store {
    bodies: HashMap<Sha, Script>,
    /// Who was used when, oldest first.
    order: BTreeMap<u64, Sha>,
    uses: u64,
    bytes: usize,
}

struct Script {
    body: Arc<[u8]>,
    used: u64,
}

impl Scripts {
    /// Keeps the body with this SHA-1, unless it is too large to be kept beside others.
    pub(super) fn put(&self, sha: Sha, body: &[u8]) {
        if body.len() > MOST / 2 {
            return;
        }
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if store.touch(&sha) {
            return;
        }
        let used = store.next_use();
        store.bytes += body.len() + BESIDE;
        store.order.insert(used, sha);
        store.bodies.insert(sha, Script { body: body.into(), used });
        while store.bytes > MOST && store.drop_oldest() {}
    }

    /// The body with this SHA-1.
    pub(super) fn get(&self, sha: &Sha) -> Option<Arc<[u8]>> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.touch(sha);
        store.bodies.get(sha).map(|script| script.body.clone())
    }
}

impl Store {
    /// Notes that a script is in use; false if it is not here.
    fn touch(&mut self, sha: &Sha) -> bool {
        let now = self.next_use();
        let Some(script) = self.bodies.get_mut(sha) else { return false };
        self.order.remove(&std::mem::replace(&mut script.used, now));
        self.order.insert(now, *sha);
        true
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, sha)) = self.order.pop_first() else { return false };
        if let Some(script) = self.bodies.remove(&sha) {
            self.bytes -= script.body.len() + BESIDE;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(n: usize) -> Sha {
        format!("{n:040}").into_bytes().try_into().unwrap()
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_bytes_stay_within_bounds() {
        let scripts = Scripts::default();
        let body = vec![b'x'; 10_000];
        for n in 0..1_000 {
            scripts.put(sha(n), &body);
            assert!(scripts.get(&sha(0)).is_some(), "in use all the time, after {n}");
            assert!(scripts.0.lock().unwrap().bytes <= MOST);
        }
        let kept: Vec<_> = (1..1_000).filter(|n| scripts.get(&sha(*n)).is_some()).collect();
        assert_eq!(kept, (1_000 - kept.len()..1_000).collect::<Vec<_>>(), "the newest");
        assert!((95..105).contains(&kept.len()), "{}", kept.len());
        let store = scripts.0.lock().unwrap();
        assert_eq!(store.order.len(), store.bodies.len());
        assert_eq!(store.bytes, store.bodies.len() * (body.len() + BESIDE));
    }

    #[test]
    fn one_script_does_not_push_out_all_others() {
        let scripts = Scripts::default();
        scripts.put(sha(1), b"return 1");
        scripts.put(sha(1), b"return 1");
        scripts.put(sha(2), &vec![b'x'; MOST]);
        assert!(scripts.get(&sha(2)).is_none());
        assert_eq!(scripts.get(&sha(1)).as_deref(), Some(&b"return 1"[..]));
        assert_eq!(scripts.0.lock().unwrap().bytes, 8 + BESIDE);
    }
}
