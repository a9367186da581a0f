//! Three rollouts from two states, for everything that is rendered.

use super::world::{Kind, World};
use super::{Plan, Way};
use crate::render::{self, config_map, workloads};

const GOOD: Kind = Kind::Good { secret: 0 };
const OTHER_SECRET: Kind = Kind::Good { secret: 1 };

/// The plans of all workloads of three pods, each with its overlay's name.
fn plans() -> Vec<(&'static str, Plan)> {
    let mut found = Vec::new();
    for rendered in render::all().unwrap_or_default() {
        let quorum = config_map(&rendered.objects, "redis-hive-settings")["HIVE_QUORUM"].as_str();
        let quorum = quorum.map_or(1, |text| text.parse().expect("a number"));
        let three =
            workloads(&rendered.objects).filter(|workload| workload["spec"]["replicas"] == 3);
        found.extend(three.map(|workload| (rendered.name.as_str(), Plan::read(workload, quorum))));
    }
    assert!(found.is_empty() || found.len() >= 7, "overlays are found");
    found
}

/// A plan, and the same in a cluster without room for a fourth pod.
fn roomy_and_tight(plan: Plan) -> [Plan; 2] {
    [plan, Plan { room: plan.replicas, ..plan }]
}

#[test]
fn a_good_rollout_keeps_two_copies() {
    for (name, plan) in plans() {
        for plan in roomy_and_tight(plan) {
            let mut world = World::healthy(plan);
            world.roll_out(GOOD);
            assert!(world.done(), "{name} {plan:?} hangs: {world:?}");
            assert!(world.least_copies >= 2, "{name} {plan:?}: {} copies", world.least_copies);
        }
    }
}

#[test]
fn a_broken_rollout_stops_with_two_copies_and_can_be_taken_back() {
    for (name, plan) in plans() {
        for plan in roomy_and_tight(plan) {
            for fault in [Kind::BrokenImage, OTHER_SECRET] {
                let mut world = World::healthy(plan);
                world.roll_out(fault);
                assert!(!world.done(), "{name} {plan:?} {fault:?}");
                assert!(world.moved() > 0, "{name} {plan:?} {fault:?} did not begin");
                world.roll_out(GOOD);
                assert!(world.done(), "{name} {plan:?} {fault:?} hangs: {world:?}");
                assert!(
                    world.least_copies >= 2,
                    "{name} {plan:?} {fault:?}: {}",
                    world.least_copies
                );
            }
        }
    }
}

#[test]
fn a_rollout_out_of_all_unready_moves() {
    for (name, plan) in plans().into_iter().filter(|(_, plan)| plan.quorum == 1) {
        for plan in roomy_and_tight(plan) {
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

/// One good hive among broken ones is no quorum: the rollout replaces a pod, and a person deletes
/// the others.
#[test]
fn with_a_quorum_a_rollout_out_of_all_unready_moves_with_a_hand() {
    let mut seen = false;
    for (name, plan) in plans().into_iter().filter(|(_, plan)| plan.quorum > 1) {
        seen = true;
        let mut world = World::unready(plan);
        world.roll_out(GOOD);
        assert!(world.moved() > 0 && !world.done(), "{name}: {world:?}");
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
        let plan = Plan { way: Way::StatefulSet { parallel, waits_for_all: true }, ..plan };
        let mut world = World::unready(plan);
        world.roll_out(GOOD);
        assert_eq!(world.moved(), 0, "{name}: {world:?}");
        world.delete_old_pods();
        assert!(world.done(), "{name}: {world:?}");
        let mut world = World::healthy(plan);
        world.roll_out(GOOD);
        assert!(world.done() && world.least_copies >= 2, "{name}: {world:?}");
    }
}

fn three(way: Way) -> Plan {
    Plan { replicas: 3, way, quorum: 1, room: usize::MAX }
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
