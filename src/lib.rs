//! redis-hive: one small binary beside every Redis that makes the set highly available.

extern crate alloc;

pub mod cli;
pub mod election;
