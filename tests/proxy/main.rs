//! The data plane against small servers of our own, and against a real Redis.

mod bytes;
mod held;
mod lease;
mod limits;
mod real;
mod resp;
mod routes;
mod splice;
mod support;
