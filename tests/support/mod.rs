//! What the tests on real servers share.

pub mod servers;
