//! Owns what several test binaries need: databases of the tests' own.

pub(crate) mod database;
