//! Owns what several test binaries need: databases and certificates of the tests' own.

pub(crate) mod database;
#[allow(dead_code, reason = "each test binary uses its part of it")]
pub(crate) mod pki;
#[allow(dead_code, reason = "each test binary uses its part of it")]
pub(crate) mod ports;
