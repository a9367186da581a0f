//! ELECTION 2: what a copy is worth, and which hive ranks before which.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::settings::Ablation;
use super::types::{Copy, CopyState, Id, NodeId, Passport, RedisAddr, RedisRole, Root, Time, Wall};

/// 2.2: the state that a passport shows.
///
/// A Redis that says it is master, has no backlog and no keys was never promoted by a hive and never
/// written to: without the boot fence every new Redis looks so, and it is blank.
pub fn state_of(passport: &Passport) -> CopyState {
    if passport.loading {
        return CopyState::Coming;
    }
    let complete = match passport.role {
        RedisRole::Master => passport.backlog || passport.keys > 0,
        RedisRole::Replica => passport.backlog,
    };
    if complete { CopyState::Complete } else { CopyState::Blank }
}

/// Whether two copies are of one history: the same root, or a replication id in common. A root that
/// was assumed after all hives restarted is another one, and the history still the same (2.4).
pub fn same_history(a: &Copy, b: &Copy) -> bool {
    (a.root.is_some() && a.root == b.root) || a.passport.shares_history(&b.passport)
}

/// The bytes that a copy has and a master has not: what is given up when the copy follows it.
pub fn given_up(copy: &Passport, master: &Passport) -> u64 {
    let until = |second: u64| second.saturating_sub(1);
    let known = |id: Id| !id.is_none();
    let fork = if copy.replid == master.replid {
        master.offset
    } else if known(master.replid2) && copy.replid == master.replid2 {
        until(master.second_offset)
    } else if known(copy.replid2) && copy.replid2 == master.replid {
        master.offset.min(until(copy.second_offset))
    } else if known(copy.replid2) && copy.replid2 == master.replid2 {
        until(copy.second_offset.min(master.second_offset))
    } else {
        0
    };
    copy.offset.saturating_sub(fork)
}

/// What a history weighs against another one: MiB of data, then keys.
pub type Weight = (u64, u64);

/// A copy's own weight.
pub fn weight_of(passport: &Passport) -> Weight {
    (passport.dataset_bytes >> 20, passport.keys)
}

/// Everything in reach, to weigh histories by their furthest copy (2.4).
#[derive(Default)]
pub struct Reach(pub Vec<Copy>);

impl Reach {
    /// The weight of this copy's history: that of its furthest copy in reach.
    pub fn weight(&self, copy: &Copy) -> Weight {
        let furthest = self
            .0
            .iter()
            .filter(|other| other.state == CopyState::Complete && same_history(copy, other))
            .max_by_key(|other| other.offset);
        match furthest {
            Some(other) if other.offset > copy.offset => weight_of(&other.passport),
            _ => weight_of(&copy.passport),
        }
    }

    /// 2.6 by data: greater ranks first. Copies of one history compare by offset, others by weight.
    pub fn by_data(&self, a: &Copy, b: &Copy) -> Ordering {
        let holds = |copy: &Copy| copy.state != CopyState::Blank;
        match (holds(a), holds(b)) {
            (true, true) if same_history(a, b) => {
                a.offset.cmp(&b.offset).then(a.state.cmp(&b.state))
            }
            (true, true) => self.weight(a).cmp(&self.weight(b)),
            (a, b) => a.cmp(&b),
        }
    }

    /// 2.8: whether `copy` must not be pointed at `master`: complete, of another root, with more data.
    pub fn guarded(&self, copy: &Copy, master: &Copy) -> bool {
        copy.state == CopyState::Complete
            && !same_history(copy, master)
            && (master.state == CopyState::Blank || self.weight(copy) > self.weight(master))
    }
}

/// What one hive brings into an election.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which hive.
    pub node: NodeId,
    /// Sees a living master (4.3).
    pub living: bool,
    /// Cannot make a master now: failed lately, a witness, or its Redis does not answer.
    pub last: bool,
    /// Was told to stop: leads only where its copy is better, and hands over then.
    pub stopping: bool,
    /// Its copy.
    pub copy: Option<Copy>,
    /// `--priority`; 0 is the lowest.
    pub priority: u32,
    /// Election timestamp.
    pub since: Wall,
}

/// 2.6, whole: greater ranks first.
pub fn rank(reach: &Reach, a: &Standing, b: &Standing, ablation: &Ablation) -> Ordering {
    let version = |s: &Standing| s.copy.map(|copy| copy.passport.version);
    let priority = |s: &Standing| if s.priority == 0 { u32::MAX } else { s.priority };
    let data = || match (&a.copy, &b.copy) {
        _ if ablation.ignore_passports => Ordering::Equal,
        (Some(a), Some(b)) => reach.by_data(a, b),
        (a, b) => {
            let holds = |copy: &Option<Copy>| copy.is_some_and(|c| c.state != CopyState::Blank);
            holds(a).cmp(&holds(b))
        }
    };
    let holds = |s: &Standing| s.copy.is_some_and(|copy| copy.state != CopyState::Blank);
    a.living
        .cmp(&b.living)
        // One that failed to promote its copy still ranks before those that have none.
        .then_with(|| {
            if ablation.ignore_passports { Ordering::Equal } else { holds(a).cmp(&holds(b)) }
        })
        .then_with(|| b.last.cmp(&a.last))
        .then_with(data)
        .then_with(|| b.stopping.cmp(&a.stopping))
        .then_with(|| version(b).cmp(&version(a)))
        .then_with(|| priority(b).cmp(&priority(a)))
        .then_with(|| b.since.cmp(&a.since))
        .then_with(|| {
            if ablation.ips_as_text {
                return b.node.to_string().cmp(&a.node.to_string());
            }
            b.node.cmp(&a.node)
        })
}

/// What a hive knows of its own Redis.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// The newest passport of the present run, and when it was read.
    pub passport: Option<(Passport, Time)>,
    /// It answers orders now.
    pub answers: bool,
    /// Since when it accepts and does not answer.
    pub silent_since: Option<Time>,
    /// It refuses connections or is of no use.
    pub gone: bool,
    root: Option<Root>,
    provisional: bool,
    /// When the link to the present upstream came up.
    link_since: Option<Time>,
    /// The first offset its master stated after that (2.3).
    bar: Option<u64>,
    /// What the leader had stated when the sync began: root and offset (2.2).
    sync_from: Option<(Root, u64)>,
    /// When the load last moved.
    moved: Time,
    /// When the same offset was read before, of the same upstream.
    unmoved: Option<Time>,
    /// It is the master of the leadership last known; any other master is not current.
    pub leads: bool,
}

impl Local {
    /// A passport was read.
    pub fn see(&mut self, passport: Passport, now: Time) {
        let before = self.passport.map(|(passport, _)| passport);
        if before.is_none_or(|before| before.run_id != passport.run_id) {
            *self = Local { moved: now, ..Local::default() };
        }
        let same = |b: &Passport| b.upstream == passport.upstream && b.offset == passport.offset;
        let still = self.passport.filter(|(before, _)| same(before));
        self.unmoved = still.map(|(_, at)| at);
        let same_link = before.is_some_and(|before| before.upstream == passport.upstream);
        if !passport.link_up || !same_link {
            (self.link_since, self.bar) = (None, None);
        }
        if passport.link_up && self.link_since.is_none() {
            self.link_since = Some(now);
        }
        let load = |p: &Passport| (p.loading, p.loaded_bytes);
        if before.is_none_or(|before| load(&before) != load(&passport)) {
            self.moved = now;
        }
        // A load replaces the copy: the label of the old one does not pass on.
        let other = before.is_some_and(|before| !before.shares_history(&passport));
        if state_of(&passport) != CopyState::Complete || other {
            (self.root, self.provisional) = (None, false);
        }
        let loaded = before.is_some_and(|before| before.loading) && !passport.loading;
        if loaded && state_of(&passport) == CopyState::Complete {
            self.root = self.sync_from.map(|(root, _)| root);
        }
        self.passport = Some((passport, now));
        (self.answers, self.silent_since, self.gone) = (true, None, false);
    }

    /// It does not answer, or refuses what it is told, but is alive: the last passport stands.
    pub fn unanswered(&mut self, silent: bool, now: Time) {
        self.answers = false;
        self.gone = false;
        if silent {
            self.silent_since.get_or_insert(now);
        } else {
            self.silent_since = None;
        }
    }

    /// It is not there any more, and with it everything it held.
    pub fn lost(&mut self) {
        *self = Local { gone: true, ..Local::default() };
    }

    /// The sync that begins or is about to begin starts from what this leader states now.
    pub fn sync_begins(&mut self, root: Root, offset: u64) {
        self.sync_from = Some((root, offset));
    }

    /// An offset stated by its master, and when that was heard (2.3).
    pub fn stated(&mut self, offset: u64, at: Time) {
        if self.bar.is_none() && self.link_since.is_some_and(|since| at > since) {
            self.bar = Some(offset);
        }
    }

    /// 2.4: takes a root that is known for sure.
    pub fn take_root(&mut self, root: Root) {
        (self.root, self.provisional) = (Some(root), false);
    }

    /// Whether its root still has to be found out.
    pub fn unsure_of_root(&self) -> bool {
        self.passport.is_some_and(|(p, _)| state_of(&p) == CopyState::Complete)
            && (self.root.is_none() || self.provisional)
    }

    /// 2.4: nobody knows the root, so the replid is it, until somebody does.
    pub fn assume_root(&mut self) {
        if let (None, Some((passport, _))) = (self.root, &self.passport) {
            (self.root, self.provisional) = (Some(passport.replid), true);
        }
    }

    /// The copy as it is stated to others.
    pub fn copy(&self) -> Option<Copy> {
        let (passport, _) = self.passport?;
        let state = state_of(&passport);
        let (root, offset) = match (state, self.sync_from) {
            (CopyState::Blank, _) => (None, passport.offset),
            (CopyState::Coming, Some((root, offset))) => (Some(root), offset),
            (CopyState::Coming, None) => (self.root, 0),
            (CopyState::Complete, _) => (self.root, passport.offset),
        };
        let reached = self.bar.is_some_and(|bar| passport.offset >= bar);
        let current = state == CopyState::Complete
            && match passport.role {
                RedisRole::Master => self.leads,
                RedisRole::Replica => passport.link_up && reached,
            };
        Some(Copy { passport, state, root, provisional: self.provisional, offset, current })
    }

    /// Whether it was read twice after this and applied nothing in between: what its master had sent
    /// is in the copy.
    pub fn drained_since(&self, at: Time) -> bool {
        self.unmoved.is_some_and(|before| before > at)
    }

    /// The time since a load last moved; a load that stands still is not waited for.
    pub fn load_moved(&self) -> Time {
        self.moved
    }

    /// The run this Redis is in.
    pub fn run_id(&self) -> Option<Id> {
        self.passport.map(|(passport, _)| passport.run_id)
    }

    /// Whether it replicates this address.
    pub fn replicates(&self, master: RedisAddr) -> bool {
        self.passport
            .is_some_and(|(p, _)| p.role == RedisRole::Replica && p.upstream == Some(master))
    }
}
