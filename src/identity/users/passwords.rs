//! Owns the passwords of users in the hands of those who manage them: they have one made that works once, and only the operator's shell
//! sets one.

use std::sync::Arc;

use super::{UserDirectory, UserRef};
use crate::{
    audit::{Audit, Event, Pending},
    base::{Clock, Deadline, Timestamp},
    identity::{
        Accounts, Administrator, HashRequest, OneTimePassword, Passwords, Sessions, administrator::NO_FIELDS,
        new_accounts::note, passwords::Argon2Params,
    },
    model::{
        AttributeEdit, Error, NamedAttributes, PasswordRules, SessionId, User, UserAttributes, UserId,
        Username,
        profile::{DisplayName, Email},
    },
    store::{Applied, Store},
};

/// The passwords of users.
#[derive(Debug)]
pub struct UserPasswords {
    directory: UserDirectory,
    store: Store,
    argon2: Argon2Params,
    clock: Clock,
    audit: Audit,
    /// What this process remembers of users; none if it is a command.
    remembered: Option<(Arc<Accounts>, Arc<Sessions>)>,
}

/// The state of a user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordState {
    /// A password.
    Set,
    /// A one-time password, which opens nothing.
    OneTime {
        /// Until when it can be used.
        until: Timestamp,
    },
    /// None that could be right.
    None,
}

/// The fields of a new user, not checked yet.
#[derive(Clone, Debug)]
pub struct NewUserOf<'a> {
    /// The login name.
    pub username: &'a str,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The name to show.
    pub display_name: Option<&'a str>,
    /// The attributes.
    pub attributes: NamedAttributes,
}

/// A user who has a one-time password.
#[derive(Debug)]
pub struct Reset {
    /// The user, as it is now.
    pub user: User,
    /// The one-time password, which is shown this once; none if the request is a repetition of one that was
    /// done, or only asks whether it could be.
    pub one_time_password: Option<OneTimePassword>,
    /// Until when it can be used; none if a repetition finds that there is none any more, and if nothing was done.
    pub expire_time: Option<Timestamp>,
}

impl NewUserOf<'_> {
    /// The user, but for the attributes, or every rule that its fields break.
    fn check(&self, id: UserId, now: Timestamp) -> Result<User, Error> {
        let mut violations = Vec::new();
        let username = note(Username::parse_new(self.username), "user.username", &mut violations);
        let email = note(self.email.map(Email::parse).transpose(), "user.email", &mut violations);
        let name = self.display_name.map(DisplayName::parse).transpose();
        let name = note(name, "user.display_name", &mut violations);
        let (Some(username), Some(email), Some(display_name)) = (username, email, name) else {
            return Err(Error::InvalidFields(violations));
        };
        Ok(User {
            id,
            username,
            email,
            display_name,
            attributes: UserAttributes::default(),
            is_active: true,
            create_time: now,
            update_time: now,
        })
    }
}

impl UserPasswords {
    /// Of the users in `store`, whose hashes cost `argon2`; `audit` is told of each act.
    #[must_use]
    pub fn new(store: Store, argon2: Argon2Params, clock: Clock, audit: Audit) -> Self {
        Self { directory: UserDirectory::new(store.clone()), store, argon2, clock, audit, remembered: None }
    }

    /// The same, in a process that remembers users and sessions: it forgets at once who is changed here.
    #[must_use]
    pub fn remembered_by(self, accounts: Arc<Accounts>, sessions: Arc<Sessions>) -> Self {
        Self { remembered: Some((accounts, sessions)), ..self }
    }

    /// Makes a user who has no password yet, but a one-time password. In a command the name may be one that is reserved, or rests.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every violation, [`Error::UsernameTaken`], [`Error::InsufficientScope`].
    pub async fn create(&self, new: NewUserOf<'_>, by: &Administrator) -> Result<Reset, Error> {
        let now = self.clock.now();
        let mut user = new.check(UserId::new(now, self.store.entropy()), now)?;
        let edit = AttributeEdit { replaces: false, ..AttributeEdit::replacing(new.attributes) };
        let resting = match &self.remembered {
            Some((accounts, _)) => accounts.may_be_given(&user.username)?,
            None => None,
        };
        let one_time = OneTimePassword::random();
        let stored = one_time.stored(self.argon2, now)?;
        let entry = by.entry(Event::UserCreated.done().user(user.id));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, now);
        let added =
            self.store.add_user_with_one_time_password((&user, resting), &edit, &stored, change).await;
        match by.settled(pending, added, |_| Some(NO_FIELDS))? {
            Applied::Before(id) => self.as_it_is(&UserRef::Id(UserId(id))).await,
            Applied::Now(attributes) if by.only_validates() => {
                user.attributes = attributes;
                Ok(Reset { user, one_time_password: None, expire_time: None })
            }
            Applied::Now(attributes) => {
                user.attributes = attributes;
                let expire_time = Some(stored.expire_time);
                Ok(Reset { user, one_time_password: Some(one_time), expire_time })
            }
        }
    }

    /// Gives the user `who` a one-time password in the place of the password, and ends the sessions, if it still has this `etag`. There is
    /// none if it was only asked whether that could be done.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::EtagMismatch`], [`Error::HoldsMore`], [`Error::NotOwner`], [`Error::LastAdmin`].
    pub async fn reset(&self, who: &UserRef, etag: Option<&str>, by: &Administrator) -> Result<Reset, Error> {
        let id = self.directory.find(who).await?.id;
        let now = self.clock.now();
        let one_time = OneTimePassword::random();
        let new = one_time.stored(self.argon2, now)?;
        let entry = by.entry(Event::PasswordReset.done().user(id));
        let pending = self.audit.begin(entry.clone());
        let applied = self.store.reset_password(id, etag, &new, by.change(&entry, now)).await;
        let applied = self.settled(id, pending, applied, by)?;
        if applied == Applied::Now(None) {
            return Err(who.not_found());
        }
        if let Applied::Before(_) = applied {
            return self.as_it_is(who).await;
        }
        let user = self.store.user(id).await?.ok_or_else(|| who.not_found())?;
        if by.only_validates() {
            return Ok(Reset { user, one_time_password: None, expire_time: None });
        }
        Ok(Reset { user, one_time_password: Some(one_time), expire_time: Some(new.expire_time) })
    }

    /// Gives the user `who` the password `new`, if it satisfies `rules`, and ends the sessions. No RPC does: who administers by one knows
    /// no user's password.
    ///
    /// # Errors
    /// As [`UserDirectory::find`]; [`Error::InvalidFields`], [`Error::Overloaded`].
    pub async fn set(
        &self,
        who: &UserRef,
        new: &str,
        (passwords, rules): (&Arc<Passwords>, PasswordRules),
        by: &Administrator,
        deadline: Deadline,
    ) -> Result<User, Error> {
        let user = self.directory.find(who).await?;
        let checked = rules.check(new, Some(&user.username));
        let new = checked.map_err(|violation| Error::InvalidFields(vec![violation.at("password")]))?;
        let hash = passwords.hash(new, HashRequest::new(None, None, deadline)).await?;
        let entry = by.entry(Event::PasswordSet.done().user(user.id));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, self.clock.now());
        let applied = self.store.set_password(user.id, &hash, change).await;
        let applied = self.settled(user.id, pending, applied, by)?;
        let user = self.store.user(user.id).await?.filter(|_| applied != Applied::Now(None));
        user.ok_or_else(|| who.not_found())
    }

    /// What each of `users` logs in with, in their order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn states(&self, users: &[UserId]) -> Result<Vec<PasswordState>, Error> {
        self.directory.password_states(users, self.clock.now()).await
    }

    /// What a repetition of a request that was done is answered: never the one-time password.
    async fn as_it_is(&self, who: &UserRef) -> Result<Reset, Error> {
        let user = self.directory.find(who).await?;
        let expire_time = self.store.one_time_password(user.id).await?.map(|stored| stored.expire_time);
        Ok(Reset { user, one_time_password: None, expire_time })
    }

    /// Tells what came of it, and forgets who was changed.
    fn settled(
        &self,
        id: UserId,
        pending: Pending<'_>,
        done: Result<Applied<Option<Vec<SessionId>>>, Error>,
        by: &Administrator,
    ) -> Result<Applied<Option<Vec<SessionId>>>, Error> {
        let ended = match &done {
            Ok(Applied::Now(Some(ended))) => ended.len(),
            _ => 0,
        };
        let applied = by.settled(pending.ending(ended), done, |ended| ended.as_ref().map(|_| NO_FIELDS))?;
        let remembered = self.remembered.as_ref().filter(|_| !by.only_validates());
        if let (Applied::Now(Some(ended)), Some((accounts, sessions))) = (&applied, remembered) {
            accounts.forget(id);
            sessions.forget(ended);
        }
        Ok(applied)
    }
}
