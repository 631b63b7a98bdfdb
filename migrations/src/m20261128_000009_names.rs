//! By what else a username is found than the form that it is stored in: what it looks like, its canonical form where that differs from
//! the form of earlier releases; and which names of deleted users rest.
//!
//! In tables of their own: indices on a table of 100 million users would stop its logins while they are built.

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
                .table(Usernames::Table)
                .col(ColumnDef::new(Usernames::UserId).uuid().not_null().primary_key())
                // Of names whose canonical form is not that of earlier releases, or may be another's of them. Null: an older user has it.
                .col(ColumnDef::new(Usernames::Canonical).string_len(255).unique_key())
                // SHA-256 of the skeleton (UTS 39 section 4), which may be many times longer than the name.
                .col(ColumnDef::new(Usernames::Skeleton).binary_len(32).not_null())
                // The same, of names with letters beyond ASCII. Null: an older user has it.
                .col(ColumnDef::new(Usernames::OwnSkeleton).binary_len(32).unique_key())
                .col(ColumnDef::new(Usernames::IsBeyondAscii).boolean().not_null())
                // The version of Unicode's tables, and of the program's own rules: 18000001 for 18.0.0 and the first of those.
                .col(ColumnDef::new(Usernames::SkeletonVersion).integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "usernames_skeleton",
            Usernames::Table,
            Index::create().col(Usernames::Skeleton),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(RestingUsernames::Table)
                // HMAC-SHA-256 of the canonical form.
                .col(ColumnDef::new(RestingUsernames::Mark).binary_len(32).not_null().primary_key())
                .col(ColumnDef::new(RestingUsernames::ExpireTime).big_integer().not_null()),
        )
        .await?;
        table::create_index(
            manager,
            "resting_usernames_expire_time",
            RestingUsernames::Table,
            Index::create().col(RestingUsernames::ExpireTime),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(RestingUsernames::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Usernames::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Usernames {
    Table,
    UserId,
    Canonical,
    Skeleton,
    OwnSkeleton,
    IsBeyondAscii,
    SkeletonVersion,
}

#[derive(DeriveIden)]
enum RestingUsernames {
    Table,
    Mark,
    ExpireTime,
}
