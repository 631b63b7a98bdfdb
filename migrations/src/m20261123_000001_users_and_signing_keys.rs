//! The first schema: users, and the keys that sign their tokens.

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
                .table(Users::Table)
                .col(ColumnDef::new(Users::Id).uuid().not_null().primary_key())
                .col(ColumnDef::new(Users::Username).string_len(255).not_null())
                // The form by which names compare (RFC 8265): uniqueness is the database's to keep.
                .col(ColumnDef::new(Users::UsernameCanonical).string_len(255).not_null().unique_key())
                .col(ColumnDef::new(Users::Email).string_len(254))
                .col(ColumnDef::new(Users::DisplayName).string_len(512))
                .col(ColumnDef::new(Users::PasswordHash).string_len(255).not_null())
                .col(ColumnDef::new(Users::IsActive).boolean().not_null())
                // Times are microseconds since 1970: one meaning and one precision on every database.
                .col(ColumnDef::new(Users::CreateTime).big_integer().not_null())
                .col(ColumnDef::new(Users::UpdateTime).big_integer().not_null())
                // When the user last logged in. A login writes it so that it and a change of the user exclude each other.
                .col(ColumnDef::new(Users::LoginTime).big_integer()),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(SigningKeys::Table)
                .col(ColumnDef::new(SigningKeys::Kid).string_len(64).not_null().primary_key())
                .col(ColumnDef::new(SigningKeys::Alg).string_len(16).not_null())
                // The private part under AES-256-GCM: nonce, ciphertext, tag.
                .col(ColumnDef::new(SigningKeys::SealedPrivateKey).blob().not_null())
                .col(ColumnDef::new(SigningKeys::CreateTime).big_integer().not_null()),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SigningKeys::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Users::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Users {
    Table,
    Id,
    Username,
    UsernameCanonical,
    Email,
    DisplayName,
    PasswordHash,
    IsActive,
    CreateTime,
    UpdateTime,
    LoginTime,
}

#[derive(DeriveIden)]
enum SigningKeys {
    Table,
    Kid,
    Alg,
    SealedPrivateKey,
    CreateTime,
}
