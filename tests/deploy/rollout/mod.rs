//! The arithmetic of the controllers that replace pods, with the numbers of the manifests: no rollout
//! thins the copies out, and none hangs where it could go on.

mod cases;
mod controllers;
mod drain;
mod world;

use serde_json::Value;

use crate::render::{of_kind, workloads};

/// How a workload replaces its pods.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pods there should be.
    pub replicas: usize,
    /// How they are replaced.
    pub way: Way,
    /// Hives that must follow a leader; 1 = none.
    pub quorum: usize,
    /// Hives of other workloads and sites, which stay as they are.
    pub elsewhere: Elsewhere,
    /// The pods that fit into the cluster at once.
    pub room: usize,
}

/// Hives that are no pods of the workload. All of them have the secret 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere {
    /// How many there are.
    pub hives: usize,
    /// Those of them with a current copy; the others are witnesses.
    pub copies: usize,
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
    fn read(workload: &Value, quorum: usize) -> Plan {
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
        let elsewhere = Elsewhere::default();
        Plan { replicas: number(&spec["replicas"]), way, quorum, elsewhere, room: usize::MAX }
    }

    /// The plans of all workloads among these objects, each with the others around it.
    pub fn read_all(objects: &[Value]) -> Vec<Plan> {
        let mut settings = of_kind(objects, "ConfigMap").map(|map| &map["data"]);
        let hives = settings.find(|data| data["HIVE_SERVICE"].is_string());
        let hives = hives.expect("settings of hives");
        let quorum = hives["HIVE_QUORUM"].as_str();
        let quorum = quorum.map_or(1, |text| text.parse().expect("a number"));
        let sites = hives["HIVE_PEER"].as_str().map_or(0, |peers| peers.split(',').count());
        let plans = workloads(objects).map(|workload| {
            let labels = &workload["spec"]["template"]["metadata"]["labels"];
            (Plan::read(workload, quorum), labels["app.kubernetes.io/component"] == "data")
        });
        let plans: Vec<(Plan, bool)> = plans.collect();
        let count = |kinds: &[bool]| -> usize {
            let counted = plans.iter().filter(|(_, data)| kinds.contains(data));
            counted.map(|(plan, _)| plan.replicas).sum::<usize>() + sites
        };
        let around = |(plan, data): &(Plan, bool)| {
            let own_copies = if *data { plan.replicas } else { 0 };
            let elsewhere = Elsewhere {
                hives: count(&[true, false]) - plan.replicas,
                copies: count(&[true]) - own_copies,
            };
            Plan { elsewhere, ..*plan }
        };
        plans.iter().map(around).collect()
    }
}
