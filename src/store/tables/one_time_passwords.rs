//! Owns the table `one_time_passwords`: the hash of the password by which a user without a password can choose one, once.

mod void;

pub(in crate::store::tables) use void::void_of_gainers;

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryResult, QuerySelect,
    sea_query::{Condition, Expr, ExprTrait, SelectStatement, SimpleExpr},
};
use uuid::Uuid;

use crate::store::{
    BATCH, CredentialVersion, Sha256, Store,
    engine::transaction::commit,
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Applied, admin_scopes_of},
        attributes, changes,
        credentials::next_version,
        entity::{
            one_time_passwords::{ActiveModel, Column, Entity, Model},
            users as user_rows,
        },
        resting_usernames, sessions,
        users::{self, NewUser},
    },
};
use crate::{
    audit::FieldChange,
    base::{Entropy, Timestamp},
    model::{
        AdminScope, AttributeEdit, AttributeWriter, Error, NameSet, Principal, Rights, SessionId, User,
        UserAttributes, UserId, password::fits_nothing,
    },
};

use void::has_gained;

/// A one-time password as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOneTimePassword {
    /// SHA-256 of it and the hash beside which it was made: with any other hash it fits no longer.
    pub sha256: Sha256,
    /// Whether it has ended for good, since its user was given a scope that administers the service.
    pub is_void: bool,
    /// Until when it can be used.
    pub expire_time: Timestamp,
    /// The `signet.` scopes that the user had when it was created.
    scopes: NameSet,
}

/// A one-time password that is about to be stored, and the hash that takes the place of the password's: one that fits none.
#[derive(Clone, Debug)]
pub struct NewOneTimePassword {
    /// SHA-256 of it and of `password_hash`.
    pub sha256: Sha256,
    /// A hash that fits no password.
    pub password_hash: String,
    /// Until when it can be used.
    pub expire_time: Timestamp,
}

/// The result of using a one-time password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneTimeUse {
    /// The user has the new password.
    Done,
    /// The user was changed meanwhile, or it was used.
    Overtaken,
    /// It is void: the user has a scope that administers the service, and had it not when it was made.
    Void,
}

impl Store {
    /// Gives the user `id`, if it still has this `etag`, the one-time password `new` in the place of the password, and ends the sessions.
    /// Returns those; none if there is no such user.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::HoldsMore`], [`Error::NotOwner`], [`Error::EtagMismatch`], [`Error::LastAdmin`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn reset_password(
        &self,
        id: UserId,
        etag: Option<&str>,
        new: &NewOneTimePassword,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Vec<SessionId>>>, Error> {
        self.replace_password((id, etag), &new.password_hash, Some(new), change).await
    }

    /// Gives the user `id` the password of `password_hash`, and ends the sessions. Returns those; none if there is no such user.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::HoldsMore`], [`Error::NotOwner`]; [`Error::Unavailable`] or [`Error::Internal`], with
    /// the cause.
    pub async fn set_password(
        &self,
        id: UserId,
        password_hash: &str,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Vec<SessionId>>>, Error> {
        self.replace_password((id, None), password_hash, None, change).await
    }

    async fn replace_password(
        &self,
        (id, etag): (UserId, Option<&str>),
        password_hash: &str,
        one_time: Option<&NewOneTimePassword>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Vec<SessionId>>>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::UsersReset)?;
            db.may_become(Principal::User(id)).await?;
            let row = user_rows::Entity::find_by_id(id.0).lock_exclusive().all(&*db).await?.pop();
            let Some(row) = row else { return Ok(Applied::Now(None)) };
            let had_password = !fits_nothing(&row.password_hash);
            User::from(row).etag().must_match(etag)?;
            // From here on nobody opens a session with the old password, and who did is seen below.
            let update = with_new_password(password_hash, &self.entropy, change.now)
                .filter(user_rows::Column::Id.eq(id.0));
            if update.exec(&*db).await?.rows_affected == 0 {
                return Ok(Applied::Now(None));
            }
            delete_of(&*db, &[id]).await?;
            if let Some(new) = one_time {
                // It ends within a day, and whoever was to use it may have lost it.
                if had_password && db.is_admin(id).await? {
                    db.must_leave_an_admin();
                }
                let held = admin_scopes_of(&*db, Principal::User(id), change.now).await?;
                insert(&*db, id, new, &held, db.rights()).await?;
            }
            let ended = sessions::delete_of_users(&*db, &[id], None, change.now).await?;
            changes::tell(&*db, users::CHANGED, &[id.0], change.now).await?;
            db.done(id.0, FieldChange::of_ended_sessions(ended.len()), Some(ended)).await
        })
        .await
    }

    /// Adds a user who has no password, but the one-time password `one_time`. By `resting` it is known whether the name rests; none if the
    /// user may have it all the same. Returns the attributes that it has, by `edit`.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UsernameTaken`], [`Error::InvalidFields`] for attributes; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn add_user_with_one_time_password(
        &self,
        (user, resting): (&User, Option<Sha256>),
        edit: &AttributeEdit,
        one_time: &NewOneTimePassword,
        change: AdminChange<'_>,
    ) -> Result<Applied<UserAttributes>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::UsersWrite)?;
            let password_hash = one_time.password_hash.clone();
            let mut user = user.clone();
            if !edit.is_empty() {
                let declared = attributes::all(&*db).await?;
                (user.attributes, _) = declared.edit(&user.attributes, edit, AttributeWriter::Admin)?;
            }
            let new = NewUser { user: user.clone(), password_hash, resting: None };
            users::add(&*db, &new, &self.entropy).await?;
            // Once whoever gives the name up at this moment has, or waits.
            resting_usernames::may_be_given(&*db, resting, db.rights(), change.now).await?;
            insert(&*db, user.id, one_time, &NameSet::default(), db.rights()).await?;
            db.done(user.id.0, [], user.attributes).await
        })
        .await
    }

    /// Uses up the one-time password of `sha256`, and gives the user `id` the password of `password_hash`, if the credentials still are
    /// those `proven`; all of it or nothing. Of two at once one does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn use_one_time_password(
        &self,
        id: UserId,
        proven: &CredentialVersion,
        sha256: &Sha256,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<OneTimeUse, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            // The user's row first, like everybody who changes a password.
            let update = with_new_password(password_hash, &self.entropy, now)
                .filter(user_rows::Column::Id.eq(id.0))
                .filter(user_rows::Column::IsActive.eq(true))
                .filter(proven.is_current());
            if update.exec(&db).await?.rows_affected == 0 {
                return Ok(OneTimeUse::Overtaken);
            }
            let row = Entity::find_by_id((INSTANCE, id.0)).all(&db).await?.pop();
            let Some(row) = row else { return Ok(OneTimeUse::Overtaken) };
            if !spend(&db, &row, sha256, now).await? {
                return Ok(OneTimeUse::Overtaken);
            }
            if has_gained(&db, id, &NameSet::from_stored(row.scopes), now).await? {
                return Ok(OneTimeUse::Void);
            }
            changes::tell(&db, users::CHANGED, &[id.0], now).await?;
            commit(db, OneTimeUse::Done).await
        })
        .await
    }

    /// Whether `one_time` of the user `id` is void at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn one_time_password_is_void(
        &self,
        id: UserId,
        one_time: &StoredOneTimePassword,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if one_time.is_void {
            return Ok(true);
        }
        self.ask(|| has_gained(&self.db, id, &one_time.scopes, now)).await
    }

    /// The one-time password of the user `id`, if it has one that was not used, whether or not it can be used still.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn one_time_password(&self, id: UserId) -> Result<Option<StoredOneTimePassword>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        row.filter(|row| !row.is_used)
            .map(|row| {
                let Model { sha256, scopes, is_void, expire_time, .. } = row;
                OneTimeColumns { sha256, scopes, is_void, expire_time }.try_into()
            })
            .transpose()
    }

    /// The password hash and the one-time password, if there is one that was not used, of each of `users` that is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn password_marks(&self, users: &[UserId]) -> Result<PasswordMarks, Error> {
        let mut marks = HashMap::with_capacity(users.len());
        for users in users.chunks(BATCH) {
            let ids = || users.iter().map(|user| user.0);
            let hashes = user_rows::Entity::find()
                .select_only()
                .columns([user_rows::Column::Id, user_rows::Column::PasswordHash])
                .filter(user_rows::Column::Id.is_in(ids()));
            let hashes: Vec<(Uuid, String)> = self.ask(|| hashes.clone().into_tuple().all(&self.db)).await?;
            marks.extend(hashes.into_iter().map(|(id, hash)| (UserId(id), (hash, None))));
            let rows = Entity::find()
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::IsUsed.eq(false))
                .filter(Column::UserId.is_in(ids()));
            for row in self.ask(|| rows.clone().all(&self.db)).await? {
                let Some(mark) = marks.get_mut(&UserId(row.user_id)) else { continue };
                let Model { sha256, scopes, is_void, expire_time, .. } = row;
                mark.1 = Some(OneTimeColumns { sha256, scopes, is_void, expire_time }.try_into()?);
            }
        }
        Ok(marks)
    }
}

/// By user.
type PasswordMarks = HashMap<UserId, (String, Option<StoredOneTimePassword>)>;

type UpdateUsers = sea_orm::UpdateMany<user_rows::Entity>;

/// The columns of a one-time password that are read together with its user.
pub(super) struct OneTimeColumns {
    sha256: Vec<u8>,
    scopes: String,
    is_void: bool,
    expire_time: i64,
}

impl OneTimeColumns {
    /// The condition that a row is that of the user of `users`.
    pub(super) fn are_of_user() -> SimpleExpr {
        let of_instance = Expr::col((Entity, Column::OrganizationId)).eq(INSTANCE);
        let user = (user_rows::Entity, user_rows::Column::Id);
        Expr::col((Entity, Column::UserId)).equals(user).and(of_instance)
    }

    /// Has `query` read them, under names that no other table of it has.
    pub(super) fn select(query: &mut SelectStatement) {
        for (column, name) in [
            (Column::Sha256, "one_time_sha256"),
            (Column::Scopes, "one_time_scopes"),
            (Column::IsVoid, "one_time_is_void"),
            (Column::ExpireTime, "one_time_expire_time"),
        ] {
            query.expr_as(Expr::col((Entity, column)), name);
        }
    }

    /// Reads them from `row`; none if the user has no one-time password.
    pub(super) fn read(row: &QueryResult) -> Result<Option<Self>, DbErr> {
        let Some(sha256) = row.try_get("", "one_time_sha256")? else { return Ok(None) };
        Ok(Some(Self {
            sha256,
            scopes: row.try_get("", "one_time_scopes")?,
            is_void: row.try_get("", "one_time_is_void")?,
            expire_time: row.try_get("", "one_time_expire_time")?,
        }))
    }
}

impl TryFrom<OneTimeColumns> for StoredOneTimePassword {
    type Error = Error;

    fn try_from(row: OneTimeColumns) -> Result<Self, Error> {
        Ok(Self {
            sha256: sessions::sha256(&row.sha256)?,
            is_void: row.is_void,
            expire_time: Timestamp::from_micros(row.expire_time),
            scopes: NameSet::from_stored(row.scopes),
        })
    }
}

/// Uses up the one-time password of `row`, if it still is that of `sha256` and can be used. What was made by somebody who lacked something
/// stays as a mark of that.
async fn spend(
    db: &impl ConnectionTrait,
    row: &Model,
    sha256: &Sha256,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let of_row = Condition::all().add(Column::UserId.eq(row.user_id)).add(Column::Sha256.eq(sha256.to_vec()));
    let spent = if row.maker_scopes.is_some() {
        let mark = Entity::update_many().col_expr(Column::IsUsed, Expr::value(true));
        usable(mark, now).filter(of_row).exec(db).await?.rows_affected
    } else {
        usable(Entity::delete_many(), now).filter(of_row).exec(db).await?.rows_affected
    };
    Ok(spent == 1)
}

/// Those of `query` that can be used at `now`, as far as their rows say.
fn usable<Q: QueryFilter>(query: Q, now: Timestamp) -> Q {
    that_count(query, now).filter(Column::IsUsed.eq(false))
}

/// Those of `query` that can be used at `now`, or were used, and are not void.
fn that_count<Q: QueryFilter>(query: Q, now: Timestamp) -> Q {
    let in_time = Column::ExpireTime.gt(now.as_micros());
    query
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::IsVoid.eq(false))
        .filter(Condition::any().add(Column::IsUsed.eq(true)).add(in_time))
}

/// Writes the hash of another password, and with it another version of the credentials.
fn with_new_password(password_hash: &str, entropy: &Entropy, now: Timestamp) -> UpdateUsers {
    user_rows::Entity::update_many()
        .col_expr(user_rows::Column::PasswordHash, Expr::value(password_hash))
        .col_expr(user_rows::Column::CredentialVersion, Expr::value(next_version(now, entropy)))
        .col_expr(user_rows::Column::UpdateTime, Expr::value(now.as_micros()))
}

/// Adds `new`, which `user` has beside the scopes `held`, as somebody with `rights` made it.
async fn insert(
    db: &impl ConnectionTrait,
    user: UserId,
    new: &NewOneTimePassword,
    held: &NameSet,
    rights: &Rights,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        user_id: Set(user.0),
        sha256: Set(new.sha256.to_vec()),
        // What does not fit counts as gained later: then it is void from the start, which is the safe side.
        scopes: Set(held.as_far_as_fits().as_str().to_owned()),
        maker_scopes: Set(rights.less_than_all().map(|held| held.as_far_as_fits().as_str().to_owned())),
        password_hash: Set(new.password_hash.clone()),
        is_used: Set(false),
        is_void: Set(false),
        expire_time: Set(new.expire_time.as_micros()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// Deletes those of `users`, within the transaction that deletes them or gives them another password.
pub(in crate::store) async fn delete_of(db: &impl ConnectionTrait, users: &[UserId]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::UserId.is_in(users.iter().map(|user| user.0)))
        .exec(db)
        .await
        .map(drop)
}
