//! The Helm chart, held against its own words, against kustomize, schemas and rules.

pub mod chart;
mod effects;
mod endpoints;
mod fits;
mod notes;
mod refusals;
mod same;
mod values;
