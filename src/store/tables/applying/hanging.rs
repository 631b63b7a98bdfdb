//! Owns reading what hangs on what a set has made and its manifest names no longer: it goes with it, whoever made it.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Condition,
};
use uuid::Uuid;

use super::{Made, Named, Present};
use crate::model::{AudienceName, Binding, GroupId, Principal, Role, UserId};
use crate::store::{
    BATCH,
    tables::{
        access::{self, INSTANCE},
        bindings,
        entity::{audience_owners, bindings as binding_rows, memberships, roles},
    },
};

/// What goes with what the set has made and is named no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hanging {
    /// Who is in groups that go.
    pub members: BTreeSet<(GroupId, UserId)>,
    /// Bindings to roles that go, and of groups and clients that do.
    pub bindings: Vec<Binding>,
    /// Their roles.
    pub roles: Vec<Role>,
    /// What audiences belong to groups and clients that go.
    pub owned: BTreeSet<(AudienceName, Principal)>,
    /// What all of them are called who are members or are bound.
    pub names: BTreeMap<Principal, String>,
}

/// What of `present` goes with what `named` names no longer: at most about `most` of each kind, of which more than are changed at once are
/// changed by nobody.
pub(super) async fn read(
    db: &impl ConnectionTrait,
    named: &Named,
    present: &Present,
    most: u64,
) -> Result<Hanging, DbErr> {
    let gone = present.made.keys().copied();
    let gone: Vec<_> = gone.filter(|made| present.has(*made) && !named.names(*made, present)).collect();
    let of = |pick: fn(&Made) -> Option<Principal>| gone.iter().filter_map(pick).collect::<Vec<_>>();
    let groups = of(|made| if let Made::Group(id) = made { Some(Principal::Group(*id)) } else { None });
    let clients = of(|made| if let Made::Client(id) = made { Some(Principal::Client(*id)) } else { None });
    let roles = gone.iter().filter_map(|made| if let Made::Role(id) = made { Some(id.0) } else { None });
    let mut hanging =
        Hanging { bindings: bindings_to(db, &roles.collect::<Vec<_>>(), most).await?, ..Hanging::default() };
    for holders in [&groups, &clients] {
        let bound = bindings_of(db, holders, most).await?;
        hanging.bindings.extend(bound);
        hanging.owned.extend(owned_by(db, holders, most).await?);
    }
    hanging.bindings.sort_by_key(|binding| binding.id.0);
    hanging.bindings.dedup_by_key(|binding| binding.id.0);
    hanging.members = members_of(db, &groups, most).await?;
    hanging.roles = roles_of(db, &hanging.bindings).await?;
    let members = hanging.members.iter().map(|(_, user)| Principal::User(*user));
    let subjects = hanging.bindings.iter().map(|binding| binding.subject);
    let all: BTreeSet<_> = members.chain(subjects).collect();
    let called = access::names(db, &all.into_iter().collect::<Vec<_>>()).await?;
    hanging.names = called.into_iter().collect();
    Ok(hanging)
}

async fn members_of(
    db: &impl ConnectionTrait,
    groups: &[Principal],
    most: u64,
) -> Result<BTreeSet<(GroupId, UserId)>, DbErr> {
    use memberships::{Column, Entity};
    let mut members = BTreeSet::new();
    for groups in groups.chunks(BATCH) {
        let rows = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::GroupId.is_in(groups.iter().map(|group| group.id())))
            .order_by_asc(Column::GroupId)
            .order_by_asc(Column::UserId)
            .limit(most);
        members
            .extend(rows.all(db).await?.into_iter().map(|row| (GroupId(row.group_id), UserId(row.user_id))));
    }
    Ok(members)
}

async fn bindings_to(db: &impl ConnectionTrait, roles: &[Uuid], most: u64) -> Result<Vec<Binding>, DbErr> {
    let mut found = Vec::new();
    for roles in roles.chunks(BATCH) {
        let of_roles = Condition::all().add(binding_rows::Column::RoleId.is_in(roles.iter().copied()));
        found.extend(bindings_where(db, of_roles, most).await?);
    }
    Ok(found)
}

/// The bindings of `holders`, who are all of one kind.
async fn bindings_of(
    db: &impl ConnectionTrait,
    holders: &[Principal],
    most: u64,
) -> Result<Vec<Binding>, DbErr> {
    use binding_rows::Column;
    let mut found = Vec::new();
    for holders in holders.chunks(BATCH) {
        let of_holders = Condition::all()
            .add(Column::SubjectKind.eq(holders[0].kind()))
            .add(Column::SubjectId.is_in(holders.iter().map(|holder| holder.id())));
        found.extend(bindings_where(db, of_holders, most).await?);
    }
    Ok(found)
}

async fn bindings_where(
    db: &impl ConnectionTrait,
    condition: Condition,
    most: u64,
) -> Result<Vec<Binding>, DbErr> {
    use binding_rows::{Column, Entity};
    let rows = Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(condition);
    let rows = rows.order_by_asc(Column::Id).limit(most).all(db).await?;
    Ok(rows.iter().filter_map(bindings::read).collect())
}

/// The audiences that belong to `owners`, who are all of one kind.
async fn owned_by(
    db: &impl ConnectionTrait,
    owners: &[Principal],
    most: u64,
) -> Result<Vec<(AudienceName, Principal)>, DbErr> {
    use audience_owners::{Column, Entity};
    let mut owned = Vec::new();
    for owners in owners.chunks(BATCH) {
        let rows = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::OwnerKind.eq(owners[0].kind()))
            .filter(Column::OwnerId.is_in(owners.iter().map(|owner| owner.id())))
            .order_by_asc(Column::Audience)
            .order_by_asc(Column::OwnerId)
            .limit(most);
        let read = |row: audience_owners::Model| {
            Some((AudienceName::from_stored(row.audience), Principal::of(&row.owner_kind, row.owner_id)?))
        };
        owned.extend(rows.all(db).await?.into_iter().filter_map(read));
    }
    Ok(owned)
}

/// The roles that `bindings` give.
async fn roles_of(db: &impl ConnectionTrait, bindings: &[Binding]) -> Result<Vec<Role>, DbErr> {
    use roles::{Column, Entity};
    let ids: BTreeSet<_> = bindings.iter().map(|binding| binding.role.0).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let rows = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Id.is_in(ids.iter().copied()))
            .order_by_asc(Column::Id);
        found.extend(rows.all(db).await?.into_iter().map(Role::from));
    }
    Ok(found)
}
