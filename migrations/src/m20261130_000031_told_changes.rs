//! What the stream of changes tells of each to other services: of whom it is, at which audiences, and which scopes were taken away.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before writes none of them. It reads rows of scopes that were taken away as changes of anything, which cost it a
        // reading, and deletes what this release keeps for a day after ten minutes.
        for column in &mut [
            // The user of a session.
            ColumnDef::new(Changes::Holder).uuid().null().to_owned(),
            // Names of audiences, separated by spaces. Null: it is not known which.
            ColumnDef::new(Changes::Audience).string_len(1_024).null().to_owned(),
            // Scopes, separated by spaces.
            ColumnDef::new(Changes::Scopes).string_len(1_024).null().to_owned(),
        ] {
            table::add_column(manager, Changes::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [Changes::Scopes, Changes::Audience, Changes::Holder] {
            manager.alter_table(Table::alter().table(Changes::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Changes {
    Table,
    Holder,
    Audience,
    Scopes,
}
