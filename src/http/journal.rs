//! The last transitions: what changed, why, who agreed to it, and what it cost.
//!
//! The driver writes, requests read. Nobody waits for a reader: who wants to follow looks for what is
//! newer than what it has seen.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// So many transitions are kept.
const KEPT: usize = 256;

/// Something that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Its number in this run of the hive; the first is 1.
    #[serde(default)]
    pub seq: u64,
    /// When, as [`super::status::timestamp`] writes it.
    pub at: String,
    /// The epoch it led to.
    pub epoch: u64,
    /// The master before.
    pub from: Option<SocketAddr>,
    /// The master after.
    pub to: Option<SocketAddr>,
    /// What happened, one word: `failover` and `switchover` have another master, `leads` and
    /// `follows` are other changes of the leadership; `resigned`, `paused`, `resumed`.
    pub kind: String,
    /// What is now, or why a leader resigned, in words.
    pub reason: String,
    /// Milliseconds from losing the leader to the next one, where that means something.
    pub took_ms: Option<u64>,
    /// Who leads after it.
    #[serde(default)]
    pub leader: Option<IpAddr>,
    /// What ended the leadership before, in one word; empty where nothing did.
    #[serde(default)]
    pub cause: String,
    /// The same in words.
    #[serde(default)]
    pub why: String,
    /// How long clients of this hive were held for it, in microseconds.
    #[serde(default)]
    pub held_us: Option<u64>,
    /// The bytes that the old master had stated, as far as this hive heard, and the new one does not
    /// have; `None` while unknown, or where the master stayed.
    #[serde(default)]
    pub bytes_given_up: Option<u64>,
    /// What it was made of, as this hive saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// The copies this hive chose between. Not in `/status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// The answers to claims that this hive got or gave. Not in `/status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
}

/// A part of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// One of [`super::figures::PHASE_NAMES`].
    pub name: String,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// What a hive brought into an election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Whose copy.
    pub node: IpAddr,
    /// `blank`, `coming` or `complete`; `None`: it has no Redis, or one that never answered.
    pub state: Option<String>,
    /// How far it is, in bytes of its stream.
    pub offset: u64,
    /// Its keys.
    pub keys: u64,
    /// `--priority`
    pub priority: u32,
}

/// An answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who answered.
    pub by: IpAddr,
    /// Who claimed.
    pub to: IpAddr,
    /// The epoch claimed.
    pub epoch: u64,
    /// Consented.
    pub granted: bool,
    /// Why not; empty where it was granted.
    pub why: String,
}

impl Transition {
    /// Without what only `/transitions` and whole `/events` tell.
    pub(super) fn brief(&self) -> Transition {
        // Field by field: offers and votes are the bulk of it, and are not copied to be dropped.
        let Transition { seq, epoch, from, to, took_ms, leader, held_us, bytes_given_up, .. } =
            *self;
        Transition {
            seq,
            epoch,
            from,
            to,
            took_ms,
            leader,
            held_us,
            bytes_given_up,
            at: self.at.clone(),
            kind: self.kind.clone(),
            reason: self.reason.clone(),
            cause: self.cause.clone(),
            why: self.why.clone(),
            phases: self.phases.clone(),
            offers: Vec::new(),
            votes: Vec::new(),
        }
    }
}

/// The journal of one run of a hive. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

/// Changes are missing that a reader has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind;

#[derive(Debug)]
struct Inner {
    run: String,
    book: Mutex<Book>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    /// By their numbers, oldest first; each with the number of its newest change.
    pages: VecDeque<(u64, Arc<Transition>)>,
    seq: u64,
    /// Every entry and every amendment is a change.
    changes: u64,
    /// The newest change of what is no longer kept.
    forgotten: u64,
}

impl Journal {
    /// An empty one, of this run of a hive.
    pub fn new(run: String) -> Journal {
        let (newest, _) = watch::channel(0);
        Journal(Arc::new(Inner { run, book: Mutex::default(), newest }))
    }

    /// Adds an entry, whose number it returns; `seq` is set here.
    pub fn push(&self, transition: Transition) -> u64 {
        let mut book = self.book();
        book.seq += 1;
        book.changes += 1;
        if book.pages.len() >= KEPT
            && let Some((change, _)) = book.pages.pop_front()
        {
            book.forgotten = book.forgotten.max(change);
        }
        let (change, seq) = (book.changes, book.seq);
        book.pages.push_back((change, Arc::new(Transition { seq, ..transition })));
        drop(book);
        self.0.newest.send_replace(change);
        seq
    }

    /// Completes an entry, if it is still kept.
    pub fn amend(&self, seq: u64, complete: impl FnOnce(&mut Transition)) {
        let mut book = self.book();
        let next = book.changes + 1;
        let Some((change, page)) = book.pages.iter_mut().find(|(_, page)| page.seq == seq) else {
            return;
        };
        complete(Arc::make_mut(page));
        *change = next;
        book.changes = next;
        drop(book);
        self.0.newest.send_replace(next);
    }

    /// All that are kept with a number above this one, newest last.
    pub fn after(&self, seq: u64) -> Vec<Arc<Transition>> {
        let book = self.book();
        let pages = book.pages.iter().map(|(_, page)| page);
        pages.filter(|page| page.seq > seq).cloned().collect()
    }

    /// The last ones, newest last, without their offers and votes.
    pub fn last(&self, count: usize) -> Vec<Transition> {
        let book = self.book();
        let skipped = book.pages.len().saturating_sub(count);
        book.pages.iter().skip(skipped).map(|(_, page)| page.brief()).collect()
    }

    /// The oldest change after this one, if there is any, and what has become of the entry.
    ///
    /// # Errors
    ///
    /// [`Behind`], where some that came after it are no longer kept.
    pub(super) fn next(&self, after: u64) -> Result<Option<(u64, Arc<Transition>)>, Behind> {
        let book = self.book();
        if after < book.forgotten {
            return Err(Behind);
        }
        let newer = book.pages.iter().filter(|(change, _)| *change > after);
        Ok(newer.min_by_key(|(change, _)| *change).cloned())
    }

    /// The change before the oldest that is kept.
    pub(super) fn forgotten(&self) -> u64 {
        self.book().forgotten
    }

    /// Which run of the hive this is the journal of.
    pub(super) fn run(&self) -> &str {
        &self.0.run
    }

    /// The number of the newest change, and a wait for the next one.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u64) -> Transition {
        Transition { epoch, ..Transition::default() }
    }

    #[test]
    fn the_newest_are_kept_and_numbered() {
        let journal = Journal::new("run".to_owned());
        (1..=300).for_each(|epoch| assert_eq!(journal.push(entry(epoch)), epoch));
        let all = journal.after(0);
        assert_eq!(all.len(), KEPT);
        assert!(all.iter().all(|page| page.seq == page.epoch));
        assert_eq!(all.first().map(|page| page.seq), Some(45));
        assert_eq!(journal.after(298).len(), 2);
        assert_eq!(journal.last(32).first().map(|page| page.seq), Some(269));
    }

    /// The entries that changed after this change, by `seq`.
    fn news(journal: &Journal, mut after: u64) -> Result<Vec<u64>, Behind> {
        let mut news = Vec::new();
        while let Some((change, page)) = journal.next(after)? {
            after = change;
            news.push(page.seq);
        }
        Ok(news)
    }

    #[test]
    fn an_amended_entry_is_news_again_and_keeps_its_place() {
        let journal = Journal::new("run".to_owned());
        let first = journal.push(entry(1));
        journal.push(entry(2));
        assert_eq!(news(&journal, 0), Ok(vec![1, 2]));
        journal.amend(first, |page| page.bytes_given_up = Some(7));
        assert_eq!(news(&journal, 2), Ok(vec![1]));
        assert_eq!(news(&journal, 0), Ok(vec![2, 1]));
        assert_eq!(journal.last(9)[0].bytes_given_up, Some(7));
        journal.amend(99, |_| unreachable!("there is none"));
    }

    #[test]
    fn who_is_too_far_behind_learns_that() {
        let journal = Journal::new("run".to_owned());
        (0..KEPT as u64).for_each(|epoch| _ = journal.push(entry(epoch)));
        assert_eq!(news(&journal, 0).map(|news| news.len()), Ok(KEPT));
        journal.push(entry(999));
        assert_eq!(news(&journal, 0), Err(Behind));
        assert_eq!(news(&journal, journal.forgotten()).map(|news| news.len()), Ok(KEPT));
    }

    #[test]
    fn a_brief_entry_lacks_offers_and_votes_alone() {
        let offer = Offer {
            node: IpAddr::from([10, 0, 0, 1]),
            state: None,
            offset: 1,
            keys: 1,
            priority: 100,
        };
        let phase = Phase { name: "ask".to_owned(), us: 1 };
        let plain = Transition {
            seq: 1,
            at: "now".to_owned(),
            epoch: 2,
            from: "10.0.0.1:6379".parse().ok(),
            to: "10.0.0.2:6379".parse().ok(),
            kind: "failover".to_owned(),
            reason: "so".to_owned(),
            took_ms: Some(3),
            leader: Some(IpAddr::from([10, 0, 0, 2])),
            cause: "redis_lost".to_owned(),
            why: "it is gone".to_owned(),
            held_us: Some(4),
            bytes_given_up: Some(5),
            phases: vec![phase],
            offers: Vec::new(),
            votes: Vec::new(),
        };
        assert_eq!(Transition { offers: vec![offer], ..plain.clone() }.brief(), plain);
    }
}
