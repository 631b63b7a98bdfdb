//! Owns accounts: making them, finding them, and judging who logs in to them.

use std::{sync::Arc, time::Duration};

use super::{
    Passwords,
    user_cache::{Known, UserCache},
};
use crate::{
    auth::Standing,
    model::{
        Claims, Clock, Deadline, Error, FieldViolation, Password, PasswordRules, RuleViolation, User, UserId,
        Username,
        profile::{DisplayName, Email},
    },
    store::{NewUser, Store},
};

/// The accounts of the service.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    rules: PasswordRules,
    users: UserCache,
    clock: Clock,
}

/// What accounts are judged and remembered by.
#[derive(Clone, Copy, Debug)]
pub struct AccountSettings {
    /// What a new password must satisfy.
    pub password_rules: PasswordRules,
    /// How many users are remembered.
    pub cache_size: usize,
    /// For how long a user is remembered: how long a change by another process may stay unseen.
    pub cache_max_age: Duration,
}

/// What somebody who signs up says of themselves, as it came.
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

/// A new account whose every field satisfies its rules.
struct Checked {
    username: Username,
    password: Password,
    email: Option<Email>,
    display_name: Option<DisplayName>,
}

impl Accounts {
    /// The accounts in `store`.
    #[must_use]
    pub fn new(store: Store, passwords: Passwords, settings: AccountSettings, clock: Clock) -> Self {
        let users = UserCache::new(settings.cache_size, settings.cache_max_age, clock.clone());
        Self { store, passwords, rules: settings.password_rules, users, clock }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every violation, [`Error::UsernameTaken`], [`Error::Overloaded`].
    pub async fn sign_up(&self, new: NewAccount<'_>, deadline: Deadline) -> Result<User, Error> {
        let Checked { username, password, email, display_name } = self.check(new)?;
        // The database decides who gets a name. Asking it first saves the hash when the answer is known.
        if self.store.credentials(&username).await?.is_some() {
            return Err(Error::UsernameTaken);
        }
        let password_hash = self.passwords.hash(password, deadline).await?;
        let now = self.clock.now();
        let user = User {
            id: UserId::new(now, &mut rand::rng()),
            username,
            email,
            display_name,
            is_active: true,
            create_time: now,
            update_time: now,
        };
        self.store.add_user(NewUser { user: user.clone(), password_hash }).await?;
        Ok(user)
    }

    /// The active user whose name and password these are.
    ///
    /// An unknown name, a wrong, empty or oversized password and a disabled user get the same answer after the same hash.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`]; [`Error::Overloaded`] if the hash cannot be computed in time.
    pub async fn authenticate(
        &self,
        username: &str,
        password: &str,
        deadline: Deadline,
    ) -> Result<User, Error> {
        let credentials = match Username::parse(username) {
            Ok(username) => self.store.credentials(&username).await?,
            Err(_) => None,
        };
        let hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
        let matches = self.passwords.verify(Password::for_login(password), hash, deadline).await?;
        let credentials = credentials
            .filter(|credentials| matches && credentials.user.is_active)
            .ok_or(Error::InvalidCredentials)?;
        if self.passwords.needs_rehash(&credentials.password_hash) {
            self.rehash(credentials.user.id, &credentials.password_hash, password, deadline).await;
        }
        Ok(credentials.user)
    }

    /// The user `id`, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        if let Some(Known(known)) = self.users.get(id) {
            return Ok(known);
        }
        let read_at = self.users.reading_begins();
        let user = self.store.user(id).await?.map(Arc::new);
        self.users.put(id, user.clone(), read_at);
        Ok(user)
    }

    /// The fields of `new`, or every rule that they break.
    fn check(&self, new: NewAccount<'_>) -> Result<Checked, Error> {
        let mut violations = Vec::new();
        let username = note(Username::parse(new.username), "username", &mut violations);
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

    /// Replaces an outdated hash. A login does not fail for it: the next one tries again.
    async fn rehash(&self, id: UserId, old: &str, password: &str, deadline: Deadline) {
        let Some(password) = Password::for_login(password) else { return };
        let replaced = match self.passwords.hash(password, deadline).await {
            Ok(new) => self.store.replace_password_hash(id, old, new).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(_) => tracing::info!(user_id = %id, "replaced an outdated password hash"),
            Err(error) => {
                tracing::warn!(user_id = %id, error = %error, "an outdated password hash stays for now");
            }
        }
    }
}

impl Standing for Arc<Accounts> {
    async fn check(&self, claims: &Claims) -> Result<(), Error> {
        match self.user(UserId(claims.sub)).await? {
            Some(user) if user.is_active => Ok(()),
            _ => Err(Error::TokenRevoked),
        }
    }
}

/// The value, or a note of the rule that it breaks.
fn note<T>(
    result: Result<T, RuleViolation>,
    field: &'static str,
    violations: &mut Vec<FieldViolation>,
) -> Option<T> {
    result.map_err(|violation| violations.push(violation.at(field))).ok()
}
