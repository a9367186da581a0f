//! Draining nodes: what the PodDisruptionBudget allows.

use serde_json::Value;

use super::world::{Pod, World};
use super::{Elsewhere, Plan};
use crate::render::{self, of_kind};

/// A budget, as the eviction API reads it.
#[derive(Clone, Copy)]
struct Budget {
    max_unavailable: usize,
    /// Pods that are not ready go whatever the budget says.
    always_unready: bool,
}

impl Budget {
    fn read(object: &Value) -> Budget {
        let spec = &object["spec"];
        let max = spec["maxUnavailable"].as_u64().expect("a number");
        Budget {
            max_unavailable: usize::try_from(max).expect("small"),
            always_unready: spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow",
        }
    }

    /// Whether this pod may be evicted now.
    fn allows(self, world: &World, at: usize) -> bool {
        let ready = |pod: &Pod| pod.stopping.is_none() && pod.ready.is_some();
        let healthy = world.pods.iter().filter(|pod| ready(pod)).count();
        let wanted = world.plan.replicas.saturating_sub(self.max_unavailable);
        if ready(&world.pods[at]) {
            healthy > wanted
        } else {
            self.always_unready || healthy >= wanted
        }
    }
}

/// Drains the nodes of all pods at once, as long as it takes; whether all of them went.
fn drain(world: &mut World, budget: Budget) -> bool {
    const LONGEST_TICKS: u32 = 200;
    world.pods.iter_mut().for_each(|pod| pod.drained = true);
    for _ in 0..LONGEST_TICKS {
        for at in 0..world.pods.len() {
            let there = world.pods[at].drained && world.pods[at].stopping.is_none();
            if there && budget.allows(world, at) {
                world.pods[at].stopping = Some(0);
            }
        }
        world.tick();
    }
    world.pods.iter().all(|pod| !pod.drained)
}

/// The budget of an overlay with all of its hives, witnesses included, as one workload.
fn overlays() -> impl Iterator<Item = (&'static str, Budget, Plan)> {
    render::all().unwrap_or_default().iter().filter_map(|rendered| {
        let budget = of_kind(&rendered.objects, "PodDisruptionBudget").next().expect("a budget");
        let plans = Plan::read_all(&rendered.objects);
        let replicas = plans.iter().map(|plan| plan.replicas).sum();
        let elsewhere = Elsewhere::default();
        let plan = Plan { replicas, elsewhere, ..*plans.first().expect("a workload") };
        // A site of several has one pod here and the others elsewhere.
        (replicas > 1).then(|| (rendered.name.as_str(), Budget::read(budget), plan))
    })
}

#[test]
fn draining_all_nodes_at_once_keeps_two_hives() {
    for (name, budget, plan) in overlays() {
        let mut world = World::healthy(plan);
        assert!(drain(&mut world, budget), "{name} hangs: {world:?}");
        assert!(world.least_copies >= 2, "{name}: {}", world.least_copies);
        assert!(world.done(), "{name}: {world:?}");
    }
}

/// An outage of the network or of DNS makes all pods unready: their copies are all there is.
#[test]
fn pods_that_are_all_unready_stay() {
    for (name, budget, plan) in overlays() {
        let mut world = World::healthy(plan);
        world.outage = true;
        world.run();
        assert!(!drain(&mut world, budget), "{name}: {world:?}");
        assert_eq!(world.least_copies, plan.replicas, "{name}");
    }
}

#[test]
fn other_budgets_are_found_out() {
    for (name, budget, plan) in overlays() {
        let mut world = World::healthy(plan);
        drain(&mut world, Budget { max_unavailable: 2, ..budget });
        assert!(world.least_copies < 2, "{name}: two may go at once");

        let mut world = World::healthy(plan);
        world.outage = true;
        world.run();
        drain(&mut world, Budget { always_unready: true, ..budget });
        assert!(world.least_copies < plan.replicas, "{name}: what is not ready goes");
    }
}
