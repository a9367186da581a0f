//! Pods of a hive as far as a rollout is about them: who holds a copy, who is ready.

use super::controllers::step;
use super::{Elsewhere, Plan};

/// A second or so of each: only the order of events matters.
const SYNC_TICKS: u32 = 4;
const STOP_TICKS: u32 = 2;
const MIN_READY_TICKS: u32 = 1;
/// A rollout that has not moved for so long hangs.
const PATIENCE_TICKS: u32 = 60;

/// What a pod's template has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hive runs, and knows this secret.
    Good {
        /// Hives with another one exchange nothing.
        secret: u32,
    },
    /// The hive never runs; Redis does, and stays empty.
    BrokenImage,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Which template.
    pub revision: usize,
    /// Its place in a StatefulSet; the order of making in a Deployment.
    pub ordinal: usize,
    /// What it runs.
    pub kind: Kind,
    /// Its Redis holds a current copy.
    pub copy: bool,
    /// `/readyz` says yes, for so many ticks.
    pub ready: Option<u32>,
    /// It was told to stop so long ago.
    pub stopping: Option<u32>,
    /// Its node is being drained.
    pub drained: bool,
    synced: u32,
}

impl Pod {
    /// Whether controllers count on it.
    pub fn available(&self) -> bool {
        self.stopping.is_none() && self.ready.is_some_and(|ticks| ticks >= MIN_READY_TICKS)
    }
}

/// All pods of one workload.
#[derive(Clone, Debug)]
pub struct World {
    /// How it replaces them.
    pub plan: Plan,
    /// Those that exist.
    pub pods: Vec<Pod>,
    /// The template that is wanted.
    pub revision: usize,
    /// Nobody reaches anybody: nothing is ready, no copy is made.
    pub outage: bool,
    /// The fewest current copies there were in pods that stay, since this was reset.
    pub least_copies: usize,
    kinds: Vec<Kind>,
}

impl World {
    /// Every pod holds a copy and is ready.
    pub fn healthy(plan: Plan) -> World {
        let mut world = World::new(plan, Kind::Good { secret: 0 });
        world.run();
        assert!(world.done(), "a new hive becomes ready: {world:?}");
        world.least_copies = world.copies();
        world
    }

    /// No pod is ready, and none will be.
    pub fn unready(plan: Plan) -> World {
        let mut world = World::new(plan, Kind::BrokenImage);
        world.run();
        assert!(world.pods.len() == plan.replicas && world.pods.iter().all(|pod| !pod.available()));
        world
    }

    fn new(plan: Plan, kind: Kind) -> World {
        let mut world = World {
            plan,
            pods: Vec::new(),
            revision: 0,
            outage: false,
            least_copies: 0,
            kinds: vec![kind],
        };
        (0..plan.replicas).for_each(|ordinal| world.make(ordinal));
        world
    }

    /// Wants pods of this kind from now on, and lets the controller do what it does.
    pub fn roll_out(&mut self, kind: Kind) {
        self.kinds.push(kind);
        self.revision = self.kinds.len() - 1;
        self.run();
    }

    /// What a person does when a rollout hangs: deletes the pods of older templates.
    pub fn delete_old_pods(&mut self) {
        let wanted = self.revision;
        self.pods.retain(|pod| pod.revision == wanted);
        self.run();
    }

    /// Whether all pods are of the wanted template and available.
    pub fn done(&self) -> bool {
        let right = |pod: &Pod| pod.revision == self.revision && pod.available();
        self.pods.len() == self.plan.replicas && self.pods.iter().all(right)
    }

    /// Pods of the wanted template.
    pub fn moved(&self) -> usize {
        self.pods.iter().filter(|pod| pod.revision == self.revision).count()
    }

    /// Current copies in pods that were not told to stop.
    pub fn copies(&self) -> usize {
        self.pods.iter().filter(|pod| pod.copy && pod.stopping.is_none()).count()
    }

    /// Goes on until nothing has changed for long.
    pub fn run(&mut self) {
        let mut still = 0;
        while still < PATIENCE_TICKS {
            let before = self.sight();
            self.tick();
            still = if self.sight() == before { still + 1 } else { 0 };
        }
    }

    /// One step of the controller, then one of the pods.
    pub fn tick(&mut self) {
        step(self);
        self.live();
        self.least_copies = self.least_copies.min(self.copies());
    }

    /// Makes a pod of the wanted template.
    pub fn make(&mut self, ordinal: usize) {
        let kind = self.kinds[self.revision];
        let revision = self.revision;
        self.pods.push(Pod {
            revision,
            ordinal,
            kind,
            copy: false,
            ready: None,
            stopping: None,
            drained: false,
            synced: 0,
        });
    }

    fn sight(&self) -> Vec<(usize, usize, bool, bool, bool)> {
        let see = |pod: &Pod| {
            (pod.revision, pod.ordinal, pod.copy, pod.available(), pod.stopping.is_some())
        };
        self.pods.iter().map(see).collect()
    }

    /// What the hives and their Redis do.
    fn live(&mut self) {
        for at in 0..self.pods.len() {
            let (copies, leads) = (self.has_master(at), self.may_lead(at));
            // Pods beyond the room wait for a node.
            let placed = at < self.plan.room;
            let pod = &mut self.pods[at];
            if !placed || pod.kind == Kind::BrokenImage {
                continue;
            }
            let route = leads && (pod.copy || copies) && !self.outage;
            if route && pod.stopping.is_none() {
                pod.synced += 1;
                pod.copy |= pod.synced >= SYNC_TICKS;
            } else if leads && !copies && self.may_start(at) {
                self.pods[at].copy = true;
            }
            let pod = &mut self.pods[at];
            pod.ready = (route && pod.copy).then(|| pod.ready.map_or(0, |ticks| ticks + 1));
        }
        self.stop();
    }

    /// Those that were told to stop go, the one with the last copy when another has it.
    fn stop(&mut self) {
        let last = self.copies() + self.plan.elsewhere.copies == 0;
        for pod in &mut self.pods {
            let waits = last && pod.copy;
            pod.stopping = pod.stopping.map(|ticks| if waits { ticks } else { ticks + 1 });
        }
        self.pods.retain(|pod| pod.stopping.is_none_or(|ticks| ticks < STOP_TICKS));
    }

    fn same_hive(&self, at: usize) -> impl Iterator<Item = &Pod> {
        let kind = self.pods[at].kind;
        self.pods.iter().take(self.plan.room).filter(move |pod| pod.kind == kind)
    }

    /// The hives of other workloads that this pod hears, with their copies.
    fn elsewhere(&self, at: usize) -> Elsewhere {
        match self.pods[at].kind {
            Kind::Good { secret: 0 } => self.plan.elsewhere,
            _ => Elsewhere::default(),
        }
    }

    fn has_master(&self, at: usize) -> bool {
        self.elsewhere(at).copies > 0 || self.same_hive(at).any(|pod| pod.copy)
    }

    /// ELECTION 8: enough hives of its own, and these more than half of all that are listed.
    fn may_lead(&self, at: usize) -> bool {
        let quorum = self.plan.quorum;
        let heard = self.same_hive(at).count() + self.elsewhere(at).hives;
        let listed = self.pods.len() + self.plan.elsewhere.hives;
        quorum == 1 || heard >= quorum && 2 * quorum > listed
    }

    /// ELECTION 2.7: an empty hive does not lead beside hives it cannot hear.
    fn may_start(&self, at: usize) -> bool {
        let kind = self.pods[at].kind;
        self.pods.iter().all(|pod| pod.kind == kind || pod.kind == Kind::BrokenImage)
            && !self.outage
    }
}
