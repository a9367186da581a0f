//! What the tests on real servers share.

pub mod room;
pub mod servers;
