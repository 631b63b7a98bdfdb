//! Fuzzes the target `grpc_timeout` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("grpc_timeout", bytes));
