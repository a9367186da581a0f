//! How many bytes are given up when the master changes: what the old one had stated, as far as this
//! hive heard, and the new one does not have.

use crate::election::{Input, Master, Passport, RedisRole, RedisView, View, given_up};

/// What the present master has stated, and a loss that is still to be estimated.
#[derive(Default)]
pub(super) struct Loss {
    master: Option<Master>,
    stated: Option<Passport>,
    /// An entry of the journal, and what the master before had stated.
    owed: Option<(u64, Passport)>,
}

/// An estimate: the number of the entry it belongs to, and the bytes.
pub(super) type Estimate = (u64, u64);

impl Loss {
    /// Reads what an input says of the present master.
    pub fn saw(&mut self, input: &Input) -> Option<Estimate> {
        match input {
            Input::Redis(RedisView::Up(passport))
            | Input::Watched { view: RedisView::Up(passport), .. }
            | Input::Done { outcome: Ok(passport), .. } => self.read(passport),
            Input::Frame(frame) => self.read(&frame.state()?.copy?.passport),
            _ => None,
        }
    }

    /// From now on this is the master; the entry of that number tells of it.
    pub fn changed(&mut self, seq: u64, master: Master, view: &View) -> Option<Estimate> {
        if self.master.is_some_and(|before| before.run_id == master.run_id) {
            return None;
        }
        self.master = Some(master);
        self.owed = self.stated.take().map(|stated| (seq, stated));
        let copies = view.peers.iter().filter_map(|peer| peer.copy).chain(view.copy);
        let mut known = copies.map(|copy| copy.passport);
        known.find_map(|passport| self.read(&passport))
    }

    fn read(&mut self, passport: &Passport) -> Option<Estimate> {
        let present = self.master.is_some_and(|master| master.run_id == passport.run_id);
        if !present || passport.role != RedisRole::Master {
            return None;
        }
        let further = self.stated.is_none_or(|stated| stated.offset <= passport.offset);
        if further {
            self.stated = Some(*passport);
        }
        let (seq, stated) = self.owed.take()?;
        Some((seq, given_up(&stated, passport)))
    }
}
