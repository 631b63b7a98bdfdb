//! The version of a user's credentials, which tells a changed password from a hash that a login has replaced.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A new value whenever a credential changes. Null until then. The release before does not know the column, and changes passwords
        // without it.
        let mut column = ColumnDef::new(Users::CredentialVersion).uuid().null().to_owned();
        table::add_column(manager, Users::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Users::CredentialVersion;
        manager.alter_table(Table::alter().table(Users::Table).drop_column(column).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Users {
    Table,
    CredentialVersion,
}
