//! The seeded simulator of the election: hives with model Redis servers, clients and every kind of fault.
//!
//! `HIVE_SIM_SEED=n cargo test --profile sim --test simulation replay -- --nocapture` tells the story of one seed;
//! `HIVE_SIM_PLAN` names its plan (general, quorum, changes); `HIVE_SIM_SEEDS=n` sets how many seeds are run in all.

mod ablations;
mod audit;
mod checks;
mod checks_planned;
mod clients;
mod dns;
mod driver;
mod duties;
mod executions_death;
mod executions_net;
mod executions_planned;
mod executions_quorum;
mod executions_reach;
mod executions_time;
mod faults;
mod history;
mod hive;
mod hosts;
mod mishaps;
mod mix;
mod network;
mod orders;
mod peers;
mod plans;
mod pods;
mod random;
mod redis;
mod redis_facts;
mod replication;
#[path = "../support/rng.rs"]
mod rng;
mod scenario;
mod sessions;
mod story;
mod world;
