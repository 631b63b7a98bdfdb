//! Owns the shape of the tables, for `store` alone.

pub(super) mod changes;
pub(super) mod sessions;
pub(super) mod signing_keys;
pub(super) mod users;
