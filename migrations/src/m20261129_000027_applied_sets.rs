//! Whose the sets of manifests are, so that nobody prunes by mistake what another has applied.

use sea_orm_migration::{prelude::*, sea_orm::sea_query::OnConflict};

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        table::create(
            manager,
            Table::create()
                .table(AppliedSets::Table)
                .col(ColumnDef::new(AppliedSets::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(AppliedSets::SetName).string_len(64).not_null())
                // `operator`, `user` or `client`.
                .col(ColumnDef::new(AppliedSets::OwnerKind).string_len(16).not_null())
                // The nil UUID of the operator.
                .col(ColumnDef::new(AppliedSets::OwnerId).uuid().not_null())
                .col(ColumnDef::new(AppliedSets::CreateTime).big_integer().not_null())
                .primary_key(Index::create().col(AppliedSets::OrganizationId).col(AppliedSets::SetName)),
        )
        .await?;
        table::create_index(
            manager,
            "applied_sets_owner",
            AppliedSets::Table,
            Index::create()
                .col(AppliedSets::OrganizationId)
                .col(AppliedSets::OwnerKind)
                .col(AppliedSets::OwnerId),
        )
        .await?;
        // The row is there from the start: taking the lease is then an update alone, which every database serializes.
        let row = Query::insert()
            .into_table(Leases::Table)
            .columns([Leases::Name, Leases::ExpireTime])
            .values_panic(["manifests".into(), 0_i64.into()])
            .on_conflict(OnConflict::column(Leases::Name).do_nothing_on([Leases::Name]).to_owned())
            .to_owned();
        manager.execute(row).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let lease = Query::delete()
            .from_table(Leases::Table)
            .and_where(Expr::col(Leases::Name).eq("manifests"))
            .to_owned();
        manager.execute(lease).await?;
        manager.drop_table(Table::drop().table(AppliedSets::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum AppliedSets {
    Table,
    OrganizationId,
    SetName,
    OwnerKind,
    OwnerId,
    CreateTime,
}

#[derive(DeriveIden)]
enum Leases {
    Table,
    Name,
    ExpireTime,
}
