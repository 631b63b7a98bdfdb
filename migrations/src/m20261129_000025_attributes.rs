//! The attributes that users may have, as an operator declares them, and those that each has.

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
                .table(Attributes::Table)
                .col(ColumnDef::new(Attributes::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(Attributes::Id).uuid().not_null())
                .col(ColumnDef::new(Attributes::Name).string_len(64).not_null())
                // `string`, `integer`, `boolean` or `string-list`.
                .col(ColumnDef::new(Attributes::ValueType).string_len(16).not_null())
                // `admin` or `user`.
                .col(ColumnDef::new(Attributes::Writer).string_len(16).not_null())
                .col(ColumnDef::new(Attributes::InTokens).boolean().not_null())
                .col(ColumnDef::new(Attributes::InUserinfo).boolean().not_null())
                .col(ColumnDef::new(Attributes::InIntrospection).boolean().not_null())
                // 256 characters.
                .col(ColumnDef::new(Attributes::Description).string_len(256).not_null())
                .col(ColumnDef::new(Attributes::CreateTime).big_integer().not_null())
                .col(ColumnDef::new(Attributes::UpdateTime).big_integer().not_null())
                .primary_key(Index::create().col(Attributes::OrganizationId).col(Attributes::Id)),
        )
        .await?;
        table::create_index(
            manager,
            "attributes_name",
            Attributes::Table,
            Index::create().unique().col(Attributes::OrganizationId).col(Attributes::Name),
        )
        .await?;
        // Last, since it locks a table that the service uses. JSON: values by the ids of `attributes`. Null: none. The release before
        // writes nothing else, and keeps what it finds.
        let mut column = ColumnDef::new(Users::Attributes).text().null().to_owned();
        table::add_column(manager, Users::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Users::Attributes;
        manager.alter_table(Table::alter().table(Users::Table).drop_column(column).to_owned()).await?;
        manager.drop_table(Table::drop().table(Attributes::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Attributes {
    Table,
    OrganizationId,
    Id,
    Name,
    ValueType,
    Writer,
    InTokens,
    InUserinfo,
    InIntrospection,
    Description,
    CreateTime,
    UpdateTime,
}

#[derive(DeriveIden)]
enum Users {
    Table,
    Attributes,
}
