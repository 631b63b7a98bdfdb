//! Owns what several test binaries need: databases and certificates of the tests' own, and running programs.
#![allow(clippy::unwrap_used, reason = "a test panics to fail")]
#![allow(dead_code, reason = "each test binary uses its part of it")]

pub(crate) mod collector;
pub(crate) mod database;
pub(crate) mod log;
pub(crate) mod pki;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod protos;
pub(crate) mod runner;
pub(crate) mod template;
