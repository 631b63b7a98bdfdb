//! Owns the table `administrators`: the users who have, or once had, a `signet.` scope, so that their names stay protected.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use super::{
    access::INSTANCE,
    entity::{
        administrators::{ActiveModel, Column, Entity},
        users,
    },
    holders,
};
use crate::{base::Timestamp, model::UserId, store::BATCH};

/// Notes those who hold such a scope at `now` and are not noted, within the transaction that gives it, once all is written. Whoever loses
/// it stays noted.
pub(super) async fn note(db: &impl ConnectionTrait, now: Timestamp) -> Result<(), DbErr> {
    let noted = Query::select()
        .column(Column::UserId)
        .from(Entity)
        .and_where(Expr::col(Column::OrganizationId).eq(INSTANCE))
        .to_owned();
    for holders in holders::administrators(db, now).await? {
        let new = users::Entity::find()
            .select_only()
            .column(users::Column::Id)
            .filter(users::Column::Id.in_subquery(holders))
            .filter(users::Column::Id.not_in_subquery(noted.clone()));
        let new: Vec<Uuid> = new.into_tuple().all(db).await?;
        for page in new.chunks(BATCH) {
            let row = |id: &Uuid| ActiveModel { organization_id: Set(INSTANCE), user_id: Set(*id) };
            Entity::insert_many(page.iter().map(row)).exec_without_returning(db).await?;
        }
    }
    Ok(())
}

/// Whether the user `id` is noted.
pub(super) async fn is_noted(db: &impl ConnectionTrait, id: UserId) -> Result<bool, DbErr> {
    Ok(!Entity::find_by_id((INSTANCE, id.0)).all(db).await?.is_empty())
}

/// Forgets those of `users` who are noted, within the transaction that deletes them.
pub(super) async fn forget(db: &impl ConnectionTrait, users: &[UserId]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::UserId.is_in(users.iter().map(|user| user.0)))
        .exec(db)
        .await
        .map(drop)
}
