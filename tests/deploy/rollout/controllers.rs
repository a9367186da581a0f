//! What the controllers of Kubernetes do in one pass over a workload.

use super::Way;
use super::world::{Pod, World};

/// One pass of the workload's controller.
pub fn step(world: &mut World) {
    match world.plan.way {
        Way::Deployment { surge, unavailable } => deployment(world, surge, unavailable),
        Way::StatefulSet { parallel, waits_for_all } => {
            stateful_set(world, parallel, waits_for_all)
        }
    }
}

/// Scales the new ReplicaSet up as far as the surge allows, else the old ones down as far as enough
/// pods stay available: first those of their pods that are not. Pods that stop count no more.
fn deployment(world: &mut World, surge: usize, unavailable: usize) {
    let replicas = world.plan.replicas;
    let staying: Vec<&Pod> = world.pods.iter().filter(|pod| pod.stopping.is_none()).collect();
    let new: Vec<&&Pod> = staying.iter().filter(|pod| pod.revision == world.revision).collect();
    let total = staying.len();
    let more = (replicas + surge).saturating_sub(total).min(replicas.saturating_sub(new.len()));
    if more > 0 {
        let next = world.pods.iter().map(|pod| pod.ordinal + 1).max().unwrap_or(0);
        (next..next + more).for_each(|ordinal| world.make(ordinal));
        return;
    }
    let least_available = replicas.saturating_sub(unavailable);
    let new_unavailable = new.iter().filter(|pod| !pod.available()).count();
    let at_most = total.saturating_sub(least_available + new_unavailable);
    if at_most == 0 {
        return;
    }
    let available = staying.iter().filter(|pod| pod.available()).count();
    let idle = scale_down(world, at_most, |pod| !pod.available());
    let spare = available.saturating_sub(least_available).min(at_most.saturating_sub(idle));
    scale_down(world, spare, |_| true);
}

/// Stops at most so many old pods of which this says yes; how many it were.
fn scale_down(world: &mut World, at_most: usize, which: fn(&Pod) -> bool) -> usize {
    let wanted = world.revision;
    let old = |pod: &&mut Pod| pod.revision != wanted && pod.stopping.is_none() && which(pod);
    world.pods.iter_mut().filter(old).take(at_most).map(|pod| pod.stopping = Some(0)).count()
}

/// Makes the pods that are missing, then replaces from the highest ordinal down, one at a time.
fn stateful_set(world: &mut World, parallel: bool, waits_for_all: bool) {
    for ordinal in 0..world.plan.replicas {
        if find(world, ordinal).is_none() {
            world.make(ordinal);
        }
        if !parallel && !find(world, ordinal).is_some_and(|pod| pod.available()) {
            return;
        }
    }
    if waits_for_all && world.pods.iter().any(|pod| !pod.available()) {
        return;
    }
    let wanted = world.revision;
    for ordinal in (0..world.plan.replicas).rev() {
        let Some(pod) = find(world, ordinal) else { return };
        if pod.revision != wanted && pod.stopping.is_none() {
            pod.stopping = Some(0);
            return;
        }
        if !pod.available() {
            return;
        }
    }
}

fn find(world: &mut World, ordinal: usize) -> Option<&mut Pod> {
    world.pods.iter_mut().find(|pod| pod.ordinal == ordinal)
}
