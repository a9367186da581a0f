//! Where requests and replies end, as the data plane finds it.

#[path = "resp/proxy.rs"]
mod proxy;
