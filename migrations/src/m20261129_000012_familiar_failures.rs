//! How often passwords have failed that were judged only because an open session of the user came from the address.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before does not write them: null is none.
        for column in &mut [
            ColumnDef::new(PasswordFailuresByAddress::FamiliarFailures).integer().null().to_owned(),
            // When the last of them was.
            ColumnDef::new(PasswordFailuresByAddress::FamiliarTime).big_integer().null().to_owned(),
        ] {
            table::add_column(manager, PasswordFailuresByAddress::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [PasswordFailuresByAddress::FamiliarTime, PasswordFailuresByAddress::FamiliarFailures] {
            let table = PasswordFailuresByAddress::Table;
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum PasswordFailuresByAddress {
    Table,
    FamiliarFailures,
    FamiliarTime,
}
