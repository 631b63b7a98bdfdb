//! Owns who is an admin: a user with the built-in role of that name, by a binding of its own or by a group.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Condition, Expr, ExprTrait, Query},
};
use uuid::Uuid;

use crate::model::{BuiltInRole, GroupId, Principal, UserId, password::fits_nothing};
use crate::store::{
    BATCH,
    tables::{
        access::INSTANCE,
        bindings,
        entity::{bindings as binding_rows, memberships, users},
    },
};

/// Whether the user is an admin, active or not, for good or for a time.
pub(in crate::store::tables) async fn is_admin(
    db: &impl ConnectionTrait,
    user: UserId,
) -> Result<bool, DbErr> {
    let grants = bindings::grants_in(db, Principal::User(user)).await?;
    Ok(grants.iter().any(|grant| grant.role.id == BuiltInRole::Admin.id()))
}

/// Whether the user is in any group.
pub(in crate::store::tables) async fn is_member(
    db: &impl ConnectionTrait,
    user: UserId,
) -> Result<bool, DbErr> {
    let groups = memberships::Entity::find()
        .filter(memberships::Column::OrganizationId.eq(INSTANCE))
        .filter(memberships::Column::UserId.eq(user.0));
    Ok(groups.count(db).await? > 0)
}

/// Whether an active user who has a password is an admin without an end. A one-time password does not count: it ends by itself.
pub(in crate::store::tables) async fn has_admin(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    use binding_rows::{Column, Entity};
    let bound = |kind: Principal| {
        Query::select()
            .column(Column::SubjectId)
            .from(Entity)
            .and_where(Expr::col(Column::OrganizationId).eq(INSTANCE))
            .and_where(Expr::col(Column::RoleId).eq(BuiltInRole::Admin.id().0))
            .and_where(Expr::col(Column::SubjectKind).eq(kind.kind()))
            .and_where(Expr::col(Column::ExpireTime).is_null())
            .to_owned()
    };
    let of_groups = Query::select()
        .column(memberships::Column::UserId)
        .from(memberships::Entity)
        .and_where(Expr::col(memberships::Column::OrganizationId).eq(INSTANCE))
        .and_where(
            Expr::col(memberships::Column::GroupId)
                .in_subquery(bound(Principal::Group(GroupId(Uuid::nil())))),
        )
        .to_owned();
    let is_admin = Condition::any()
        .add(users::Column::Id.in_subquery(bound(Principal::User(UserId(Uuid::nil())))))
        .add(users::Column::Id.in_subquery(of_groups));
    let admins = users::Entity::find()
        .select_only()
        .columns([users::Column::Id, users::Column::PasswordHash])
        .filter(users::Column::IsActive.eq(true))
        .filter(is_admin)
        .order_by_asc(users::Column::Id)
        .limit(BATCH as u64);
    let mut after = Uuid::nil();
    loop {
        let page = admins.clone().filter(users::Column::Id.gt(after));
        let page: Vec<(Uuid, String)> = page.into_tuple().all(db).await?;
        if page.iter().any(|(_, hash)| !fits_nothing(hash)) {
            return Ok(true);
        }
        match page.last() {
            Some((last, _)) if page.len() == BATCH => after = *last,
            _ => return Ok(false),
        }
    }
}
