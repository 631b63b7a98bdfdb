//! Owns what the tables of roles, groups, bindings and audiences share: whose rows they are, and the names of principals.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PrimaryKeyTrait, QueryFilter, QuerySelect, Select,
};
use uuid::Uuid;

use crate::base::Timestamp;
use crate::model::{ClientId, Error, GroupId, Principal, UserId};
use crate::store::{
    BATCH, Store,
    engine::attempts::Failed,
    tables::{
        applying, bindings, changes,
        entity::{audience_owners, clients, groups, memberships, users},
        one_time_passwords,
    },
};

/// Whose the rows are: the whole instance's. There are no organisations yet.
pub(super) const INSTANCE: Uuid = Uuid::nil();

impl Store {
    /// The names of those of `principals` that exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn names_of(&self, principals: &[Principal]) -> Result<HashMap<Principal, String>, Error> {
        self.ask(|| names(&self.db, principals)).await
    }
}

/// What `principals` are called, of those who are there, within a transaction too.
pub(super) async fn names(
    db: &impl ConnectionTrait,
    principals: &[Principal],
) -> Result<HashMap<Principal, String>, DbErr> {
    let (mut users, mut groups, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for principal in principals {
        match principal {
            Principal::User(UserId(id)) => users.push(*id),
            Principal::Group(GroupId(id)) => groups.push(*id),
            Principal::Client(ClientId(id)) => clients.push(*id),
        }
    }
    let mut names = HashMap::new();
    for ids in users.chunks(BATCH) {
        let query = users::Entity::find().filter(users::Column::Id.is_in(ids.iter().copied()));
        let query = query.select_only().columns([users::Column::Id, users::Column::Username]);
        let found: Vec<(Uuid, String)> = query.into_tuple().all(db).await?;
        names.extend(found.into_iter().map(|(id, name)| (Principal::User(UserId(id)), name)));
    }
    for ids in groups.chunks(BATCH) {
        let query = groups::Entity::find().filter(groups::Column::OrganizationId.eq(INSTANCE));
        let query = query.filter(groups::Column::Id.is_in(ids.iter().copied()));
        let query = query.select_only().columns([groups::Column::Id, groups::Column::Name]);
        let found: Vec<(Uuid, String)> = query.into_tuple().all(db).await?;
        names.extend(found.into_iter().map(|(id, name)| (Principal::Group(GroupId(id)), name)));
    }
    for ids in clients.chunks(BATCH) {
        let query = clients::Entity::find().filter(clients::Column::Id.is_in(ids.iter().copied()));
        let query = query.select_only().columns([clients::Column::Id, clients::Column::Name]);
        let found: Vec<(Uuid, String)> = query.into_tuple().all(db).await?;
        names.extend(found.into_iter().map(|(id, name)| (Principal::Client(ClientId(id)), name)));
    }
    Ok(names)
}

/// Locks the row of `principal` until the transaction ends, so that nobody deletes it meanwhile; false if there is none.
///
/// It is not written: on two nodes of Galera one may delete it all the same. Then a row is left that is nobody's, and gives nothing.
pub(super) async fn lock(db: &impl ConnectionTrait, principal: Principal) -> Result<bool, DbErr> {
    match principal {
        Principal::User(UserId(id)) => is_locked(db, users::Entity::find_by_id(id), users::Column::Id).await,
        Principal::Group(GroupId(id)) => {
            is_locked(db, groups::Entity::find_by_id((INSTANCE, id)), groups::Column::Id).await
        }
        Principal::Client(ClientId(id)) => {
            is_locked(db, clients::Entity::find_by_id(id), clients::Column::Id).await
        }
    }
}

/// The same, for whom there must be a row.
///
/// # Errors
/// [`Error::UserNotFound`], [`Error::GroupNotFound`], [`Error::ClientNotFound`].
pub(super) async fn must_be_there(db: &impl ConnectionTrait, principal: Principal) -> Result<(), Failed> {
    if lock(db, principal).await? {
        return Ok(());
    }
    let id = principal.id().to_string();
    Err(Failed::Refused(match principal {
        Principal::User(_) => Error::UserNotFound(id),
        Principal::Group(_) => Error::GroupNotFound(id),
        Principal::Client(_) => Error::ClientNotFound(id),
    }))
}

/// Locks the one row that `row` finds; false if it finds none.
pub(super) async fn is_locked<E: EntityTrait>(
    db: &impl ConnectionTrait,
    row: Select<E>,
    id: E::Column,
) -> Result<bool, DbErr>
where
    E::PrimaryKey: PrimaryKeyTrait,
{
    let found: Vec<Uuid> = row.select_only().column(id).lock_exclusive().into_tuple().all(db).await?;
    Ok(!found.is_empty())
}

/// Takes everything from `principal` that it has by a binding, a group or as an owner, and a user's one-time password, within the
/// transaction that deletes it. Whoever remembers what a user or client has is told of its end, since an import may use the id again; of a
/// group's, who deletes it tells.
pub(super) async fn take_all(
    db: &impl ConnectionTrait,
    principal: Principal,
    now: Timestamp,
) -> Result<(), DbErr> {
    let mut taken = bindings::delete_of(db, principal).await?;
    audience_owners::Entity::delete_many()
        .filter(audience_owners::Column::OrganizationId.eq(INSTANCE))
        .filter(audience_owners::Column::OwnerKind.eq(principal.kind()))
        .filter(audience_owners::Column::OwnerId.eq(principal.id()))
        .exec(db)
        .await?;
    applying::forget_owner(db, principal).await?;
    if let Principal::User(id) = principal {
        one_time_passwords::delete_of(db, &[id]).await?;
        applying::forget_user(db, id).await?;
    }
    let column = match principal {
        Principal::User(_) => Some(memberships::Column::UserId),
        Principal::Group(_) => Some(memberships::Column::GroupId),
        Principal::Client(_) => None,
    };
    if let Some(column) = column {
        let memberships = memberships::Entity::delete_many()
            .filter(memberships::Column::OrganizationId.eq(INSTANCE))
            .filter(column.eq(principal.id()));
        taken += memberships.exec(db).await?.rows_affected;
    }
    if taken > 0 && !matches!(principal, Principal::Group(_)) {
        changes::tell(db, bindings::UNBOUND, &[principal.id()], now).await?;
    }
    Ok(())
}
