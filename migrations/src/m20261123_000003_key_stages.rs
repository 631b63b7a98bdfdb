//! The times from which a signing key's stage follows, and the leases by which replicas agree who does what only one may do.
//!
//! The columns may be null, so that a process of the version before goes on adding keys while the others are replaced.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column at a time.
        for mut column in [
            // From when it signs. Null: since it was made.
            ColumnDef::new(SigningKeys::SignTime).big_integer().null().take(),
            // For how long it is kept after another has begun to sign, in microseconds. Null: for as long as any token lives.
            ColumnDef::new(SigningKeys::Retention).big_integer().null().take(),
        ] {
            table::add_column(manager, SigningKeys::Table, &mut column).await?;
        }
        table::create(
            manager,
            Table::create()
                .table(Leases::Table)
                .col(ColumnDef::new(Leases::Name).string_len(64).not_null().primary_key())
                // Null: nobody has taken it yet.
                .col(ColumnDef::new(Leases::Holder).uuid().null())
                .col(ColumnDef::new(Leases::ExpireTime).big_integer().not_null()),
        )
        .await?;
        // The row is there from the start: taking the lease is then an update alone, which every database serializes.
        let row = Query::insert()
            .into_table(Leases::Table)
            .columns([Leases::Name, Leases::ExpireTime])
            .values_panic(["signing_keys".into(), 0_i64.into()])
            .on_conflict(OnConflict::column(Leases::Name).do_nothing_on([Leases::Name]).to_owned())
            .to_owned();
        manager.execute(row).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Leases::Table).to_owned()).await?;
        for column in [SigningKeys::Retention, SigningKeys::SignTime] {
            let table = Table::alter().table(SigningKeys::Table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum SigningKeys {
    Table,
    SignTime,
    Retention,
}

#[derive(DeriveIden)]
enum Leases {
    Table,
    Name,
    Holder,
    ExpireTime,
}
