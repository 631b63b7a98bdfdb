//! Owns what a one-time password does for who shows it: nothing but to choose a password.

use super::{Accounts, Attempt};
use crate::{
    audit::{Event, Reason},
    base::Deadline,
    identity::{HashRequest, OneTimePassword},
    model::{Error, FieldReason, Origin, Password, RuleViolation, Username},
    store::{Credentials, Login, OneTimeUse},
};

/// A password that is chosen by a one-time password, as it came.
#[derive(Clone, Copy, Debug)]
pub struct ChosenPassword<'a> {
    /// The login name.
    pub username: &'a str,
    /// The one-time password.
    pub one_time_password: &'a str,
    /// The password that the user has from now on.
    pub new_password: &'a str,
}

impl Accounts {
    /// Gives a user the password that it chooses, and uses up its one-time password. Who fails is charged as for a login; but what has the
    /// form of a one-time password costs the address alone, and is judged whatever the account is charged with.
    ///
    /// Whether there is such a user, and whatever it has and shows: the work is one hash, that of the new password.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`], [`Error::TooManyAttempts`], [`Error::Overloaded`].
    pub async fn set_new_password(
        &self,
        chosen: ChosenPassword<'_>,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let ChosenPassword { username, one_time_password, new_password } = chosen;
        let parsed = Username::parse(username).ok();
        let shown = OneTimePassword::parse(one_time_password);
        let new = self.check_chosen(new_password, parsed.as_ref(), shown.as_ref())?;
        let account = parsed.as_ref().map(Username::canonical);
        let request = HashRequest::new(account, origin.network(), deadline);
        let attempt = Attempt { event: Event::PasswordSet, origin };
        let account = account.unwrap_or(username);
        if shown.is_none() {
            let mut guess = self.guessing.begin(account, origin)?;
            let judging = async {
                self.passwords.has_room(request)?;
                let Login { credentials, failures } =
                    self.strangers.login(parsed.as_ref(), guess.keys()).await?;
                let turn = guess.admit(failures, credentials.as_ref().map(|found| found.user.id)).await?;
                self.choose(attempt, credentials, shown, new, HashRequest { turn, ..request }).await
            };
            let judged = judging.await;
            return guess.settle(judged).await;
        }
        let charge = self.guessing.begin_one_time(account, origin)?;
        let judging = async {
            self.passwords.has_room(request)?;
            let Login { credentials, .. } = self.strangers.login(parsed.as_ref(), charge.keys()).await?;
            let request = HashRequest { turn: charge.turn(), ..request };
            self.choose(attempt, credentials, shown, new, request).await
        };
        let judged = judging.await;
        charge.settle(judged)
    }

    /// The same, of the user of `credentials`, if there is one, who shows `shown`.
    async fn choose(
        &self,
        attempt: Attempt<'_>,
        credentials: Option<Credentials>,
        shown: Option<OneTimePassword>,
        new: Password,
        request: HashRequest<'_>,
    ) -> Result<(), Error> {
        // Before anything is compared.
        let hash = self.passwords.hash(new, request).await?;
        let Some(found) = credentials else {
            return Err(self.refuse(attempt, None, Reason::UnknownUser));
        };
        let id = found.user.id;
        let reason = self.why_refused(&found, shown).await?;
        let (Reason::PasswordChangeRequired, Some(one_time)) = (reason, &found.one_time) else {
            return Err(self.refuse(attempt, Some(id), reason));
        };
        let pending = self.audit.begin(attempt.event.done().user(id).origin(attempt.origin));
        let version = found.version();
        let used = self.store.use_one_time_password(id, &version, &one_time.sha256, &hash, self.clock.now());
        let reason = match used.await? {
            OneTimeUse::Done => {
                pending.done();
                self.forget(id);
                return Ok(());
            }
            OneTimeUse::Overtaken => Reason::UserChanged,
            OneTimeUse::Void => Reason::OneTimePasswordVoid,
        };
        pending.dismiss();
        Err(self.refuse(attempt, Some(id), reason))
    }

    /// Why `shown` opens nothing for the user of `found`, whose password it is not: [`Reason::PasswordChangeRequired`] if it is the
    /// one-time password, and can be used.
    pub(super) async fn why_refused(
        &self,
        found: &Credentials,
        shown: Option<OneTimePassword>,
    ) -> Result<Reason, Error> {
        let (Some(stored), Some(shown)) = (&found.one_time, shown) else { return Ok(Reason::WrongPassword) };
        if !shown.is(stored, &found.password_hash) {
            return Ok(Reason::WrongPassword);
        }
        // Only who knows it comes to here, and may hear from the time that this takes what is asked.
        let now = self.clock.now();
        Ok(if !found.user.is_active {
            Reason::UserDisabled
        } else if self.store.one_time_password_is_void(found.user.id, stored, now).await? {
            Reason::OneTimePasswordVoid
        } else if now >= stored.expire_time {
            Reason::OneTimePasswordExpired
        } else {
            Reason::PasswordChangeRequired
        })
    }

    /// `new` as the password that a user chooses who shows `shown`, if it satisfies the rules. Somebody else knows the one-time password.
    fn check_chosen(
        &self,
        new: &str,
        username: Option<&Username>,
        shown: Option<&OneTimePassword>,
    ) -> Result<Password, Error> {
        let is_the_same = shown.is_some() && OneTimePassword::parse(new).as_ref() == shown;
        let checked = if is_the_same {
            Err(RuleViolation::new(FieldReason::Malformed, "must not be the one-time password"))
        } else {
            self.rules.check(new, username)
        };
        checked.map_err(|violation| Error::InvalidFields(vec![violation.at("new_password")]))
    }
}
