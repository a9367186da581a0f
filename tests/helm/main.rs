//! The Helm chart, held against its own words, against kustomize and against rules.

#[path = "../deploy/tools.rs"]
mod tools;

mod chart;
mod refusals;
