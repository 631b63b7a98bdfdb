//! The one-time passwords that users have in the place of their own, and which resting names administrators had.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // At most one for each user. The release before does not know the table: what it finds in `users.password_hash` fits no password.
        table::create(
            manager,
            Table::create()
                .table(OneTimePasswords::Table)
                .col(ColumnDef::new(OneTimePasswords::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(OneTimePasswords::UserId).uuid().not_null())
                // Of the one-time password and `users.password_hash`: whoever writes another one there, of whatever release, has ended it.
                .col(ColumnDef::new(OneTimePasswords::Sha256).binary_len(32).not_null())
                // The `signet.` scopes that its user had when it was made. With one more it is void.
                .col(ColumnDef::new(OneTimePasswords::Scopes).string_len(1024).not_null())
                // Those that whoever made it had and showed. Null: all that there are, so that nobody gains by having known it.
                .col(ColumnDef::new(OneTimePasswords::MakerScopes).string_len(1024))
                // The hash that fits nothing, which stands in `users.password_hash` until it is used, and again once a used one is void.
                .col(ColumnDef::new(OneTimePasswords::PasswordHash).string_len(255).not_null())
                // A used one stays as a mark, unless its maker had all scopes.
                .col(ColumnDef::new(OneTimePasswords::IsUsed).boolean().not_null())
                .col(ColumnDef::new(OneTimePasswords::IsVoid).boolean().not_null())
                .col(ColumnDef::new(OneTimePasswords::ExpireTime).big_integer().not_null())
                .primary_key(
                    Index::create().col(OneTimePasswords::OrganizationId).col(OneTimePasswords::UserId),
                ),
        )
        .await?;
        // The release before writes nothing else: of whom it deletes, nobody knows.
        let mut column =
            ColumnDef::new(RestingUsernames::IsAdmins).boolean().not_null().default(false).to_owned();
        table::add_column(manager, RestingUsernames::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = RestingUsernames::IsAdmins;
        let alter = Table::alter().table(RestingUsernames::Table).drop_column(column).to_owned();
        manager.alter_table(alter).await?;
        manager.drop_table(Table::drop().table(OneTimePasswords::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum OneTimePasswords {
    Table,
    OrganizationId,
    UserId,
    Sha256,
    Scopes,
    MakerScopes,
    PasswordHash,
    IsUsed,
    IsVoid,
    ExpireTime,
}

#[derive(DeriveIden)]
enum RestingUsernames {
    Table,
    IsAdmins,
}
