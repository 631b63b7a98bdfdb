//! How and when the user of a session proved who they are, which tokens say of it for as long as it goes on.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before does not write them. Null means: by a password, when the session was opened.
        for column in &mut [
            // Names of RFC 8176, separated by spaces.
            ColumnDef::new(Sessions::Amr).string_len(255).null().to_owned(),
            ColumnDef::new(Sessions::AuthTime).big_integer().null().to_owned(),
            // The level of assurance. Nobody writes it until there is a second one.
            ColumnDef::new(Sessions::Acr).string_len(255).null().to_owned(),
        ] {
            table::add_column(manager, Sessions::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [Sessions::Acr, Sessions::AuthTime, Sessions::Amr] {
            manager.alter_table(Table::alter().table(Sessions::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Amr,
    AuthTime,
    Acr,
}
