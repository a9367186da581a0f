//! What the tests on real servers share.

pub mod certs;
pub mod keys;
pub mod mount;
pub mod room;
pub mod servers;
