//! The last run of each job that only one process does at a time, in the row of its lease.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before does not write them. Null means: nothing is known of any run.
        for column in &mut [
            // When the newest run began.
            ColumnDef::new(Leases::BeginTime).big_integer().null().to_owned(),
            // When the last run ended that did. Before `begin_time`: the newest goes on, or was cut off.
            ColumnDef::new(Leases::EndTime).big_integer().null().to_owned(),
            // How it ended: `succeeded`, `failed`, `panicked`, `stopped`; later releases have others.
            ColumnDef::new(Leases::Result).string_len(32).null().to_owned(),
            // Why it failed, in a sentence without its cause.
            ColumnDef::new(Leases::Problem).string_len(500).null().to_owned(),
            // Which process began the newest run, as `holder` has it, and for people.
            ColumnDef::new(Leases::ProcessId).uuid().null().to_owned(),
            ColumnDef::new(Leases::ProcessName).string_len(100).null().to_owned(),
        ] {
            table::add_column(manager, Leases::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [
            Leases::ProcessName,
            Leases::ProcessId,
            Leases::Problem,
            Leases::Result,
            Leases::EndTime,
            Leases::BeginTime,
        ] {
            manager.alter_table(Table::alter().table(Leases::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Leases {
    Table,
    BeginTime,
    EndTime,
    Result,
    Problem,
    ProcessId,
    ProcessName,
}
