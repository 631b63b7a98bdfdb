//! Which clients may tell the addresses of the users for whom they ask.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column =
            ColumnDef::new(Clients::MayClaimAddress).boolean().not_null().default(false).to_owned();
        table::add_column(manager, Clients::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Clients::MayClaimAddress;
        manager.alter_table(Table::alter().table(Clients::Table).drop_column(column).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    MayClaimAddress,
}
