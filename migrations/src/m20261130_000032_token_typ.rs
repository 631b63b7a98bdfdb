//! Which `typ` an audience asks for in the tokens that are meant for it alone, and until when it asked for `JWT`.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before reads and writes neither: it issues no such token, and takes none.
        for column in &mut [
            // Null: `at+jwt`.
            ColumnDef::new(Audiences::TokenTyp).string_len(16).null().to_owned(),
            // When it last ceased to ask for `JWT`. Null: never.
            ColumnDef::new(Audiences::JwtUntil).big_integer().null().to_owned(),
        ] {
            table::add_column(manager, Audiences::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [Audiences::JwtUntil, Audiences::TokenTyp] {
            manager
                .alter_table(Table::alter().table(Audiences::Table).drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Audiences {
    Table,
    TokenTyp,
    JwtUntil,
}
