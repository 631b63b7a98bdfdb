//! Fuzzes the target `policy` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("policy", bytes));
