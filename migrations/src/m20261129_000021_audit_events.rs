//! The audit events that are kept in the database: who did what, when, from where, with what outcome.

use sea_orm_migration::prelude::*;

use crate::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        events(manager).await?;
        // The order of time is that of the ids, so that the primary key leads to it. Each of these ends by the id: of one actor, user,
        // client or event the newest are found without sorting. No more of them: failed logins of strangers write each.
        for (name, column) in [
            ("audit_events_actor", AuditEvents::ActorId),
            ("audit_events_user", AuditEvents::UserId),
            ("audit_events_client", AuditEvents::ClientId),
            ("audit_events_event", AuditEvents::Event),
        ] {
            let mut index = Index::create();
            index.col(AuditEvents::OrganizationId).col(column).col(AuditEvents::Id);
            table::create_index(manager, name, AuditEvents::Table, &mut index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AuditEvents::Table).to_owned()).await
    }
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let text = |column, length| ColumnDef::new(column).string_len(length).null().to_owned();
    let name = |column| ColumnDef::new(column).string_len(64).not_null().to_owned();
    let id = |column| ColumnDef::new(column).uuid().null().to_owned();
    let mut table = Table::create();
    table
        .table(AuditEvents::Table)
        .col(ColumnDef::new(AuditEvents::OrganizationId).uuid().not_null())
        // A UUIDv7 of `time`.
        .col(ColumnDef::new(AuditEvents::Id).uuid().not_null())
        .col(ColumnDef::new(AuditEvents::Time).big_integer().not_null())
        .col(name(AuditEvents::Event))
        .col(ColumnDef::new(AuditEvents::Outcome).string_len(16).not_null())
        .col(text(AuditEvents::Reason, 64))
        .col(text(AuditEvents::Method, 128))
        .col(ColumnDef::new(AuditEvents::ActorKind).string_len(16).not_null())
        .col(id(AuditEvents::ActorId))
        // Of an operator: the user of the machine where the command ran.
        .col(ColumnDef::new(AuditEvents::LocalUid).big_integer().null())
        .col(text(AuditEvents::LocalUser, 255))
        .col(id(AuditEvents::UserId))
        .col(id(AuditEvents::SessionId))
        .col(id(AuditEvents::ClientId))
        .col(id(AuditEvents::RoleId))
        .col(id(AuditEvents::GroupId))
        .col(text(AuditEvents::KeyId, 64))
        .col(text(AuditEvents::Audience, 512))
        // What was changed, as JSON; nothing if nothing was.
        .col(ColumnDef::new(AuditEvents::Changes).text().null())
        .col(text(AuditEvents::Address, 255))
        .col(text(AuditEvents::ClaimedAddress, 255))
        .col(text(AuditEvents::UserAgent, 255))
        .col(text(AuditEvents::RequestId, 64))
        .col(ColumnDef::new(AuditEvents::Repeats).big_integer().not_null().default(0))
        .primary_key(Index::create().col(AuditEvents::OrganizationId).col(AuditEvents::Id));
    table::create(manager, &mut table).await
}

#[derive(DeriveIden)]
enum AuditEvents {
    Table,
    OrganizationId,
    Id,
    Time,
    Event,
    Outcome,
    Reason,
    Method,
    ActorKind,
    ActorId,
    LocalUid,
    LocalUser,
    UserId,
    SessionId,
    ClientId,
    RoleId,
    GroupId,
    KeyId,
    Audience,
    Changes,
    Address,
    ClaimedAddress,
    UserAgent,
    RequestId,
    Repeats,
}
