//! Owns what several test binaries need: databases and certificates of the tests' own.

pub(crate) mod database;
pub(crate) mod pki;
