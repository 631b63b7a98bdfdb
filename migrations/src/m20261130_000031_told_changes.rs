//! What the stream of changes tells of each to other services: of whom it is, at which audiences, and which scopes were taken away; how
//! far the feed has been deleted; and at which audiences tokens of a client may be beyond those that it is registered with.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};
use uuid::Uuid;

use crate::table;

/// The id of the built-in client, which is the same everywhere.
const BUILT_IN: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0001;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        table::create(
            manager,
            Table::create()
                .table(FeedMarks::Table)
                .col(ColumnDef::new(FeedMarks::OrganizationId).uuid().not_null())
                // `passed`: the highest id of a change that was deleted, or would have been if its kind did not stay for longer. The
                // release before deletes without it.
                .col(ColumnDef::new(FeedMarks::Name).string_len(32).not_null())
                .col(ColumnDef::new(FeedMarks::ChangeId).big_integer().not_null())
                .primary_key(Index::create().col(FeedMarks::OrganizationId).col(FeedMarks::Name)),
        )
        .await?;
        // The release before writes none of them. It reads rows of scopes that were taken away as changes of anything, which cost it a
        // reading, and deletes what this release keeps for a day after ten minutes.
        for column in &mut [
            // The user of a session.
            ColumnDef::new(Changes::Holder).uuid().null().to_owned(),
            // Names of audiences, separated by spaces. Null: it is not known which.
            ColumnDef::new(Changes::Audience).string_len(1_024).null().to_owned(),
            // Scopes, separated by spaces.
            ColumnDef::new(Changes::Scopes).string_len(1_024).null().to_owned(),
        ] {
            table::add_column(manager, Changes::Table, column).await?;
        }
        // Names of audiences that a client was registered with before, separated by spaces. Null: it is not known which, since an earlier
        // release has added the client.
        let mut column = ColumnDef::new(Clients::PastAudiences).string_len(1_024).null().to_owned();
        table::add_column(manager, Clients::Table, &mut column).await?;
        of_the_built_in_client(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Clients::PastAudiences;
        manager.alter_table(Table::alter().table(Clients::Table).drop_column(column).to_owned()).await?;
        // One at a time: SQLite drops no two in one statement.
        for column in [Changes::Scopes, Changes::Audience, Changes::Holder] {
            manager.alter_table(Table::alter().table(Changes::Table).drop_column(column).to_owned()).await?;
        }
        manager.drop_table(Table::drop().table(FeedMarks::Table).to_owned()).await
    }
}

/// Where nobody has a session, none is of an audience that the built-in client was registered with before.
async fn of_the_built_in_client(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sessions = Query::select().column(Sessions::Id).from(Sessions::Table).to_owned();
    let set = Query::update()
        .table(Clients::Table)
        .value(Clients::PastAudiences, "")
        .and_where(Expr::col(Clients::Id).eq(Uuid::from_u128(BUILT_IN)))
        .and_where(Expr::col(Clients::PastAudiences).is_null())
        .and_where(Expr::exists(sessions).not())
        .to_owned();
    manager.get_connection().execute(&set).await.map(drop)
}

#[derive(DeriveIden)]
enum Changes {
    Table,
    Holder,
    Audience,
    Scopes,
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    Id,
    PastAudiences,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
}

#[derive(DeriveIden)]
enum FeedMarks {
    Table,
    OrganizationId,
    Name,
    ChangeId,
}
