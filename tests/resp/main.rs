//! Where requests and replies end, as the data plane finds it.

mod proxy;
