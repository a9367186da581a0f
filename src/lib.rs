//! redis-hive: one small binary beside every Redis that makes the set highly available.

extern crate alloc;

mod alarm;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod election;
pub mod http;
mod listener;
pub mod node;
pub mod peer;
pub mod proxy;
pub mod redis;
pub mod secrets;
pub mod sentinel;
