//! The subcommands.

pub mod dev;
