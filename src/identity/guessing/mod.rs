//! Owns how often passwords may be guessed: what a failure costs, and what is left to everybody else meanwhile.

mod addresses;

use std::time::Duration;

use crate::{
    admission::Allowance,
    audit::{Audit, Event, Reason},
    metrics::{GuessMetrics, GuessResult},
    model::{Clock, Error, Origin},
};

use addresses::{AddressCharge, Addresses};

/// How often passwords may be wrong.
#[derive(Clone, Copy, Debug)]
pub struct GuessSettings {
    /// How many failures an address has at once.
    pub address_failures: u32,
    /// After how long an address has one more.
    pub address_interval: Duration,
}

/// What failures cost.
#[derive(Debug)]
pub struct Guessing {
    /// Of passwords, and of sign-ups.
    passwords: Addresses,
    /// Of secrets of 256 bits, which nobody guesses.
    secrets: Addresses,
    metrics: GuessMetrics,
    audit: Audit,
}

/// A password that is about to be judged, or a user about to sign up: charged already, so that any number at one moment are all counted.
/// It stays charged unless it is given back.
#[derive(Debug)]
#[must_use = "it stays charged unless it is settled"]
pub struct Guess<'a> {
    guessing: &'a Guessing,
    address: AddressCharge<'a>,
}

impl Guessing {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(settings: &GuessSettings, clock: &Clock, metrics: GuessMetrics, audit: Audit) -> Self {
        let allowance = Allowance { at_once: settings.address_failures, interval: settings.address_interval };
        let addresses = || Addresses::new(allowance, clock.clone());
        Self { passwords: addresses(), secrets: addresses(), metrics, audit }
    }

    /// Charges the address of `origin` for a password that is about to be judged: the one that a client tells that may, or else the one
    /// that the request came from.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub fn begin(&self, origin: &Origin) -> Result<Guess<'_>, Error> {
        let address = self.passwords.charge(origin.network()).map_err(|retry_after| {
            self.metrics.count(GuessResult::AddressThrottled);
            self.audit.record(Event::LoginThrottled.refused(Reason::AddressFailures).origin(origin));
            Error::TooManyAttempts { whose: "this address", retry_after }
        })?;
        if address.is_deferred() {
            self.metrics.count(GuessResult::Deferred);
        }
        Ok(Guess { guessing: self, address })
    }

    /// Charges the address of `origin` for a secret that was wrong. A right one is never asked about.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`], in the place of what is wrong.
    pub fn secret_failed(&self, origin: &Origin) -> Result<(), Error> {
        let charged = self.secrets.charge(origin.network()).map(drop);
        charged.map_err(|retry_after| Error::TooManyAttempts { whose: "this address", retry_after })
    }
}

impl Guess<'_> {
    /// Whether the hashes of everybody else go first.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        self.address.is_deferred()
    }

    /// What came of it: a failure stays charged, and so does what was given up meanwhile, which has cost a hash.
    ///
    /// # Errors
    /// Those of `judged`.
    pub fn settle<T>(self, judged: Result<T, Error>) -> Result<T, Error> {
        if matches!(judged, Err(Error::InvalidCredentials)) {
            self.guessing.metrics.count(GuessResult::Failed);
        } else {
            self.address.give_back();
        }
        judged
    }

    /// What came of a sign-up: whoever made an account, or heard that a name is taken, is charged.
    ///
    /// # Errors
    /// Those of `done`.
    pub fn settle_sign_up<T>(self, done: Result<T, Error>) -> Result<T, Error> {
        if !matches!(done, Ok(_) | Err(Error::UsernameTaken)) {
            self.address.give_back();
        }
        done
    }
}
