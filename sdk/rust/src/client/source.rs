//! Owns getting the tokens of one audience: one request for all who wait, in the background of calls while the old token lives.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use signet::proto::identity::v1::{
    ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse, RefreshTokenGrant,
    identity_service_client::IdentityServiceClient, issue_token_request::Grant,
};
use tonic::{Code, Status};

use super::{
    credential::ClientCredential,
    state::{Next, State},
};
use crate::{
    hooks::{Hooks, SafeHooks},
    replicas::{Channels, ClientError, Signet, retry_delay},
    time::{Random, Time},
};

/// How long an application may take to keep a refresh token. Then it is asked to again, later.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps the next refresh token, before the access token that came with it is used.
pub type StoreRefreshToken = Arc<
    dyn Fn(String) -> BoxFuture<'static, Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + Sync,
>;

/// Gets access tokens for one audience, keeps them, and renews them. Clones share everything.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

/// How a [`TokenSource`] is made.
#[must_use]
pub struct TokenSourceBuilder {
    signet: Signet,
    credential: ClientCredential,
    audience: String,
    scopes: Vec<String>,
    refresh: Option<(String, StoreRefreshToken)>,
    time: Time,
    random: Random,
    told: SafeHooks,
}

/// An access token. It shows itself to nobody who does not ask.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<str>);

struct Inner {
    issuer: Issuer,
    audience: String,
    scopes: Vec<String>,
    credential: ClientCredential,
    refresh: Option<Refresh>,
    time: Time,
    random: Random,
    told: SafeHooks,
    state: Mutex<State>,
    /// The request that goes on, if one does.
    getting: Mutex<Option<Getting>>,
}

/// The session of a user. One exchange goes on at a time.
struct Refresh {
    /// The refresh token that is worth something.
    current: Mutex<String>,
    /// An answer whose refresh token is not kept yet: exchanging the one of before again would be taken for theft (docs/TOKENS.md).
    unstored: Mutex<Option<Issued>>,
    store: StoreRefreshToken,
}

/// An answer of Signet. Its times are on the monotonic clock.
#[derive(Clone)]
struct Issued {
    token: Arc<str>,
    /// Before it was asked for: the token is not older than that.
    asked: Duration,
    lifetime: Duration,
    next: Option<String>,
}

type Getting = Shared<BoxFuture<'static, Result<Arc<str>, Status>>>;

/// Who issues tokens: Signet, or what stands in for it in a test.
enum Issuer {
    Signet(Channels),
    #[cfg(any(test, feature = "testing"))]
    StandIn(Answer),
}

/// What answers in the stead of Signet.
#[cfg(any(test, feature = "testing"))]
type Answer =
    Arc<dyn Fn(IssueTokenRequest) -> BoxFuture<'static, Result<IssueTokenResponse, Status>> + Send + Sync>;

impl TokenSource {
    /// A source of tokens for `audience`, as a service names itself in `aud`, which the client of `credential` gets from `signet`.
    pub fn builder(
        signet: Signet,
        credential: ClientCredential,
        audience: impl Into<String>,
    ) -> TokenSourceBuilder {
        TokenSourceBuilder {
            signet,
            credential,
            audience: audience.into(),
            scopes: Vec::new(),
            refresh: None,
            time: Time::system(),
            random: Random::system(),
            told: SafeHooks::default(),
        }
    }

    /// A token that lives. Waits only if there is none: a token that is to be renewed is used while another one is got.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, with the reason that Signet has told, if it refuses for good; `UNAVAILABLE` if it does not answer. Neither is
    /// asked about again at once.
    pub async fn token(&self) -> Result<AccessToken, Status> {
        let next = lock(&self.0.state).next(self.0.time.monotonic());
        match next {
            Next::Use(token) => Ok(AccessToken(token)),
            Next::UseAndRenew(token) => {
                drop(self.get());
                Ok(AccessToken(token))
            }
            Next::Get => self.get().await.map(AccessToken),
            Next::Fail(status) => Err(status),
        }
    }

    /// Forgets `token`, if it is still the one: it was refused. Returns whether another one is to be had: not if one was dropped less than
    /// 7 s ago, so that a service which refuses all of them has nobody ask Signet in a hurry (docs/EVENTS.md, "What callers see").
    #[expect(clippy::must_use_candidate, reason = "who does not ask again need not know")]
    pub fn drop_token(&self, token: &AccessToken) -> bool {
        let now = self.0.time.monotonic();
        lock(&self.0.state).drop_token(&token.0, now)
    }

    /// Whom its tokens are for.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.0.audience
    }

    pub(crate) fn told(&self) -> &SafeHooks {
        &self.0.told
    }

    /// The request that goes on, or a new one. It goes on by itself, whether or not somebody waits for it.
    fn get(&self) -> Getting {
        let mut getting = lock(&self.0.getting);
        if let Some(goes_on) = getting.as_ref().filter(|getting| getting.peek().is_none()) {
            return goes_on.clone();
        }
        let inner = Arc::clone(&self.0);
        let new = async move { inner.get().await }.boxed().shared();
        *getting = Some(new.clone());
        tokio::spawn(new.clone());
        new
    }
}

impl Inner {
    async fn get(self: Arc<Self>) -> Result<Arc<str>, Status> {
        let got = self.request().await;
        self.told.tell(|hooks| hooks.token_renewed(got.is_ok()));
        let mut state = lock(&self.state);
        match got {
            Ok(Issued { token, asked, lifetime, next: _ }) => {
                state.keep(Arc::clone(&token), asked, lifetime, &self.random);
                Ok(token)
            }
            Err(status) => {
                let (now, answer) = (self.time.monotonic(), answer_to(&status));
                tracing::warn!(audience = self.audience, status = answer.message(), "no token could be got");
                if is_final(&status) {
                    state.refuse(answer.clone(), now);
                } else {
                    state.fail(answer.clone(), retry_delay(&status).unwrap_or_default(), now, &self.random);
                }
                Err(answer)
            }
        }
    }

    async fn request(&self) -> Result<Issued, Status> {
        let is_dead = |issued: &Issued| issued.asked + issued.lifetime <= self.time.monotonic();
        let mut issued = self.exchange().await?;
        if is_dead(&issued) && self.refresh.is_some() {
            // An exchange whose answer was lost, or kept late, may have given what has expired since: the next one does not.
            issued = self.exchange().await?;
        }
        if is_dead(&issued) {
            return Err(Status::unavailable("Signet has answered with a token that has expired"));
        }
        Ok(issued)
    }

    /// Asks once, unless there is an answer whose refresh token is not kept yet.
    async fn exchange(&self) -> Result<Issued, Status> {
        let Some(refresh) = &self.refresh else { return self.ask().await };
        let unstored = lock(&refresh.unstored).clone();
        let issued = match unstored {
            Some(issued) => issued,
            None => self.ask().await?,
        };
        if let Some(next) = issued.next.clone() {
            *lock(&refresh.unstored) = Some(issued.clone());
            self.store(refresh, next.clone()).await.map_err(|problem| {
                Status::unavailable(format!(
                    "the application could not keep the next refresh token: {problem}"
                ))
            })?;
            *lock(&refresh.current) = next;
            *lock(&refresh.unstored) = None;
        }
        Ok(issued)
    }

    async fn store(&self, refresh: &Refresh, next: String) -> Result<(), String> {
        let storing = AssertUnwindSafe(async { (refresh.store)(next).await }).catch_unwind();
        match self.time.within(STORE_TIMEOUT, storing).await {
            Some(Ok(stored)) => stored.map_err(|problem| problem.to_string()),
            Some(Err(_)) => Err("it panicked".to_owned()),
            None => Err(format!("it took longer than {STORE_TIMEOUT:?}")),
        }
    }

    async fn ask(&self) -> Result<Issued, Status> {
        let asked = self.time.monotonic();
        let issued = self.issuer.issue(|| self.issue_request()).await?;
        Ok(Issued {
            token: issued.access_token.into(),
            asked,
            lifetime: Duration::from_secs(u64::try_from(issued.expires_in).unwrap_or_default()),
            next: issued.refresh_token.filter(|next| !next.is_empty()),
        })
    }

    /// The request to one replica: an assertion is used once.
    fn issue_request(&self) -> Result<IssueTokenRequest, Status> {
        let grant = match &self.refresh {
            None => Grant::ClientCredentials(ClientCredentialsGrant {}),
            Some(refresh) => {
                Grant::RefreshToken(RefreshTokenGrant { refresh_token: lock(&refresh.current).clone() })
            }
        };
        Ok(IssueTokenRequest {
            client: Some(self.credential.authentication(self.time.now())?),
            scope: self.scopes.join(" "),
            audiences: vec![self.audience.clone()],
            user_address: String::new(),
            grant: Some(grant),
        })
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Issuer {
    /// What `request`, which is made anew for each replica that is tried, is answered.
    async fn issue(
        &self,
        request: impl Fn() -> Result<IssueTokenRequest, Status>,
    ) -> Result<IssueTokenResponse, Status> {
        match self {
            Self::Signet(channels) => {
                let issue = |channel| {
                    let request = request();
                    async move { IdentityServiceClient::new(channel).issue_token(request?).await }
                };
                Ok(channels.call(issue).await?.into_inner())
            }
            #[cfg(any(test, feature = "testing"))]
            Self::StandIn(answer) => answer(request()?).await,
        }
    }
}

/// Whether asking again at once would be answered in the same way.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
    )
}

/// What callers are told: of a refusal that is final what Signet has said of it, with its reason.
fn answer_to(status: &Status) -> Status {
    if is_final(status) {
        let details = status.details().to_vec().into();
        Status::with_details(Code::Unauthenticated, status.message().to_owned(), details)
    } else {
        Status::unavailable(format!("no access token could be got: {}", status.message()))
    }
}

impl TokenSourceBuilder {
    /// Asks for these scopes alone. Without it, for all that the client may have.
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        Self { scopes: scopes.into_iter().map(Into::into).collect(), ..self }
    }

    /// Tokens of a user, by the refresh token of their login. Each exchange gives the next one, which `store` keeps before the access token
    /// is used: while it fails, or takes longer than 10 s, that one is not used, calls fail with `UNAVAILABLE`, and each further attempt
    /// hands it the same token again. So it must take one twice. No two processes, and no two sources, share one refresh token.
    pub fn refresh_token<F, R>(self, refresh_token: impl Into<String>, store: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let store: StoreRefreshToken = Arc::new(move |next| store(next).boxed());
        Self { refresh: Some((refresh_token.into(), store)), ..self }
    }

    /// Tells `hooks` what happens.
    pub fn hooks(self, hooks: Arc<dyn Hooks>) -> Self {
        Self { told: SafeHooks::by(hooks), ..self }
    }

    /// Takes the time from `time`, and spreads by `random`: for tests.
    pub fn time(self, time: Time, random: Random) -> Self {
        Self { time, random, ..self }
    }

    /// The source. Nothing is asked before a call needs a token.
    ///
    /// # Errors
    /// [`ClientError`], if Signet cannot be reached so at all.
    pub fn build(self) -> Result<TokenSource, ClientError> {
        let issuer = Issuer::Signet(self.signet.connect()?);
        Ok(self.with(issuer))
    }

    /// The source, whose tokens `answer` issues in the stead of Signet: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn build_with<F, R>(self, answer: F) -> TokenSource
    where
        F: Fn(IssueTokenRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<IssueTokenResponse, Status>> + Send + 'static,
    {
        self.with(Issuer::StandIn(Arc::new(move |request| answer(request).boxed())))
    }

    fn with(self, issuer: Issuer) -> TokenSource {
        let Self { signet: _, credential, audience, scopes, refresh, time, random, told } = self;
        let refresh = refresh.map(|(token, store)| Refresh {
            current: Mutex::new(token),
            unstored: Mutex::default(),
            store,
        });
        let (state, getting) = (Mutex::default(), Mutex::default());
        TokenSource(Arc::new(Inner {
            issuer,
            audience,
            scopes,
            credential,
            refresh,
            time,
            random,
            told,
            state,
            getting,
        }))
    }
}

impl AccessToken {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("audience", &self.0.audience).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSourceBuilder").field("audience", &self.audience).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
