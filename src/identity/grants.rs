//! Owns exchanging a grant for tokens: the token endpoint of RFC 6749, whichever protocol asks.

use std::{net::IpAddr, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{
    Accounts, Clients, Guessing, IssuedToken, RefreshToken, Sessions, Tokens,
    clients::{ClientAuthentication, Proven, Requester},
    refresh_grant::{RefreshGrant, Shown},
    sessions::{Opening, Presented},
    tokens::{Holder, TokenStamp},
};
use crate::{
    admission::{Allowance, Allowances, Hold},
    base::{Clock, Deadline},
    errors::Row,
    metrics::{ClientCredentialsResult, GrantMetrics, GrantType, LoginResult, RefreshResult},
    model::{
        CertificateNames, ClientId, ClientKind, Error, FieldReason, NameSet, Network, Origin, RuleViolation,
        claims::{INTROSPECT_SCOPE, USER_SCOPE},
    },
};

/// How often the users of a client may fail whose addresses it tells: what their addresses are worth is in its hands, so it answers for
/// them as a whole.
const CLAIMED_FAILURES: Allowance = Allowance { at_once: 1_000, interval: Duration::from_millis(100) };

/// How many such clients are told apart. An operator has a few.
const CLAIMING_CLIENTS: usize = 10_000;

/// Exchanges grants.
#[derive(Debug)]
pub struct Grants {
    accounts: Arc<Accounts>,
    guessing: Arc<Guessing>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    tokens: Arc<Tokens>,
    refresh: RefreshGrant,
    metrics: GrantMetrics,
    clock: Clock,
    claimed_failures: Allowances<ClientId>,
}

/// What is asked of the token endpoint, as it came.
#[derive(Debug)]
pub struct TokenRequest {
    /// What is exchanged.
    pub grant: Grant,
    /// What the request says of its client; nothing for the service's own first-party application.
    pub client: Option<ClientAuthentication>,
    /// The verified certificate of who sent it.
    pub certificate: Option<Arc<CertificateNames>>,
    /// The scopes asked for, separated by spaces (RFC 6749 section 3.3); empty for all that may be had.
    pub scope: String,
    /// Whom the access token shall be meant for (RFC 8707); empty for all that may be had.
    pub audiences: Vec<String>,
    /// The address of the user for whom the client asks, as it tells; empty if it tells nothing.
    pub user_address: String,
    /// The place of the call, to be counted for that address.
    pub(crate) hold: Option<Arc<Hold>>,
}

/// What is exchanged for tokens.
#[derive(Debug)]
pub enum Grant {
    /// A username and its password (RFC 6749 section 4.3).
    Password {
        /// The username.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A refresh token (RFC 6749 section 6).
    RefreshToken(Zeroizing<String>),
    /// The client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
}

impl Grant {
    const fn grant_type(&self) -> GrantType {
        match self {
            Self::Password { .. } => GrantType::Password,
            Self::RefreshToken(_) => GrantType::RefreshToken,
            Self::ClientCredentials => GrantType::ClientCredentials,
        }
    }
}

/// What a grant was exchanged for (RFC 6749 section 5.1).
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token, and what its recipient is told of it.
    pub access: IssuedToken,
    /// What to exchange for the next one; a client in its own name has none.
    pub refresh_token: Option<RefreshToken>,
}

/// What came of a grant, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// There are tokens for it.
    Granted,
    /// There are, once more, for a refresh token that had been exchanged before.
    Repeated,
    /// It is a copy of a refresh token: the session has been ended.
    Replayed,
    /// It is not accepted, or something that was asked for with it is not.
    Refused,
    /// It could not be judged.
    Failed,
}

/// A grant that is being judged, and is counted when this is dropped: as failed if there is no verdict by then, since its time is
/// up or its client has gone away.
struct Judging<'a> {
    metrics: &'a GrantMetrics,
    grant: GrantType,
    verdict: Verdict,
}

/// The scope and the audiences asked for, in their form; empty for all that may be had.
struct Wish {
    scope: NameSet,
    audience: NameSet,
}

impl Grants {
    /// Exchanges what `accounts`, `sessions` and `clients` vouch for; `tokens` signs.
    #[must_use]
    pub fn new(
        accounts: Arc<Accounts>,
        guessing: Arc<Guessing>,
        sessions: Arc<Sessions>,
        clients: Arc<Clients>,
        tokens: Arc<Tokens>,
        metrics: GrantMetrics,
        clock: Clock,
    ) -> Self {
        let claimed_failures = Allowances::new(CLAIMED_FAILURES, CLAIMING_CLIENTS, clock.clone());
        let refresh = RefreshGrant::new(Arc::clone(&accounts), Arc::clone(&sessions), Arc::clone(&tokens));
        Self { accounts, guessing, sessions, clients, tokens, refresh, metrics, clock, claimed_failures }
    }

    /// Grants `request`, which came from `origin`.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], [`Error::InvalidScope`], [`Error::InvalidAudience`], [`Error::InvalidCredentials`],
    /// [`Error::RefreshTokenInvalid`], [`Error::RefreshTokenReused`], [`Error::TooManyRepeats`], [`Error::TooManyRefreshes`]; [`Error::InvalidFields`],
    /// [`Error::AddressClaimNotAllowed`] or [`Error::TooManyAttempts`] if the client tells its user's address; [`Error::Overloaded`] if a password cannot be hashed before
    /// `deadline`, or the user's address has no room for another call.
    pub async fn exchange(
        &self,
        request: TokenRequest,
        origin: Origin,
        deadline: Deadline,
    ) -> Result<Granted, Error> {
        let grant = request.grant.grant_type();
        let mut judging = Judging { metrics: &self.metrics, grant, verdict: Verdict::Failed };
        let judged = self.judge(request, origin, deadline).await;
        judging.verdict = match &judged {
            Ok((_, verdict)) => *verdict,
            Err(error) => Verdict::of(error),
        };
        judged.map(|(granted, _)| granted)
    }

    async fn judge(
        &self,
        request: TokenRequest,
        origin: Origin,
        deadline: Deadline,
    ) -> Result<(Granted, Verdict), Error> {
        let TokenRequest { grant, client, certificate, scope, audiences, user_address, hold } = request;
        // Whoever asks has proven nothing yet: how long a wish is costs nothing to see, and what is in it is looked at later.
        if !NameSet::has_room_for(&audiences) {
            return Err(Error::InvalidAudience(NameSet::default()));
        }
        let certificate = certificate.as_deref();
        let proven = match grant {
            Grant::ClientCredentials => self.clients.prove_registered(client, certificate, &origin).await?,
            _ => self.clients.prove(client, certificate, &origin).await?,
        };
        let wish = Wish {
            scope: NameSet::parse(&scope).map_err(|_| Error::InvalidScope(NameSet::default()))?,
            audience: NameSet::of(audiences.iter().map(String::as_str))
                .map_err(|_| Error::InvalidAudience(NameSet::default()))?,
        };
        let Some(Claim { client, address }) = claim(proven.requester(), &grant, &user_address)? else {
            let decided = self.decide(grant, proven, &wish, origin.clone(), deadline).await;
            return self.charge_address(decided, &origin);
        };
        // In place of the client's own, for which it was counted as long as nobody knew whether the client may say this.
        if let Some(hold) = hold {
            hold.count_for(Network::of(address))?;
        }
        // Taken before the outcome is known: guesses that are made at one moment count too.
        let charge = self.claimed_failures.take(client).map_err(|retry_after| {
            self.guessing.tell_client_throttled(&origin);
            Error::TooManyAttempts { whose: "the users of this client", retry_after }
        })?;
        let origin = origin.claiming(address);
        let decided = self.decide(grant, proven, &wish, origin.clone(), deadline).await;
        if !decided.as_ref().is_err_and(is_failure) {
            charge.give_back();
        }
        self.charge_address(decided, &origin)
    }

    /// `decided`, for which the address of `origin` is charged if a refresh token was none. Once it has been decided who else answers for
    /// that: what an address hears that has nothing left does not say that something failed.
    fn charge_address<T>(&self, decided: Result<T, Error>, origin: &Origin) -> Result<T, Error> {
        if matches!(decided, Err(Error::RefreshTokenInvalid)) {
            self.guessing.secret_failed(origin)?;
        }
        decided
    }

    /// Exchanges `grant` for who asks, whose proof is used up when all else that was asked for may be had.
    async fn decide(
        &self,
        grant: Grant,
        proven: Proven,
        wish: &Wish,
        origin: Origin,
        deadline: Deadline,
    ) -> Result<(Granted, Verdict), Error> {
        match grant {
            Grant::Password { username, password } => {
                let opening = self.opening(proven.requester(), wish, origin)?;
                let origin = &opening.origin;
                self.clients.accept(proven, origin).await?;
                let proof = self.accounts.authenticate(&username, &password, origin, deadline).await?;
                let (session, token) = self.sessions.open(&proof, opening).await?;
                let audience = session.audience.as_ref().unwrap_or(self.tokens.audience());
                let stamp = TokenStamp::new(session.create_time);
                let access = self.tokens.issue(Holder::User(&session), stamp, &session.scope, audience)?;
                Ok((Granted { access, refresh_token: Some(token) }, Verdict::Granted))
            }
            Grant::RefreshToken(text) => self.refresh(&text, proven, wish, &origin).await,
            Grant::ClientCredentials => self.client_credentials(proven, wish, &origin).await,
        }
    }

    /// What a login with `requester` opens, if what it asks for may be had.
    fn opening(&self, requester: &Requester, wish: &Wish, origin: Origin) -> Result<Opening, Error> {
        let scope = match requester {
            Requester::FirstParty => NameSet::from_stored(USER_SCOPE.to_owned()),
            Requester::Client(found) => found.client().scopes.without_name(INTROSPECT_SCOPE),
        };
        let own = self.tokens.audience();
        let allowed = allowed_audiences(requester, own);
        let audience = choose(&wish.audience, allowed).map_err(Error::InvalidAudience)?;
        // What means the service itself goes on meaning it when its name is changed.
        let audience = (audience != *own).then_some(audience);
        let scope = choose(&wish.scope, &scope).map_err(Error::InvalidScope)?;
        Ok(Opening { client_id: requester.client_id(), scope, audience, origin })
    }

    async fn refresh(
        &self,
        text: &str,
        proven: Proven,
        wish: &Wish,
        origin: &Origin,
    ) -> Result<(Granted, Verdict), Error> {
        let presented = self.present(text, proven.requester()).await;
        // Judged before anything is used up. The session keeps what the login was granted (RFC 6749 section 6).
        let chosen = match &presented {
            Ok(presented) => {
                let session = presented.session();
                let scope = choose(&wish.scope, &session.scope).map_err(Error::InvalidScope)?;
                let granted = session.audience.as_ref().unwrap_or(self.tokens.audience());
                Some((scope, choose(&wish.audience, granted).map_err(Error::InvalidAudience)?))
            }
            Err(_) => None,
        };
        // Also if the token is none: it may be a guess, for which the client answers that has asked.
        self.clients.accept(proven, origin).await?;
        let presented = presented?;
        let (scope, audience) = chosen.ok_or(Error::RefreshTokenInvalid)?;
        self.refresh.exchange(Shown { presented, scope, audience, origin: origin.clone() }).await
    }

    /// The session of the refresh token `text`, if it is one of `requester`.
    async fn present(&self, text: &str, requester: &Requester) -> Result<Presented, Error> {
        let token = RefreshToken::parse(text).ok_or(Error::RefreshTokenInvalid)?;
        let presented = self.sessions.present(token).await?;
        // Another client's: to this one it is worth as little as none, and nothing happens to it.
        if presented.session().client_id != requester.client_id() {
            return Err(Error::RefreshTokenInvalid);
        }
        Ok(presented)
    }

    /// A token for the client itself. It needs no refresh token: it can ask again (RFC 6749 section 4.4.3).
    async fn client_credentials(
        &self,
        proven: Proven,
        wish: &Wish,
        origin: &Origin,
    ) -> Result<(Granted, Verdict), Error> {
        let requester = proven.requester();
        let client = match requester {
            Requester::Client(found) if found.client().kind == ClientKind::Confidential => found.client(),
            // Who has proven nothing gets nothing.
            _ => return Err(Error::InvalidClient),
        };
        let allowed = client.scopes.without_name(USER_SCOPE);
        let scope = choose(&wish.scope, &allowed).map_err(Error::InvalidScope)?;
        let allowed = allowed_audiences(requester, self.tokens.audience());
        let audience = choose(&wish.audience, allowed).map_err(Error::InvalidAudience)?;
        let (holder, stamp) = (Holder::Client(client.id), TokenStamp::new(self.clock.now()));
        self.clients.accept(proven, origin).await?;
        let access = self.tokens.issue(holder, stamp, &scope, &audience)?;
        Ok((Granted { access, refresh_token: None }, Verdict::Granted))
    }
}

impl Verdict {
    fn of(error: &Error) -> Self {
        match error {
            Error::RefreshTokenReused => Self::Replayed,
            error if Row::of(error).is_refusal() => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl Drop for Judging<'_> {
    fn drop(&mut self) {
        let Self { metrics, grant, verdict } = self;
        if matches!(verdict, Verdict::Granted | Verdict::Repeated) {
            metrics.issued(*grant);
        }
        match grant {
            GrantType::Password => metrics.login(match verdict {
                Verdict::Granted | Verdict::Repeated => LoginResult::Succeeded,
                Verdict::Refused | Verdict::Replayed => LoginResult::Refused,
                Verdict::Failed => LoginResult::Failed,
            }),
            GrantType::RefreshToken => metrics.refresh(match verdict {
                Verdict::Granted => RefreshResult::Done,
                Verdict::Repeated => RefreshResult::Repeated,
                Verdict::Replayed => RefreshResult::Replayed,
                Verdict::Refused => RefreshResult::Refused,
                Verdict::Failed => RefreshResult::Failed,
            }),
            GrantType::ClientCredentials => metrics.client_credentials(match verdict {
                Verdict::Granted | Verdict::Repeated => ClientCredentialsResult::Succeeded,
                Verdict::Refused | Verdict::Replayed => ClientCredentialsResult::Refused,
                Verdict::Failed => ClientCredentialsResult::Failed,
            }),
        }
    }
}

/// The address of its user that a client tells.
struct Claim {
    client: ClientId,
    address: IpAddr,
}

/// The address of the user that `requester` tells in `text`; none if it tells nothing.
fn claim(requester: &Requester, grant: &Grant, text: &str) -> Result<Option<Claim>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let client = match requester {
        Requester::Client(found) if found.client().may_claim_address => found.client(),
        _ => return Err(Error::AddressClaimNotAllowed),
    };
    let refused = |rule: &str| {
        let violation = RuleViolation::new(FieldReason::Malformed, rule);
        Error::InvalidFields(vec![violation.at("user_address")])
    };
    if matches!(grant, Grant::ClientCredentials) {
        return Err(refused("means nothing with a client's own credentials: there is no user"));
    }
    let address: IpAddr = text.parse().map_err(|_| refused("must be an IP address, without a port"))?;
    Ok(Some(Claim { client: client.id, address: address.to_canonical() }))
}

/// Whether `error` is that of somebody who may be guessing.
const fn is_failure(error: &Error) -> bool {
    matches!(error, Error::InvalidCredentials | Error::RefreshTokenInvalid | Error::RefreshTokenReused)
}

/// Whom the tokens of `requester` may be meant for.
fn allowed_audiences<'a>(requester: &'a Requester, own: &'a NameSet) -> &'a NameSet {
    match requester {
        Requester::Client(found) if !found.client().audiences.is_empty() => &found.client().audiences,
        _ => own,
    }
}

/// What is wished for, or all that is allowed if nothing is; what goes beyond it if something does.
fn choose(wish: &NameSet, allowed: &NameSet) -> Result<NameSet, NameSet> {
    let beyond = wish.without(allowed);
    match (beyond.is_empty(), wish.is_empty()) {
        (false, _) => Err(beyond),
        (true, true) => Ok(allowed.clone()),
        (true, false) => Ok(wish.clone()),
    }
}
