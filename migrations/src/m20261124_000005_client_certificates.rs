//! Whose certificate stands for a client: by SPIFFE ID, which one client alone has, or by DNS name.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ColumnDef::new(Clients::SpiffeId).string_len(2048).to_owned(),
            // SHA-256 of it: MySQL and PostgreSQL cannot index a text of that length.
            ColumnDef::new(Clients::SpiffeIdHash).binary_len(32).to_owned(),
            ColumnDef::new(Clients::TlsSanDns).string_len(253).to_owned(),
        ];
        for mut column in columns {
            table::add_column(manager, Clients::Table, &mut column).await?;
        }
        table::create_index(
            manager,
            "clients_spiffe_id_hash",
            Clients::Table,
            Index::create().unique().col(Clients::SpiffeIdHash),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(Index::drop().name("clients_spiffe_id_hash").table(Clients::Table).to_owned())
            .await?;
        for column in [Clients::TlsSanDns, Clients::SpiffeIdHash, Clients::SpiffeId] {
            manager.alter_table(Table::alter().table(Clients::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    SpiffeId,
    SpiffeIdHash,
    TlsSanDns,
}
