//! By what users are searched, and which indexes of tables that were there before have been built.
//!
//! The columns are filled, and the indexes built, by a job of the service (README.md, rule 3). Where there are no users yet nothing is to
//! be filled, and the indexes are built here.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};
use uuid::Uuid;

use crate::table;

/// How much of a text is searched, in bytes: more than anybody types, and every database indexes it.
const KEY_BYTES: u32 = 256;

/// The indexes: each has the rows with one value in the order of their ids.
const INDEXES: [(&str, Users); 5] = [
    ("users_username_key", Users::UsernameKey),
    ("users_email_key", Users::EmailKey),
    ("users_display_name_key", Users::DisplayNameKey),
    ("users_create_time", Users::CreateTime),
    ("users_login_time", Users::LoginTime),
];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Bytes, and no text: they compare in the same way on every database, whatever its collation is. Null: there is no such text, or
        // the release before has written the row.
        for column in [Users::UsernameKey, Users::EmailKey, Users::DisplayNameKey] {
            let mut column = ColumnDef::new(column).var_binary(KEY_BYTES).null().to_owned();
            table::add_column(manager, Users::Table, &mut column).await?;
        }
        table::create(
            manager,
            Table::create()
                .table(BuiltIndexes::Table)
                .col(ColumnDef::new(BuiltIndexes::OrganizationId).uuid().not_null())
                .col(ColumnDef::new(BuiltIndexes::Name).string_len(64).not_null())
                // Since when it can be used: it is there, and what it indexes was filled.
                .col(ColumnDef::new(BuiltIndexes::ReadyTime).big_integer().not_null())
                .primary_key(Index::create().col(BuiltIndexes::OrganizationId).col(BuiltIndexes::Name)),
        )
        .await?;
        let db = manager.get_connection();
        let any_user = Query::select().column(Users::Id).from(Users::Table).limit(1).to_owned();
        if db.query_one(&any_user).await?.is_some() {
            return Ok(());
        }
        for (name, column) in INDEXES {
            let mut index = Index::create().col(column).col(Users::Id).to_owned();
            table::create_index(manager, name, Users::Table, &mut index).await?;
            note(db, name).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            if manager.has_index(Users::Table.to_string(), name).await? {
                manager.drop_index(Index::drop().name(name).table(Users::Table).to_owned()).await?;
            }
        }
        manager.drop_table(Table::drop().table(BuiltIndexes::Table).to_owned()).await?;
        // One at a time: SQLite drops no two in one statement.
        for column in [Users::DisplayNameKey, Users::EmailKey, Users::UsernameKey] {
            manager.alter_table(Table::alter().table(Users::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

/// Notes that the index `name` can be used, unless that is noted.
async fn note(db: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    let is_noted = Query::select()
        .column(BuiltIndexes::Name)
        .from(BuiltIndexes::Table)
        .and_where(Expr::col(BuiltIndexes::OrganizationId).eq(Uuid::nil()))
        .and_where(Expr::col(BuiltIndexes::Name).eq(name))
        .to_owned();
    if db.query_one(&is_noted).await?.is_some() {
        return Ok(());
    }
    let insert = Query::insert()
        .into_table(BuiltIndexes::Table)
        .columns([BuiltIndexes::OrganizationId, BuiltIndexes::Name, BuiltIndexes::ReadyTime])
        .values_panic([Uuid::nil().into(), name.into(), 0_i64.into()])
        .to_owned();
    db.execute(&insert).await.map(drop)
}

#[derive(Clone, Copy, DeriveIden)]
enum Users {
    Table,
    Id,
    UsernameKey,
    EmailKey,
    DisplayNameKey,
    CreateTime,
    LoginTime,
}

#[derive(DeriveIden)]
enum BuiltIndexes {
    Table,
    OrganizationId,
    Name,
    ReadyTime,
}
