//! `frames` of `targets.rs`.

#![no_main]

#[path = "../targets/proxy.rs"]
#[allow(dead_code, unused_imports)]
mod proxy;
#[path = "../targets.rs"]
#[allow(dead_code, unused_imports)]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::frames(bytes));
