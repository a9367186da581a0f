//! The account of a session: what may be sent, what is owed, what is set, and who may be moved.

#[path = "ledger/proxy/mod.rs"]
mod proxy;
#[path = "support/servers.rs"]
mod servers;
