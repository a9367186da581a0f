//! Whole hives on real Redis servers, as processes on loopback addresses.
//!
//! `HIVE_TEST_REDIS_SERVER` names another server binary than the one in PATH. Where none is
//! installed every test here is skipped loudly, and fails if `CI=true`.

mod access;
mod asks;
mod bad_input;
mod basics;
#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/certs.rs"]
mod certs;
mod clients;
mod crowd;
mod data;
mod dev;
mod dns;
#[path = "../support/files.rs"]
mod files;
mod frozen;
mod harness;
mod history;
mod load;
mod look;
mod loss;
#[path = "../support/mount.rs"]
mod mount;
mod page;
mod pause;
mod planned;
mod quorum;
mod reads;
mod repair;
mod rescue;
mod rolling;
mod secret;
mod sentinel;
mod sessions;
mod story;
mod strangers;
