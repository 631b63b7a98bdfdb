//! Fuzzes the target `x_forwarded_for` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("x_forwarded_for", bytes));
