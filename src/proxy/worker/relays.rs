//! The running relays of a worker, and what they wait for.

use std::hash::RandomState;
use std::task::Waker;

use crate::proxy::visit;

/// Relays woken at one time when a generation is over. Ten thousand at once would keep those that
/// have something to send waiting until all the others have let go of their old master.
const BATCH: usize = 32;

/// The running relays of a worker, by slot.
#[derive(Default)]
pub(super) struct Relays {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Slots that wait for the gate.
    stalled: Vec<u32>,
    /// Slots whose requests wait for the end of a held route.
    kept: Vec<u32>,
    /// The next slot to be woken, while not all are that have to be.
    waking: Option<usize>,
    /// The same of those whose sessions run scripts.
    asking: Option<usize>,
}

struct Slot {
    waker: Waker,
    stalled: bool,
    kept: bool,
    half_closed: bool,
    visitor: bool,
    /// A visitor whose session is to end with its last reply.
    sent_home: bool,
    /// Its session runs scripts by their SHA-1, and has told them last in this round.
    scripts: Option<u32>,
}

impl Relays {
    /// A slot for a relay that is to be woken when the route changes.
    pub(super) fn enrol(&mut self, waker: Waker, visitor: bool) -> u32 {
        let slot = Some(Slot {
            waker,
            stalled: false,
            kept: false,
            half_closed: false,
            visitor,
            sent_home: false,
            scripts: None,
        });
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            return index;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    /// Gives the slot back; false if nobody has it.
    pub(super) fn leave(&mut self, slot: u32) -> bool {
        let old = self.slots.get_mut(slot as usize).and_then(Option::take);
        let Some(old) = old else { return false };
        self.free.push(slot);
        if old.stalled {
            self.stalled.retain(|&other| other != slot);
        }
        if old.kept {
            self.kept.retain(|&other| other != slot);
        }
        true
    }

    /// The session of this slot runs scripts, and tells them in this round.
    pub(super) fn runs_scripts(&mut self, slot: u32, round: u32) {
        if let Some(slot) = self.get(slot) {
            slot.scripts = Some(round);
        }
    }

    /// In which round the session of this slot has told its scripts last.
    pub(super) fn told_scripts(&self, slot: u32) -> Option<u32> {
        self.slots.get(slot as usize)?.as_ref()?.scripts
    }

    /// Makes the requests of this slot wait for the end of a held route.
    pub(super) fn keep(&mut self, slot: u32) {
        if self.get(slot).is_some_and(|slot| !std::mem::replace(&mut slot.kept, true)) {
            self.kept.push(slot);
        }
    }

    /// Makes this slot wait for the gate.
    pub(super) fn stall(&mut self, slot: u32) {
        if self.get(slot).is_some_and(|slot| !std::mem::replace(&mut slot.stalled, true)) {
            self.stalled.push(slot);
        }
    }

    /// Whether any slot waits for the gate.
    pub(super) fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// The gate is open.
    pub(super) fn wake_stalled(&mut self) {
        for slot in std::mem::take(&mut self.stalled) {
            if let Some(slot) = self.get(slot) {
                slot.stalled = false;
                slot.waker.wake_by_ref();
            }
        }
    }

    /// This one moves bytes in one direction only.
    pub(super) fn half_closed(&mut self, slot: u32) {
        if let Some(slot) = self.get(slot) {
            slot.half_closed = true;
        }
    }

    /// Wakes those that move bytes in one direction only.
    pub(super) fn wake_half_closed(&self) {
        let half = self.slots.iter().flatten().filter(|slot| slot.half_closed);
        half.for_each(|slot| slot.waker.wake_by_ref());
    }

    /// All are to be woken, a few at a time.
    pub(super) fn begin_waking(&mut self) {
        self.waking = Some(0);
    }

    /// The same of those whose sessions run scripts.
    pub(super) fn begin_asking(&mut self) {
        self.asking = Some(0);
    }

    /// Whether not all are woken yet that have to be.
    pub(super) fn is_waking(&self) -> bool {
        self.waking.is_some() || self.asking.is_some()
    }

    /// Wakes the next ones of all.
    pub(super) fn wake_some(&mut self) {
        self.waking = self.waking.and_then(|from| self.wake_from(from, |_| true));
        self.asking = self.asking.and_then(|from| self.wake_from(from, |it| it.scripts.is_some()));
    }

    /// Wakes some of the slots from here on. Returns where the others begin.
    fn wake_from(&self, from: usize, is_meant: impl Fn(&Slot) -> bool) -> Option<usize> {
        let rest = self.slots.get(from..).unwrap_or_default();
        let some = rest.iter().take(BATCH).flatten().filter(|slot| is_meant(slot));
        some.for_each(|slot| slot.waker.wake_by_ref());
        (rest.len() > BATCH).then_some(from + BATCH)
    }

    /// Lets requests go on.
    pub(super) fn wake_kept(&mut self) {
        for slot in std::mem::take(&mut self.kept) {
            if let Some(slot) = self.get(slot) {
                slot.kept = false;
                slot.waker.wake_by_ref();
            }
        }
    }

    /// Ends the sessions of one in so many visitors when they can.
    pub(super) fn send_home(&mut self, one_in: u32) {
        let dice = RandomState::new();
        for (index, slot) in (0..).zip(&mut self.slots) {
            if let Some(slot) = slot
                && slot.visitor
                && !slot.sent_home
                && visit::is_chosen(&dice, index, one_in)
            {
                slot.sent_home = true;
                slot.waker.wake_by_ref();
            }
        }
    }

    /// Whether this one is a visitor's that is to end with its last reply.
    pub(super) fn is_sent_home(&self, slot: u32) -> bool {
        let slot = self.slots.get(slot as usize).and_then(Option::as_ref);
        slot.is_some_and(|slot| slot.sent_home)
    }

    fn get(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }
}
