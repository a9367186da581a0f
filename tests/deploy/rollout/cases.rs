//! Three rollouts from two states, for everything that is rendered.

use std::sync::OnceLock;

use super::world::{Kind, World};
use super::{Elsewhere, Plan, Way};
use crate::helm::chart::{KUBERNETES, helms, objects};
use crate::render;

const GOOD: Kind = Kind::Good { secret: 0 };
const OTHER_SECRET: Kind = Kind::Good { secret: 1 };

/// Values of the chart whose workloads no overlay has.
const OF_THE_CHART: [&str; 3] =
    ["quorum: 2", "{replicas: 2, quorum: 2, witness: {enabled: true}}", "{replicas: 5, quorum: 3}"];

/// The plans of all workloads, each with its overlay's name or the chart's values.
fn plans() -> &'static [(&'static str, Plan)] {
    static PLANS: OnceLock<Vec<(&str, Plan)>> = OnceLock::new();
    PLANS.get_or_init(|| {
        // What the sites of an overlay have in common is not applied.
        let applied = |rendered: &&render::Rendered| !rendered.name.ends_with("/common");
        let overlays = render::all().unwrap_or_default().iter().filter(applied);
        let overlays = overlays.map(|rendered| (rendered.name.as_str(), rendered.objects.clone()));
        let helm = helms().pop();
        let charts = helm.iter().flat_map(|helm| {
            OF_THE_CHART.map(|values| (values, objects(helm, values, KUBERNETES)))
        });
        let all = overlays.chain(charts).flat_map(|(name, objects)| {
            Plan::read_all(&objects).into_iter().map(move |plan| (name, plan))
        });
        all.collect()
    })
}

/// More than one copy of the workload was missing at once.
fn thinned_out(world: &World) -> bool {
    world.least_copies + 1 < world.plan.replicas
}

#[test]
fn all_kinds_of_workloads_are_rolled_out() {
    let plans = plans();
    let seen = |what: fn(&Plan) -> bool| plans.iter().any(|(_, plan)| what(plan));
    let deployed = |plan: &Plan| matches!(plan.way, Way::Deployment { .. });
    let kinds: [fn(&Plan) -> bool; 3] = [
        |plan: &Plan| plan.replicas == 3 && plan.elsewhere.hives == 0,
        // Beside a witness, the witness itself, and a site beside others.
        |plan: &Plan| plan.replicas == 2 && plan.elsewhere.hives == 1 && plan.elsewhere.copies == 0,
        |plan: &Plan| plan.replicas == 1 && plan.elsewhere.copies == 2 && plan.quorum == 2,
    ];
    for kind in kinds {
        assert!(seen(kind) || render::all().is_none(), "{plans:?}");
    }
    let strict =
        plans.iter().any(|(_, plan)| deployed(plan) && plan.replicas > 1 && plan.quorum > 1);
    assert!(strict || helms().is_empty(), "{plans:?}");
}

/// A plan, and the same in a cluster without room for a fourth pod.
fn roomy_and_tight(plan: Plan) -> [Plan; 2] {
    [plan, Plan { room: plan.replicas, ..plan }]
}

#[test]
fn a_good_rollout_keeps_all_copies_but_one() {
    for (name, plan) in plans() {
        for plan in roomy_and_tight(*plan) {
            let mut world = World::healthy(plan);
            world.roll_out(GOOD);
            assert!(world.done(), "{name} {plan:?} hangs: {world:?}");
            assert!(!thinned_out(&world), "{name} {plan:?}: {} copies", world.least_copies);
        }
    }
}

#[test]
fn a_broken_rollout_stops_in_time_and_can_be_taken_back() {
    for (name, plan) in plans() {
        for plan in roomy_and_tight(*plan) {
            for fault in [Kind::BrokenImage, OTHER_SECRET] {
                let mut world = World::healthy(plan);
                world.roll_out(fault);
                assert!(!world.done(), "{name} {plan:?} {fault:?}");
                assert!(world.moved() > 0, "{name} {plan:?} {fault:?} did not begin");
                world.roll_out(GOOD);
                assert!(world.done(), "{name} {plan:?} {fault:?} hangs: {world:?}");
                let copies = world.least_copies;
                assert!(!thinned_out(&world), "{name} {plan:?} {fault:?}: {copies} copies");
            }
        }
    }
}

#[test]
fn a_rollout_out_of_all_unready_moves() {
    for (name, plan) in plans().iter().filter(|(_, plan)| plan.quorum == 1) {
        for plan in roomy_and_tight(*plan) {
            for kind in [GOOD, OTHER_SECRET] {
                let mut world = World::unready(plan);
                world.roll_out(kind);
                assert!(world.done(), "{name} {plan:?} {kind:?} hangs: {world:?}");
            }
            let mut world = World::unready(plan);
            world.roll_out(Kind::BrokenImage);
            assert!(world.moved() > 0 && !world.done(), "{name} {plan:?}: {world:?}");
            world.roll_out(GOOD);
            assert!(world.done(), "{name} {plan:?} hangs after a second fault: {world:?}");
        }
    }
}

/// One good hive among broken ones is no quorum, unless others are elsewhere: the rollout replaces a
/// pod, and a person deletes the others.
#[test]
fn with_a_quorum_a_rollout_out_of_all_unready_moves_with_a_hand() {
    let mut seen = false;
    for (name, plan) in plans().iter().filter(|(_, plan)| plan.quorum > 1) {
        seen = true;
        let mut world = World::unready(*plan);
        world.roll_out(GOOD);
        let alone = 1 + plan.elsewhere.hives < plan.quorum;
        assert!(world.moved() > 0 && world.done() != alone, "{name}: {world:?}");
        world.delete_old_pods();
        assert!(world.done(), "{name}: {world:?}");
    }
    assert!(seen || render::all().is_none(), "there is an overlay with a quorum");
}

/// Kubernetes 1.35.0 to 1.35.3 (issue 137409 of Kubernetes).
#[test]
fn a_set_that_waits_for_all_moves_with_a_hand_too() {
    for (name, plan) in plans() {
        let Way::StatefulSet { parallel, .. } = plan.way else { continue };
        let plan = Plan { way: Way::StatefulSet { parallel, waits_for_all: true }, ..*plan };
        let mut world = World::unready(plan);
        world.roll_out(GOOD);
        assert_eq!(world.moved(), 0, "{name}: {world:?}");
        world.delete_old_pods();
        assert!(world.done(), "{name}: {world:?}");
        let mut world = World::healthy(plan);
        world.roll_out(GOOD);
        assert!(world.done() && !thinned_out(&world), "{name}: {world:?}");
    }
}

fn three(way: Way) -> Plan {
    let elsewhere = Elsewhere::default();
    Plan { replicas: 3, way, quorum: 1, elsewhere, room: usize::MAX }
}

#[test]
fn other_numbers_are_found_out() {
    let deployment = |surge, unavailable| three(Way::Deployment { surge, unavailable });
    let copies = |plan| {
        let mut world = World::healthy(plan);
        world.roll_out(GOOD);
        world.least_copies
    };
    assert_eq!(copies(deployment(1, 1)), 2);
    assert!(copies(deployment(1, 2)) < 2, "two may be missing");
    assert!(copies(deployment(0, 3)) < 2, "all may be missing");

    let tight = Plan { room: 3, ..deployment(1, 0) };
    for mut world in [World::healthy(tight), World::unready(tight)] {
        world.roll_out(GOOD);
        assert!(!world.done(), "no pod makes way for the one that finds no room: {world:?}");
    }
}

#[test]
fn an_ordered_set_hangs_after_a_fault() {
    let ordered = three(Way::StatefulSet { parallel: false, waits_for_all: false });
    let mut world = World::healthy(ordered);
    world.roll_out(Kind::BrokenImage);
    world.roll_out(GOOD);
    assert!(!world.done(), "it waits for the broken pod: {world:?}");
}

/// Two of three hives hear each other while a fourth is listed: no leader.
#[test]
fn a_quorum_does_not_bear_a_surge() {
    let plan = Plan { quorum: 2, ..three(Way::Deployment { surge: 1, unavailable: 0 }) };
    let mut world = World::healthy(plan);
    world.roll_out(Kind::BrokenImage);
    assert!(world.pods.iter().all(|pod| !pod.available()), "two of four lead: {world:?}");
}
