//! The policies of services: versions of who may call which of their methods, and the rules of each.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        table::create(
            manager,
            Table::create()
                .table(PolicyVersions::Table)
                .col(ColumnDef::new(PolicyVersions::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(PolicyVersions::Id).uuid().not_null())
                // An audience.
                .col(ColumnDef::new(PolicyVersions::Service).string_len(512).not_null())
                .col(ColumnDef::new(PolicyVersions::Version).string_len(128).not_null())
                // `PUSHED`, `SHADOW`, `ACTIVE` or `RETIRED`.
                .col(ColumnDef::new(PolicyVersions::State).string_len(16).not_null())
                // Of the file, in hexadecimal digits.
                .col(ColumnDef::new(PolicyVersions::Sha256).string_len(64).not_null())
                .col(ColumnDef::new(PolicyVersions::Methods).big_integer().not_null())
                .col(ColumnDef::new(PolicyVersions::CreateTime).big_integer().not_null())
                .col(ColumnDef::new(PolicyVersions::UpdateTime).big_integer().not_null())
                .primary_key(Index::create().col(PolicyVersions::OrganizationId).col(PolicyVersions::Id)),
        )
        .await?;
        table::create_index(
            manager,
            "policy_versions_name",
            PolicyVersions::Table,
            Index::create()
                .unique()
                .col(PolicyVersions::OrganizationId)
                .col(PolicyVersions::Service)
                .col(PolicyVersions::Version),
        )
        .await?;
        table::create(
            manager,
            Table::create()
                .table(PolicyRules::Table)
                .col(ColumnDef::new(PolicyRules::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(PolicyRules::VersionId).uuid().not_null())
                // `/stock.v1.Stock/Reserve`
                .col(ColumnDef::new(PolicyRules::Method).string_len(512).not_null())
                // JSON.
                .col(ColumnDef::new(PolicyRules::Rule).text().not_null())
                .primary_key(
                    Index::create()
                        .col(PolicyRules::OrganizationId)
                        .col(PolicyRules::VersionId)
                        .col(PolicyRules::Method),
                ),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(PolicyRules::Table).if_exists().to_owned()).await?;
        manager.drop_table(Table::drop().table(PolicyVersions::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum PolicyVersions {
    Table,
    OrganizationId,
    Id,
    Service,
    Version,
    State,
    Sha256,
    Methods,
    CreateTime,
    UpdateTime,
}

#[derive(DeriveIden)]
enum PolicyRules {
    Table,
    OrganizationId,
    VersionId,
    Method,
    Rule,
}
