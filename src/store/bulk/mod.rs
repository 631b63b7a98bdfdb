//! Owns what reads and writes users by the thousand: the command line moves them in and out.

pub(in crate::store) mod foreign_table;
pub(in crate::store) mod seen_keys;
pub(in crate::store) mod users;
