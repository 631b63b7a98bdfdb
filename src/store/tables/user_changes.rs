//! Owns changing and deleting existing users: by administrators, each change judged in the transaction that writes it, and by users who
//! delete themselves.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr};

use crate::store::{
    FailureKey, RestingName, Sha256, Store,
    engine::{
        attempts::Failed,
        failure,
        transaction::{Transaction, commit},
    },
    tables::{
        access,
        administration::{self, AdminChange, Administering, Applied},
        administrators, attributes, changes,
        entity::users::{Column, Entity},
        password_failures, resting_usernames, sessions,
        user_pages::{FoundUser, search_key},
        usernames,
        users::{CHANGED, ENDED},
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{
        AdminScope, AttributeEdit, AttributeWriter, Error, Principal, SessionId, User, UserId, Username,
        profile::{DisplayName, Email},
    },
};

/// Which users are to be changed.
#[derive(Clone, Debug)]
pub struct UserTarget {
    ids: Vec<UserId>,
    etag: Option<String>,
}

/// A change of a user: each field stays, gets a new value, or is cleared.
#[derive(Clone, Debug, Default)]
pub struct UserEdit {
    /// The login name, which a user always has.
    pub username: Option<Username>,
    /// The mark of the new name, by which it is found among resting ones; none if the user may have it though it rests.
    pub resting: Option<Sha256>,
    /// The e-mail address.
    pub email: Option<Option<Email>>,
    /// The name to show.
    pub display_name: Option<Option<DisplayName>>,
    /// The attributes.
    pub attributes: AttributeEdit,
}

/// The result of changing a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedUser {
    /// The user as it is now; or, if that alone was asked, as it would be.
    pub found: FoundUser,
    /// The fields that changed.
    pub changed: Vec<FieldChange>,
}

/// The result of enabling or disabling users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchedUsers {
    /// The users who were switched; the others were in that state already.
    pub switched: Vec<UserId>,
    /// The sessions that ended with it.
    pub ended: Vec<(UserId, SessionId)>,
}

/// The result of deleting users.
#[derive(Clone, Debug, Default)]
pub struct DeletedUsers {
    /// The users, as they were, and how the name of each rests.
    pub users: Vec<(User, Option<RestingName>)>,
    /// The sessions that ended with them.
    pub ended: Vec<(UserId, SessionId)>,
}

/// How the name rests of a user who gives it up; none if it does not.
pub type Rests<'a> = &'a (dyn Fn(&User) -> Option<RestingName> + Send + Sync);

impl From<UserId> for UserTarget {
    fn from(id: UserId) -> Self {
        Self { ids: vec![id], etag: None }
    }
}

impl From<&[UserId]> for UserTarget {
    /// All of them, each once.
    fn from(ids: &[UserId]) -> Self {
        let mut ids = ids.to_vec();
        // In one order, so that two who change the same ones do not wait for each other.
        ids.sort_unstable();
        ids.dedup();
        Self { ids, etag: None }
    }
}

impl UserTarget {
    /// The user `id`, if it still has this `etag`.
    #[must_use]
    pub fn with_etag(id: UserId, etag: Option<&str>) -> Self {
        Self { ids: vec![id], etag: etag.map(str::to_owned) }
    }

    /// Their ids, each once.
    #[must_use]
    pub fn ids(&self) -> &[UserId] {
        &self.ids
    }

    /// The id by which a repetition of the request finds its resource.
    fn resource(&self) -> uuid::Uuid {
        self.ids.first().map_or(uuid::Uuid::nil(), |id| id.0)
    }
}

impl SwitchedUsers {
    /// Those to whom anything was done: earlier releases have left sessions of users who are disabled, and who ends these has done
    /// something.
    #[must_use]
    pub fn changed(&self) -> Vec<UserId> {
        let mut changed = self.switched.clone();
        for (user, _) in &self.ended {
            if !changed.contains(user) {
                changed.push(*user);
            }
        }
        changed
    }

    /// What is told of each of [`Self::changed`], who were to become `active` or no longer be it.
    fn told(&self, active: bool) -> Vec<(UserId, Vec<FieldChange>)> {
        let of = |id| {
            let switched = self.switched.contains(&id).then(|| FieldChange::of_activity(active));
            (id, switched.into_iter().chain(ended_of(id, &self.ended)).collect())
        };
        self.changed().into_iter().map(of).collect()
    }
}

impl UserEdit {
    /// `user`, as it is after it, but for the attributes.
    fn of(&self, user: &User, now: Timestamp) -> User {
        let Self { username, email, display_name, resting: _, attributes: _ } = self.clone();
        User {
            username: username.unwrap_or_else(|| user.username.clone()),
            email: email.unwrap_or_else(|| user.email.clone()),
            display_name: display_name.unwrap_or_else(|| user.display_name.clone()),
            update_time: now,
            ..user.clone()
        }
    }
}

impl Store {
    /// Enables the users `who`, or disables them and ends their sessions: all or none.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UserNotFound`], [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::LastAdmin`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_active(
        &self,
        who: impl Into<UserTarget>,
        active: bool,
        change: AdminChange<'_>,
    ) -> Result<Applied<SwitchedUsers>, Error> {
        let who = who.into();
        let who = &who;
        self.change(change, |db| async move {
            let (mut all, mut any_admin, now) = (SwitchedUsers::default(), false, change.now);
            for id in &who.ids {
                find(&db, *id, who.etag.as_deref()).await?;
                any_admin |= !active && db.is_admin(*id).await?;
                let update = Entity::update_many()
                    .col_expr(Column::IsActive, Expr::value(active))
                    .col_expr(Column::UpdateTime, Expr::value(now.as_micros()))
                    .filter(Column::Id.eq(id.0))
                    .filter(Column::IsActive.ne(active));
                if update.exec(&*db).await?.rows_affected > 0 {
                    all.switched.push(*id);
                }
            }
            if any_admin {
                db.must_leave_an_admin();
            }
            if !active {
                // From here on nobody opens a session: the updates waited for who was doing so. Earlier releases have left some.
                all.ended = end_of_each(&*db, &who.ids, now).await?;
            }
            // Also if they were so before: whoever asks again may have seen that a replica does not know.
            changes::tell(&*db, CHANGED, &who.ids.iter().map(|id| id.0).collect::<Vec<_>>(), now).await?;
            let told = all.told(active);
            db.done_to(told, who.resource(), all).await
        })
        .await
    }

    /// Changes the user `who` as `edit` says. If that is what it is already, nothing is written. A name that is given up rests as `rests`
    /// says.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UserNotFound`], [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::UsernameTaken`],
    /// [`Error::InvalidFields`] for attributes; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn edit_user(
        &self,
        who: &UserTarget,
        edit: &UserEdit,
        rests: Rests<'_>,
        change: AdminChange<'_>,
    ) -> Result<Applied<EditedUser>, Error> {
        // Where the release before has just added a user, only this finds a form of its name.
        let holder = match &edit.username {
            Some(name) => self.meant(name).await?.map(|row| row.id),
            None => None,
        };
        self.change(change, |db| async move {
            let Some(id) = who.ids.first().copied() else {
                return Err(Error::internal("nobody is to be changed").into());
            };
            let FoundUser { user: old, login_time } = find(&db, id, who.etag.as_deref()).await?;
            if holder.is_some_and(|holder| holder != id.0) {
                return Err(Error::UsernameTaken.into());
            }
            let mut new = edit.of(&old, change.now);
            let mut changed = differences(&old, &new);
            if !edit.attributes.is_empty() {
                let declared = attributes::all(&*db).await?;
                let (now_has, names) =
                    declared.edit(&old.attributes, &edit.attributes, AttributeWriter::Admin)?;
                new.attributes = now_has;
                changed.extend(attributes_changed(&names));
            }
            if changed.is_empty() {
                let found = FoundUser { user: old, login_time };
                return db.unchanged(id.0, EditedUser { found, changed: Vec::new() }).await;
            }
            write(&db, &old, &new).await?;
            if old.username.canonical() != new.username.canonical() {
                // Once whoever gives the name up at this moment has, or waits.
                resting_usernames::must_not_rest(&*db, edit.resting, change.now).await?;
                rest(&*db, id, rests(&old), change.now).await?;
            }
            changes::tell(&*db, CHANGED, &[id.0], change.now).await?;
            let edited = EditedUser { found: FoundUser { user: new, login_time }, changed: changed.clone() };
            db.done(id.0, changed, edited).await
        })
        .await
    }

    /// Deletes the users `who`, their sessions and all that gives them roles: all or none. Their names rest as `rests` says.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UserNotFound`], [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::LastAdmin`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_users(
        &self,
        who: impl Into<UserTarget>,
        rests: Rests<'_>,
        change: AdminChange<'_>,
    ) -> Result<Applied<DeletedUsers>, Error> {
        let who = who.into();
        let who = &who;
        self.change(change, |db| async move {
            let (mut all, mut any_admin) = (DeletedUsers::default(), false);
            for id in &who.ids {
                let FoundUser { user, .. } = find(&db, *id, who.etag.as_deref()).await?;
                any_admin |= db.is_admin(*id).await?;
                let resting = rests(&user);
                all.users.push((user, resting));
            }
            for (user, resting) in &all.users {
                delete(&*db, user.id, *resting, change.now).await?;
            }
            for id in &who.ids {
                access::take_all(&*db, Principal::User(*id), change.now).await?;
            }
            if any_admin {
                db.must_leave_an_admin();
            }
            all.ended = end_of_each(&*db, &who.ids, change.now).await?;
            changes::tell(&*db, ENDED, &who.ids.iter().map(|id| id.0).collect::<Vec<_>>(), change.now)
                .await?;
            let told = |id: &UserId| (*id, ended_of(*id, &all.ended).into_iter().collect());
            db.done_to(who.ids.iter().map(told).collect(), who.resource(), all).await
        })
        .await
    }

    /// Makes the allowance of failed passwords full again of the account of the user `who`, which is found by `key`; false if it is.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::UserNotFound`], [`Error::HoldsMore`]; [`Error::Unavailable`] or [`Error::Internal`], with the
    /// cause.
    pub async fn clear_account_failures(
        &self,
        who: UserId,
        key: impl Fn(&User) -> FailureKey,
        change: AdminChange<'_>,
    ) -> Result<Applied<bool>, Error> {
        let key = &key;
        self.change(change, |db| async move {
            let FoundUser { user, .. } = find(&db, who, None).await?;
            let is_cleared = password_failures::forget(&*db, key(&user)).await?;
            if is_cleared { db.done(who.0, [], true).await } else { db.unchanged(who.0, false).await }
        })
        .await
    }

    /// Deletes the user `id`, who asks for it, its sessions and all that gives it roles; its name rests as `resting` says, if at all.
    /// Returns the sessions that ended; none if there is no such user.
    ///
    /// # Errors
    /// [`Error::LastAdmin`] if nobody else is an admin without an end; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_user(
        &self,
        id: UserId,
        resting: Option<RestingName>,
        now: Timestamp,
    ) -> Result<Option<Vec<SessionId>>, Error> {
        // Whoever is no admin, and becomes none by a group, waits for no change of who may do what, and has none wait.
        match self.delete_oneself(id, resting, now, false).await? {
            Some(ended) => Ok(ended),
            None => self.delete_oneself(id, resting, now, true).await.map(Option::flatten),
        }
    }

    /// The same; none, and nothing is done, if the user turns out to be an admin, or one who may come to be it by a group, and it has no
    /// `turn` among the changes of who may do what.
    async fn delete_oneself(
        &self,
        id: UserId,
        resting: Option<RestingName>,
        now: Timestamp,
        turn: bool,
    ) -> Result<Option<Option<Vec<SessionId>>>, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            if turn {
                administration::take_turn(&db).await?;
            }
            // The user goes first: from here on nobody opens a session for it, or gives it a role.
            let is_deleted = delete(&db, id, resting, now).await?;
            let is_admin = administration::is_admin(&db, id).await?;
            if !turn && (is_admin || administration::is_member(&db, id).await?) {
                return Ok(None);
            }
            access::take_all(&db, Principal::User(id), now).await?;
            if is_admin && !administration::has_admin(&db).await? {
                return Err(Error::LastAdmin.into());
            }
            let ended = sessions::delete_of_users(&db, &[id], None, now).await?;
            changes::tell(&db, ENDED, &[id.0], now).await?;
            commit(db, Some(is_deleted.then_some(ended))).await
        })
        .await
    }
}

/// The user `id`, whose row is locked from now on, if whoever makes the change may change it, and it still has this `etag`.
async fn find(db: &Administering<'_>, id: UserId, etag: Option<&str>) -> Result<FoundUser, Failed> {
    db.rights().must_have(AdminScope::UsersWrite)?;
    let row = Entity::find_by_id(id.0).lock_exclusive().all(&**db).await?.pop();
    let found = FoundUser::from(row.ok_or_else(|| Error::UserNotFound(id.to_string()))?);
    db.may_change(Principal::User(id)).await?;
    found.user.etag().must_match(etag)?;
    Ok(found)
}

/// Ends the sessions of `users`, and says which ended, of whom.
async fn end_of_each(
    db: &impl ConnectionTrait,
    users: &[UserId],
    now: Timestamp,
) -> Result<Vec<(UserId, SessionId)>, DbErr> {
    let mut all = Vec::new();
    for id in users {
        let ended = sessions::delete_of_users(db, &[*id], None, now).await?;
        all.extend(ended.into_iter().map(|session| (*id, session)));
    }
    Ok(all)
}

/// How many of `ended` were sessions of the user `id`, as it is told.
fn ended_of(id: UserId, ended: &[(UserId, SessionId)]) -> Option<FieldChange> {
    FieldChange::of_ended_sessions(ended.iter().filter(|(user, _)| *user == id).count())
}

/// The fields in which `new` differs from `old`. Values of personal fields, such as addresses, are left out.
pub(in crate::store) fn differences(old: &User, new: &User) -> Vec<FieldChange> {
    let (before, after) = (old.username.typed(), new.username.typed());
    let username = FieldChange::of(Field::Username, before, after);
    let email = (old.email != new.email).then(|| Field::Email.into());
    let display_name = (old.display_name != new.display_name).then(|| Field::DisplayName.into());
    [username, email, display_name].into_iter().flatten().collect()
}

/// The change of the attributes `names`, without their values, which are personal; none if there are no names.
pub(in crate::store) fn attributes_changed(names: &[String]) -> Option<FieldChange> {
    let told = FieldChange { field: Field::Attributes, old: None, new: Some(names.join(" ")) };
    (!names.is_empty()).then_some(told)
}

/// Writes `new` in the place of `old`, within a transaction.
async fn write(db: &Transaction, old: &User, new: &User) -> Result<(), Failed> {
    let email = new.email.as_ref().map(Email::as_str);
    let display_name = new.display_name.as_ref().map(DisplayName::as_str);
    let update = Entity::update_many()
        .col_expr(Column::Username, Expr::value(new.username.typed()))
        .col_expr(Column::UsernameCanonical, Expr::value(new.username.stored()))
        .col_expr(Column::UsernameKey, Expr::value(search_key(Some(new.username.canonical()))))
        .col_expr(Column::Email, Expr::value(email))
        .col_expr(Column::EmailKey, Expr::value(search_key(email)))
        .col_expr(Column::DisplayName, Expr::value(display_name))
        .col_expr(Column::DisplayNameKey, Expr::value(search_key(display_name)))
        .col_expr(Column::Attributes, Expr::value(new.attributes.to_text()))
        .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
        .filter(Column::Id.eq(new.id.0));
    taken_if_duplicate(update.exec(db).await.map(drop))?;
    if old.username == new.username {
        return Ok(());
    }
    usernames::delete(db, &[new.id.0]).await?;
    taken_if_duplicate(usernames::insert(db, new.id, &new.username).await)?;
    // Asked once names with such a look that others add now must wait for this one, or have been added.
    if usernames::looks_like_another(db, &new.username, Some(new.id)).await? {
        return Err(Error::UsernameTaken.into());
    }
    Ok(())
}

/// Of two who take one name at once, the database gives it to one.
fn taken_if_duplicate(written: Result<(), DbErr>) -> Result<(), Failed> {
    match written {
        Err(error) if failure::is_duplicate(&error) => Err(Error::UsernameTaken.into()),
        written => Ok(written?),
    }
}

/// Deletes the row of the user `id`, and what is kept of its name, within a transaction, before it takes away what gives the user roles;
/// false if there is none.
async fn delete(
    db: &impl ConnectionTrait,
    id: UserId,
    resting: Option<RestingName>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let done = Entity::delete_by_id(id.0).exec(db).await?;
    usernames::delete(db, &[id.0]).await?;
    rest(db, id, resting.filter(|_| done.rows_affected > 0), now).await?;
    administrators::forget(db, &[id]).await?;
    Ok(done.rows_affected > 0)
}

/// Has the name `resting`, if there is one, rest that the user `id` gives up: as that of somebody whom not everybody who resets passwords
/// could become, if the user administers the service, or ever did, or owns an audience.
async fn rest(
    db: &impl ConnectionTrait,
    id: UserId,
    resting: Option<RestingName>,
    now: Timestamp,
) -> Result<(), DbErr> {
    let Some(name) = resting else { return Ok(()) };
    let held = administration::admin_scopes_of(db, Principal::User(id), now).await?;
    let is_admins = !held.is_empty()
        || administrators::is_noted(db, id).await?
        || !administration::owned_by(db, Principal::User(id)).await?.is_empty();
    resting_usernames::add(db, name, is_admins).await
}
