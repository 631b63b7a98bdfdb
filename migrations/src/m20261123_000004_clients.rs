//! Registered clients, their secrets, and the assertions that they have used; and whom a session's tokens are meant for.

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
                .table(Clients::Table)
                .col(ColumnDef::new(Clients::Id).uuid().not_null().primary_key())
                .col(ColumnDef::new(Clients::Name).string_len(64).not_null().unique_key())
                .col(ColumnDef::new(Clients::Kind).string_len(16).not_null())
                .col(ColumnDef::new(Clients::Scopes).string_len(1024).not_null())
                .col(ColumnDef::new(Clients::Audiences).string_len(1024).not_null())
                // A JWK Set, of public keys alone.
                .col(ColumnDef::new(Clients::Jwks).text())
                .col(ColumnDef::new(Clients::IsActive).boolean().not_null())
                .col(ColumnDef::new(Clients::CreateTime).big_integer().not_null())
                .col(ColumnDef::new(Clients::UpdateTime).big_integer().not_null()),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(ClientSecrets::Table)
                // SHA-256 of the secret.
                .col(ColumnDef::new(ClientSecrets::Hash).binary_len(32).not_null().primary_key())
                .col(ColumnDef::new(ClientSecrets::ClientId).uuid().not_null())
                // Which of a client's secrets is the newest: it counts up.
                .col(ColumnDef::new(ClientSecrets::Version).integer().not_null())
                .col(ColumnDef::new(ClientSecrets::CreateTime).big_integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "client_secrets_client_id",
            ClientSecrets::Table,
            Index::create().col(ClientSecrets::ClientId),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(ClientAssertions::Table)
                // SHA-256 of the client's id and the assertion's `jti`: the database lets each be used once.
                .col(ColumnDef::new(ClientAssertions::Hash).binary_len(32).not_null().primary_key())
                .col(ColumnDef::new(ClientAssertions::ExpireTime).big_integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "client_assertions_expire_time",
            ClientAssertions::Table,
            Index::create().col(ClientAssertions::ExpireTime),
        )
        .await?;
        table::add_column(manager, Sessions::Table, ColumnDef::new(Sessions::Audience).string_len(1024)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table(Sessions::Table).drop_column(Sessions::Audience).to_owned())
            .await?;
        manager.drop_table(Table::drop().table(ClientAssertions::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(ClientSecrets::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Clients::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    Id,
    Name,
    Kind,
    Scopes,
    Audiences,
    Jwks,
    IsActive,
    CreateTime,
    UpdateTime,
}

#[derive(DeriveIden)]
enum ClientSecrets {
    Table,
    Hash,
    ClientId,
    Version,
    CreateTime,
}

#[derive(DeriveIden)]
enum ClientAssertions {
    Table,
    Hash,
    ExpireTime,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Audience,
}
