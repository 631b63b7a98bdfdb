//! Owns accounts: who may sign up, finding users, and judging who shows a password for one.

mod one_time;

use std::{sync::Arc, time::Duration};

use super::{
    Guessing, HashRequest, NewAccount, NewAccounts, OneTimePassword, Passwords, Proof, UsernameRests,
    guessing::Guess, new_accounts::Asked, passwords::Argon2Params,
};
use crate::{
    audit::{Audit, Event, Reason},
    base::{Clock, Deadline, Tally, Throttle},
    changes::{Fill, Known, RowCache, Subscriber, Watermark},
    model::{Error, Origin, Password, PasswordRules, ReservedNames, User, UserId, Username},
    store::{Change, ChangeKind, Credentials, Login, Sha256, Store, Strangers},
};

pub use one_time::ChosenPassword;

/// How often it is told that outdated hashes cannot be replaced: each login would be another line.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// The accounts of the service.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    strangers: Strangers,
    passwords: Arc<Passwords>,
    new: NewAccounts,
    sign_up: bool,
    guessing: Arc<Guessing>,
    reserved: ReservedNames,
    rests: UsernameRests,
    rules: PasswordRules,
    users: RowCache<UserId, User>,
    clock: Clock,
    audit: Audit,
    rehash_failures: Throttle,
}

/// The settings of accounts.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Whether anybody may sign up.
    pub sign_up: bool,
    /// The names that nobody may sign up with.
    pub reserved_usernames: ReservedNames,
    /// How the names of deleted users rest.
    pub rests: UsernameRests,
    /// The rules for new passwords.
    pub password_rules: PasswordRules,
    /// How many users are remembered.
    pub cache_size: usize,
    /// For how long a user is remembered: how long a change by another process may stay unseen.
    pub cache_max_age: Duration,
}

/// The result of replacing an outdated hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rehash {
    /// The hash that is known is the one that is stored.
    Settled,
    /// Another login replaced it first, or the password was changed.
    Overtaken,
}

/// An attempt with a password, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) event: Event,
    pub(super) origin: &'a Origin,
}

impl Accounts {
    /// The accounts in `store`.
    #[must_use]
    pub fn new(
        store: Store,
        passwords: Passwords,
        guessing: Arc<Guessing>,
        settings: AccountSettings,
        clock: Clock,
        watermark: Arc<Watermark>,
        audit: Audit,
    ) -> Self {
        let passwords = Arc::new(passwords);
        let new = NewAccounts::new(
            store.clone(),
            Arc::clone(&passwords),
            settings.password_rules,
            clock.clone(),
            audit.clone(),
        );
        let users = RowCache::new(settings.cache_size, settings.cache_max_age, clock.clone(), watermark);
        Self {
            strangers: store.for_strangers(),
            store,
            passwords,
            new,
            sign_up: settings.sign_up,
            guessing,
            reserved: settings.reserved_usernames,
            rests: settings.rests,
            rules: settings.password_rules,
            users,
            clock,
            audit,
            rehash_failures: Throttle::new(TELL_INTERVAL),
        }
    }

    /// Makes an account for somebody who asks for it from `origin`.
    ///
    /// # Errors
    /// [`Error::SignUpOff`], whatever is asked for, if nobody may sign up; [`Error::TooManyAttempts`]; otherwise as
    /// [`NewAccounts::create`].
    pub async fn sign_up(
        &self,
        new: NewAccount<'_>,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<User, Error> {
        if !self.sign_up {
            return Err(Error::SignUpOff);
        }
        let guess = self.guessing.begin_sign_up(origin)?;
        let asked = Asked { address: origin.network(), turn: guess.turn(), deadline };
        let signing_up = async {
            let checked = self.new.check(new)?;
            // The same answer as for a name that somebody has.
            if self.reserved.has(&checked.username) {
                return Err(Error::UsernameTaken);
            }
            let resting = self.rests.mark(&checked.username);
            self.new.add(checked, resting, Event::SignedUp.done().origin(origin), asked).await
        };
        let signed_up = signing_up.await;
        guess.settle(signed_up)
    }

    /// What makes accounts for others.
    #[must_use]
    pub const fn new_accounts(&self) -> &NewAccounts {
        &self.new
    }

    /// Succeeds if who administers by an RPC may give `name` to a user: nobody but the operator gives one that is reserved. Returns by what
    /// it is known whether it rests.
    ///
    /// # Errors
    /// [`Error::UsernameTaken`].
    pub(super) fn may_be_given(&self, name: &Username) -> Result<Option<Sha256>, Error> {
        // The same answer as where it is signed up with.
        if self.reserved.has(name) { Err(Error::UsernameTaken) } else { Ok(self.rests.mark(name)) }
    }

    /// The proof that somebody is the active user whose name and password these are.
    ///
    /// An unknown name, a wrong, empty or oversized password and a disabled user get the same answer after the same hash.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`]; [`Error::PasswordChangeRequired`]; [`Error::TooManyAttempts`]; [`Error::Overloaded`] if the hash
    /// cannot be computed in time.
    pub async fn authenticate(
        &self,
        username: &str,
        password: &str,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<Proof, Error> {
        let attempt = Attempt { event: Event::Login, origin };
        let parsed = Username::parse(username).ok();
        let account = parsed.as_ref().map(Username::canonical);
        let request = HashRequest::new(account, origin.network(), deadline);
        // First: whoever has no failures left is refused by that, and no flood of such looks through the queue. If there is no room, what
        // was charged is given back.
        let mut guess = self.guessing.begin(account.unwrap_or(username), origin)?;
        let found = match self.passwords.has_room(request) {
            Ok(()) => self.find(attempt, &mut guess, parsed.as_ref(), password, request).await,
            Err(error) => Err(error),
        };
        guess.settle(found).await
    }

    /// The same, as `guess` lets it be judged. An outdated hash is replaced.
    async fn find(
        &self,
        attempt: Attempt<'_>,
        guess: &mut Guess<'_>,
        username: Option<&Username>,
        password: &str,
        request: HashRequest<'_>,
    ) -> Result<Proof, Error> {
        let mut reading = self.users.begin();
        let Login { credentials, failures } = self.strangers.login(username, guess.keys()).await?;
        let turn = guess.admit(failures, credentials.as_ref().map(|found| found.user.id)).await?;
        let request = HashRequest { turn, ..request };
        let mut credentials = self.compare(attempt, credentials, password, request).await?;
        let outdated = self.passwords.needs_rehash(&credentials.password_hash);
        if outdated && self.rehash(&mut credentials, password, request).await? == Rehash::Overtaken {
            reading = self.users.begin();
            let current = self.store.credentials_of(credentials.user.id).await?;
            credentials = self.compare(attempt, current, password, request).await?;
        }
        // Its token is likely to be seen soon.
        self.remember(credentials.user.id, Some(Arc::new(credentials.user.clone())), reading);
        Ok(Proof::by_password(credentials, self.clock.now()))
    }

    /// The proof of `user`, if that is an active user and `password` is the one. The work is the same if not.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::TooManyAttempts`], [`Error::Overloaded`].
    pub(super) async fn judge(
        &self,
        attempt: Attempt<'_>,
        user: &User,
        password: &str,
        request: HashRequest<'_>,
    ) -> Result<Proof, Error> {
        let mut guess = self.guessing.begin(user.username.canonical(), attempt.origin)?;
        let judging = async {
            let Login { credentials, failures } = self.store.login_of(user.id, guess.keys()).await?;
            let turn = guess.admit(failures, credentials.as_ref().map(|found| found.user.id)).await?;
            let request = HashRequest { turn, ..request };
            let credentials = self.compare(attempt, credentials, password, request).await?;
            Ok(Proof::by_password(credentials, self.clock.now()))
        };
        let judged = judging.await;
        guess.settle(judged).await
    }

    /// `credentials`, if they are those of an active user and `password` is the one. Whoever asks has charged for it.
    async fn compare(
        &self,
        attempt: Attempt<'_>,
        credentials: Option<Credentials>,
        password: &str,
        request: HashRequest<'_>,
    ) -> Result<Credentials, Error> {
        let hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
        let matches = self.passwords.verify(Password::for_login(password), hash, request).await?;
        let (user, reason) = match credentials {
            Some(found) if matches && found.user.is_active => return Ok(found),
            Some(found) if matches => (Some(found.user.id), Reason::UserDisabled),
            // A one-time password is nothing but wrong where a password is asked for to change something.
            Some(found) if attempt.event == Event::Login => {
                let shown = OneTimePassword::parse(password);
                (Some(found.user.id), self.why_refused(&found, shown).await?)
            }
            Some(found) => (Some(found.user.id), Reason::WrongPassword),
            None => (None, Reason::UnknownUser),
        };
        let refused = self.refuse(attempt, user, reason);
        Err(if reason == Reason::PasswordChangeRequired { Error::PasswordChangeRequired } else { refused })
    }

    /// Tells the audit log why, and the caller that its credentials are wrong.
    pub(super) fn refuse(
        &self,
        Attempt { event, origin }: Attempt<'_>,
        user: Option<UserId>,
        reason: Reason,
    ) -> Error {
        let entry = event.refused(reason).origin(origin);
        self.audit.record(match user {
            Some(user) => entry.user(user),
            // Not the name that was typed: it may be a password in the wrong field.
            None => entry,
        });
        Error::InvalidCredentials
    }

    /// `new` as the next password of the user of this name, if it satisfies the rules.
    ///
    /// # Errors
    /// [`Error::InvalidFields`].
    pub(super) fn check_new_password(&self, new: &str, username: &Username) -> Result<Password, Error> {
        self.rules
            .check(new, Some(username))
            .map_err(|violation| Error::InvalidFields(vec![violation.at("new_password")]))
    }

    /// The hash of `password`, as it is stored.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(super) async fn hash(&self, password: Password, request: HashRequest<'_>) -> Result<String, Error> {
        self.passwords.hash(password, request).await
    }

    /// The user `id`, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        if let Some(Known(known)) = self.users.get(id) {
            return Ok(known);
        }
        let reading = self.users.begin();
        let user = self.store.user(id).await?.map(Arc::new);
        self.remember(id, user.clone(), reading);
        Ok(user)
    }

    fn remember(&self, id: UserId, user: Option<Arc<User>>, reading: Fill) {
        let weight = user.as_ref().map_or(1, |user| user.attributes.weight());
        self.users.put_weighing(id, user, reading, weight);
    }

    /// How often a user was known, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.users.tally()
    }

    /// Forgets the user `id`, who was changed in the database.
    pub(super) fn forget(&self, id: UserId) {
        self.users.forget(id);
    }

    /// The cost of a new hash.
    #[must_use]
    pub fn argon2(&self) -> Argon2Params {
        self.passwords.params()
    }

    /// How the names of deleted users rest.
    #[must_use]
    pub const fn rests(&self) -> &UsernameRests {
        &self.rests
    }

    /// Replaces an outdated hash. A login does not fail for it: the next one tries again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database does not answer: the session could not be added either, and would be waited for once
    /// more.
    async fn rehash(
        &self,
        credentials: &mut Credentials,
        password: &str,
        request: HashRequest<'_>,
    ) -> Result<Rehash, Error> {
        let Some(password) = Password::for_login(password) else { return Ok(Rehash::Settled) };
        let (id, old) = (credentials.user.id, credentials.password_hash.as_str());
        let replaced = match self.passwords.hash(password, request).await {
            Ok(new) => {
                self.store.replace_password_hash(id, old, new.clone()).await.map(|done| done.then_some(new))
            }
            Err(error) => Err(error),
        };
        match replaced {
            Ok(Some(new)) => {
                tracing::info!(user_id = %id, "replaced an outdated password hash");
                credentials.password_hash = new;
                Ok(Rehash::Settled)
            }
            Ok(None) => Ok(Rehash::Overtaken),
            Err(error @ Error::Unavailable { .. }) => Err(error),
            Err(error) => {
                if let Some(untold) = self.rehash_failures.pass(self.clock.monotonic()) {
                    tracing::warn!(user_id = %id, error = %error, untold, "an outdated password hash stays for now");
                }
                Ok(Rehash::Settled)
            }
        }
    }
}

impl Subscriber for Accounts {
    fn hear(&self, change: &Change) {
        if change.concerns(ChangeKind::User) {
            self.forget(UserId(change.subject));
        }
    }

    fn forget_everything(&self) {
        self.users.forget_all();
    }
}
