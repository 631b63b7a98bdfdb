//! Login sessions with the refresh tokens that keep them going, and the feed by which processes learn of changes.

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
                .table(Sessions::Table)
                .col(ColumnDef::new(Sessions::Id).uuid().not_null().primary_key())
                .col(ColumnDef::new(Sessions::UserId).uuid().not_null())
                .col(ColumnDef::new(Sessions::ClientId).string_len(255).not_null())
                .col(ColumnDef::new(Sessions::Scope).string_len(1024).not_null())
                .col(ColumnDef::new(Sessions::UserAgent).string_len(255))
                .col(ColumnDef::new(Sessions::Address).string_len(64))
                .col(ColumnDef::new(Sessions::CreateTime).big_integer().not_null())
                .col(ColumnDef::new(Sessions::LastUseTime).big_integer().not_null())
                // SHA-256 of the refresh token that has not been used, and of the one that was exchanged for it.
                .col(ColumnDef::new(Sessions::RefreshNewest).binary_len(32).not_null())
                .col(ColumnDef::new(Sessions::RefreshBeforeNewest).binary_len(32))
                // Random: what makes the next token of the newest, together with that token.
                .col(ColumnDef::new(Sessions::RefreshSalt).binary_len(32).not_null()),
        )
        .await?;
        // Lists a user's sessions in the order of their ids, a page at a time.
        table::create_index(
            manager,
            "sessions_user_id_id",
            Sessions::Table,
            Index::create().col(Sessions::UserId).col(Sessions::Id),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(Changes::Table)
                .col(ColumnDef::new(Changes::Id).big_integer().not_null().auto_increment().primary_key())
                // The id of a user or a session that was changed or ended.
                .col(ColumnDef::new(Changes::Subject).uuid().not_null())
                .col(ColumnDef::new(Changes::CreateTime).big_integer().not_null()),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Changes::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Sessions::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    UserId,
    ClientId,
    Scope,
    UserAgent,
    Address,
    CreateTime,
    LastUseTime,
    RefreshNewest,
    RefreshBeforeNewest,
    RefreshSalt,
}

#[derive(DeriveIden)]
enum Changes {
    Table,
    Id,
    Subject,
    CreateTime,
}
