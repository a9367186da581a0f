//! RESP framing: where requests and replies end, and nothing else of what they mean.
//!
//! Both scanners take the bytes of one direction piece by piece, in any split, copy no payload and
//! believe no length beyond what it says about bytes that are still to come.

mod args;
mod lead;
mod pieces;
mod quotes;
mod replies;
mod requests;

pub(super) use args::args;
pub(super) use pieces::Words;
pub(super) use replies::{Frame, Replies, Reply};
pub(super) use requests::{Request, Requests};
