//! Which clients want their tokens to name roles and groups.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Null: the client wants none. The release before writes nothing else.
        let mut column = ColumnDef::new(Clients::TokenClaims).string_len(64).null().to_owned();
        table::add_column(manager, Clients::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Clients::TokenClaims;
        manager.alter_table(Table::alter().table(Clients::Table).drop_column(column).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    TokenClaims,
}
