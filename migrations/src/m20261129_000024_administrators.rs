//! Who administers the service, or has done so: what their names are worth, they are worth when nothing is left of it.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Users who are there. The release before gives nobody what administers, and leaves the row of whom it deletes: a few bytes. An
        // import can give the id again: it deletes the row then.
        table::create(
            manager,
            Table::create()
                .table(Administrators::Table)
                .col(ColumnDef::new(Administrators::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(Administrators::UserId).uuid().not_null())
                .primary_key(Index::create().col(Administrators::OrganizationId).col(Administrators::UserId)),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Administrators::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Administrators {
    Table,
    OrganizationId,
    UserId,
}
