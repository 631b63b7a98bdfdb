//! Fuzzes the target `scope` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("one_time_password", bytes));
