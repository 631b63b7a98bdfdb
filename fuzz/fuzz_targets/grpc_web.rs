//! Fuzzes the target `grpc_web` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("grpc_web", bytes));
