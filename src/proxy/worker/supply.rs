//! Brings the scripts that sessions run by their SHA-1 to whoever may be the next master, long before
//! one of them is: what a change of master then has to do for a session is short, and what only
//! another hive knows is there too, because that hive has brought it.
//!
//! It is done as the user of such a session. What is refused, or fails, is left to the replay.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Worker;
use crate::proxy::desk::Successor;
use crate::proxy::ledger::Ledger;
use crate::proxy::replay;
use crate::proxy::scripts::{Scripts, Sha};

/// Sessions that tell something within this are heard together.
const GATHER: Duration = Duration::from_millis(20);
/// Longest time that one server may take.
const LONGEST: Duration = Duration::from_secs(1);
/// Between two tries, and how often it is tried again: a replica whose link is down may refuse it.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u8 = 4;
/// Users heard together, and scripts of each, at most.
const USERS: usize = 8;
const SCRIPTS: usize = 1024;
/// Scripts known to have been brought, and those that users failed to bring, at most.
const REMEMBERED: usize = 4096;

/// What a worker knows of it.
#[derive(Default)]
pub(super) struct Supply {
    to: RefCell<Arc<Vec<Successor>>>,
    /// How often sessions were asked to tell again.
    asked: Cell<u32>,
    told: RefCell<Vec<Told>>,
    /// There was no room for something that was told.
    missed: Cell<bool>,
    /// What all successors have.
    brought: RefCell<BTreeSet<Sha>>,
    /// What users could not bring.
    failed: RefCell<BTreeSet<(User, Sha)>>,
    hasher: RandomState,
    at_work: Cell<bool>,
}

/// A hash of a login.
type User = u64;

/// What sessions of one user have told.
struct Told {
    login: (Zeroizing<Vec<u8>>, u32),
    user: User,
    shas: BTreeSet<Sha>,
    /// How often it was tried in vain.
    tries: u8,
}

impl Supply {
    /// Hears what a session runs. Returns whether there is anything in it to be brought.
    fn hear(&self, ledger: &Ledger, texts: &Scripts) -> bool {
        if self.to.borrow().is_empty() {
            return false;
        }
        let brought = self.brought.borrow();
        let news = ledger.scripts().iter().filter(|sha| !brought.contains(*sha));
        let mut news = texts.known_of(news);
        if news.is_empty() {
            return false;
        }
        let login = ledger.login();
        let user = self.hasher.hash_one(&login.0[..]);
        let failed = self.failed.borrow();
        news.retain(|sha| !failed.contains(&(user, *sha)));
        let any = !news.is_empty();
        if any {
            self.note(login, user, news);
        }
        any
    }

    fn note(&self, login: (Zeroizing<Vec<u8>>, u32), user: User, news: Vec<Sha>) {
        let mut all = self.told.borrow_mut();
        let place = all.iter().position(|told| told.user == user).unwrap_or(all.len());
        if place == all.len() && place < USERS {
            all.push(Told { login, user, shas: BTreeSet::new(), tries: 0 });
        }
        let Some(told) = all.get_mut(place) else { return self.missed.set(true) };
        for sha in news {
            if told.shas.len() < SCRIPTS {
                told.shas.insert(sha);
            } else {
                self.missed.set(true);
            }
        }
    }

    /// These are the next ones; what is known of others is forgotten, and sessions tell it again.
    fn follow(&self, to: Arc<Vec<Successor>>) {
        self.brought.borrow_mut().clear();
        self.failed.borrow_mut().clear();
        self.told.borrow_mut().clear();
        *self.to.borrow_mut() = to;
    }

    /// All that a user has told was brought, or not. Returns whether it is to be tried again.
    fn is_again(&self, mut told: Told, done: bool) -> bool {
        let Told { user, ref shas, tries, .. } = told;
        if done {
            remember(&self.brought, shas.iter().copied());
        } else if tries == TRIES {
            remember(&self.failed, shas.iter().map(|sha| (user, *sha)));
        } else {
            told.tries += 1;
            self.told.borrow_mut().push(told);
            return true;
        }
        false
    }
}

/// Adds a few to what is remembered, and forgets all else if that is too much.
fn remember<T: Ord>(known: &RefCell<BTreeSet<T>>, more: impl ExactSizeIterator<Item = T>) {
    let mut known = known.borrow_mut();
    if known.len() + more.len() > REMEMBERED {
        known.clear();
    }
    known.extend(more);
}

impl Worker {
    /// The session in `slot` runs these scripts.
    pub(in crate::proxy) fn runs_scripts(self: &Rc<Worker>, slot: u32, ledger: &Ledger) {
        let round = self.scripts_round();
        self.relays.borrow_mut().runs_scripts(slot, round);
        if self.supply.hear(ledger, &self.shared.scripts) && !self.supply.at_work.replace(true) {
            tokio::task::spawn_local(self.clone().supply_all());
        }
    }

    /// Whether the session in `slot` is to tell its scripts, once, although it has done so before.
    pub(in crate::proxy) fn asks_for_scripts(&self, slot: u32) -> bool {
        self.relays.borrow().told_scripts(slot) != Some(self.scripts_round())
    }

    /// Another number whenever sessions have to tell again: for others, or of a text that is new here.
    fn scripts_round(&self) -> u32 {
        self.supply.asked.get().wrapping_add(self.shared.scripts.learned())
    }

    /// Looks who may be the next master; sessions have to tell again what new ones are to be brought.
    pub(super) fn follow_successors(&self) {
        let to = self.shared.successors();
        if !Arc::ptr_eq(&to, &self.supply.to.borrow()) {
            self.supply.follow(to);
            self.ask_for_scripts();
        }
    }

    fn ask_for_scripts(&self) {
        self.supply.asked.set(self.supply.asked.get().wrapping_add(1));
        self.relays.borrow_mut().begin_asking();
    }

    async fn supply_all(self: Rc<Worker>) {
        let mut pause = GATHER;
        loop {
            tokio::time::sleep(pause).await;
            pause = GATHER;
            let all = std::mem::take(&mut *self.supply.told.borrow_mut());
            if all.is_empty() {
                break;
            }
            for told in all {
                if self.supply_one(told).await {
                    pause = AGAIN;
                }
            }
        }
        self.supply.at_work.set(false);
        if self.supply.missed.take() {
            self.ask_for_scripts();
            self.desk().bell.notify_one();
        }
    }

    /// Returns whether that is to be tried again.
    async fn supply_one(&self, mut told: Told) -> bool {
        let known = self.shared.scripts.known_of(&told.shas);
        told.shas.retain(|sha| known.contains(sha));
        let to = self.supply.to.borrow().clone();
        let mut done = true;
        for (addr, _) in to.iter() {
            let brought = replay::supply(*addr, self, &told.login, &known);
            let brought = matches!(tokio::time::timeout(LONGEST, brought).await, Ok(Ok(())));
            tracing::debug!(to = %addr, scripts = known.len(), brought, "scripts for the next master");
            done &= brought;
        }
        // If others are to have it sessions tell it again.
        Arc::ptr_eq(&to, &self.supply.to.borrow()) && self.supply.is_again(told, done)
    }
}
