//! Owns changing users for administrators: each change is recorded, with who made it.

use std::sync::Arc;

use super::{UserDirectory, UserRef};
use crate::{
    audit::{Audit, Event, FieldChange, Pending},
    base::{Clock, Timestamp},
    identity::{
        Accounts, Administrator, Sessions, UsernameRests, guessing::AccountAllowances, new_accounts::note,
    },
    model::{
        AttributeEdit, Error, FieldViolation, SessionId, User, UserId, Username,
        profile::{DisplayName, Email},
    },
    store::{Applied, EditedUser, FoundUser, SessionsOf, Store, UserEdit, UserTarget},
};

/// The users in the hands of those who manage them. [`NewAccounts`](crate::identity::NewAccounts) makes them, since that takes a password.
#[derive(Debug)]
pub struct UserRegistry {
    directory: UserDirectory,
    store: Store,
    clock: Clock,
    audit: Audit,
    /// What this process remembers of users; none if it is a command.
    remembered: Option<(Arc<Accounts>, Arc<Sessions>)>,
}

/// What becomes of a user, as it came: for each field, nothing, a new value, or none from now on.
#[derive(Clone, Debug, Default)]
pub struct NewUserFields<'a> {
    /// The login name.
    pub username: Option<&'a str>,
    /// The e-mail address.
    pub email: Option<Option<&'a str>>,
    /// The name to show.
    pub display_name: Option<Option<&'a str>>,
    /// The attributes.
    pub attributes: AttributeEdit,
}

/// A user who was deleted.
#[derive(Clone, Debug)]
pub struct DeletedUser {
    /// The user, as it was.
    pub user: User,
    /// Until when nobody can sign up with the name; none if anybody can at once.
    pub name_rests_until: Option<Timestamp>,
}

impl UserRegistry {
    /// The users in `store`; `audit` is told of each act.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { directory: UserDirectory::new(store.clone()), store, clock, audit, remembered: None }
    }

    /// The same, in a process that remembers users and sessions: it forgets at once who is changed here.
    #[must_use]
    pub fn remembered_by(self, accounts: Arc<Accounts>, sessions: Arc<Sessions>) -> Self {
        Self { remembered: Some((accounts, sessions)), ..self }
    }

    /// Enables the user `who`, or disables it and ends its sessions, if it still has this `etag`. What changes nothing is no event. Returns
    /// the user as it is now; or as it would be, if that alone was asked.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::LastAdmin`].
    pub async fn set_active(
        &self,
        who: &UserRef,
        is_active: bool,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<FoundUser, Error> {
        let id = self.id_of(who).await?;
        self.switch(UserTarget::with_etag(id, etag), is_active, by).await?;
        let mut found = self.found(id, who).await?;
        if by.only_validates() {
            found.user.is_active = is_active;
        }
        Ok(found)
    }

    /// Disables the users `ids`, and ends their sessions: all or none.
    ///
    /// # Errors
    /// As [`Self::set_active`].
    pub async fn disable_all(&self, ids: &[UserId], by: &Administrator) -> Result<(), Error> {
        self.switch(ids.into(), false, by).await
    }

    async fn switch(&self, who: UserTarget, is_active: bool, by: &Administrator) -> Result<(), Error> {
        let event = if is_active { Event::UserEnabled } else { Event::UserDisabled };
        let ids = who.ids().to_vec();
        let (entry, pending) = self.begin(event, &ids, by);
        let applied = self.store.set_active(who, is_active, by.change(&entry, self.clock.now())).await;
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => return Err(give_up(pending, error)),
        };
        let done = match applied {
            Applied::Now(done) if !by.only_validates() => done,
            Applied::Now(_) | Applied::Before(_) => {
                dismiss(pending);
                return Ok(());
            }
        };
        self.forget(&ids, &sessions_of(&done.ended));
        let changed = done.changed();
        for (id, pending) in pending {
            let pending = pending.ending(count_of(id, &done.ended));
            if done.switched.contains(&id) {
                pending.done_changing([FieldChange::of_activity(is_active)]);
            } else {
                pending.done_if(changed.contains(&id));
            }
        }
        Ok(())
    }

    /// Changes the user `who`, if it still has this `etag`. A username that is given up rests as `rests` says. In a command a
    /// new one may be one that is reserved, or rests. What changes nothing is no event.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::InvalidFields`] with every violation, [`Error::EtagMismatch`], [`Error::HoldsMore`],
    /// [`Error::UsernameTaken`].
    pub async fn update(
        &self,
        who: &UserRef,
        fields: NewUserFields<'_>,
        etag: Option<&str>,
        rests: &UsernameRests,
        by: &Administrator,
    ) -> Result<FoundUser, Error> {
        let id = self.id_of(who).await?;
        let edit = self.check(id, fields).await?;
        let (entry, pending) = self.begin(Event::UserUpdated, &[id], by);
        let (now, target) = (self.clock.now(), UserTarget::with_etag(id, etag));
        let resting = |user: &User| rests.after(user, now);
        let edited = self.store.edit_user(&target, &edit, &resting, by.change(&entry, now)).await;
        match edited {
            Err(error) => Err(give_up(pending, error)),
            Ok(Applied::Before(_)) => {
                dismiss(pending);
                self.found(id, who).await
            }
            Ok(Applied::Now(EditedUser { found, changed })) if by.only_validates() || changed.is_empty() => {
                dismiss(pending);
                Ok(found)
            }
            Ok(Applied::Now(EditedUser { found, changed })) => {
                for (_, pending) in pending {
                    pending.done_changing(changed.clone());
                }
                self.forget(&[id], &[]);
                Ok(found)
            }
        }
    }

    /// Deletes the user `who`, and its sessions, if it still has this `etag`. Its name rests as `rests` says. None if the same request has
    /// done so before.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::LastAdmin`]; what `rests` fails with, which is
    /// asked for once there is such a user, if that can be known before.
    pub async fn delete<E: From<Error>>(
        &self,
        who: &UserRef,
        etag: Option<&str>,
        rests: impl Future<Output = Result<UsernameRests, E>>,
        by: &Administrator,
    ) -> Result<Option<DeletedUser>, E> {
        let id = self.id_of(who).await?;
        let rests = rests.await?;
        Ok(self.remove(UserTarget::with_etag(id, etag), &rests, by).await?.pop())
    }

    /// Deletes the users `ids`, and their sessions: all or none.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub async fn delete_all(
        &self,
        ids: &[UserId],
        rests: &UsernameRests,
        by: &Administrator,
    ) -> Result<(), Error> {
        self.remove(ids.into(), rests, by).await.map(drop)
    }

    async fn remove(
        &self,
        who: UserTarget,
        rests: &UsernameRests,
        by: &Administrator,
    ) -> Result<Vec<DeletedUser>, Error> {
        let ids = who.ids().to_vec();
        let (entry, pending) = self.begin(Event::UserDeleted, &ids, by);
        let now = self.clock.now();
        let resting = |user: &User| rests.after(user, now);
        let deleted = match self.store.delete_users(who, &resting, by.change(&entry, now)).await {
            Ok(Applied::Now(deleted)) => deleted,
            Ok(Applied::Before(_)) => {
                dismiss(pending);
                return Ok(Vec::new());
            }
            Err(error) => return Err(give_up(pending, error)),
        };
        if by.only_validates() {
            dismiss(pending);
        } else {
            for (id, pending) in pending {
                pending.ending(count_of(id, &deleted.ended)).done();
            }
            self.forget(&ids, &sessions_of(&deleted.ended));
        }
        let told = |(user, resting): (User, Option<crate::store::RestingName>)| DeletedUser {
            user,
            name_rests_until: resting.map(|name| name.until),
        };
        Ok(deleted.users.into_iter().map(told).collect())
    }

    /// Ends every session of the user `who`, and returns how many there were. What ends none is no event.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::HoldsMore`].
    pub async fn end_sessions(&self, who: &UserRef, by: &Administrator) -> Result<usize, Error> {
        let id = self.id_of(who).await?;
        let (entry, pending) = self.begin(Event::AllSessionsRevoked, &[id], by);
        let change = by.change(&entry, self.clock.now());
        let ended = match self.store.end_sessions(&SessionsOf::User(id), None, id.0, change).await {
            Ok(Applied::Now(page)) => page.ended,
            Ok(Applied::Before(_)) => Vec::new(),
            Err(error) => return Err(give_up(pending, error)),
        };
        for (_, pending) in pending {
            pending.ending(ended.len()).done_if(!ended.is_empty() && !by.only_validates());
        }
        self.forget(&[], &ended);
        Ok(ended.len())
    }

    /// Makes the allowance of failed passwords of the account of `who` full again. What changes nothing is no event.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::HoldsMore`].
    pub async fn clear_throttle(
        &self,
        who: &UserRef,
        allowances: &AccountAllowances,
        by: &Administrator,
    ) -> Result<UserId, Error> {
        let id = self.id_of(who).await?;
        let (entry, pending) = self.begin(Event::ThrottleCleared, &[id], by);
        let change = by.change(&entry, self.clock.now());
        let cleared =
            self.store.clear_account_failures(id, |user| allowances.key(&user.username), change).await;
        match cleared {
            Ok(cleared) => {
                for (_, pending) in pending {
                    pending.done_if(cleared == Applied::Now(true) && !by.only_validates());
                }
                Ok(id)
            }
            Err(error) => Err(give_up(pending, error)),
        }
    }

    /// The id of `who`: that there is such a user is judged where it is changed.
    async fn id_of(&self, who: &UserRef) -> Result<UserId, Error> {
        match who {
            UserRef::Id(id) => Ok(*id),
            other => Ok(self.directory.find(other).await?.id),
        }
    }

    async fn found(&self, id: UserId, who: &UserRef) -> Result<FoundUser, Error> {
        self.directory.those_of(&[id]).await?.pop().ok_or_else(|| who.not_found())
    }

    /// What is recorded of doing `event` to `ids`: of all together, and of each.
    fn begin(
        &self,
        event: Event,
        ids: &[UserId],
        by: &Administrator,
    ) -> (crate::audit::Entry, Vec<(UserId, Pending<'_>)>) {
        let all = by.entry(event.done());
        let pending = ids.iter().map(|id| (*id, self.audit.begin(all.clone().user(*id)))).collect();
        let entry = match ids {
            [id] => all.user(*id),
            _ => all,
        };
        (entry, pending)
    }

    fn forget(&self, users: &[UserId], sessions: &[SessionId]) {
        if let Some((accounts, known)) = &self.remembered {
            for id in users {
                accounts.forget(*id);
            }
            known.forget(sessions);
        }
    }

    /// Checks `fields`, which are to change the user `id`.
    async fn check(&self, id: UserId, fields: NewUserFields<'_>) -> Result<UserEdit, Error> {
        let mut violations = Vec::new();
        let username = match fields.username {
            Some(typed) => self.check_username(id, typed, &mut violations).await?,
            None => None,
        };
        let email = fields.email.map(|email| email.map(Email::parse).transpose());
        let email = email.map(|email| note(email, "user.email", &mut violations));
        let name = fields.display_name.map(|name| name.map(DisplayName::parse).transpose());
        let name = name.map(|name| note(name, "user.display_name", &mut violations));
        if !violations.is_empty() {
            return Err(Error::InvalidFields(violations));
        }
        let resting = match (&username, &self.remembered) {
            (Some(name), Some((accounts, _))) if !self.has_name(id, name).await? => {
                accounts.may_be_given(name)?
            }
            _ => None,
        };
        let attributes = fields.attributes;
        Ok(UserEdit { username, resting, email: email.flatten(), display_name: name.flatten(), attributes })
    }

    /// `typed` as the name of the user `id`: one that it has already need not satisfy the rules of new names.
    async fn check_username(
        &self,
        id: UserId,
        typed: &str,
        violations: &mut Vec<FieldViolation>,
    ) -> Result<Option<Username>, Error> {
        let checked = Username::parse_new(typed);
        if checked.is_err()
            && let Ok(name) = Username::parse(typed)
            && self.has_name(id, &name).await?
        {
            return Ok(Some(name));
        }
        Ok(note(checked, "user.username", violations))
    }

    /// Whether `name` is that of the user `id`, however it is typed.
    async fn has_name(&self, id: UserId, name: &Username) -> Result<bool, Error> {
        let user = self.store.user(id).await?;
        Ok(user.is_some_and(|user| user.username.canonical() == name.canonical()))
    }
}

/// Tells of each that it was not done, or may have been, as `error` says.
fn give_up(pending: Vec<(UserId, Pending<'_>)>, error: Error) -> Error {
    for (_, pending) in pending {
        pending.settle(Some(&error));
    }
    error
}

fn dismiss(pending: Vec<(UserId, Pending<'_>)>) {
    for (_, pending) in pending {
        pending.dismiss();
    }
}

fn sessions_of(ended: &[(UserId, SessionId)]) -> Vec<SessionId> {
    ended.iter().map(|(_, session)| *session).collect()
}

/// How many of `ended` were sessions of the user `id`.
fn count_of(id: UserId, ended: &[(UserId, SessionId)]) -> usize {
    ended.iter().filter(|(user, _)| *user == id).count()
}
