//! What must hold after every turn. A broken one is a bug of this core, never of a peer or a Redis:
//! the process ends, and with it its routes, which is the fence. Numbers as in docs/invariants.md.

use super::types::{Epoch, Route};
use super::{Core, Role};

impl Core {
    /// Asserts the invariants of one hive.
    pub(super) fn check(&self) {
        self.inv_epochs();
        self.inv_route();
        self.inv_roles();
    }

    /// INV-1: no epoch led, followed or granted is above the highest seen, nor above the limit.
    fn inv_epochs(&self) {
        assert!(self.bound <= self.epoch, "INV-1: bound {} above seen {}", self.bound, self.epoch);
        assert!(self.epoch <= Epoch::MAX, "INV-1: epoch {} above the limit", self.epoch);
        if let Some(leadership) = self.leadership() {
            assert!(leadership.epoch <= self.bound, "INV-1: follows above the bound");
        }
    }

    /// INV-2: an open route goes to the master of the leadership last known, in its epoch.
    fn inv_route(&self) {
        if let Route::Forward { epoch, master, run_id } | Route::Held { epoch, master, run_id } =
            &self.route
        {
            let last = self.last.as_ref();
            let known = last.is_some_and(|last| {
                last.epoch == *epoch && last.master.addr == *master && last.master.run_id == *run_id
            });
            assert!(known, "INV-2: forwards to {master} in {epoch}, last knew {last:?}");
        }
    }

    /// INV-3: a hive with a leader has no promise out, and only a candidate claims.
    /// INV-4: a leader leads under its own name.
    fn inv_roles(&self) {
        if let Role::Leading(leader) = &self.role {
            assert_eq!(leader.leadership.leader, self.set.me, "INV-4: leads for another hive");
            assert_eq!(leader.leadership.incarnation, self.set.incarnation, "INV-4");
        }
        if self.leadership().is_some() {
            assert!(self.promise.is_none(), "INV-3: has a leader and a promise");
        }
        if let Some(claim) = self.own_claim() {
            assert!(self.promise.is_none(), "INV-3: claims {} with a promise out", claim.epoch);
        }
    }
}
