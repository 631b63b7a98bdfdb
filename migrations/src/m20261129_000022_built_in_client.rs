//! The client that every installation has, as a row like others: so its scopes, audiences and claims can be changed.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};
use uuid::Uuid;

/// Its id, which is the same everywhere.
const ID: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0001;

/// Its name, which the release before lets nobody else have, and knows as a client without looking here.
const NAME: &str = "signet";

/// What its users have had of it so far.
const SCOPES: &str = "profile account";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_there = Query::select()
            .column(Clients::Id)
            .from(Clients::Table)
            .and_where(Expr::col(Clients::Id).eq(Uuid::from_u128(ID)))
            .to_owned();
        if db.query_one(&is_there).await?.is_some() {
            return Ok(());
        }
        let values: [(Clients, Expr); 9] = [
            (Clients::Id, Uuid::from_u128(ID).into()),
            (Clients::Name, NAME.into()),
            (Clients::Kind, "public".into()),
            (Clients::Scopes, SCOPES.into()),
            // The service's own.
            (Clients::Audiences, "".into()),
            (Clients::MayClaimAddress, false.into()),
            (Clients::IsActive, true.into()),
            (Clients::CreateTime, 0_i64.into()),
            (Clients::UpdateTime, 0_i64.into()),
        ];
        let (columns, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let insert =
            Query::insert().into_table(Clients::Table).columns(columns).values_panic(values).to_owned();
        db.execute(&insert).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let delete = Query::delete()
            .from_table(Clients::Table)
            .and_where(Expr::col(Clients::Id).eq(Uuid::from_u128(ID)))
            .to_owned();
        manager.get_connection().execute(&delete).await.map(drop)
    }
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    Id,
    Name,
    Kind,
    Scopes,
    Audiences,
    MayClaimAddress,
    IsActive,
    CreateTime,
    UpdateTime,
}
