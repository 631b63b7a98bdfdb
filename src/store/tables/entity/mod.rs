//! Owns the shape of the tables, for `store` alone.

pub(super) mod admin_requests;
pub(super) mod administrators;
pub(super) mod applied_resources;
pub(super) mod attributes;
pub(super) mod audience_owners;
pub(super) mod audiences;
pub(super) mod audit_events;
pub(super) mod bindings;
pub(super) mod built_indexes;
pub(super) mod changes;
pub(super) mod client_assertions;
pub(super) mod client_secrets;
pub(super) mod clients;
pub(super) mod groups;
pub(super) mod leases;
pub(super) mod memberships;
pub(super) mod one_time_passwords;
pub(super) mod password_failures;
pub(super) mod password_failures_by_address;
pub(super) mod resting_usernames;
pub(super) mod roles;
pub(super) mod sealed_secrets;
pub(super) mod sessions;
pub(super) mod signing_keys;
pub(super) mod username_looks;
pub(super) mod usernames;
pub(in crate::store) mod users;
