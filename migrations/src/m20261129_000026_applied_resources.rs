//! What manifests have made, so that `signet apply --prune` deletes nothing else.

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
                .table(AppliedResources::Table)
                .col(ColumnDef::new(AppliedResources::OrganizationId).uuid().not_null())
                // `client`, `role`, `group`, `membership`, `binding` or `attribute`.
                .col(ColumnDef::new(AppliedResources::Kind).string_len(16).not_null())
                // Of a membership the group.
                .col(ColumnDef::new(AppliedResources::ResourceId).uuid().not_null())
                // Of a membership the user; the nil UUID of all else.
                .col(ColumnDef::new(AppliedResources::PartId).uuid().not_null())
                .col(ColumnDef::new(AppliedResources::SetName).string_len(64).not_null())
                .col(ColumnDef::new(AppliedResources::CreateTime).big_integer().not_null())
                .primary_key(
                    Index::create()
                        .col(AppliedResources::OrganizationId)
                        .col(AppliedResources::Kind)
                        .col(AppliedResources::ResourceId)
                        .col(AppliedResources::PartId),
                ),
        )
        .await?;
        table::create_index(
            manager,
            "applied_resources_set",
            AppliedResources::Table,
            Index::create().col(AppliedResources::OrganizationId).col(AppliedResources::SetName),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AppliedResources::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum AppliedResources {
    Table,
    OrganizationId,
    Kind,
    ResourceId,
    PartId,
    SetName,
    CreateTime,
}
