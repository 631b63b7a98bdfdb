//! Owns exchanging a grant for tokens: the token endpoint of RFC 6749, whichever protocol asks.
//!
//! Each grant is a file of this folder: what a request shows, and what that is exchanged for. To add one, add its file, and its row to the
//! table of `metrics/grants.rs`. What they have in common is here: client authentication, the negotiation of scopes (`scope.rs`), opening
//! a session (`login.rs`), the user's address that a client tells (`user_address.rs`), and the counting.

mod client_credentials;
mod in_flight;
mod login;
mod password;
mod refresh_token;
mod scope;
mod user_address;

use std::{pin::Pin, sync::Arc};

use super::{
    Accounts, Clients, Guessing, IssuedToken, Permissions, RefreshToken, Sessions, ShownAttributes, Tokens,
    clients::{ClientAuthentication, ClientSlot, Proven},
};
use crate::{
    admission::Hold,
    base::{Clock, Deadline},
    errors::Row,
    metrics::{GrantMetrics, GrantResult, GrantType},
    model::{CertificateNames, Error, Network, Origin},
};

pub(crate) use client_credentials::ClientCredentialsGrant;
pub(crate) use login::SessionKind;
pub(crate) use password::PasswordGrant;
pub(crate) use refresh_token::RefreshTokenGrant;

use refresh_token::RefreshTokens;
use scope::Wish;
use user_address::{AddressClaim, ClaimedFailures};

/// Exchanges grants.
#[derive(Debug)]
pub struct Grants {
    accounts: Arc<Accounts>,
    guessing: Arc<Guessing>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    permissions: Arc<Permissions>,
    attributes: Arc<ShownAttributes>,
    tokens: Arc<Tokens>,
    refresh_tokens: RefreshTokens,
    claimed_failures: ClaimedFailures,
    metrics: GrantMetrics,
    clock: Clock,
}

/// What vouches for those who ask for tokens, and what signs them.
#[derive(Clone, Debug)]
pub struct Vouching {
    /// The users.
    pub accounts: Arc<Accounts>,
    /// Their sessions.
    pub sessions: Arc<Sessions>,
    /// The clients.
    pub clients: Arc<Clients>,
    /// The roles of users and clients.
    pub permissions: Arc<Permissions>,
    /// What is said of the attributes of users.
    pub attributes: Arc<ShownAttributes>,
    /// Issues access tokens.
    pub tokens: Arc<Tokens>,
}

/// A grant that a request shows, to be exchanged for tokens.
pub(crate) trait Grant: Send {
    /// Which grant it is.
    fn kind(&self) -> GrantType;

    /// Whether the tokens are a user's. If not, they are the client's own, and only a registered client may ask.
    fn is_for_a_user(&self) -> bool {
        true
    }

    /// Exchanges it for what was `asked`. The proof of the client is to be used up (`Clients::accept`) once everything else that was asked
    /// for may be had, and before anything is tried that might be a guess.
    fn exchange(self: Box<Self>, grants: &Grants, asked: Asked) -> Granting<'_>;
}

/// A grant that is being exchanged.
pub(crate) type Granting<'a> = Pin<Box<dyn Future<Output = Result<Granted, Error>> + Send + 'a>>;

/// What is asked of the token endpoint, as it came.
pub(crate) struct TokenRequest {
    /// The grant to exchange.
    pub(crate) grant: Box<dyn Grant>,
    /// What the request says of its client; nothing for the service's own first-party application.
    pub(crate) client: Option<ClientAuthentication>,
    /// The verified certificate of who sent it.
    pub(crate) certificate: Option<Arc<CertificateNames>>,
    /// Where the client is put.
    pub(crate) slot: ClientSlot,
    /// The scopes asked for, separated by spaces (RFC 6749 section 3.3); empty for all that may be had.
    pub(crate) scope: String,
    /// Whom the access token shall be meant for (RFC 8707); empty for all that may be had.
    pub(crate) audiences: Vec<String>,
    /// The address of the user for whom the client asks, as it tells; empty if it tells nothing.
    pub(crate) user_address: String,
    /// Whether passwords are exchanged for tokens where the request came in.
    pub(crate) takes_passwords: bool,
    /// The place of the call, to be counted for that address.
    pub(crate) hold: Option<Arc<Hold>>,
}

/// What is asked for with a grant, by a client that has proven what it can.
pub(crate) struct Asked {
    proven: Proven,
    wish: Wish,
    origin: Origin,
    deadline: Deadline,
}

/// What a grant was exchanged for (RFC 6749 section 5.1).
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    /// The access token, and what its recipient is told of it.
    pub(crate) access: IssuedToken,
    /// What to exchange for the next one; a client in its own name has none, and neither has a login that asks for none.
    pub(crate) refresh_token: Option<RefreshToken>,
    /// Whether the same was granted before: for a refresh token whose answer was lost, or that two showed at once.
    is_repeated: bool,
}

/// A grant that is counted when this is dropped: as failed if there is no result by then, since its time is up or its client has gone
/// away.
struct Counting<'a> {
    metrics: &'a GrantMetrics,
    grant: GrantType,
    result: GrantResult,
}

impl Grants {
    /// Exchanges what `vouching` vouches for, and charges failures to `guessing`.
    #[must_use]
    pub fn new(vouching: Vouching, guessing: Arc<Guessing>, metrics: GrantMetrics, clock: Clock) -> Self {
        let refresh_tokens = RefreshTokens::new(vouching.clone());
        let Vouching { accounts, sessions, clients, permissions, attributes, tokens } = vouching;
        let claimed_failures = ClaimedFailures::new(Arc::clone(&guessing), clock.clone());
        Self {
            accounts,
            guessing,
            sessions,
            clients,
            permissions,
            attributes,
            tokens,
            refresh_tokens,
            claimed_failures,
            metrics,
            clock,
        }
    }

    /// Grants `request`, which came from `origin`.
    ///
    /// # Errors
    /// [`Error::UnsupportedGrantType`] for a password where passwords are not taken;
    /// [`Error::InvalidClient`], [`Error::InvalidScope`], [`Error::InvalidAudience`], [`Error::InvalidCredentials`],
    /// [`Error::PasswordChangeRequired`], [`Error::RefreshTokenInvalid`], [`Error::RefreshTokenReused`], [`Error::TooManyRepeats`],
    /// [`Error::TooManyRefreshes`];
    /// [`Error::InvalidFields`], [`Error::AddressClaimNotAllowed`] or [`Error::TooManyAttempts`] if the client tells its user's address;
    /// [`Error::Overloaded`] if a password cannot be hashed before `deadline`, or the user's address has no room for another call.
    pub(crate) async fn exchange(
        &self,
        request: TokenRequest,
        origin: Origin,
        deadline: Deadline,
    ) -> Result<Granted, Error> {
        let grant = request.grant.kind();
        let mut counting = Counting { metrics: &self.metrics, grant, result: GrantResult::Failed };
        let decided = self.decide(request, origin, deadline).await;
        counting.result = result_of(&decided);
        decided
    }

    async fn decide(
        &self,
        request: TokenRequest,
        origin: Origin,
        deadline: Deadline,
    ) -> Result<Granted, Error> {
        if !request.takes_passwords && request.grant.kind() == GrantType::Password {
            return Err(Error::UnsupportedGrantType);
        }
        let TokenRequest { grant, client, certificate, slot, scope, audiences, user_address, hold, .. } =
            request;
        // Whoever asks has proven nothing yet: what is in the wish is looked at later.
        Wish::check_length(&audiences)?;
        let certificate = certificate.as_deref();
        let proven = if grant.is_for_a_user() {
            self.clients.prove(client, certificate, &origin, &slot).await?
        } else {
            self.clients.prove_registered(client, certificate, &origin, &slot).await?
        };
        let wish = Wish::parse(&scope, &audiences)?;
        let claim = AddressClaim::of(proven.requester(), &*grant, &user_address)?;
        let asked = |origin| Asked { proven, wish, origin, deadline };
        let Some(claim) = claim else {
            let decided = grant.exchange(self, asked(origin.clone())).await;
            return self.charge_address(decided, &origin);
        };
        // In place of the client's own, for which it was counted as long as nobody knew whether the client may say this.
        if let Some(hold) = hold {
            hold.count_for(Network::of(claim.address))?;
        }
        let told = origin.clone().claiming(claim.address);
        let deciding = grant.exchange(self, asked(told.clone()));
        let decided = self.claimed_failures.charge(&claim, &origin, deciding).await;
        self.charge_address(decided, &told)
    }

    /// `decided`, for which the address of `origin` is charged if a refresh token was none. Once it has been decided who else answers for
    /// that: what an address hears that has nothing left does not say that something failed.
    fn charge_address<T>(&self, decided: Result<T, Error>, origin: &Origin) -> Result<T, Error> {
        if matches!(decided, Err(Error::RefreshTokenInvalid)) {
            self.guessing.secret_failed(origin)?;
        }
        decided
    }
}

/// The result of a grant, for the metrics.
fn result_of(decided: &Result<Granted, Error>) -> GrantResult {
    match decided {
        Ok(granted) if granted.is_repeated => GrantResult::Repeated,
        Ok(_) => GrantResult::Granted,
        Err(Error::RefreshTokenReused) => GrantResult::Replayed,
        Err(error) if Row::of(error).is_refusal() => GrantResult::Refused,
        Err(_) => GrantResult::Failed,
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.metrics.count(self.grant, self.result);
    }
}
