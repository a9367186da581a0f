//! Stands for the room that the scanners belong to.

#[path = "../../resp/compare.rs"]
pub mod compare;
#[path = "../../../src/proxy/resp/mod.rs"]
mod resp;
#[path = "../../resp/simple.rs"]
mod simple;
