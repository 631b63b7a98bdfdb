//! Audiences and their owners, roles, groups and who is in them, bindings; what a login asked for. What users have today without a role
//! they have as the role `everyone` of each audience.
//!
//! Each row is an organisation's: the nil UUID stands for the whole instance, and there is no other yet.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, QueryResult},
};
use uuid::Uuid;

use crate::table;

/// What every user has at the service itself.
const EVERYONE_AT_SIGNET: [&str; 2] = [PROFILE, ACCOUNT];

/// The service's own audience, whatever `--audience` says.
const SIGNET: &str = "signet";

/// The role of each audience that every user has.
const EVERYONE: &str = "everyone";

/// Reads the own account; changes it, from now on; asks what tokens are worth, which no user does.
const PROFILE: &str = "profile";
const ACCOUNT: &str = "account";
const INTROSPECT: &str = "introspect";

/// With what the scopes begin that administer the service: of the releases before nobody means them so.
const ADMIN_PREFIX: &str = "signet.";

/// The longest name of an audience: what MySQL can have in an index. Nobody has a longer one.
const MAX_AUDIENCE: usize = 512;

/// The longest set of scopes of a client in bytes and names, and of a role in bytes.
const MAX_SCOPES: usize = 1024;
const MAX_NAMES: usize = 128;
const MAX_TEXT: usize = 65_535;

/// How many clients are read at a time.
const PAGE: u64 = 500;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        audiences(manager).await?;
        roles(manager).await?;
        groups(manager).await?;
        bindings(manager).await?;
        give_everyone(manager.get_connection()).await?;
        // After what everybody has was read of the clients: run again after a crash, it must not find what this adds.
        add_account(manager.get_connection()).await?;
        // Last, since it locks a table that the service uses. Null: the release before opened the session, whose `profile` stands for
        // `account` too.
        let mut column = ColumnDef::new(Sessions::AskedScope).string_len(1024).null().to_owned();
        table::add_column(manager, Sessions::Table, &mut column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Sessions::AskedScope;
        manager.alter_table(Table::alter().table(Sessions::Table).drop_column(column).to_owned()).await?;
        manager.drop_table(Table::drop().table(Bindings::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Memberships::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Groups::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Roles::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(AudienceOwners::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Audiences::Table).to_owned()).await
    }
}

async fn audiences(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    table::create(
        manager,
        Table::create()
            .table(Audiences::Table)
            .col(ColumnDef::new(Audiences::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(Audiences::Name).string_len(512).not_null())
            .col(ColumnDef::new(Audiences::CreateTime).big_integer().not_null())
            .primary_key(Index::create().col(Audiences::OrganizationId).col(Audiences::Name)),
    )
    .await?;
    table::create(
        manager,
        Table::create()
            .table(AudienceOwners::Table)
            .col(ColumnDef::new(AudienceOwners::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(AudienceOwners::Audience).string_len(512).not_null())
            // `user`, `group` or `client`.
            .col(ColumnDef::new(AudienceOwners::OwnerKind).string_len(16).not_null())
            .col(ColumnDef::new(AudienceOwners::OwnerId).uuid().not_null())
            .col(ColumnDef::new(AudienceOwners::CreateTime).big_integer().not_null())
            .primary_key(
                Index::create()
                    .col(AudienceOwners::OrganizationId)
                    .col(AudienceOwners::Audience)
                    .col(AudienceOwners::OwnerKind)
                    .col(AudienceOwners::OwnerId),
            ),
    )
    .await?;
    table::create_index(
        manager,
        "audience_owners_owner",
        AudienceOwners::Table,
        Index::create()
            .col(AudienceOwners::OrganizationId)
            .col(AudienceOwners::OwnerKind)
            .col(AudienceOwners::OwnerId),
    )
    .await
}

async fn roles(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    table::create(
        manager,
        Table::create()
            .table(Roles::Table)
            .col(ColumnDef::new(Roles::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(Roles::Id).uuid().not_null())
            .col(ColumnDef::new(Roles::Audience).string_len(512).not_null())
            .col(ColumnDef::new(Roles::Name).string_len(64).not_null())
            // Longer than a client's: what everybody has may be what many clients had.
            .col(ColumnDef::new(Roles::Scopes).text().not_null())
            .col(ColumnDef::new(Roles::Description).string_len(256).not_null())
            .col(ColumnDef::new(Roles::CreateTime).big_integer().not_null())
            .col(ColumnDef::new(Roles::UpdateTime).big_integer().not_null())
            .primary_key(Index::create().col(Roles::OrganizationId).col(Roles::Id)),
    )
    .await?;
    table::create_index(
        manager,
        "roles_audience_name",
        Roles::Table,
        Index::create().unique().col(Roles::OrganizationId).col(Roles::Audience).col(Roles::Name),
    )
    .await
}

async fn groups(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    table::create(
        manager,
        Table::create()
            .table(Groups::Table)
            .col(ColumnDef::new(Groups::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(Groups::Id).uuid().not_null())
            .col(ColumnDef::new(Groups::Name).string_len(64).not_null())
            .col(ColumnDef::new(Groups::CreateTime).big_integer().not_null())
            .primary_key(Index::create().col(Groups::OrganizationId).col(Groups::Id)),
    )
    .await?;
    table::create_index(
        manager,
        "groups_name",
        Groups::Table,
        Index::create().unique().col(Groups::OrganizationId).col(Groups::Name),
    )
    .await?;
    table::create(
        manager,
        Table::create()
            .table(Memberships::Table)
            .col(ColumnDef::new(Memberships::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(Memberships::GroupId).uuid().not_null())
            .col(ColumnDef::new(Memberships::UserId).uuid().not_null())
            .col(ColumnDef::new(Memberships::CreateTime).big_integer().not_null())
            .primary_key(
                Index::create()
                    .col(Memberships::OrganizationId)
                    .col(Memberships::GroupId)
                    .col(Memberships::UserId),
            ),
    )
    .await?;
    // Each login of a user asks for its groups.
    table::create_index(
        manager,
        "memberships_user_id",
        Memberships::Table,
        Index::create().col(Memberships::OrganizationId).col(Memberships::UserId).col(Memberships::GroupId),
    )
    .await
}

async fn bindings(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    table::create(
        manager,
        Table::create()
            .table(Bindings::Table)
            .col(ColumnDef::new(Bindings::OrganizationId).uuid().not_null())
            .col(ColumnDef::new(Bindings::Id).uuid().not_null())
            .col(ColumnDef::new(Bindings::RoleId).uuid().not_null())
            // `user`, `group` or `client`.
            .col(ColumnDef::new(Bindings::SubjectKind).string_len(16).not_null())
            .col(ColumnDef::new(Bindings::SubjectId).uuid().not_null())
            // Null: it has no end.
            .col(ColumnDef::new(Bindings::ExpireTime).big_integer().null())
            .col(ColumnDef::new(Bindings::CreateTime).big_integer().not_null())
            .primary_key(Index::create().col(Bindings::OrganizationId).col(Bindings::Id)),
    )
    .await?;
    // Each login of a user asks for its own, and for those of its groups.
    table::create_index(
        manager,
        "bindings_subject_role",
        Bindings::Table,
        Index::create()
            .unique()
            .col(Bindings::OrganizationId)
            .col(Bindings::SubjectKind)
            .col(Bindings::SubjectId)
            .col(Bindings::RoleId),
    )
    .await?;
    table::create_index(
        manager,
        "bindings_role_id",
        Bindings::Table,
        Index::create().col(Bindings::OrganizationId).col(Bindings::RoleId).col(Bindings::Id),
    )
    .await?;
    table::create_index(
        manager,
        "bindings_expire_time",
        Bindings::Table,
        Index::create().col(Bindings::OrganizationId).col(Bindings::ExpireTime).col(Bindings::Id),
    )
    .await
}

/// Gives each audience its role `everyone`, with what today's clients let their users have there, so that no user loses it; at the
/// service's own, what every user does with the own account besides.
async fn give_everyone(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let at_signet = EVERYONE_AT_SIGNET.map(str::to_owned).into();
    let mut everyone: BTreeMap<String, BTreeSet<String>> = BTreeMap::from([(SIGNET.to_owned(), at_signet)]);
    let mut after = Uuid::nil();
    loop {
        let page = clients(db, after).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for client in &page {
            // A client without audiences has the service's own.
            let own = client.audiences.is_empty().then_some(SIGNET);
            for audience in names(&client.audiences).chain(own).filter(|name| name.len() <= MAX_AUDIENCE) {
                let scopes = names(&client.scopes).filter(|scope| is_for_everyone(scope)).map(str::to_owned);
                everyone.entry(audience.to_owned()).or_default().extend(scopes);
            }
        }
    }
    for (audience, scopes) in everyone {
        // Of the time when the identifier was made: a migration has no clock of its own.
        let id = Uuid::now_v7();
        let (seconds, nanos) = id.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
        let now = (seconds * 1_000_000 + u64::from(nanos / 1_000)).try_into().unwrap_or_default();
        add_audience(db, &audience, now).await?;
        add_everyone(db, id, &audience, &joined(&scopes), now).await?;
    }
    Ok(())
}

/// Whether users may have `scope` without a role: not what is for clients, nor what administers the service.
fn is_for_everyone(scope: &str) -> bool {
    scope != INTROSPECT && !scope.starts_with(ADMIN_PREFIX)
}

/// Adds an audience, unless it is there.
async fn add_audience(db: &impl ConnectionTrait, name: &str, now: i64) -> Result<(), DbErr> {
    let is_there = Query::select()
        .column(Audiences::Name)
        .from(Audiences::Table)
        .and_where(Expr::col(Audiences::OrganizationId).eq(Uuid::nil()))
        .and_where(Expr::col(Audiences::Name).eq(name))
        .to_owned();
    if db.query_one(&is_there).await?.is_some() {
        return Ok(());
    }
    let insert = Query::insert()
        .into_table(Audiences::Table)
        .columns([Audiences::OrganizationId, Audiences::Name, Audiences::CreateTime])
        .values_panic([Uuid::nil().into(), name.into(), now.into()])
        .to_owned();
    db.execute(&insert).await.map(drop)
}

/// Adds the role that every user has at `audience`, unless it is there.
async fn add_everyone(
    db: &impl ConnectionTrait,
    id: Uuid,
    audience: &str,
    scopes: &str,
    now: i64,
) -> Result<(), DbErr> {
    let is_there = Query::select()
        .column(Roles::Id)
        .from(Roles::Table)
        .and_where(Expr::col(Roles::OrganizationId).eq(Uuid::nil()))
        .and_where(Expr::col(Roles::Audience).eq(audience))
        .and_where(Expr::col(Roles::Name).eq(EVERYONE))
        .to_owned();
    if db.query_one(&is_there).await?.is_some() {
        return Ok(());
    }
    let values: [(Roles, Expr); 8] = [
        (Roles::OrganizationId, Uuid::nil().into()),
        (Roles::Id, id.into()),
        (Roles::Audience, audience.into()),
        (Roles::Name, EVERYONE.into()),
        (Roles::Scopes, scopes.into()),
        (Roles::Description, "".into()),
        (Roles::CreateTime, now.into()),
        (Roles::UpdateTime, now.into()),
    ];
    let (columns, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let insert = Query::insert().into_table(Roles::Table).columns(columns).values_panic(values).to_owned();
    db.execute(&insert).await.map(drop)
}

/// Lets clients go on asking for what their users do with the own account, which `profile` alone stood for.
async fn add_account(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut after = Uuid::nil();
    loop {
        let page = clients(db, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for client in page {
            let has = |scope: &str| names(&client.scopes).any(|name| name == scope);
            let scopes = format!("{} {ACCOUNT}", client.scopes);
            let is_full = scopes.len() > MAX_SCOPES || names(&scopes).count() > MAX_NAMES;
            if !has(PROFILE) || has(ACCOUNT) || is_full {
                continue;
            }
            let update = Query::update()
                .table(Clients::Table)
                .value(Clients::Scopes, scopes)
                .and_where(Expr::col(Clients::Id).eq(client.id))
                .to_owned();
            db.execute(&update).await?;
        }
    }
}

/// What is read of a client.
struct Client {
    id: Uuid,
    scopes: String,
    audiences: String,
}

/// The next clients after `after`, in the order of their ids.
async fn clients(db: &impl ConnectionTrait, after: Uuid) -> Result<Vec<Client>, DbErr> {
    let select = Query::select()
        .columns([Clients::Id, Clients::Scopes, Clients::Audiences])
        .from(Clients::Table)
        .and_where(Expr::col(Clients::Id).gt(after))
        .order_by(Clients::Id, Order::Asc)
        .limit(PAGE)
        .to_owned();
    let rows = db.query_all(&select).await?;
    let client = |row: &QueryResult| {
        Ok(Client {
            id: row.try_get_by_index(0)?,
            scopes: row.try_get_by_index(1)?,
            audiences: row.try_get_by_index(2)?,
        })
    };
    rows.iter().map(client).collect()
}

/// The names of a set, which is written separated by spaces.
fn names(set: &str) -> impl Iterator<Item = &str> {
    set.split(' ').filter(|name| !name.is_empty())
}

/// The set of `names`, as it is written: as many of them as a column of MySQL takes.
fn joined(names: &BTreeSet<String>) -> String {
    let mut set = String::new();
    for name in names.iter().filter(|name| name.len() < MAX_TEXT) {
        if set.len() + 1 + name.len() <= MAX_TEXT {
            set.push_str(if set.is_empty() { "" } else { " " });
            set.push_str(name);
        }
    }
    set
}

#[derive(DeriveIden)]
enum Audiences {
    Table,
    OrganizationId,
    Name,
    CreateTime,
}

#[derive(DeriveIden)]
enum AudienceOwners {
    Table,
    OrganizationId,
    Audience,
    OwnerKind,
    OwnerId,
    CreateTime,
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
enum Groups {
    Table,
    OrganizationId,
    Id,
    Name,
    CreateTime,
}

#[derive(DeriveIden)]
enum Memberships {
    Table,
    OrganizationId,
    GroupId,
    UserId,
    CreateTime,
}

#[derive(DeriveIden)]
enum Bindings {
    Table,
    OrganizationId,
    Id,
    RoleId,
    SubjectKind,
    SubjectId,
    ExpireTime,
    CreateTime,
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    Id,
    Scopes,
    Audiences,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    AskedScope,
}
