//! Owns which of many users, groups and clients hold a `signet.` scope.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, Query, SelectStatement},
};
use uuid::Uuid;

use super::{
    access::INSTANCE,
    entity::{bindings, memberships, roles},
};
use crate::{
    base::Timestamp,
    model::{AudienceName, ClientId, GroupId, NameSet, Principal, Rights, Role, UserId},
};

/// A principal of each kind, of which only the kind is used.
const USER: Principal = Principal::User(UserId(Uuid::nil()));
const GROUP: Principal = Principal::Group(GroupId(Uuid::nil()));
const CLIENT: Principal = Principal::Client(ClientId(Uuid::nil()));

/// Those of `users` who hold a scope that administers the service and that `rights` lack, active or not: by a binding of their own, or by
/// one of a group.
pub(super) async fn who_hold_more(
    db: &impl ConnectionTrait,
    rights: &Rights,
    users: &HashSet<UserId>,
    now: Timestamp,
) -> Result<HashSet<UserId>, DbErr> {
    let beyond = roles_beyond(db, rights).await?;
    if beyond.is_empty() || users.is_empty() {
        return Ok(HashSet::new());
    }
    let asked = || users.iter().map(|user| user.0);
    let own = bindings::Entity::find()
        .select_only()
        .column(bindings::Column::SubjectId)
        .filter(bound_to(&beyond, USER, now))
        .filter(bindings::Column::SubjectId.is_in(asked()));
    let by_group = memberships::Entity::find()
        .select_only()
        .column(memberships::Column::UserId)
        .filter(memberships::Column::OrganizationId.eq(INSTANCE))
        .filter(memberships::Column::UserId.is_in(asked()))
        .filter(Expr::col(memberships::Column::GroupId).in_subquery(subjects(bound_to(&beyond, GROUP, now))));
    let own: Vec<Uuid> = own.into_tuple().all(db).await?;
    let by_group: Vec<Uuid> = by_group.into_tuple().all(db).await?;
    Ok(own.into_iter().chain(by_group).map(UserId).collect())
}

/// Those who hold a scope that administers the service at `now`: users who are bound to a role that gives one, and those who are by a
/// group.
pub(super) async fn administrators(
    db: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<[SelectStatement; 2], DbErr> {
    let nothing = NameSet::default();
    let roles = roles_beyond(db, &Rights::of_caller(&nothing, &nothing)).await?;
    Ok([subjects(bound_to(&roles, USER, now)), members(subjects(bound_to(&roles, GROUP, now)))])
}

/// The roles of the service's own audience that give a scope which administers it and which `rights` lack.
async fn roles_beyond(db: &impl ConnectionTrait, rights: &Rights) -> Result<Vec<Uuid>, DbErr> {
    let of_signet = roles::Entity::find()
        .filter(roles::Column::OrganizationId.eq(INSTANCE))
        .filter(roles::Column::Audience.eq(AudienceName::SIGNET));
    let rows = of_signet.all(db).await?.into_iter().map(Role::from);
    Ok(rows.filter(|role| rights.must_equal(&role.scopes).is_err()).map(|role| role.id.0).collect())
}

/// The condition that a binding gives one of `roles` to somebody of the kind of `principal` at `now`.
fn bound_to(roles: &[Uuid], principal: Principal, now: Timestamp) -> Condition {
    let holds = Condition::any()
        .add(bindings::Column::ExpireTime.is_null())
        .add(bindings::Column::ExpireTime.gt(now.as_micros()));
    Condition::all()
        .add(bindings::Column::OrganizationId.eq(INSTANCE))
        .add(bindings::Column::RoleId.is_in(roles.iter().copied()))
        .add(bindings::Column::SubjectKind.eq(principal.kind()))
        .add(holds)
}

/// To whom bindings give something of which `condition` holds.
fn subjects(condition: Condition) -> SelectStatement {
    Query::select()
        .column(bindings::Column::SubjectId)
        .from(bindings::Entity)
        .cond_where(condition)
        .to_owned()
}

/// The members of `groups`.
fn members(groups: SelectStatement) -> SelectStatement {
    Query::select()
        .column(memberships::Column::UserId)
        .from(memberships::Entity)
        .and_where(Expr::col(memberships::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(memberships::Column::GroupId).in_subquery(groups))
        .to_owned()
}

/// The users who are bound to a role of the service's own audience, and those who are by a group.
///
/// Two statements, each a walk along indices: one with an `OR` for both would have MySQL read everything.
pub(super) fn users_bound() -> [SelectStatement; 2] {
    [bound(USER), members(bound(GROUP))]
}

/// The clients that are bound to a role of the service's own audience.
pub(super) fn clients_bound() -> SelectStatement {
    bound(CLIENT)
}

/// The principals of the kind of `principal` that are bound to a role of the service's own audience.
fn bound(principal: Principal) -> SelectStatement {
    let of_signet = Query::select()
        .column(roles::Column::Id)
        .from(roles::Entity)
        .and_where(Expr::col(roles::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(roles::Column::Audience).eq(AudienceName::SIGNET))
        .to_owned();
    let of_kind = Condition::all()
        .add(bindings::Column::OrganizationId.eq(INSTANCE))
        .add(bindings::Column::SubjectKind.eq(principal.kind()))
        .add(bindings::Column::RoleId.in_subquery(of_signet));
    subjects(of_kind)
}
