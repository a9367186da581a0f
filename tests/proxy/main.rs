//! The data plane against small servers of our own, and against a real Redis.

mod bytes;
mod checker;
mod drain;
mod fake;
mod held;
mod lease;
mod limits;
mod moving;
mod pair;
mod planned;
mod real;
mod refused;
mod resp;
mod routes;
mod rows;
#[path = "../support/servers.rs"]
mod servers;
mod splice;
mod supply;
mod support;
mod syscalls;
mod tls;
mod visit;
