//! Owns the database schema: ordered migrations that import no entity, so that each stays what it was when it was released.

use sea_orm_migration::prelude::*;

mod m20261123_000001_users_and_signing_keys;
mod m20261123_000002_sessions;
mod m20261123_000003_key_stages;
mod m20261123_000004_clients;
mod m20261124_000005_client_certificates;
mod m20261128_000006_address_claims;
mod m20261128_000007_password_failures;
mod m20261128_000008_refresh_repeats;
mod m20261128_000009_names;
mod m20261129_000010_credential_versions;
mod m20261129_000011_authentication;
mod m20261129_000012_familiar_failures;
mod m20261129_000013_username_looks;
mod m20261129_000014_change_kinds;
mod m20261129_000015_job_runs;
mod m20261129_000016_roles;
mod m20261129_000017_token_claims;
mod m20261129_000018_administration;
mod m20261129_000019_user_search;
mod m20261129_000020_one_time_passwords;
mod m20261129_000021_audit_events;
mod m20261129_000022_built_in_client;
mod m20261129_000023_client_makers;
mod m20261129_000024_administrators;
mod m20261129_000025_attributes;
mod m20261129_000026_applied_resources;
mod m20261129_000027_applied_sets;
mod m20261129_000028_session_ends;
mod m20261129_000029_copies;
mod m20261130_000030_policies;
mod m20261130_000031_told_changes;
mod m20261130_000032_token_typ;
mod names;
mod schema;
mod table;

/// The migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_users_and_signing_keys::Migration),
            Box::new(m20261123_000002_sessions::Migration),
            Box::new(m20261123_000003_key_stages::Migration),
            Box::new(m20261123_000004_clients::Migration),
            Box::new(m20261124_000005_client_certificates::Migration),
            Box::new(m20261128_000006_address_claims::Migration),
            Box::new(m20261128_000007_password_failures::Migration),
            Box::new(m20261128_000008_refresh_repeats::Migration),
            Box::new(m20261128_000009_names::Migration),
            Box::new(m20261129_000010_credential_versions::Migration),
            Box::new(m20261129_000011_authentication::Migration),
            Box::new(m20261129_000012_familiar_failures::Migration),
            Box::new(m20261129_000013_username_looks::Migration),
            Box::new(m20261129_000014_change_kinds::Migration),
            Box::new(m20261129_000015_job_runs::Migration),
            Box::new(m20261129_000016_roles::Migration),
            Box::new(m20261129_000017_token_claims::Migration),
            Box::new(m20261129_000018_administration::Migration),
            Box::new(m20261129_000019_user_search::Migration),
            Box::new(m20261129_000020_one_time_passwords::Migration),
            Box::new(m20261129_000021_audit_events::Migration),
            Box::new(m20261129_000022_built_in_client::Migration),
            Box::new(m20261129_000023_client_makers::Migration),
            Box::new(m20261129_000024_administrators::Migration),
            Box::new(m20261129_000025_attributes::Migration),
            Box::new(m20261129_000026_applied_resources::Migration),
            Box::new(m20261129_000027_applied_sets::Migration),
            Box::new(m20261129_000028_session_ends::Migration),
            Box::new(m20261129_000029_copies::Migration),
            Box::new(m20261130_000030_policies::Migration),
            Box::new(m20261130_000031_told_changes::Migration),
            Box::new(m20261130_000032_token_typ::Migration),
        ]
    }
}

pub use schema::{Schema, names};
pub use sea_orm_migration::{MigratorTrait, migrator::MigratorTraitSelf};

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_says_how_many_a_first_start_applies() {
        let said = format!("Applied {} migration(s).", super::names().len());
        assert!(include_str!("../../README.md").contains(&said), "{said}");
    }
}
