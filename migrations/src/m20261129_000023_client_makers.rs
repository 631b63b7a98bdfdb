//! What those who made the secrets, the keys and the certificate of a client could do to the service.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of each kind, the `signet.` scopes that all had who made one that is there. Null: all that there are. The release before writes
        // nothing else, and in it the operator alone makes them.
        for column in COLUMNS {
            let mut column = ColumnDef::new(column).string_len(1024).null().to_owned();
            table::add_column(manager, Clients::Table, &mut column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.alter_table(Table::alter().table(Clients::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

const COLUMNS: [Clients; 3] = [Clients::SecretMakers, Clients::KeyMakers, Clients::CertificateMakers];

#[derive(DeriveIden)]
enum Clients {
    Table,
    SecretMakers,
    KeyMakers,
    CertificateMakers,
}
