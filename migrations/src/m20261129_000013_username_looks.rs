//! What names with letters beyond ASCII look like, in every form in which they are shown.
//!
//! In a table of its own, since a name has more than one look, and no two names may share any: one unique column over all.

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
                .table(UsernameLooks::Table)
                .col(ColumnDef::new(UsernameLooks::UserId).uuid().not_null())
                // SHA-256 of a skeleton: of the name as it was typed, and of its canonical form.
                .col(ColumnDef::new(UsernameLooks::Look).binary_len(32).not_null())
                // The same. Null: an older user has it.
                .col(ColumnDef::new(UsernameLooks::OwnLook).binary_len(32).unique_key())
                .primary_key(Index::create().col(UsernameLooks::UserId).col(UsernameLooks::Look)),
        )
        .await?;
        table::create_index(
            manager,
            "username_looks_look",
            UsernameLooks::Table,
            Index::create().col(UsernameLooks::Look),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(UsernameLooks::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum UsernameLooks {
    Table,
    UserId,
    Look,
    OwnLook,
}
