//! The election core without a standard library: whatever it imports, it cannot import a clock, a
//! socket, a thread, the environment, a random hash seed or a crate. `tests/purity.rs` compiles it.

#![no_std]

extern crate alloc;

#[path = "../../src/election/mod.rs"]
pub mod election;
