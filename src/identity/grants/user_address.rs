//! Owns the address of its user that a client passes on: which clients may, and how often a client's users may fail.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::Grant;
use crate::{
    admission::{Allowance, Allowances},
    base::Clock,
    identity::{Guessing, clients::Requester},
    model::{ClientId, Error, FieldReason, Origin, RuleViolation},
};

/// How often the users of a client may fail whose addresses it tells: what their addresses are worth is in its hands, so it answers for
/// them as a whole.
const FAILURES: Allowance = Allowance { at_once: 1_000, interval: Duration::from_millis(100) };

/// How many such clients are told apart. An operator has a few.
const CLIENTS: usize = 10_000;

/// How often the users of each client have failed whose addresses it tells.
#[derive(Debug)]
pub(super) struct ClaimedFailures {
    failures: Allowances<ClientId>,
    guessing: Arc<Guessing>,
}

/// The address of its user that a client tells.
pub(super) struct AddressClaim {
    client: ClientId,
    pub(super) address: IpAddr,
}

impl AddressClaim {
    /// What `requester` tells in `text`; none if it tells nothing.
    ///
    /// # Errors
    /// [`Error::AddressClaimNotAllowed`], [`Error::InvalidFields`].
    pub(super) fn of(requester: &Requester, grant: &dyn Grant, text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let client = requester.client();
        if !client.may_claim_address {
            return Err(Error::AddressClaimNotAllowed);
        }
        let refused = |rule: &str| {
            let violation = RuleViolation::new(FieldReason::Malformed, rule);
            Error::InvalidFields(vec![violation.at("user_address")])
        };
        if !grant.is_for_a_user() {
            return Err(refused("means nothing with a client's own credentials: there is no user"));
        }
        let address: IpAddr = text.parse().map_err(|_| refused("must be an IP address, without a port"))?;
        Ok(Some(Self { client: client.id, address: address.to_canonical() }))
    }
}

impl ClaimedFailures {
    pub(super) fn new(guessing: Arc<Guessing>, clock: Clock) -> Self {
        Self { failures: Allowances::new(FAILURES, CLIENTS, clock), guessing }
    }

    /// What `decided` comes to. A failure counts against the client of `claim`, from which the request of `origin` comes.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`], or that of `decided`.
    pub(super) async fn charge<T>(
        &self,
        claim: &AddressClaim,
        origin: &Origin,
        decided: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        // Taken before the outcome is known: guesses that are made at one moment count too.
        let charge = self.failures.take(claim.client).map_err(|retry_after| {
            self.guessing.tell_client_throttled(origin);
            Error::TooManyAttempts { whose: "the users of this client", retry_after }
        })?;
        let decided = decided.await;
        if !decided.as_ref().is_err_and(is_failure) {
            charge.give_back();
        }
        decided
    }
}

/// Whether `error` is that of somebody who may be guessing.
const fn is_failure(error: &Error) -> bool {
    matches!(error, Error::InvalidCredentials | Error::RefreshTokenInvalid | Error::RefreshTokenReused)
}
