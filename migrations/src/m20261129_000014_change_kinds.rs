//! Which kind of thing a change is about, and what became of it, so that it concerns only those who keep things of that kind.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before does not write them. Null means: of any kind, changed or ended.
        for column in &mut [
            // `user`, `session`, `client`, `signing_keys`; later releases have others.
            ColumnDef::new(Changes::Kind).string_len(32).null().to_owned(),
            // `changed`, `ended`.
            ColumnDef::new(Changes::Effect).string_len(32).null().to_owned(),
        ] {
            table::add_column(manager, Changes::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [Changes::Effect, Changes::Kind] {
            manager.alter_table(Table::alter().table(Changes::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Changes {
    Table,
    Kind,
    Effect,
}
