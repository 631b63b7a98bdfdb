//! Owns the table `copies`: that this database is being copied from another, or has been copied to one.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::OnConflict};

use crate::store::{
    Store,
    engine::failure,
    tables::entity::copies::{ActiveModel, Column, Entity, Model},
};
use crate::{base::Timestamp, model::Error};

/// The rows that there may be: what this is being copied from; that it was found empty then, and is being filled; what it was copied to;
/// and what tells it from databases elsewhere whose files have the same name.
const FROM: &str = "from";
const FILLING: &str = "filling";
const TO: &str = "to";
const IDENTITY: &str = "identity";

impl Store {
    /// What this database is being copied from: then not all of it is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn copied_from(&self) -> Result<Option<String>, Error> {
        Ok(self.copy(FROM).await?.map(|row| row.place))
    }

    /// What this database was copied to last, and when: from then on that is the service's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn copied_to(&self) -> Result<Option<(String, Timestamp)>, Error> {
        let row = self.copy(TO).await?;
        Ok(row.map(|row| (row.place, Timestamp::from_micros(row.create_time))))
    }

    /// Notes at `now` that this database is being copied from `place`; false if it is being copied from anything already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn begin_copy_from(&self, place: &str, now: Timestamp) -> Result<bool, Error> {
        match Entity::insert(row(FROM, place, now)).exec_without_returning(&self.writer).await {
            Ok(_) => Ok(true),
            Err(error) if failure::is_duplicate(&error) => Ok(false),
            Err(error) => Err(failure::from(error)),
        }
    }

    /// Notes at `now` that this database, which is being copied from `place`, was found empty: what is in it from then on is the copy's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn note_filling(&self, place: &str, now: Timestamp) -> Result<(), Error> {
        self.ask(|| Entity::insert(row(FILLING, place, now)).exec_without_returning(&self.writer))
            .await
            .map(drop)
    }

    /// Whether what is in this database is what a copy from `place` has brought, so that it may be deleted.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn is_filled_from(&self, place: &str) -> Result<bool, Error> {
        Ok(self.copy(FILLING).await?.is_some_and(|row| row.place == place))
    }

    /// Notes that all of it is there, or that nothing was copied.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_copy_from(&self) -> Result<(), Error> {
        let marks = || Entity::delete_many().filter(Column::Direction.is_in([FROM, FILLING]));
        self.ask(|| marks().exec(&self.writer)).await.map(drop)
    }

    /// What tells this database from others whose files have the same name: `new`, unless it has something already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn copy_identity(&self, new: &str, now: Timestamp) -> Result<String, Error> {
        if let Some(known) = self.copy(IDENTITY).await? {
            return Ok(known.place);
        }
        self.ask(|| Entity::insert(row(IDENTITY, new, now)).exec_without_returning(&self.writer)).await?;
        Ok(new.to_owned())
    }

    /// Notes at `now` that this database was copied to `place`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn note_copy_to(&self, place: &str, now: Timestamp) -> Result<(), Error> {
        let other = || {
            let columns = [Column::Place, Column::CreateTime];
            OnConflict::column(Column::Direction).update_columns(columns).to_owned()
        };
        let note = || Entity::insert(row(TO, place, now)).on_conflict(other());
        self.ask(|| note().exec_without_returning(&self.writer)).await.map(drop)
    }

    async fn copy(&self, direction: &str) -> Result<Option<Model>, Error> {
        self.ask_for_one(|| Entity::find_by_id(direction).all(&self.db)).await
    }
}

fn row(direction: &str, place: &str, now: Timestamp) -> ActiveModel {
    ActiveModel {
        direction: Set(direction.to_owned()),
        place: Set(place.to_owned()),
        create_time: Set(now.as_micros()),
    }
}
