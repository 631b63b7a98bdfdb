//! Owns the table `admin_requests`: which requests have been done under a `request_id` of their own (AIP-155), so that a repetition changes
//! nothing.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    engine::attempts::Failed,
    tables::{
        access::INSTANCE,
        entity::admin_requests::{ActiveModel, Column, Entity},
    },
};
use crate::{
    base::Timestamp,
    model::{Error, RequestKey},
};

/// The resource that the request has made or changed, if it was done before; within the transaction that would do it.
pub(super) async fn done_before(
    db: &impl ConnectionTrait,
    request: &RequestKey,
) -> Result<Option<Uuid>, Failed> {
    let RequestKey { caller, id, sha256 } = request;
    let key = (INSTANCE, caller.kind().to_owned(), caller.id(), *id);
    match Entity::find_by_id(key).all(db).await?.pop() {
        None => Ok(None),
        Some(row) if row.sha256 == sha256 => Ok(Some(row.resource_id)),
        Some(_) => Err(Failed::Refused(Error::RequestIdReused)),
    }
}

/// Whether `request` was done before; none if nothing was done under its id, false if another one was.
pub(super) async fn was_done(db: &impl ConnectionTrait, request: &RequestKey) -> Result<Option<bool>, DbErr> {
    let key = (INSTANCE, request.caller.kind().to_owned(), request.caller.id(), request.id);
    let row = Entity::find_by_id(key).all(db).await?.pop();
    Ok(row.map(|row| row.sha256 == request.sha256))
}

/// Notes that the request is done: it concerned `resource`.
pub(super) async fn note(
    db: &impl ConnectionTrait,
    request: &RequestKey,
    resource: Uuid,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        caller_kind: Set(request.caller.kind().to_owned()),
        caller_id: Set(request.caller.id()),
        request_id: Set(request.id),
        sha256: Set(request.sha256.to_vec()),
        resource_id: Set(resource),
        create_time: Set(now.as_micros()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

impl Store {
    /// Forgets the requests that were done before `time`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn forget_admin_requests(&self, time: Timestamp) -> Result<(), Error> {
        let old = Condition::all()
            .add(Column::OrganizationId.eq(INSTANCE))
            .add(Column::CreateTime.lt(time.as_micros()));
        let page = Entity::find().filter(old.clone()).select_only().column(Column::RequestId);
        let page = page.order_by_asc(Column::CreateTime).limit(BATCH as u64);
        loop {
            let ids: Vec<Uuid> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            // Another caller's request of the same id may be younger.
            self.delete_rows::<Entity, _>(Column::RequestId, &ids, old.clone()).await?;
            if ids.len() < BATCH {
                return Ok(());
            }
        }
    }
}
