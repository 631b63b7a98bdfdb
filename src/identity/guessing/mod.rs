//! Owns how often passwords may be guessed: what a failure costs its address and its account, and what is left to everybody else
//! meanwhile.

mod accounts;
mod addresses;
mod allowance;
mod familiar;
mod unwritten;

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{NameKey, Turn};
use crate::{
    admission::Allowance,
    audit::{Audit, Event, Reason},
    base::{Clock, Timestamp},
    metrics::{GuessMetrics, GuessResult},
    model::{Error, Network, Origin, SessionLifetime, UserId, caller_network, for_caller, for_same_request},
    store::{FailureKey, FailureKeys, Failures, NewFailure, Payer, Store, Strangers},
};

pub use allowance::{AccountAllowances, AllowanceLeft};

use accounts::{Admission, Ahead, DAY, HOUR, Rule, Trying};
use addresses::{AddressCharge, Addresses};
use familiar::FamiliarAddresses;
use unwritten::{Unwritten, Waiting};

/// How often passwords may be wrong.
#[derive(Clone, Copy, Debug)]
pub struct GuessSettings {
    /// How many failures an address has at once.
    pub address_failures: u32,
    /// After how long an address has one more.
    pub address_interval: Duration,
    /// How many failures an account has at once.
    pub account_failures: u32,
    /// After how long an account has one more.
    pub account_interval: Duration,
    /// How long sessions live: from where an open one came, its user may still try.
    pub sessions: SessionLifetime,
}

/// The allowances of failures.
#[derive(Debug)]
pub struct Guessing {
    /// The allowances of addresses, for passwords and for sign-ups.
    passwords: Addresses,
    /// The allowances of secrets of 256 bits, which nobody guesses.
    secrets: Addresses,
    shared: Arc<Shared>,
    unwritten: Waiting,
}

/// What an attempt shares with the task that writes its failure, though nobody waits for the answer any more.
#[derive(Debug)]
struct Shared {
    rule: Rule,
    trying: Trying,
    familiar: FamiliarAddresses,
    names: NameKey,
    store: Store,
    strangers: Strangers,
    clock: Clock,
    metrics: GuessMetrics,
    audit: Audit,
    unwritten: Unwritten,
}

/// A password that is about to be judged. It is charged already, so that any number at one moment are all counted.
#[derive(Debug)]
#[must_use = "it stays charged unless it is settled"]
pub struct Guess<'a> {
    address: AddressCharge<'a>,
    begun: Begun,
}

/// A user who is about to sign up, and is charged already.
#[derive(Debug)]
#[must_use = "it stays charged unless it is settled"]
pub struct SignUpCharge<'a>(AddressCharge<'a>);

/// A one-time password that is about to be judged. Nobody guesses one, so its account is charged nothing, and whoever uses up what the
/// account has keeps nobody from it. Its address is charged already.
#[derive(Debug)]
#[must_use = "it stays charged unless it is settled"]
pub struct OneTimeCharge<'a> {
    address: AddressCharge<'a>,
    keys: FailureKeys,
    metrics: &'a GuessMetrics,
}

/// A password that counts among those that are being tried, until this is dropped.
#[derive(Debug)]
struct Begun {
    shared: Arc<Shared>,
    keys: FailureKeys,
    ahead: Ahead,
    origin: Origin,
    /// The allowance that a failure is charged to; none before that is known.
    payer: Option<Payer>,
    user: Option<UserId>,
}

impl Guessing {
    /// Guards the accounts in `store`, whose names are kept under `names`.
    #[must_use]
    pub fn new(
        store: Store,
        settings: &GuessSettings,
        names: NameKey,
        clock: &Clock,
        metrics: GuessMetrics,
        audit: Audit,
    ) -> Self {
        let allowance = Allowance { at_once: settings.address_failures, interval: settings.address_interval };
        let addresses = || Addresses::new(allowance, clock.clone());
        let strangers = store.for_strangers();
        let (unwritten, waiting) = unwritten::queue();
        let shared = Shared {
            rule: Rule { at_once: settings.account_failures, interval: settings.account_interval },
            trying: Trying::default(),
            familiar: FamiliarAddresses::new(strangers.clone(), settings.sessions, clock.clone()),
            names,
            strangers,
            store,
            clock: clock.clone(),
            metrics,
            audit,
            unwritten,
        };
        Self { passwords: addresses(), secrets: addresses(), shared: Arc::new(shared), unwritten: waiting }
    }

    /// What is left of accounts' allowances.
    #[must_use]
    pub fn allowances(&self) -> AccountAllowances {
        let Shared { rule, names, store, clock, .. } = &*self.shared;
        AccountAllowances { rule: *rule, names: names.clone(), store: store.clone(), clock: clock.clone() }
    }

    /// Begins to judge a password for the account `name`, its canonical form if it is one, from `origin`. Its address is charged: the one
    /// that a client tells that may, or else the one that the request came from.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if the address has no failures left.
    pub fn begin(&self, name: &str, origin: &Origin) -> Result<Guess<'_>, Error> {
        let address = self.charge(origin)?;
        let shared = Arc::clone(&self.shared);
        let keys = shared.keys(name, origin.network());
        let ahead = shared.trying.begin(keys);
        let origin = origin.clone();
        Ok(Guess { address, begun: Begun { shared, keys, ahead, origin, payer: None, user: None } })
    }

    /// Begins to judge a one-time password for the account `name`, as [`Self::begin`] does with a password.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if the address has no failures left.
    pub fn begin_one_time(&self, name: &str, origin: &Origin) -> Result<OneTimeCharge<'_>, Error> {
        let address = self.charge(origin)?;
        let keys = self.shared.keys(name, origin.network());
        Ok(OneTimeCharge { address, keys, metrics: &self.shared.metrics })
    }

    /// Charges the address of `origin` for a sign-up.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if the address has no failures left.
    pub fn begin_sign_up(&self, origin: &Origin) -> Result<SignUpCharge<'_>, Error> {
        self.charge(origin).map(SignUpCharge)
    }

    fn charge(&self, origin: &Origin) -> Result<AddressCharge<'_>, Error> {
        let Shared { metrics, audit, .. } = &*self.shared;
        let charged = self.passwords.charge(origin.network()).map_err(|retry_after| {
            metrics.count(GuessResult::AddressThrottled);
            audit.record(Event::LoginThrottled.refused(Reason::AddressFailures).origin(origin));
            Error::TooManyAttempts { whose: "this address", retry_after }
        })?;
        if charged.is_deferred() {
            metrics.count(GuessResult::Deferred);
            self.passwords.warn(origin.network());
        }
        Ok(charged)
    }

    /// Charges the address of `origin` for a secret that was wrong. A right one is never asked about.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`], in the place of what is wrong.
    pub fn secret_failed(&self, origin: &Origin) -> Result<(), Error> {
        let charged = self.secrets.charge(origin.network()).map(drop);
        charged.map_err(|retry_after| Error::TooManyAttempts { whose: "this address", retry_after })
    }

    /// Tells that the users of the client that asks from `origin` fail too often for another to be judged.
    pub fn tell_client_throttled(&self, origin: &Origin) {
        self.shared.metrics.count(GuessResult::ClientThrottled);
        self.shared.audit.record(Event::LoginThrottled.refused(Reason::ClientFailures).origin(origin));
    }

    /// Deletes the failures that count no longer at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.shared.store.delete_settled_failures(now, now.before(DAY), now.before(HOUR)).await
    }

    /// Waits for failures that the database did not take at first, and writes them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause: they are the first to be written the next time.
    pub async fn write_failures(&self) -> Result<(), Error> {
        self.unwritten.write(&self.shared).await
    }
}

impl Guess<'_> {
    /// The rows that have what has failed so far.
    #[must_use]
    pub const fn keys(&self) -> FailureKeys {
        self.begun.keys
    }

    /// Lets the password be judged, for the account of `user`, if that exists, which has these `failures`, and says when. The work is the
    /// same if it does not exist.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`] if there is nothing left for whoever tries; [`Error::Unavailable`] if that cannot be known.
    pub async fn admit(&mut self, failures: Failures, user: Option<UserId>) -> Result<Turn, Error> {
        let Self { address, begun } = self;
        begun.admit(failures, user).await?;
        if !address.is_deferred() {
            return Ok(Turn::Fair);
        }
        Ok(if begun.is_familiar().await? { Turn::Familiar } else { Turn::Last })
    }

    /// What came of it. Once this is called, a failure is written, whether or not anybody waits for the answer.
    ///
    /// # Errors
    /// Those of `judged`; [`Error::Unavailable`] if a failure could not be written yet.
    pub async fn settle<T>(self, judged: Result<T, Error>) -> Result<T, Error> {
        let Self { address, begun } = self;
        match judged {
            // Both stay charged.
            Err(Error::InvalidCredentials) => {
                begun.shared.metrics.count(GuessResult::Failed);
                let written = begun.fail();
                match written.await {
                    Ok(Err(error)) => Err(error),
                    // The process ends.
                    Ok(Ok(())) | Err(_) => Err(Error::InvalidCredentials),
                }
            }
            judged => {
                address.give_back();
                judged
            }
        }
    }
}

impl OneTimeCharge<'_> {
    /// The rows that have what has failed so far, which is not asked.
    #[must_use]
    pub const fn keys(&self) -> FailureKeys {
        self.keys
    }

    /// When the hash of the password that it chooses goes.
    #[must_use]
    pub const fn turn(&self) -> Turn {
        self.address.turn()
    }

    /// What came of it: whoever shows a wrong one stays charged.
    ///
    /// # Errors
    /// Those of `judged`.
    pub fn settle<T>(self, judged: Result<T, Error>) -> Result<T, Error> {
        if matches!(judged, Err(Error::InvalidCredentials)) {
            self.metrics.count(GuessResult::Failed);
        } else {
            self.address.give_back();
        }
        judged
    }
}

impl SignUpCharge<'_> {
    /// When the hash of its password goes.
    #[must_use]
    pub const fn turn(&self) -> Turn {
        self.0.turn()
    }

    /// What came of it: whoever made an account, or heard that a name is taken, stays charged.
    ///
    /// # Errors
    /// Those of `done`.
    pub fn settle<T>(self, done: Result<T, Error>) -> Result<T, Error> {
        if !matches!(done, Ok(_) | Err(Error::UsernameTaken)) {
            self.0.give_back();
        }
        done
    }
}

/// The key of the account `name`, of its canonical form if it is a valid name.
fn account_key(names: &NameKey, name: &str) -> FailureKey {
    names.digest("account", &[name])
}

impl Shared {
    fn keys(&self, name: &str, network: Option<Network>) -> FailureKeys {
        let site = network.map(|network| network.site().to_string()).unwrap_or_default();
        FailureKeys {
            account: account_key(&self.names, name),
            from_here: self.names.digest("account and address", &[&site, name]),
        }
    }

    /// Writes `failures`, all or none.
    async fn write(&self, failures: &[Begun]) -> Result<(), Error> {
        let now = self.clock.now();
        let new = |failure: &Begun| NewFailure {
            keys: failure.keys,
            payer: failure.payer.unwrap_or_else(|| self.rule.payer()),
            now,
            forgotten: now.before(HOUR),
        };
        let full_times = self.strangers.add_failures(failures.iter().map(new).collect()).await?;
        for (failure, full_time) in failures.iter().zip(full_times) {
            if full_time.is_some_and(|full_time| self.rule.is_telling(full_time, now)) {
                let entry = Event::FailuresHigh.refused(Reason::AccountFailures).origin(&failure.origin);
                self.audit.record(match failure.user {
                    Some(user) => entry.user(user),
                    None => entry,
                });
            }
        }
        Ok(())
    }
}

impl Begun {
    async fn admit(&mut self, failures: Failures, user: Option<UserId>) -> Result<(), Error> {
        self.user = user;
        let shared = &self.shared;
        let admission =
            shared.trying.admit(shared.rule, self.keys, &failures, self.ahead, shared.clock.now());
        let retry_after = match admission {
            Admission::Judged(payer) => {
                self.payer = Some(payer);
                return Ok(());
            }
            Admission::IfFamiliar(retry_after) => {
                // It has taken one of the address's tries already, so that any number at one moment are all counted.
                self.payer = Some(Payer::Address);
                if self.is_familiar().await? {
                    return Ok(());
                }
                retry_after
            }
            Admission::Refused(retry_after) => retry_after,
        };
        let shared = &self.shared;
        shared.metrics.count(GuessResult::AccountThrottled);
        let entry = Event::LoginThrottled.refused(Reason::AccountFailures).origin(&self.origin);
        shared.audit.record(match user {
            Some(user) => entry.user(user),
            None => entry,
        });
        Err(Error::TooManyAttempts { whose: "this account", retry_after })
    }

    /// Whether an open session of the user came from the same site.
    async fn is_familiar(&self) -> Result<bool, Error> {
        self.shared.familiar.has(self.keys.from_here, self.user, self.origin.network()).await
    }

    /// Writes the failure, on a task of its own: whoever hangs up before the answer is charged like anybody else. It counts among what is
    /// being tried until it is written, if need be with others later. Tells what came of the first attempt.
    fn fail(self) -> oneshot::Receiver<Result<(), Error>> {
        let (told, answer) = oneshot::channel();
        // The write takes a place of the caller's own, on this task as well.
        tokio::spawn(for_same_request(for_caller(caller_network(), async move {
            let first = self.shared.write(std::slice::from_ref(&self)).await;
            let is_written = first.is_ok();
            let _ = told.send(first);
            if !is_written {
                let shared = Arc::clone(&self.shared);
                shared.unwritten.keep(self, shared.clock.monotonic());
            }
        })));
        answer
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.shared.trying.end(self.keys, self.payer);
    }
}
