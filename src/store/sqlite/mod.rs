//! Owns what only a SQLite file offers: copies of it, made while it is used.

pub(in crate::store) mod copies;
