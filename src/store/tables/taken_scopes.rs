//! Owns telling the feed which scopes were taken away, and from whom, so that services which verify tokens by themselves hear of it.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    access::INSTANCE,
    bindings,
    changes::{self, ChangeEffect, ChangeKind, Detailed, EVERYBODY},
    entity::{bindings as bound, clients, memberships, roles, users},
};
use crate::{
    base::Timestamp,
    model::{AudienceName, Client, ClientId, GroupId, NameSet, Principal, Role, RoleName},
};

/// How many users and clients are named at most. Of more, the scopes are taken from every token of the audience.
const MOST_NAMED: usize = 100;

/// How the feed is told.
const TAKEN: (ChangeKind, ChangeEffect) = (ChangeKind::Scopes, ChangeEffect::Changed);

/// From whom scopes are taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Losers {
    /// These users and clients.
    Named(BTreeSet<Uuid>),
    /// More than are named.
    Everybody,
}

impl Losers {
    fn of(ids: impl IntoIterator<Item = Uuid>) -> Self {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        if ids.len() > MOST_NAMED { Self::Everybody } else { Self::Named(ids) }
    }
}

/// Tells that `scopes` were taken from `losers` at `audience`, within the transaction that takes them.
pub(super) async fn tell(
    db: &impl ConnectionTrait,
    losers: &Losers,
    audience: &AudienceName,
    scopes: &NameSet,
    now: Timestamp,
) -> Result<(), DbErr> {
    tell_with(db, None, losers, audience, scopes, now).await
}

/// The same of tokens that were got with `client` alone, if one is named.
async fn tell_with(
    db: &impl ConnectionTrait,
    client: Option<ClientId>,
    losers: &Losers,
    audience: &AudienceName,
    scopes: &NameSet,
    now: Timestamp,
) -> Result<(), DbErr> {
    if scopes.is_empty() {
        return Ok(());
    }
    let taken_from = |subject| Detailed {
        subject,
        holder: client.map(|client| client.0),
        audience: audience.as_str().to_owned(),
        scopes: Some(scopes.as_far_as_fits().as_str().to_owned()),
    };
    let rows = match losers {
        Losers::Named(ids) => ids.iter().copied().map(taken_from).collect(),
        Losers::Everybody => vec![taken_from(EVERYBODY)],
    };
    changes::tell_in_detail(db, TAKEN, rows, now).await
}

/// Tells that `subject` has a role with `scopes` at `audience` no longer, or is about to lose it, within the transaction that takes it. A
/// user or client loses what no other role gives.
pub(super) async fn tell_of(
    db: &impl ConnectionTrait,
    subject: Principal,
    audience: &AudienceName,
    scopes: &NameSet,
    now: Timestamp,
) -> Result<(), DbErr> {
    let losers = of_principal(db, subject).await?;
    let left = match subject {
        Principal::Group(_) => NameSet::default(),
        Principal::User(_) | Principal::Client(_) => held_by(db, subject, audience, now).await?,
    };
    tell(db, &losers, audience, &scopes.without(&left), now).await
}

/// Tells that the grants of a group no longer come by it to `losers`, within the transaction that takes them.
pub(super) async fn tell_of_group(
    db: &impl ConnectionTrait,
    losers: &Losers,
    roles: &[Role],
    now: Timestamp,
) -> Result<(), DbErr> {
    for role in roles {
        tell(db, losers, &role.audience, &role.scopes, now).await?;
    }
    Ok(())
}

/// Tells that `client` is registered with `scopes` no longer: neither its own tokens have them, nor those of its users, whoever they are.
pub(super) async fn tell_of_client(
    db: &impl ConnectionTrait,
    client: &Client,
    scopes: &NameSet,
    now: Timestamp,
) -> Result<(), DbErr> {
    let mut audiences: Vec<_> =
        client.audiences.iter().map(|name| AudienceName::from_stored(name.to_owned())).collect();
    if audiences.is_empty() {
        audiences.push(AudienceName::signet());
    }
    if audiences.iter().any(AudienceName::is_signet) {
        // Where the service's own audience has another name, this is somebody else's.
        audiences.push(AudienceName::of(AudienceName::SIGNET, &NameSet::default()));
    }
    for audience in &audiences {
        tell_with(db, Some(client.id), &Losers::Everybody, audience, scopes, now).await?;
    }
    Ok(())
}

/// Who has `role`, by a binding or by a group, also if that has ended.
pub(super) async fn holders(db: &impl ConnectionTrait, role: &Role) -> Result<Losers, DbErr> {
    if role.is_everyone() {
        let all = users::Entity::find().select_only().column(users::Column::Id).limit(MOST_NAMED as u64 + 1);
        return Ok(Losers::of(all.into_tuple::<Uuid>().all(db).await?));
    }
    let group = Principal::Group(GroupId(Uuid::nil())).kind();
    let of_role = || {
        bound::Entity::find()
            .select_only()
            .column(bound::Column::SubjectId)
            .filter(bound::Column::OrganizationId.eq(INSTANCE))
            .filter(bound::Column::RoleId.eq(role.id.0))
    };
    let own = of_role().filter(bound::Column::SubjectKind.ne(group)).limit(MOST_NAMED as u64 + 1);
    let mut ids: Vec<Uuid> = own.into_tuple().all(db).await?;
    let groups: Vec<Uuid> =
        of_role().filter(bound::Column::SubjectKind.eq(group)).into_tuple().all(db).await?;
    for group in groups {
        if ids.len() > MOST_NAMED {
            break;
        }
        ids.extend(members(db, GroupId(group)).await?);
    }
    Ok(Losers::of(ids))
}

/// The user or client, or the members of the group.
pub(super) async fn of_principal(db: &impl ConnectionTrait, who: Principal) -> Result<Losers, DbErr> {
    Ok(match who {
        Principal::Group(group) => Losers::of(members(db, group).await?),
        Principal::User(_) | Principal::Client(_) => Losers::of([who.id()]),
    })
}

/// The members of `group`, or more than are named.
async fn members(db: &impl ConnectionTrait, group: GroupId) -> Result<Vec<Uuid>, DbErr> {
    let query = memberships::Entity::find()
        .select_only()
        .column(memberships::Column::UserId)
        .filter(memberships::Column::OrganizationId.eq(INSTANCE))
        .filter(memberships::Column::GroupId.eq(group.0))
        .order_by_asc(memberships::Column::UserId)
        .limit(MOST_NAMED as u64 + 1);
    query.into_tuple().all(db).await
}

/// The scopes that `who` has at `audience` at this point of the transaction.
async fn held_by(
    db: &impl ConnectionTrait,
    who: Principal,
    audience: &AudienceName,
    now: Timestamp,
) -> Result<NameSet, DbErr> {
    let grants = bindings::grants_in(db, who).await?;
    let live = grants.iter().filter(|grant| grant.role.audience == *audience && grant.holds_at(now));
    let mut held = live.fold(NameSet::default(), |held, grant| held.with(grant.role.scopes.iter()));
    match who {
        Principal::User(_) => {
            let everyone = roles::Entity::find()
                .filter(roles::Column::OrganizationId.eq(INSTANCE))
                .filter(roles::Column::Audience.eq(audience.as_str()))
                .filter(roles::Column::Name.eq(RoleName::EVERYONE));
            for role in everyone.all(db).await? {
                held = held.with(Role::from(role).scopes.iter());
            }
        }
        Principal::Client(client) => {
            let registered = clients::Entity::find_by_id(client.0).all(db).await?;
            for row in registered {
                held = held.with(NameSet::from_stored(row.scopes).iter());
            }
        }
        Principal::Group(_) => {}
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_named_and_more_are_everybody() {
        let ids = |count: u128| (1..=count).map(Uuid::from_u128);
        assert!(matches!(Losers::of(ids(100)), Losers::Named(named) if named.len() == 100));
        assert_eq!(Losers::of(ids(101)), Losers::Everybody);
        assert!(matches!(Losers::of(ids(60).chain(ids(60))), Losers::Named(named) if named.len() == 60));
    }
}
