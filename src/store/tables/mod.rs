//! Owns the tables, each with what is asked of it.

pub(in crate::store) mod access;
pub(in crate::store) mod admin_requests;
pub(in crate::store) mod administration;
pub(in crate::store) mod audiences;
pub(in crate::store) mod audit_events;
pub(in crate::store) mod bindings;
pub(in crate::store) mod changes;
pub(in crate::store) mod client_assertions;
pub(in crate::store) mod clients;
pub(in crate::store) mod credentials;
pub(in crate::store) mod ended_bindings;
pub(in crate::store) mod entity;
pub(in crate::store) mod exchanges;
pub(in crate::store) mod groups;
pub(in crate::store) mod job_runs;
pub(in crate::store) mod leases;
pub(in crate::store) mod password_failures;
pub(in crate::store) mod resting_usernames;
pub(in crate::store) mod roles;
pub(in crate::store) mod sealed_secrets;
pub(in crate::store) mod sessions;
pub(in crate::store) mod signing_keys;
mod strangers;
pub(in crate::store) mod usernames;
pub(in crate::store) mod users;
