//! Owns the table `resting_usernames`: the names of deleted users, which nobody may sign up with until they have rested.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::store::{
    BATCH, Sha256, Store,
    engine::attempts::Failed,
    tables::entity::resting_usernames::{ActiveModel, Column, Entity, Model},
};
use crate::{
    base::Timestamp,
    model::{AdminScope, Error, Rights},
};

/// A name that rests.
#[derive(Clone, Copy, Debug)]
pub struct RestingName {
    /// The keyed digest by which the name is found.
    pub mark: Sha256,
    /// From when on it may be taken.
    pub until: Timestamp,
}

impl Store {
    /// How many names rest.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn resting_usernames(&self) -> Result<u64, Error> {
        self.ask(|| Entity::find().count(&self.db)).await
    }

    /// Deletes the names that rest no longer at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_rested_usernames(&self, now: Timestamp) -> Result<(), Error> {
        let rested = Condition::all().add(Column::ExpireTime.lte(now.as_micros()));
        let page = Entity::find().filter(rested.clone()).select_only().column(Column::Mark);
        let page = page.order_by_asc(Column::ExpireTime).limit(BATCH as u64);
        loop {
            let marks: Vec<Vec<u8>> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            // One may have begun to rest anew.
            self.delete_rows::<Entity, _>(Column::Mark, &marks, rested.clone()).await?;
            if marks.len() < BATCH {
                return Ok(());
            }
        }
    }
}

/// Has a name rest, within a transaction; `is_admins` if whoever had it has, or had once, a scope that administers
/// the service, or owns an audience.
pub(in crate::store) async fn add(
    db: &impl ConnectionTrait,
    name: RestingName,
    is_admins: bool,
) -> Result<(), DbErr> {
    let mark = name.mark.to_vec();
    // It may have rested, been given by the operator and been deleted again.
    Entity::delete_by_id(mark.clone()).exec(db).await?;
    let row =
        ActiveModel { mark: Set(mark), expire_time: Set(name.until.as_micros()), is_admins: Set(is_admins) };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// Whether the name of this mark rests at `now`; without one it does not.
pub(in crate::store) async fn rests(
    db: &impl ConnectionTrait,
    mark: Option<Sha256>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let Some(mark) = mark else { return Ok(false) };
    let rows = Entity::find_by_id(mark.to_vec()).all(db).await?;
    Ok(rows.iter().any(|row| row.expire_time > now.as_micros()))
}

/// Succeeds if somebody with `rights` may give the name of this mark to a new user at `now`, whose password they do not know: if it does
/// not rest, or they could become anybody of that name by a reset. That of somebody who administered the service nobody may.
///
/// # Errors
/// [`Error::UsernameTaken`].
pub(in crate::store) async fn may_be_given(
    db: &impl ConnectionTrait,
    mark: Option<Sha256>,
    rights: &Rights,
    now: Timestamp,
) -> Result<(), Failed> {
    match resting(db, mark, now).await? {
        Some(row) if row.is_admins || !rights.have(AdminScope::UsersReset) => {
            Err(Error::UsernameTaken.into())
        }
        _ => Ok(()),
    }
}

/// Succeeds if the name of this mark does not rest at `now`: whoever renames an account, which may be one of their own, gives no such name.
///
/// # Errors
/// [`Error::UsernameTaken`].
pub(in crate::store) async fn must_not_rest(
    db: &impl ConnectionTrait,
    mark: Option<Sha256>,
    now: Timestamp,
) -> Result<(), Failed> {
    match resting(db, mark, now).await? {
        Some(_) => Err(Error::UsernameTaken.into()),
        None => Ok(()),
    }
}

/// The row of the name with this mark, if it rests at `now`.
async fn resting(
    db: &impl ConnectionTrait,
    mark: Option<Sha256>,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let Some(mark) = mark else { return Ok(None) };
    let row = Entity::find_by_id(mark.to_vec()).all(db).await?.pop();
    Ok(row.filter(|row| row.expire_time > now.as_micros()))
}
