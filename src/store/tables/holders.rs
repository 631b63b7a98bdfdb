//! Owns who holds scopes that administer the service, asked of many at once.

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
    model::{AudienceName, ClientId, GroupId, Principal, Rights, Role, UserId},
};

/// Those of `users` who hold a scope that administers the service and that `rights` lack, active or not: by a binding of their own, or by
/// one of a group.
pub(super) async fn who_hold_more(
    db: &impl ConnectionTrait,
    rights: &Rights,
    users: &HashSet<UserId>,
    now: Timestamp,
) -> Result<HashSet<UserId>, DbErr> {
    let of_signet = roles::Entity::find()
        .filter(roles::Column::OrganizationId.eq(INSTANCE))
        .filter(roles::Column::Audience.eq(AudienceName::SIGNET));
    let rows = of_signet.all(db).await?.into_iter().map(Role::from);
    let beyond: Vec<Uuid> =
        rows.filter(|role| rights.must_equal(&role.scopes).is_err()).map(|role| role.id.0).collect();
    if beyond.is_empty() || users.is_empty() {
        return Ok(HashSet::new());
    }
    let holds = Condition::any()
        .add(bindings::Column::ExpireTime.is_null())
        .add(bindings::Column::ExpireTime.gt(now.as_micros()));
    let bound = |kind: &'static str| {
        Condition::all()
            .add(bindings::Column::OrganizationId.eq(INSTANCE))
            .add(bindings::Column::RoleId.is_in(beyond.iter().copied()))
            .add(bindings::Column::SubjectKind.eq(kind))
            .add(holds.clone())
    };
    let asked = || users.iter().map(|user| user.0);
    let own = bindings::Entity::find()
        .select_only()
        .column(bindings::Column::SubjectId)
        .filter(bound(Principal::User(UserId(Uuid::nil())).kind()))
        .filter(bindings::Column::SubjectId.is_in(asked()));
    let groups = Query::select()
        .column(bindings::Column::SubjectId)
        .from(bindings::Entity)
        .cond_where(bound(Principal::Group(GroupId(Uuid::nil())).kind()))
        .to_owned();
    let by_group = memberships::Entity::find()
        .select_only()
        .column(memberships::Column::UserId)
        .filter(memberships::Column::OrganizationId.eq(INSTANCE))
        .filter(memberships::Column::UserId.is_in(asked()))
        .filter(Expr::col(memberships::Column::GroupId).in_subquery(groups));
    let own: Vec<Uuid> = own.into_tuple().all(db).await?;
    let by_group: Vec<Uuid> = by_group.into_tuple().all(db).await?;
    Ok(own.into_iter().chain(by_group).map(UserId).collect())
}

/// The users who are bound to a role of the service's own audience, and those who are by a group.
///
/// Two statements, each a walk along indices: one with an `OR` for both would have MySQL read everything.
pub(super) fn users_bound() -> [SelectStatement; 2] {
    let members = Query::select()
        .column(memberships::Column::UserId)
        .from(memberships::Entity)
        .and_where(Expr::col(memberships::Column::OrganizationId).eq(INSTANCE))
        .and_where(
            Expr::col(memberships::Column::GroupId)
                .in_subquery(bound(Principal::Group(GroupId(Uuid::nil())))),
        )
        .to_owned();
    [bound(Principal::User(UserId(Uuid::nil()))), members]
}

/// The clients that are bound to a role of the service's own audience.
pub(super) fn clients_bound() -> SelectStatement {
    bound(Principal::Client(ClientId(Uuid::nil())))
}

/// Those of the kind of `principal` who are bound to a role of the service's own audience.
fn bound(principal: Principal) -> SelectStatement {
    let of_signet = Query::select()
        .column(roles::Column::Id)
        .from(roles::Entity)
        .and_where(Expr::col(roles::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(roles::Column::Audience).eq(AudienceName::SIGNET))
        .to_owned();
    Query::select()
        .column(bindings::Column::SubjectId)
        .from(bindings::Entity)
        .and_where(Expr::col(bindings::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(bindings::Column::SubjectKind).eq(principal.kind()))
        .and_where(Expr::col(bindings::Column::RoleId).in_subquery(of_signet))
        .to_owned()
}
