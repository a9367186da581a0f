//! `--quorum 2`: never two masters, asserted on what clients were told.

use super::plan::Plan;

/// All hives with a quorum.
pub fn run(_plan: &mut Plan) {}
