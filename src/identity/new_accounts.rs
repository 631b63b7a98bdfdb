//! Owns creating accounts: the fields are checked, the password is hashed, and the user is added.

use std::sync::Arc;

use super::{Administrator, HashRequest, Passwords, Turn, administrator::NO_FIELDS};
use crate::{
    audit::{Audit, Entry, Event},
    base::{Clock, Deadline},
    model::{
        AttributeEdit, Error, FieldViolation, Network, Password, PasswordRules, RuleViolation, User,
        UserAttributes, UserId, Username,
        profile::{DisplayName, Email},
    },
    store::{Applied, NewUser, Sha256, Store, Strangers},
};

/// Creates accounts.
#[derive(Debug)]
pub struct NewAccounts {
    store: Store,
    strangers: Strangers,
    passwords: Arc<Passwords>,
    rules: PasswordRules,
    clock: Clock,
    audit: Audit,
}

/// The fields of a sign-up, not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct NewAccount<'a> {
    /// The login name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The name to show.
    pub display_name: Option<&'a str>,
}

/// Who asks for a new account, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) address: Option<Network>,
    pub(super) turn: Turn,
    pub(super) deadline: Deadline,
}

/// A new account whose every field satisfies its rules.
pub(super) struct Checked {
    pub(super) username: Username,
    password: Password,
    email: Option<Email>,
    display_name: Option<DisplayName>,
}

impl NewAccounts {
    /// Makes them in `store`, with passwords that satisfy `rules`.
    #[must_use]
    pub fn new(
        store: Store,
        passwords: Arc<Passwords>,
        rules: PasswordRules,
        clock: Clock,
        audit: Audit,
    ) -> Self {
        Self { strangers: store.for_strangers(), store, passwords, rules, clock, audit }
    }

    /// Makes an account for somebody else, as those do who manage users: they may give names that are reserved, or rest, and `attributes`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every violation, [`Error::UsernameTaken`], [`Error::Overloaded`].
    pub async fn create(
        &self,
        new: NewAccount<'_>,
        attributes: &AttributeEdit,
        by: &Administrator,
        deadline: Deadline,
    ) -> Result<User, Error> {
        let asked = Asked { address: None, turn: Turn::Fair, deadline };
        let new = self.prepare(None, self.check(new)?, None, asked).await?;
        let entry = by.entry(Event::UserCreated.done().user(new.user.id));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, new.user.create_time);
        let added = self.store.add_managed_user(&new, attributes, change).await;
        match by.settled(pending, added, |_| Some(NO_FIELDS))? {
            Applied::Now(attributes) => Ok(User { attributes, ..new.user }),
            // A repetition finds the name taken: only who repeats no request under an id asks.
            Applied::Before(_) => Ok(new.user),
        }
    }

    /// The same, of a user whose id is `id`, which nobody else has: for tests, which know it beforehand.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_as(
        &self,
        id: UserId,
        new: NewAccount<'_>,
        by: &Administrator,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let asked = Asked { address: None, turn: Turn::Fair, deadline };
        let new = self.prepare(Some(id), self.check(new)?, None, asked).await?;
        let entry = by.entry(Event::UserCreated.done().user(id));
        let pending = self.audit.begin(entry.clone());
        let change = by.change(&entry, new.user.create_time);
        let added = self.store.add_managed_user(&new, &AttributeEdit::default(), change).await;
        by.settled(pending, added, |_| Some(NO_FIELDS)).map(drop)
    }

    /// Adds an account, unless its name rests by the mark `resting`.
    pub(super) async fn add(
        &self,
        new: Checked,
        resting: Option<Sha256>,
        event: Entry,
        asked: Asked,
    ) -> Result<User, Error> {
        let new = self.prepare(None, new, resting, asked).await?;
        let user = new.user.clone();
        let pending = self.audit.begin(event.user(user.id));
        let added = self.store.add_user(new).await;
        pending.settle(added.as_ref().err());
        added.map(|()| user)
    }

    /// The user to add, with an `id` of its own if none is said, and the hash of the password.
    async fn prepare(
        &self,
        id: Option<UserId>,
        new: Checked,
        resting: Option<Sha256>,
        asked: Asked,
    ) -> Result<NewUser, Error> {
        let Checked { username, password, email, display_name } = new;
        let Asked { address, turn, deadline } = asked;
        let request = HashRequest::new(Some(username.canonical()), address, deadline);
        let request = HashRequest { turn, ..request };
        self.passwords.has_room(request)?;
        // The database decides who gets a name. Asking it first saves the hash when the answer is known.
        if self.strangers.is_taken(&username, resting, self.clock.now()).await? {
            return Err(Error::UsernameTaken);
        }
        let password_hash = self.passwords.hash(password, request).await?;
        let now = self.clock.now();
        let user = User {
            id: id.unwrap_or_else(|| UserId::new(now, self.store.entropy())),
            username,
            email,
            display_name,
            attributes: UserAttributes::default(),
            is_active: true,
            create_time: now,
            update_time: now,
        };
        Ok(NewUser { user, password_hash, resting })
    }

    /// The fields of `new`, or every rule that they break.
    pub(super) fn check(&self, new: NewAccount<'_>) -> Result<Checked, Error> {
        let mut violations = Vec::new();
        let username = note(Username::parse_new(new.username), "username", &mut violations);
        let password = self.rules.check(new.password, username.as_ref());
        let password = note(password, "password", &mut violations);
        let email = note(new.email.map(Email::parse).transpose(), "email", &mut violations);
        let display_name =
            note(new.display_name.map(DisplayName::parse).transpose(), "display_name", &mut violations);
        match (username, password, email, display_name) {
            (Some(username), Some(password), Some(email), Some(display_name)) => {
                Ok(Checked { username, password, email, display_name })
            }
            _ => Err(Error::InvalidFields(violations)),
        }
    }
}

/// The value, or a note of the rule that it breaks.
pub(super) fn note<T>(
    result: Result<T, RuleViolation>,
    field: &'static str,
    violations: &mut Vec<FieldViolation>,
) -> Option<T> {
    result.map_err(|violation| violations.push(violation.at(field))).ok()
}
