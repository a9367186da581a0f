//! The arithmetic of the controllers that replace pods, with the numbers of the manifests: no rollout
//! thins the copies out, and none hangs where it could go on.

mod cases;
mod controllers;
mod drain;
mod world;

use serde_json::Value;

/// How a workload replaces its pods.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pods there should be.
    pub replicas: usize,
    /// How they are replaced.
    pub way: Way,
    /// Hives that must follow a leader; 1 = none.
    pub quorum: usize,
    /// The pods that fit into the cluster at once.
    pub room: usize,
}

/// Which controller, and its numbers.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// A Deployment's rolling update.
    Deployment {
        /// More than `replicas`.
        surge: usize,
        /// Fewer available ones than `replicas`.
        unavailable: usize,
    },
    /// A StatefulSet's rolling update.
    StatefulSet {
        /// `podManagementPolicy: Parallel`.
        parallel: bool,
        /// As Kubernetes 1.35.0 to 1.35.3 do it (`MaxUnavailableStatefulSet` is on): nothing is
        /// replaced while another pod is not available.
        waits_for_all: bool,
    },
}

impl Plan {
    /// The plan of a workload whose hives have this quorum.
    pub fn read(workload: &Value, quorum: usize) -> Plan {
        let spec = &workload["spec"];
        let number = |value: &Value| {
            usize::try_from(value.as_u64().unwrap_or_else(|| panic!("{value} is no number")))
                .expect("small")
        };
        let way = match workload["kind"].as_str() {
            Some("Deployment") => {
                let numbers = &spec["strategy"]["rollingUpdate"];
                let [surge, unavailable] =
                    ["maxSurge", "maxUnavailable"].map(|key| number(&numbers[key]));
                Way::Deployment { surge, unavailable }
            }
            Some("StatefulSet") => {
                assert_eq!(spec["updateStrategy"]["rollingUpdate"]["partition"], 0);
                let parallel = spec["podManagementPolicy"] == "Parallel";
                Way::StatefulSet { parallel, waits_for_all: false }
            }
            kind => panic!("{kind:?} makes no pods"),
        };
        Plan { replicas: number(&spec["replicas"]), way, quorum, room: usize::MAX }
    }
}
