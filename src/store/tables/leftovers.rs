//! Owns deleting what earlier releases left behind when they deleted a user: they knew neither roles and groups, nor administrators, nor
//! all forms of names. An import may use the ids of such users again.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::{
    base::Timestamp,
    model::{Principal, UserId},
    store::tables::{
        access::INSTANCE,
        administrators,
        bindings::UNBOUND,
        changes,
        entity::{audience_owners, bindings, memberships},
        one_time_passwords, usernames,
    },
};

/// Deletes what is left of earlier users with `ids`, within the transaction that gives these to others at `now`, and tells whoever
/// remembers what they had. They are few.
pub(in crate::store) async fn delete_of_earlier(
    db: &impl ConnectionTrait,
    ids: &[UserId],
    now: Timestamp,
) -> Result<(), DbErr> {
    let kind = Principal::User(UserId(Uuid::nil())).kind();
    let users = || ids.iter().map(|id| id.0);
    usernames::delete(db, &users().collect::<Vec<_>>()).await?;
    one_time_passwords::delete_of(db, ids).await?;
    administrators::forget(db, ids).await?;
    let bound = bindings::Entity::delete_many()
        .filter(bindings::Column::OrganizationId.eq(INSTANCE))
        .filter(bindings::Column::SubjectKind.eq(kind))
        .filter(bindings::Column::SubjectId.is_in(users()))
        .exec(db)
        .await?;
    let members = memberships::Entity::delete_many()
        .filter(memberships::Column::OrganizationId.eq(INSTANCE))
        .filter(memberships::Column::UserId.is_in(users()))
        .exec(db)
        .await?;
    audience_owners::Entity::delete_many()
        .filter(audience_owners::Column::OrganizationId.eq(INSTANCE))
        .filter(audience_owners::Column::OwnerKind.eq(kind))
        .filter(audience_owners::Column::OwnerId.is_in(users()))
        .exec(db)
        .await?;
    if bound.rows_affected + members.rows_affected > 0 {
        changes::tell(db, UNBOUND, &users().collect::<Vec<_>>(), now).await?;
    }
    Ok(())
}
