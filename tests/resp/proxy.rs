//! Stands for the room that the scanners belong to.

#[path = "../../src/proxy/resp/mod.rs"]
#[allow(dead_code, unused_imports)]
mod resp;

mod compare;
mod random;
mod replies;
mod requests;
mod server;
mod simple;
mod traffic;
