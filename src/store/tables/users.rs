//! Owns the table `users`: adding and finding users, and changing their profiles and passwords.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::store::{
    CredentialVersion, Credentials, Sha256, Store,
    engine::{attempts::Failed, failure, transaction::commit},
    tables::{
        administration::{AdminChange, Applied},
        attributes,
        changes::{self, ChangeEffect, ChangeKind},
        credentials::next_version,
        entity::users::{ActiveModel, Column, Entity, Model},
        resting_usernames,
        sessions::{self, Replacement},
        user_changes::attributes_changed,
        user_pages::{SearchKeys, search_key},
        usernames,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::{Entropy, Timestamp},
    model::{
        AdminScope, AttributeEdit, AttributeWriter, Error, Session, SessionId, User, UserAttributes, UserId,
        Username,
        profile::{DisplayName, Email},
    },
};

/// How the feed is told of a user.
pub(in crate::store) const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::User, ChangeEffect::Changed);
pub(super) const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::User, ChangeEffect::Ended);

/// A user and the hash of its password, as they are written together.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// The password's hash, as a PHC string.
    pub password_hash: String,
    /// The mark by which the name is found among resting ones; none if it may be taken though it rests.
    pub resting: Option<Sha256>,
}

/// A change of a user's own profile: each field stays, gets a new value, or is cleared.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// The e-mail address.
    pub email: Option<Option<Email>>,
    /// The name to show.
    pub display_name: Option<Option<DisplayName>>,
    /// The attributes, as far as users may write them.
    pub attributes: AttributeEdit,
}

/// The result of changing a profile.
#[derive(Debug)]
pub struct UpdatedProfile {
    /// The user as it is now.
    pub user: User,
    /// The fields that changed.
    pub changed: Vec<FieldChange>,
}

/// The result of changing a password.
#[derive(Debug)]
pub enum PasswordChange {
    /// The password is changed.
    Done {
        /// The session that was opened.
        session: Box<Session>,
        /// Every session that ended with it.
        ended: Vec<SessionId>,
    },
    /// Nothing is changed: the password is no longer the one that was verified.
    OtherPassword,
    /// The session that was to be replaced has ended.
    SessionEnded,
}

impl Store {
    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::UsernameTaken`], decided by the database, so that of two at once only one is added.
    pub async fn add_user(&self, new: NewUser) -> Result<(), Error> {
        self.write(|| async {
            let db = self.begin().await?;
            add(&db, &new, &self.entropy).await?;
            commit(db, ()).await
        })
        .await
    }

    /// Adds a user for whoever manages users, and keeps the event of that in the same transaction. The name may be one that rests. Returns
    /// the attributes that it has, by `edit`.
    ///
    /// # Errors
    /// [`Error::UsernameTaken`], [`Error::InsufficientScope`], [`Error::InvalidFields`] for attributes; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn add_managed_user(
        &self,
        new: &NewUser,
        edit: &AttributeEdit,
        change: AdminChange<'_>,
    ) -> Result<Applied<UserAttributes>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::UsersWrite)?;
            let mut new = new.clone();
            if !edit.is_empty() {
                let declared = attributes::all(&*db).await?;
                (new.user.attributes, _) =
                    declared.edit(&new.user.attributes, edit, AttributeWriter::Admin)?;
            }
            add(&*db, &new, &self.entropy).await?;
            db.done(new.user.id.0, [], new.user.attributes).await
        })
        .await
    }

    /// Whether a new user cannot have `username`: see [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn is_taken(
        &self,
        username: &Username,
        resting: Option<Sha256>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if self.meant(username).await?.is_some() {
            return Ok(true);
        }
        self.ask(|| async {
            Ok(usernames::looks_like_another(&self.db, username, None).await?
                || resting_usernames::rests(&self.db, resting, now).await?)
        })
        .await
    }

    /// The user `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(self.credentials_of(id).await?.map(|found| found.user))
    }

    /// The user of a username's canonical form, for an operator.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user_named(&self, username: &Username) -> Result<Option<User>, Error> {
        Ok(self.meant(username).await?.map(|row| Credentials::from(row).user))
    }

    /// The user `id` and its password hash.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn credentials_of(&self, id: UserId) -> Result<Option<Credentials>, Error> {
        let row = self.ask_for_one(|| Entity::find_by_id(id.0).all(&self.db)).await?;
        Ok(row.map(Credentials::from))
    }

    /// The users after `after` in the order of their ids, the order of their creation; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn users(&self, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Error> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// How many users there are. Counts them one by one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user_count(&self) -> Result<u64, Error> {
        // Of a backup too, whose schema may be older: it need not have the other columns.
        let ids = Entity::find().select_only().column(Column::Id);
        self.ask(|| ids.clone().count(&self.db)).await
    }

    /// How many users have a hash of a digest that was made under a key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn users_with_prehash_key(&self) -> Result<u64, Error> {
        let found = Entity::find().filter(Column::PasswordHash.like("{prehash=%,key=%}%"));
        self.ask(|| found.clone().count(&self.db)).await
    }

    /// Whether a user has a hash that names the prehash key `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn has_users_of_prehash_key(&self, name: &str) -> Result<bool, Error> {
        let found = Entity::find().select_only().column(Column::Id);
        let found = found.filter(Column::PasswordHash.like(format!("{{prehash=%,key={name}}}%"))).limit(1);
        Ok(!self.ask(|| found.clone().into_tuple::<uuid::Uuid>().all(&self.writer)).await?.is_empty())
    }

    /// Replaces the hash of the password of the user `id`, if it still is `old`: a password changed meanwhile stays changed. The version
    /// of the credentials stays too, since the password is the same.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn replace_password_hash(&self, id: UserId, old: &str, new: String) -> Result<bool, Error> {
        let update = Entity::update_many()
            .col_expr(Column::PasswordHash, Expr::value(new))
            .filter(Column::Id.eq(id.0))
            .filter(Column::PasswordHash.eq(old));
        Ok(self.ask(|| update.clone().exec(&self.writer)).await?.rows_affected > 0)
    }

    /// Changes what the user `id` says of itself; none if there is no such user. If it says that already, nothing is written.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for attributes; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_profile(
        &self,
        id: UserId,
        change: ProfileChange,
        now: Timestamp,
    ) -> Result<Option<UpdatedProfile>, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            // Locked, so that what is told of the change is true of it.
            let Some(row) = Entity::find_by_id(id.0).lock_exclusive().one(&db).await? else {
                return Ok(None);
            };
            let mut user = User::from(row);
            let ProfileChange { email, display_name, attributes: edit } = change.clone();
            let email = email.unwrap_or_else(|| user.email.clone());
            let display_name = display_name.unwrap_or_else(|| user.display_name.clone());
            let changed = [
                (email != user.email).then(|| Field::Email.into()),
                (display_name != user.display_name).then(|| Field::DisplayName.into()),
            ];
            let mut changed: Vec<FieldChange> = changed.into_iter().flatten().collect();
            if !edit.is_empty() {
                let declared = attributes::all(&db).await?;
                let (now_has, names) = declared.edit(&user.attributes, &edit, AttributeWriter::User)?;
                user.attributes = now_has;
                changed.extend(attributes_changed(&names));
            }
            if changed.is_empty() {
                return Ok(Some(UpdatedProfile { user, changed }));
            }
            let text = |email: &Email| email.as_str().to_owned();
            let name = |name: &DisplayName| name.as_str().to_owned();
            Entity::update_many()
                .col_expr(Column::Email, Expr::value(email.as_ref().map(text)))
                .col_expr(Column::EmailKey, Expr::value(search_key(email.as_ref().map(Email::as_str))))
                .col_expr(Column::DisplayName, Expr::value(display_name.as_ref().map(name)))
                .col_expr(
                    Column::DisplayNameKey,
                    Expr::value(search_key(display_name.as_ref().map(DisplayName::as_str))),
                )
                .col_expr(Column::Attributes, Expr::value(user.attributes.to_text()))
                .col_expr(Column::UpdateTime, Expr::value(now.as_micros()))
                .filter(Column::Id.eq(id.0))
                .exec(&db)
                .await?;
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            (user.email, user.display_name, user.update_time) = (email, display_name, now);
            commit(db, Some(UpdatedProfile { user, changed })).await
        })
        .await
    }

    /// Sets the password hash of the user `id`, if the credentials still are `old`, ends every session of the user, and opens one in the
    /// place of that of the call; all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn change_password(
        &self,
        id: UserId,
        old: &CredentialVersion,
        new: String,
        replacement: &Replacement,
        now: Timestamp,
    ) -> Result<PasswordChange, Error> {
        let update = Entity::update_many()
            .col_expr(Column::PasswordHash, Expr::value(new))
            .col_expr(Column::CredentialVersion, Expr::value(next_version(now, &self.entropy)))
            .col_expr(Column::UpdateTime, Expr::value(now.as_micros()))
            .filter(Column::Id.eq(id.0))
            .filter(old.is_current());
        self.write(|| async {
            let db = self.begin().await?;
            // From here on nobody opens a session with the old password: who did is seen below, who will finds other credentials.
            if update.clone().exec(&db).await?.rows_affected == 0 {
                return Ok(PasswordChange::OtherPassword);
            }
            match sessions::replace_of_user(&db, id, replacement, now).await? {
                Some((session, ended)) => {
                    changes::tell(&db, CHANGED, &[id.0], now).await?;
                    commit(db, PasswordChange::Done { session: Box::new(session), ended }).await
                }
                None => Ok(PasswordChange::SessionEnded),
            }
        })
        .await
    }
}

/// Adds `new`, within a transaction.
///
/// # Errors
/// [`Error::UsernameTaken`], decided by the database.
pub(in crate::store) async fn add(
    db: &impl ConnectionTrait,
    new: &NewUser,
    entropy: &Entropy,
) -> Result<(), Failed> {
    let NewUser { user, password_hash, resting } = new;
    let row = ActiveModel {
        credential_version: Set(Some(next_version(user.create_time, entropy))),
        ..row(user, password_hash.clone(), None)
    };
    match insert(db, user, row).await {
        Ok(()) => {}
        Err(error) if failure::is_duplicate(&error) => return Err(Error::UsernameTaken.into()),
        Err(error) => return Err(error.into()),
    }
    // What it looks like is asked for once names with such a look that others add now must wait for this one, or have been added.
    if usernames::looks_like_another(db, &user.username, Some(user.id)).await?
        || resting_usernames::rests(db, *resting, user.create_time).await?
    {
        return Err(Error::UsernameTaken.into());
    }
    Ok(())
}

/// Adds the rows of `user`, within a transaction.
async fn insert(db: &impl ConnectionTrait, user: &User, row: ActiveModel) -> Result<(), DbErr> {
    Entity::insert(row).exec_without_returning(db).await?;
    usernames::insert(db, user.id, &user.username).await
}

/// The row of `user`, but for the version of the credentials.
pub(in crate::store) fn row(
    user: &User,
    password_hash: String,
    login_time: Option<Timestamp>,
) -> ActiveModel {
    let keys = SearchKeys::of(user);
    ActiveModel {
        username_key: Set(keys.username),
        email_key: Set(keys.email),
        display_name_key: Set(keys.display_name),
        id: Set(user.id.0),
        username: Set(user.username.typed().to_owned()),
        username_canonical: Set(user.username.stored().to_owned()),
        email: Set(user.email.as_ref().map(|email| email.as_str().to_owned())),
        display_name: Set(user.display_name.as_ref().map(|name| name.as_str().to_owned())),
        password_hash: Set(password_hash),
        is_active: Set(user.is_active),
        create_time: Set(user.create_time.as_micros()),
        update_time: Set(user.update_time.as_micros()),
        login_time: Set(login_time.map(Timestamp::as_micros)),
        attributes: Set(user.attributes.to_text()),
        ..ActiveModel::default()
    }
}

/// Notes a login of the user `id`, if it is active and still has the credentials `proven`, within a transaction: false if not. Until the
/// transaction ends nobody disables the user, deletes it or changes its credentials.
pub(in crate::store) async fn log_in(
    db: &impl ConnectionTrait,
    id: UserId,
    proven: &CredentialVersion,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .col_expr(Column::LoginTime, Expr::value(now.as_micros()))
        .filter(Column::Id.eq(id.0))
        .filter(proven.is_current())
        .filter(Column::IsActive.eq(true))
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}

impl From<Model> for User {
    fn from(row: Model) -> Self {
        Self {
            id: UserId(row.id),
            username: Username::from_stored(row.username, row.username_canonical),
            email: row.email.map(Email::from_stored),
            display_name: row.display_name.map(DisplayName::from_stored),
            attributes: UserAttributes::from_stored(row.attributes.as_deref()),
            is_active: row.is_active,
            create_time: Timestamp::from_micros(row.create_time),
            update_time: Timestamp::from_micros(row.update_time),
        }
    }
}

impl From<Model> for Credentials {
    fn from(mut row: Model) -> Self {
        let password_hash = std::mem::take(&mut row.password_hash);
        let version = row.credential_version;
        Self { user: User::from(row), password_hash, version, one_time: None }
    }
}
