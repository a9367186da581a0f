//! Stands for the room that the account belongs to.

#[path = "../../../src/proxy/commands.rs"]
#[allow(dead_code)]
mod commands;
#[path = "../../../src/proxy/ledger/mod.rs"]
#[allow(dead_code)]
mod ledger;
#[path = "../../../src/proxy/resp/mod.rs"]
#[allow(dead_code, unused_imports)]
mod resp;

mod again;
mod conversation;
mod foreign;
mod framing;
mod hostile;
mod muted;
mod refused;
mod scripts;
mod servers;
mod state;
mod subscriptions;
