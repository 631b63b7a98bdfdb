//! Owns the table `built_indexes`: which of the indexes that a job builds are complete.

use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};

use crate::store::{
    Store,
    engine::online_index::OnlineIndex,
    tables::{
        access::INSTANCE,
        entity::built_indexes::{ActiveModel, Column, Entity},
    },
};
use crate::{
    base::Timestamp,
    model::{Error, named::named},
};

named! {
    /// An index of the table `users`: by one value, and then by id.
    UserIndex {
        /// Orders users by the time of their creation.
        CreateTime = "users_create_time",
        /// Orders users by their last login.
        LoginTime = "users_login_time",
        /// Orders users by username.
        Username = "users_username_key",
        /// Orders users by e-mail address.
        Email = "users_email_key",
        /// Orders users by display name.
        DisplayName = "users_display_name_key",
    }
}

impl UserIndex {
    /// Whether it is one of a column that must be filled before it can be used.
    #[must_use]
    pub const fn is_of_keys(self) -> bool {
        matches!(self, Self::Username | Self::Email | Self::DisplayName)
    }

    fn online(self) -> OnlineIndex {
        let column = match self {
            Self::CreateTime => "create_time",
            Self::LoginTime => "login_time",
            Self::Username => "username_key",
            Self::Email => "email_key",
            Self::DisplayName => "display_name_key",
        };
        OnlineIndex { name: self.name(), table: "users", columns: [column, "id"] }
    }
}

impl Store {
    /// Whether `index` can be used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn is_built(&self, index: UserIndex) -> Result<bool, Error> {
        let query = Entity::find_by_id((INSTANCE, index.name().to_owned()));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.is_some())
    }

    /// Builds `index`, unless it is there, without long locks, and notes at `now` that it can be used: what it indexes must be filled.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn build_user_index(&self, index: UserIndex, now: Timestamp) -> Result<(), Error> {
        self.build_index(index.online()).await?;
        let row = || ActiveModel {
            organization_id: Set(INSTANCE),
            name: Set(index.name().to_owned()),
            ready_time: Set(now.as_micros()),
        };
        // Another process may note it at the same moment.
        let key = [Column::OrganizationId, Column::Name];
        let nothing = || OnConflict::columns(key).do_nothing_on(key).to_owned();
        let insert = || Entity::insert(row()).on_conflict(nothing());
        self.ask(|| insert().exec_without_returning(&self.writer)).await.map(drop)
    }
}
