//! What a session keeps of the last exchange of its refresh token, by which a lost answer is told from a thief.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The release before does not write them. Each belongs to one exchange by that exchange's time, which is the session's
        // `last_use_time`: what is left of an earlier exchange counts for nothing.
        for column in &mut [
            // Which exchange the next two are about.
            ColumnDef::new(Sessions::ExchangeTime).big_integer().null().to_owned(),
            // A keyed digest of the network and the user agent that it came from.
            ColumnDef::new(Sessions::ExchangeOrigin).binary_len(32).null().to_owned(),
            // How often it was repeated from there.
            ColumnDef::new(Sessions::ExchangeRepeats).integer().null().to_owned(),
            // The exchange of which an access token has been seen.
            ColumnDef::new(Sessions::ExchangeSeen).big_integer().null().to_owned(),
            // When a repeat that came late or from elsewhere was last answered.
            ColumnDef::new(Sessions::OddRepeatTime).big_integer().null().to_owned(),
        ] {
            table::add_column(manager, Sessions::Table, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite drops no two in one statement.
        for column in [
            Sessions::OddRepeatTime,
            Sessions::ExchangeSeen,
            Sessions::ExchangeRepeats,
            Sessions::ExchangeOrigin,
            Sessions::ExchangeTime,
        ] {
            manager.alter_table(Table::alter().table(Sessions::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    ExchangeTime,
    ExchangeOrigin,
    ExchangeRepeats,
    ExchangeSeen,
    OddRepeatTime,
}
