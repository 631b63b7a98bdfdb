//! Owns the table `one_time_passwords`: what a user shows once, in the place of a password that nobody knows.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryResult, QuerySelect,
    sea_query::{Expr, ExprTrait, Query, SelectStatement, SimpleExpr},
};
use uuid::Uuid;

use crate::store::{
    BATCH, CredentialVersion, Sha256, Store,
    engine::transaction::commit,
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Applied, Begun, admin_scopes_of},
        changes,
        credentials::next_version,
        entity::{
            bindings, memberships,
            one_time_passwords::{ActiveModel, Column, Entity, Model},
            roles, users as user_rows,
        },
        sessions,
        users::{self, NewUser},
    },
};
use crate::{
    base::Timestamp,
    model::{AdminScope, AudienceName, Error, GroupId, NameSet, Principal, SessionId, User, UserId},
};

/// What is kept of a one-time password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOneTimePassword {
    /// SHA-256 of it and the hash beside which it was made: with any other hash it fits no longer.
    pub sha256: Sha256,
    /// Whether it has ended for good, since its user was given a scope that administers the service.
    pub is_void: bool,
    /// Until when it can be used.
    pub expire_time: Timestamp,
    /// What its user had of such scopes when it was made.
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

/// What came of using a one-time password.
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
    /// [`Error::InsufficientScope`], [`Error::HoldsMore`], [`Error::EtagMismatch`]; [`Error::Unavailable`] or [`Error::Internal`], with
    /// the cause.
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
    /// [`Error::InsufficientScope`], [`Error::HoldsMore`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
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
        self.write(|| async {
            let db = match self.begin_change(change).await? {
                Begun::Now(db) => db,
                Begun::Before(id) => return Ok(Applied::Before(id)),
            };
            db.rights().must_have(AdminScope::UsersReset)?;
            db.may_change(Principal::User(id)).await?;
            let row = user_rows::Entity::find_by_id(id.0).lock_exclusive().all(&*db).await?.pop();
            let Some(user) = row.map(User::from) else { return Ok(Applied::Now(None)) };
            user.etag().must_match(etag)?;
            // From here on nobody opens a session with the old password, and who did is seen below.
            let update =
                self.with_new_password(password_hash, change.now).filter(user_rows::Column::Id.eq(id.0));
            if update.exec(&*db).await?.rows_affected == 0 {
                return Ok(Applied::Now(None));
            }
            delete_of(&*db, &[id]).await?;
            if let Some(new) = one_time {
                let held = admin_scopes_of(&*db, Principal::User(id), change.now).await?;
                insert(&*db, id, new, &held).await?;
            }
            let ended = sessions::delete_of_users(&*db, &[id], None, change.now).await?;
            changes::tell(&*db, users::CHANGED, &[id.0], change.now).await?;
            db.done(id.0, [], Some(ended)).await
        })
        .await
    }

    /// Adds a user who has no password, but the one-time password `one_time`. The name may rest.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UsernameTaken`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_user_with_one_time_password(
        &self,
        user: &User,
        one_time: &NewOneTimePassword,
        change: AdminChange<'_>,
    ) -> Result<Applied<()>, Error> {
        self.write(|| async {
            let db = match self.begin_change(change).await? {
                Begun::Now(db) => db,
                Begun::Before(id) => return Ok(Applied::Before(id)),
            };
            db.rights().must_have(AdminScope::UsersWrite)?;
            let password_hash = one_time.password_hash.clone();
            users::add(&*db, &NewUser { user: user.clone(), password_hash, resting: None }, &self.entropy)
                .await?;
            insert(&*db, user.id, one_time, &NameSet::default()).await?;
            db.done(user.id.0, [], ()).await
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
            let update = self
                .with_new_password(password_hash, now)
                .filter(user_rows::Column::Id.eq(id.0))
                .filter(user_rows::Column::IsActive.eq(true))
                .filter(proven.is_current());
            if update.exec(&db).await?.rows_affected == 0 {
                return Ok(OneTimeUse::Overtaken);
            }
            let row = Entity::find_by_id((INSTANCE, id.0)).all(&db).await?.pop();
            let used = usable(Entity::delete_many(), now)
                .filter(Column::UserId.eq(id.0))
                .filter(Column::Sha256.eq(sha256.to_vec()));
            let (Some(row), 1) = (row, used.exec(&db).await?.rows_affected) else {
                return Ok(OneTimeUse::Overtaken);
            };
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

    /// The one-time password of the user `id`, if it has one, whether or not it can be used still.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn one_time_password(&self, id: UserId) -> Result<Option<StoredOneTimePassword>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        row.map(|row| {
            let Model { sha256, scopes, is_void, expire_time, .. } = row;
            OneTimeColumns { sha256, scopes, is_void, expire_time }.try_into()
        })
        .transpose()
    }

    /// The password hash and the one-time password, if there is one, of each of `users` that is there.
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
                .filter(Column::UserId.is_in(ids()));
            for row in self.ask(|| rows.clone().all(&self.db)).await? {
                let Some(mark) = marks.get_mut(&UserId(row.user_id)) else { continue };
                let Model { sha256, scopes, is_void, expire_time, .. } = row;
                mark.1 = Some(OneTimeColumns { sha256, scopes, is_void, expire_time }.try_into()?);
            }
        }
        Ok(marks)
    }

    /// Writes the hash of another password, and with it another version of the credentials.
    fn with_new_password(&self, password_hash: &str, now: Timestamp) -> UpdateUsers {
        user_rows::Entity::update_many()
            .col_expr(user_rows::Column::PasswordHash, Expr::value(password_hash))
            .col_expr(user_rows::Column::CredentialVersion, Expr::value(next_version(now, &self.entropy)))
            .col_expr(user_rows::Column::UpdateTime, Expr::value(now.as_micros()))
    }
}

/// By user.
type PasswordMarks = HashMap<UserId, (String, Option<StoredOneTimePassword>)>;

type UpdateUsers = sea_orm::UpdateMany<user_rows::Entity>;

/// What is read of one beside its user.
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

    /// What of them is in `row`, if there is something.
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

/// Makes every one-time password void whose user has a scope that administers the service, and had it not when it was made; within the
/// transaction that gives it, once all is written. Taking the scope away again does not bring it back.
///
/// Whatever the scope comes by: a binding, a group, a group's binding, a role's scopes. Few have any of these, and few of them a one-time
/// password.
pub(super) async fn void_of_gainers(db: &impl ConnectionTrait, now: Timestamp) -> Result<(), DbErr> {
    // Two statements, each a walk along indices: one with an `OR` for both would have MySQL read everything.
    for holders in [bound(Principal::User(UserId(Uuid::nil()))), members_bound()] {
        let found = usable(Entity::find(), now).filter(Column::UserId.in_subquery(holders));
        for row in found.all(db).await? {
            let id = UserId(row.user_id);
            if has_gained(db, id, &NameSet::from_stored(row.scopes), now).await? {
                Entity::update_many()
                    .col_expr(Column::IsVoid, Expr::value(true))
                    .filter(Column::OrganizationId.eq(INSTANCE))
                    .filter(Column::UserId.eq(id.0))
                    .exec(db)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Whether any of `users` has a one-time password that can be used at `now`.
pub(super) async fn any_usable(
    db: &impl ConnectionTrait,
    users: &[UserId],
    now: Timestamp,
) -> Result<bool, DbErr> {
    let of_users = Column::UserId.is_in(users.iter().map(|user| user.0));
    Ok(usable(Entity::find(), now).filter(of_users).count(db).await? > 0)
}

/// Those of the kind of `principal` who are bound to a role of the service's own audience.
fn bound(principal: Principal) -> SelectStatement {
    let of_signet = Query::select()
        .column(roles::Column::Id)
        .from(roles::Entity)
        .and_where(Expr::col(roles::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(roles::Column::Audience).eq(AudienceName::SIGNET))
        .to_owned();
    Query::select()
        .column(bindings::Column::SubjectId)
        .from(bindings::Entity)
        .and_where(Expr::col(bindings::Column::OrganizationId).eq(INSTANCE))
        .and_where(Expr::col(bindings::Column::SubjectKind).eq(principal.kind()))
        .and_where(Expr::col(bindings::Column::RoleId).in_subquery(of_signet))
        .to_owned()
}

/// The members of the groups that are.
fn members_bound() -> SelectStatement {
    Query::select()
        .column(memberships::Column::UserId)
        .from(memberships::Entity)
        .and_where(Expr::col(memberships::Column::OrganizationId).eq(INSTANCE))
        .and_where(
            Expr::col(memberships::Column::GroupId)
                .in_subquery(bound(Principal::Group(GroupId(Uuid::nil())))),
        )
        .to_owned()
}

/// Those of `query` that can be used at `now`, as far as their rows say.
fn usable<Q: QueryFilter>(query: Q, now: Timestamp) -> Q {
    query
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::IsVoid.eq(false))
        .filter(Column::ExpireTime.gt(now.as_micros()))
}

/// Whether `user` has a scope that administers the service and is not one of `had`.
async fn has_gained(
    db: &impl ConnectionTrait,
    user: UserId,
    had: &NameSet,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let held = admin_scopes_of(db, Principal::User(user), now).await?;
    Ok(!held.without(had).is_empty())
}

/// Adds `new`, which `user` has beside the scopes `held`.
async fn insert(
    db: &impl ConnectionTrait,
    user: UserId,
    new: &NewOneTimePassword,
    held: &NameSet,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        user_id: Set(user.0),
        sha256: Set(new.sha256.to_vec()),
        // What does not fit counts as gained later: then it is void from the start, which is the safe side.
        scopes: Set(held.as_far_as_fits().as_str().to_owned()),
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
