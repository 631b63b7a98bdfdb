//! When a session ends that no refresh token keeps going: with the one access token that its login was given.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Null: refresh tokens keep it going, as all those that the release before opens. That release takes the others for such, and
        // ends them too late: nobody has a token for them by then.
        let mut column = ColumnDef::new(Sessions::EndTime).big_integer().null().to_owned();
        table::add_column(manager, Sessions::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table(Sessions::Table).drop_column(Sessions::EndTime).to_owned())
            .await
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    EndTime,
}
