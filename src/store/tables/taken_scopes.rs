//! Owns telling the feed which scopes were taken away, and from whom, so that services which verify tokens by themselves hear of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    access::INSTANCE,
    bindings,
    changes::{self, ChangeEffect, ChangeKind, Detailed, EVERYBODY},
    client_audiences::TokenAudiences,
    entity::{bindings as bound, clients, memberships, roles},
};
use crate::{
    base::Timestamp,
    model::{AudienceName, ClientId, GroupId, NameSet, Principal, Role, RoleName},
};

/// How many users and clients are named at most. Of more, the scopes are taken from every token of the audience.
const MOST_NAMED: usize = 100;

/// After this time no token counts that was issued by what somebody has at present: any lives for 24 hours at most, and some minutes are
/// for the clocks and the caches of replicas. What a binding gives that ends earlier, it may not give for as long as a token lives.
const LONGEST_TOKEN: Duration = Duration::from_mins(24 * 60 + 15);

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
    fn of(ids: BTreeSet<Uuid>) -> Self {
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
    let taken_from = |subject, scopes: &NameSet| Detailed {
        subject,
        holder: client.map(|client| client.0),
        audience: Some(audience.as_str().to_owned()),
        scopes: Some(scopes.as_str().to_owned()),
    };
    let sets = changes::in_rows(scopes);
    let rows = |subject| sets.iter().map(move |scopes| taken_from(subject, scopes));
    let rows = match losers {
        Losers::Named(ids) => ids.iter().copied().flat_map(rows).collect(),
        Losers::Everybody => rows(EVERYBODY).collect(),
    };
    changes::tell_in_detail(db, TAKEN, rows, now).await
}

/// Tells that `subject` has what `roles` give by a binding or a group no longer, or is about to lose it, within the transaction that takes
/// it. A user or client loses what no other role gives for as long as a token may live.
pub(super) async fn tell_of(
    db: &impl ConnectionTrait,
    subject: Principal,
    roles: &[Role],
    now: Timestamp,
) -> Result<(), DbErr> {
    let losers = of_principal(db, subject).await?;
    for (audience, scopes) in at_each_audience(roles) {
        let left = match subject {
            Principal::Group(_) => NameSet::default(),
            Principal::User(_) | Principal::Client(_) => {
                held_by(db, subject, audience, now.after(LONGEST_TOKEN)).await?
            }
        };
        tell(db, &losers, audience, &scopes.without(&left), now).await?;
    }
    Ok(())
}

/// Tells that a binding of `role` to `subject` ends at `end`, which is earlier than before, within the transaction that changes it: tokens
/// were issued that may count for longer. Of an end that no token outlives nothing is told.
pub(super) async fn tell_of_end(
    db: &impl ConnectionTrait,
    subject: Principal,
    role: &Role,
    end: Timestamp,
    now: Timestamp,
) -> Result<(), DbErr> {
    if end > now.after(LONGEST_TOKEN) {
        return Ok(());
    }
    // The binding itself does not count for that long, so it is not among what is left.
    tell_of(db, subject, std::slice::from_ref(role), now).await
}

/// Tells that the grants of a group no longer come by it to `losers`, within the transaction that takes them.
pub(super) async fn tell_of_group(
    db: &impl ConnectionTrait,
    losers: &Losers,
    roles: &[Role],
    now: Timestamp,
) -> Result<(), DbErr> {
    for (audience, scopes) in at_each_audience(roles) {
        tell(db, losers, audience, &scopes, now).await?;
    }
    Ok(())
}

/// The scopes that `roles` give at each audience.
fn at_each_audience(roles: &[Role]) -> BTreeMap<&AudienceName, NameSet> {
    let mut all: BTreeMap<_, NameSet> = BTreeMap::new();
    for role in roles {
        let scopes = all.entry(&role.audience).or_default();
        *scopes = scopes.with(role.scopes.iter());
    }
    all
}

/// Tells that `client`, whose tokens are of `audiences`, is registered with `scopes` no longer: neither its own tokens have them, nor those
/// of its users, whoever they are.
pub(super) async fn tell_of_client(
    db: &impl ConnectionTrait,
    client: ClientId,
    audiences: &TokenAudiences,
    scopes: &NameSet,
    now: Timestamp,
) -> Result<(), DbErr> {
    if scopes.is_empty() {
        return Ok(());
    }
    for audience in audiences.each(db).await? {
        tell_with(db, Some(client), &Losers::Everybody, &audience, scopes, now).await?;
    }
    Ok(())
}

/// Who has `role`, by a binding or by a group, also if that has ended. What everyone has nobody is named for: whoever signs up within the
/// seconds in which another replica may still give it would be missing.
pub(super) async fn holders(db: &impl ConnectionTrait, role: &Role) -> Result<Losers, DbErr> {
    if role.is_everyone() {
        return Ok(Losers::Everybody);
    }
    let group = Principal::Group(GroupId(Uuid::nil())).kind();
    let own = bound::Entity::find()
        .select_only()
        .column(bound::Column::SubjectId)
        .filter(bound::Column::OrganizationId.eq(INSTANCE))
        .filter(bound::Column::RoleId.eq(role.id.0))
        .filter(bound::Column::SubjectKind.ne(group))
        .limit(MOST_NAMED as u64 + 1);
    let own: Vec<Uuid> = own.into_tuple().all(db).await?;
    let mut ids = BTreeSet::from_iter(own);
    if ids.len() <= MOST_NAMED {
        // Each once, so that those of one group do not fill the place of another's.
        let membership = bound::Entity::belongs_to(memberships::Entity)
            .from(bound::Column::SubjectId)
            .to(memberships::Column::GroupId);
        let by_groups = bound::Entity::find()
            .select_only()
            .distinct()
            .column(memberships::Column::UserId)
            .join(JoinType::InnerJoin, membership.into())
            .filter(bound::Column::OrganizationId.eq(INSTANCE))
            .filter(bound::Column::RoleId.eq(role.id.0))
            .filter(bound::Column::SubjectKind.eq(group))
            .filter(memberships::Column::OrganizationId.eq(INSTANCE))
            .limit(MOST_NAMED as u64 + 1);
        ids.extend(by_groups.into_tuple::<Uuid>().all(db).await?);
    }
    Ok(Losers::of(ids))
}

/// The user or client, or the members of the group.
pub(super) async fn of_principal(db: &impl ConnectionTrait, who: Principal) -> Result<Losers, DbErr> {
    Ok(match who {
        Principal::Group(group) => Losers::of(members(db, group).await?.into_iter().collect()),
        Principal::User(_) | Principal::Client(_) => Losers::of([who.id()].into()),
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

/// The scopes that `who` has at `audience` until `time`, as it is at this point of the transaction.
async fn held_by(
    db: &impl ConnectionTrait,
    who: Principal,
    audience: &AudienceName,
    time: Timestamp,
) -> Result<NameSet, DbErr> {
    let grants = bindings::grants_in(db, who).await?;
    let live = grants.iter().filter(|grant| grant.role.audience == *audience && grant.holds_at(time));
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
mod tests;
