//! Whether a database is being copied from another, or has been copied to one.

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
                .table(Copies::Table)
                // `from` another database, until all of it is there, or `to` one.
                .col(ColumnDef::new(Copies::Direction).string_len(16).not_null().primary_key())
                .col(ColumnDef::new(Copies::Place).text().not_null())
                .col(ColumnDef::new(Copies::CreateTime).big_integer().not_null()),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Copies::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Copies {
    Table,
    Direction,
    Place,
    CreateTime,
}
