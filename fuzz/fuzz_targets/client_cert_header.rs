//! Fuzzes the target `client_cert_header` of `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signet::fuzzing::run("client_cert_header", bytes));
