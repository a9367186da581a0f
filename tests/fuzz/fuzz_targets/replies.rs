//! The scanner of replies beside the simple reader: any bytes, in any pieces.

#![no_main]

#[path = "../proxy.rs"]
#[allow(dead_code, unused_imports)]
mod proxy;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (pieces, input) = proxy::compare::pieces(bytes);
    proxy::compare::replies(input, &pieces);
});
