//! Who may lead, and what may never happen to the data: the pure core.
//!
//! No clock, no socket, no thread and no randomness of its own: everything comes in as an argument.
//!
//! The contract with the driver:
//! 1. Call `Core::handle` with one input and the clocks, then execute all actions in their order.
//! 2. Read all input that waits; when none is left and `Core::deadline` has come, hand in [`Input::Tick`].
//! 3. Sleep until the next input or the deadline.

pub mod frame;
pub mod io;
pub mod types;

pub use frame::{Frame, Message};
pub use io::{
    Action, Clocks, Dialled, Input, OrderError, RedisOrder, RedisView, Report, ReportKind,
};
pub use types::*;
