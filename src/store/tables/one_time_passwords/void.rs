//! Owns voiding one-time passwords: nobody comes to administer the service because they once knew the one-time password of a user.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

use super::{that_count, with_new_password};
use crate::store::tables::{
    access::INSTANCE,
    administration::admin_scopes_of,
    changes,
    entity::{
        one_time_passwords::{Column, Entity, Model},
        users as user_rows,
    },
    holders, sessions, users,
};
use crate::{
    base::{Entropy, Timestamp},
    model::{NameSet, Principal, UserId},
};

/// Makes every one-time password void whose user has a scope that administers the service, and had it not when it was made; within the
/// transaction that gives it, once all is written. Taking the scope away again does not bring it back.
///
/// A used one has chosen a password, and whoever made it may have been the one to choose. It ends in the same way, the password and the
/// sessions with it, once its user has such a scope that its maker lacked: then only somebody who has as much gives the user another.
///
/// Whatever the scope comes by: a binding, a group, a group's binding, a role's scopes. Few have any of these, and few of them a one-time
/// password.
pub(in crate::store::tables) async fn void_of_gainers(
    db: &impl ConnectionTrait,
    entropy: &Entropy,
    now: Timestamp,
) -> Result<(), DbErr> {
    for holders in holders::users_bound() {
        let found = that_count(Entity::find(), now).filter(Column::UserId.in_subquery(holders));
        // In one order, so that two that lock the same users do not wait for each other.
        for row in found.order_by_asc(Column::UserId).all(db).await? {
            if is_void_now(db, &row, now).await? {
                void(db, UserId(row.user_id), entropy, now).await?;
            }
        }
    }
    Ok(())
}

/// Makes the one-time password of `user` void, who may be using it at this moment.
async fn void(
    db: &impl ConnectionTrait,
    user: UserId,
    entropy: &Entropy,
    now: Timestamp,
) -> Result<(), DbErr> {
    // The user's row first, like whoever uses it: from here on it stays as it is found.
    user_rows::Entity::find_by_id(user.0).lock_exclusive().all(db).await?;
    let row = Entity::find_by_id((INSTANCE, user.0)).lock_exclusive().all(db).await?.pop();
    let Some(row) = row.filter(|row| !row.is_void) else { return Ok(()) };
    if row.is_used {
        if !is_void_now(db, &row, now).await? {
            return Ok(());
        }
        with_new_password(&row.password_hash, entropy, now)
            .filter(user_rows::Column::Id.eq(user.0))
            .exec(db)
            .await?;
        sessions::delete_of_users(db, &[user], None, now).await?;
        changes::tell(db, users::CHANGED, &[user.0], now).await?;
    }
    Entity::update_many()
        .col_expr(Column::IsVoid, Expr::value(true))
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::UserId.eq(user.0))
        .exec(db)
        .await
        .map(drop)
}

/// Whether the user of `row` has gained what it may not have beside it: anything, before it was used, and then what its maker lacked.
async fn is_void_now(db: &impl ConnectionTrait, row: &Model, now: Timestamp) -> Result<bool, DbErr> {
    let beside = match &row.maker_scopes {
        Some(maker) if row.is_used => maker,
        _ => &row.scopes,
    };
    has_gained(db, UserId(row.user_id), &NameSet::from_stored(beside.clone()), now).await
}

/// Whether `user` has a scope that administers the service and is not one of `had`.
pub(super) async fn has_gained(
    db: &impl ConnectionTrait,
    user: UserId,
    had: &NameSet,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let held = admin_scopes_of(db, Principal::User(user), now).await?;
    Ok(!held.without(had).is_empty())
}
