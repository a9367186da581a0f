//! Brings the scripts that sessions run by their SHA-1 to whoever may be the next master, long before
//! one of them is: what a change of master then has to do for a session is short, and what only
//! another hive knows is there too, because that hive has brought it.
//!
//! It is done as the user of such a session. What is refused, or fails, is left to the replay.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Worker;
use crate::proxy::desk::Successor;
use crate::proxy::ledger::Ledger;
use crate::proxy::replay;
use crate::proxy::scripts::Sha;

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
/// Scripts known to have been brought, at most.
const BROUGHT: usize = 4096;

/// What a worker knows of it.
#[derive(Default)]
pub(super) struct Supply {
    to: RefCell<Arc<Vec<Successor>>>,
    /// Sessions are to tell their scripts when they are looked at.
    asking: Cell<bool>,
    told: RefCell<Vec<Told>>,
    brought: RefCell<BTreeSet<Sha>>,
    at_work: Cell<bool>,
}

/// What sessions of one user have told.
struct Told {
    login: (Zeroizing<Vec<u8>>, u32),
    shas: BTreeSet<Sha>,
    /// How often it was tried in vain.
    tries: u8,
}

impl Supply {
    /// Hears what a session runs. Returns whether there is anything in it to be brought.
    fn hear(&self, ledger: &Ledger) -> bool {
        let brought = self.brought.borrow();
        let mut news = ledger.scripts().iter().filter(|sha| !brought.contains(*sha)).peekable();
        if self.to.borrow().is_empty() || news.peek().is_none() {
            return false;
        }
        let login = ledger.login();
        let mut told = self.told.borrow_mut();
        let user = told.iter().position(|told| told.login.0 == login.0).unwrap_or(told.len());
        if user == told.len() && user < USERS {
            told.push(Told { login, shas: BTreeSet::new(), tries: 0 });
        }
        if let Some(told) = told.get_mut(user) {
            let room = SCRIPTS.saturating_sub(told.shas.len());
            told.shas.extend(news.take(room));
        }
        true
    }

    fn has_brought(&self, shas: &[Sha]) {
        let mut brought = self.brought.borrow_mut();
        if brought.len() + shas.len() > BROUGHT {
            brought.clear();
        }
        brought.extend(shas);
    }
}

impl Worker {
    /// The session in `slot` runs these scripts.
    pub(in crate::proxy) fn runs_scripts(self: &Rc<Worker>, slot: u32, ledger: &Ledger) {
        self.relays.borrow_mut().runs_scripts(slot);
        if self.supply.hear(ledger) && !self.supply.at_work.replace(true) {
            tokio::task::spawn_local(self.clone().supply_all());
        }
    }

    /// Whether sessions are to tell their scripts, also those that have done so before.
    pub(in crate::proxy) fn asks_for_scripts(&self) -> bool {
        self.supply.asking.get()
    }

    /// Looks who may be the next master; sessions have to tell again what new ones are to be brought.
    pub(super) fn follow_successors(&self) {
        let to = self.shared.successors();
        if Arc::ptr_eq(&to, &self.supply.to.borrow()) {
            return;
        }
        self.supply.brought.borrow_mut().clear();
        let asking = !to.is_empty() && self.relays.borrow().wake_scripted();
        self.supply.asking.set(asking);
        *self.supply.to.borrow_mut() = to;
    }

    async fn supply_all(self: Rc<Worker>) {
        let mut pause = GATHER;
        loop {
            tokio::time::sleep(pause).await;
            pause = GATHER;
            self.supply.asking.set(false);
            let all = std::mem::take(&mut *self.supply.told.borrow_mut());
            if all.is_empty() {
                break;
            }
            for mut told in all {
                if !self.supply_one(&told).await && told.tries < TRIES {
                    told.tries += 1;
                    pause = AGAIN;
                    self.supply.told.borrow_mut().push(told);
                }
            }
        }
        self.supply.at_work.set(false);
    }

    /// Returns whether that need not be done again.
    async fn supply_one(&self, told: &Told) -> bool {
        let scripts = &self.shared.scripts;
        let known = told.shas.iter().filter(|sha| scripts.have(&[**sha])).copied();
        let shas: Vec<Sha> = known.collect();
        if shas.is_empty() {
            return true;
        }
        let to = self.supply.to.borrow().clone();
        let mut done = true;
        for (addr, _) in to.iter() {
            let brought = replay::supply(*addr, self, &told.login, &shas);
            let brought = matches!(tokio::time::timeout(LONGEST, brought).await, Ok(Ok(())));
            tracing::debug!(to = %addr, scripts = shas.len(), brought, "scripts for the next master");
            done &= brought;
        }
        done &= Arc::ptr_eq(&to, &self.supply.to.borrow());
        if done || told.tries == TRIES {
            self.supply.has_brought(&shas);
        }
        done
    }
}
