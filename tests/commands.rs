//! The table of commands beside the commands of real servers.

#[path = "commands/proxy.rs"]
mod proxy;
#[path = "support/servers.rs"]
mod servers;
