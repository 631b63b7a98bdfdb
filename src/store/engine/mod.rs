//! Owns how the database is reached: connections, attempts, transactions, leases, the schema.

pub(in crate::store) mod attempts;
pub(in crate::store) mod batches;
pub(in crate::store) mod change_order;
pub(in crate::store) mod clock;
pub(in crate::store) mod connect;
pub(in crate::store) mod failure;
pub(in crate::store) mod file_use;
pub(in crate::store) mod lanes;
pub(in crate::store) mod location;
pub(in crate::store) mod online_index;
mod pooler;
pub(in crate::store) mod pools;
pub(in crate::store) mod schema;
pub(in crate::store) mod transaction;
mod url_parameters;
