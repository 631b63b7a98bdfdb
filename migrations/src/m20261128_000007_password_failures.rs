//! How many passwords have failed, by account and by account and address; and secrets that this service keeps from whoever reads its
//! database.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        table::create(
            manager,
            Table::create()
                .table(PasswordFailures::Table)
                // HMAC-SHA-256 of the account's canonical name, whether or not it exists.
                .col(ColumnDef::new(PasswordFailures::Id).binary_len(32).not_null().primary_key())
                // When the account's allowance will be full again.
                .col(ColumnDef::new(PasswordFailures::FullTime).big_integer().not_null())
                // Since when, and how often, addresses have failed that had not done so lately, while there was none left.
                .col(ColumnDef::new(PasswordFailures::SpareStartTime).big_integer().not_null())
                .col(ColumnDef::new(PasswordFailures::SpareUsed).integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "password_failures_full_time",
            PasswordFailures::Table,
            Index::create().col(PasswordFailures::FullTime),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(PasswordFailuresByAddress::Table)
                // HMAC-SHA-256 of the account's canonical name and the address.
                .col(ColumnDef::new(PasswordFailuresByAddress::Id).binary_len(32).not_null().primary_key())
                .col(ColumnDef::new(PasswordFailuresByAddress::Failures).integer().not_null())
                .col(ColumnDef::new(PasswordFailuresByAddress::LastTime).big_integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "password_failures_by_address_last_time",
            PasswordFailuresByAddress::Table,
            Index::create().col(PasswordFailuresByAddress::LastTime),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(SealedSecrets::Table)
                .col(ColumnDef::new(SealedSecrets::Name).string_len(64).not_null().primary_key())
                // Under AES-256-GCM: nonce, ciphertext, tag.
                .col(ColumnDef::new(SealedSecrets::Sealed).blob().not_null()),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SealedSecrets::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(PasswordFailuresByAddress::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(PasswordFailures::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum PasswordFailures {
    Table,
    Id,
    FullTime,
    SpareStartTime,
    SpareUsed,
}

#[derive(DeriveIden)]
enum PasswordFailuresByAddress {
    Table,
    Id,
    Failures,
    LastTime,
}

#[derive(DeriveIden)]
enum SealedSecrets {
    Table,
    Name,
    Sealed,
}
