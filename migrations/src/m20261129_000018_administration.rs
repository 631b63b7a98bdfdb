//! The roles that the program has, what makes changes of who may do what wait for each other, and which requests have been done.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};
use uuid::Uuid;

use crate::table;

/// The service's own audience, whatever `--audience` says.
const SIGNET: &str = "signet";

/// The ids and names of the roles; what they give follows from the program.
const BUILT_IN: [(u128, &str); 3] = [
    (0x0000_0000_0000_7000_8000_0000_0000_0001, "admin"),
    (0x0000_0000_0000_7000_8000_0000_0000_0002, "user-manager"),
    (0x0000_0000_0000_7000_8000_0000_0000_0003, "auditor"),
];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Counted up by each change of who may do what: its row is what they wait for.
        let mut column = ColumnDef::new(Audiences::Revision).big_integer().not_null().default(0).to_owned();
        table::add_column(manager, Audiences::Table, &mut column).await?;
        requests(manager).await?;
        for (id, name) in BUILT_IN {
            add_role(manager.get_connection(), Uuid::from_u128(id), name).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let ids = || BUILT_IN.map(|(id, _)| Uuid::from_u128(id));
        let bindings = Query::delete()
            .from_table(Bindings::Table)
            .and_where(Expr::col(Bindings::RoleId).is_in(ids()))
            .to_owned();
        db.execute(&bindings).await?;
        let roles =
            Query::delete().from_table(Roles::Table).and_where(Expr::col(Roles::Id).is_in(ids())).to_owned();
        db.execute(&roles).await?;
        manager.drop_table(Table::drop().table(AdminRequests::Table).to_owned()).await?;
        let column = Audiences::Revision;
        manager.alter_table(Table::alter().table(Audiences::Table).drop_column(column).to_owned()).await
    }
}

/// The requests that were done under an id of their own, so that a repetition is told from another one (AIP-155).
async fn requests(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    table::create(
        manager,
        Table::create()
            .table(AdminRequests::Table)
            .col(ColumnDef::new(AdminRequests::OrganizationId).uuid().not_null())
            // `user` or `client`.
            .col(ColumnDef::new(AdminRequests::CallerKind).string_len(16).not_null())
            .col(ColumnDef::new(AdminRequests::CallerId).uuid().not_null())
            .col(ColumnDef::new(AdminRequests::RequestId).uuid().not_null())
            .col(ColumnDef::new(AdminRequests::Sha256).binary_len(32).not_null())
            .col(ColumnDef::new(AdminRequests::ResourceId).uuid().not_null())
            .col(ColumnDef::new(AdminRequests::CreateTime).big_integer().not_null())
            .primary_key(
                Index::create()
                    .col(AdminRequests::OrganizationId)
                    .col(AdminRequests::CallerKind)
                    .col(AdminRequests::CallerId)
                    .col(AdminRequests::RequestId),
            ),
    )
    .await?;
    table::create_index(
        manager,
        "admin_requests_create_time",
        AdminRequests::Table,
        Index::create().col(AdminRequests::OrganizationId).col(AdminRequests::CreateTime),
    )
    .await
}

/// Adds a role of the service's own audience that the program has, unless it is there.
async fn add_role(db: &impl ConnectionTrait, id: Uuid, name: &str) -> Result<(), DbErr> {
    let is_there = Query::select()
        .column(Roles::Id)
        .from(Roles::Table)
        .and_where(Expr::col(Roles::OrganizationId).eq(Uuid::nil()))
        .and_where(Expr::col(Roles::Id).eq(id))
        .to_owned();
    if db.query_one(&is_there).await?.is_some() {
        return Ok(());
    }
    let columns = [
        Roles::OrganizationId,
        Roles::Id,
        Roles::Audience,
        Roles::Name,
        Roles::Scopes,
        Roles::Description,
        Roles::CreateTime,
        Roles::UpdateTime,
    ];
    let values = [
        Uuid::nil().into(),
        id.into(),
        SIGNET.into(),
        name.into(),
        "".into(),
        "".into(),
        0_i64.into(),
        0_i64.into(),
    ];
    let insert = Query::insert().into_table(Roles::Table).columns(columns).values_panic(values).to_owned();
    db.execute(&insert).await.map(drop)
}

#[derive(DeriveIden)]
enum Audiences {
    Table,
    Revision,
}

#[derive(DeriveIden)]
enum Bindings {
    Table,
    RoleId,
}

#[derive(DeriveIden)]
enum Roles {
    Table,
    OrganizationId,
    Id,
    Audience,
    Name,
    Scopes,
    Description,
    CreateTime,
    UpdateTime,
}

#[derive(DeriveIden)]
enum AdminRequests {
    Table,
    OrganizationId,
    CallerKind,
    CallerId,
    RequestId,
    Sha256,
    ResourceId,
    CreateTime,
}
