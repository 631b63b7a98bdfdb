//! Owns what a service recognises its callers by: the keys of one issuer, what was revoked, and the settings of both.

use std::{sync::Arc, time::Duration};

use signet::{
    auth::{
        AuthLayer, Authenticator, FetchSettings, JwtTyp, OnRefusal, Policy, RemoteKeys, RemoteKeysError,
        Verifier as TokenVerifier, VerifierSettings,
    },
    errors::FailureLog,
    model::name_set::one_name,
};
use tokio::task::AbortHandle;

use crate::{
    client::{ClientCredential, TokenSource},
    guard::Guard,
    hooks::{Hooks, SafeHooks},
    introspection::{Introspected, Introspection},
    replicas::{ClientError, Signet},
    revocations::{Revocations, WhenStale, follow},
    standing::{GivenKeys, IssuerKeys, TokenStanding},
    stream::{Ends, StreamLayer},
    time::{Random, Time},
};

/// The audience of Signet's own RPCs, unless `--audience` says otherwise.
const SIGNET_AUDIENCE: &str = "signet";

/// The scopes of the tokens by which a verifier asks Signet itself.
const WATCH_SCOPE: &str = "signet.events.watch";
const INTROSPECT_SCOPE: &str = "introspect";

/// Verifies the access tokens of one issuer for one service. Clones share everything; with the last one goes what it does in the
/// background. A guard holds one, and so does each connection that it serves: its open streams are watched until they end.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    keys: IssuerKeys,
    authenticator: Arc<Authenticator<IssuerKeys, TokenStanding>>,
    standing: TokenStanding,
    stream_grace: Duration,
    time: Time,
    told: SafeHooks,
    tasks: Vec<AbortHandle>,
}

/// How a [`Verifier`] is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct VerifierBuilder {
    issuer: String,
    audience: String,
    jwks_uri: Option<String>,
    refresh: FetchSettings,
    leeway: Duration,
    cache_size: usize,
    token_typ_jwt: bool,
    watching: Option<(Signet, ClientCredential)>,
    signet_audience: String,
    revocation_max_age: Duration,
    when_stale: WhenStale,
    stream_grace: Duration,
    introspecting: Option<Introspecting>,
    time: Time,
    random: Random,
    told: SafeHooks,
}

#[derive(Clone, Debug)]
enum Introspecting {
    Signet(Box<(Signet, ClientCredential)>),
    By(Introspection),
}

/// Why a verifier cannot work at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// A setting breaks its rule, or the issuer cannot be asked.
    #[error(transparent)]
    Issuer(#[from] RemoteKeysError),
    /// Signet cannot be asked what was revoked, or what a token is worth.
    #[error(transparent)]
    Signet(#[from] ClientError),
}

impl Verifier {
    /// A verifier of the tokens that `issuer` (`--issuer` of Signet, letter for letter) makes for `audience`, as this service is named in
    /// `aud`.
    pub fn builder(issuer: impl Into<String>, audience: impl Into<String>) -> VerifierBuilder {
        VerifierBuilder {
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_uri: None,
            refresh: FetchSettings::default(),
            leeway: Duration::from_secs(5),
            cache_size: 10_000,
            token_typ_jwt: false,
            watching: None,
            signet_audience: SIGNET_AUDIENCE.to_owned(),
            revocation_max_age: Duration::from_secs(30),
            when_stale: WhenStale::default(),
            stream_grace: Duration::from_secs(30),
            introspecting: None,
            time: Time::system(),
            random: Random::system(),
            told: SafeHooks::default(),
        }
    }

    /// The layer that protects a gRPC service by `policy`: unary calls and streams.
    #[must_use]
    pub fn guard(&self, policy: Policy) -> Guard {
        let Parts { authenticator, standing, stream_grace, time, told, .. } = &*self.0;
        let failures = FailureLog::new("protected", time.clock().clone());
        // With the layers lives the verifier, and what it does in the background.
        let parts = Arc::clone(&self.0);
        let on_refusal = OnRefusal::of(move |reason| parts.told.tell(|hooks| hooks.verified(reason, false)));
        let ends = Ends {
            policy: policy.clone(),
            standing: standing.clone(),
            grace: *stream_grace,
            time: time.clone(),
            told: told.clone(),
        };
        let calls = AuthLayer::telling(policy, Arc::clone(authenticator), failures, Some(on_refusal));
        Guard { calls, streams: StreamLayer::new(ends) }
    }

    /// What recognises callers, for what is no gRPC service.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator<IssuerKeys, TokenStanding> {
        &self.0.authenticator
    }

    /// Returns when the issuer's keys are known and, where revocations are followed, all that has ended: what a readiness check waits for.
    pub async fn ready(&self) {
        if let IssuerKeys::Remote(keys) = &self.0.keys {
            keys.ready().await;
        }
        if let Some(revocations) = &self.0.standing.revocations {
            revocations.ready().await;
        }
    }

    /// What is known of revocations; none if they are not followed.
    #[must_use]
    pub fn revocations(&self) -> Option<&Revocations> {
        self.0.standing.revocations.as_ref()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn told(&self) -> &SafeHooks {
        &self.0.told
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl VerifierBuilder {
    /// Fetches the issuer's keys here, and not where its metadata say: behind another name inside a cluster, for instance.
    pub fn jwks_uri(self, uri: impl Into<String>) -> Self {
        Self { jwks_uri: Some(uri.into()), ..self }
    }

    /// When keys are fetched, and for how long they count.
    pub fn refresh(self, refresh: FetchSettings) -> Self {
        Self { refresh, ..self }
    }

    /// How far the issuer's clock may be from this one. 5 s by default.
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// How many verified tokens are remembered, so that they cost no signature check again (about 700 bytes each). 10,000 by default;
    /// 0 remembers none.
    pub fn cache_size(self, tokens: usize) -> Self {
        Self { cache_size: tokens, ..self }
    }

    /// Takes tokens of `typ: JWT`, too, if they are meant for this service alone: where its audience asks Signet for them
    /// (`signet audiences update --token-typ JWT`). Off by default (RFC 8725 section 3.11).
    pub fn token_typ_jwt(self) -> Self {
        Self { token_typ_jwt: true, ..self }
    }

    /// Refuses within a second what was revoked: follows the stream of `signet`, as the client of `credential`, which has the scope
    /// `signet.events.watch` and the audiences of this service and of Signet (docs/EVENTS.md).
    pub fn follow_revocations(self, signet: Signet, credential: ClientCredential) -> Self {
        Self { watching: Some((signet, credential)), ..self }
    }

    /// For how long what was heard of revocations counts, when nothing more is. 30 s by default.
    pub fn revocation_max_age(self, max_age: Duration) -> Self {
        Self { revocation_max_age: max_age, ..self }
    }

    /// What is answered after that.
    pub fn when_stale(self, when_stale: WhenStale) -> Self {
        Self { when_stale, ..self }
    }

    /// How long after its token an open stream ends. 30 s by default.
    pub fn stream_grace(self, grace: Duration) -> Self {
        Self { stream_grace: grace, ..self }
    }

    /// Asks `signet` for the roles of a caller whose token had no room for them (`roles_omitted`), where a rule has `any_roles`: as the
    /// client of `credential`, which has the scope `introspect` and the audience of Signet.
    pub fn introspect(self, signet: Signet, credential: ClientCredential) -> Self {
        Self { introspecting: Some(Introspecting::Signet(Box::new((signet, credential)))), ..self }
    }

    /// The same, where something else answers: HTTP, or a cache of one's own. It is handed the token.
    pub fn introspect_by<F, R>(self, ask: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Introspected, tonic::Status>> + Send + 'static,
    {
        Self { introspecting: Some(Introspecting::By(Introspection::by(ask))), ..self }
    }

    /// What Signet calls itself in the tokens for its own RPCs (`--audience`). `signet` by default.
    pub fn signet_audience(self, audience: impl Into<String>) -> Self {
        Self { signet_audience: audience.into(), ..self }
    }

    /// Tells `hooks` what happens.
    pub fn hooks(self, hooks: Arc<dyn Hooks>) -> Self {
        Self { told: SafeHooks::by(hooks), ..self }
    }

    /// Takes the time from `time`, and spreads by `random`: for tests.
    pub fn time(self, time: Time, random: Random) -> Self {
        Self { time, random, ..self }
    }

    /// Begins to fetch keys and to follow revocations. Does not wait for them: calls that come before are answered when keys are there,
    /// and with `UNAVAILABLE` if that takes longer than 5 s, or before it is known what was revoked.
    ///
    /// # Errors
    /// [`VerifierError`], if this cannot ever work.
    pub fn start(self) -> Result<Verifier, VerifierError> {
        let revocations = self.watching.is_some().then(|| self.new_revocations());
        let remote = Arc::new(RemoteKeys::start(&self.issuer, self.jwks_uri.as_deref(), self.refresh)?);
        let mut tasks = vec![tell_fetches(Arc::clone(&remote), self.told.clone())];
        if let (Some((signet, credential)), Some(revocations)) = (&self.watching, &revocations) {
            let (channels, source) = (signet.connect()?, self.source(signet, credential, WATCH_SCOPE)?);
            let (time, random, told) = (self.time.clone(), self.random.clone(), self.told.clone());
            let following = follow(revocations.clone(), channels, source, time, random, told);
            tasks.push(tokio::spawn(following).abort_handle());
            tasks.push(refresh_keys(revocations, Arc::clone(&remote)));
        }
        self.with(IssuerKeys::Remote(remote), revocations, tasks)
    }

    /// The same with `keys`, and `revocations` that somebody else tells: nothing is asked of anybody.
    ///
    /// # Errors
    /// [`VerifierError`], if a setting breaks its rule.
    pub fn with_keys(self, keys: GivenKeys, is_followed: bool) -> Result<Verifier, VerifierError> {
        let revocations = is_followed.then(|| self.new_revocations());
        self.with(IssuerKeys::Given(keys), revocations, Vec::new())
    }

    fn new_revocations(&self) -> Revocations {
        Revocations::new(self.time.clone(), self.revocation_max_age, self.when_stale)
    }

    fn source(
        &self,
        signet: &Signet,
        credential: &ClientCredential,
        scope: &str,
    ) -> Result<TokenSource, ClientError> {
        TokenSource::builder(signet.clone(), credential.clone(), self.signet_audience.clone())
            .scopes([scope])
            .time(self.time.clone(), self.random.clone())
            .build()
    }

    fn with(
        self,
        keys: IssuerKeys,
        revocations: Option<Revocations>,
        tasks: Vec<AbortHandle>,
    ) -> Result<Verifier, VerifierError> {
        let audience = one_name(&self.audience)
            .map_err(|rule| RemoteKeysError::Setting { setting: "the audience", rule: rule.to_string() })?;
        let introspection = match &self.introspecting {
            None => None,
            Some(Introspecting::By(introspection)) => Some(introspection.clone()),
            Some(Introspecting::Signet(by)) => {
                let (signet, credential) = &**by;
                let source = self.source(signet, credential, INTROSPECT_SCOPE)?;
                Some(Introspection::by_signet(signet.connect()?, source))
            }
        };
        let settings = VerifierSettings {
            issuer: self.issuer,
            audience: audience.clone(),
            leeway: self.leeway,
            cache_size: self.cache_size,
            token_typ_jwt: if self.token_typ_jwt { JwtTyp::ForItself } else { JwtTyp::None },
        };
        let verifier = TokenVerifier::new(keys.clone(), self.time.clock().clone(), settings);
        let standing = TokenStanding { audience, revocations, introspection };
        let authenticator = Arc::new(Authenticator::new(Arc::new(verifier), standing.clone()));
        let (stream_grace, time, told) = (self.stream_grace, self.time, self.told);
        Ok(Verifier(Arc::new(Parts { keys, authenticator, standing, stream_grace, time, told, tasks })))
    }
}

/// Tells of each attempt to fetch keys, until they are fetched no more.
fn tell_fetches(keys: Arc<RemoteKeys>, told: SafeHooks) -> AbortHandle {
    let telling = async move {
        let mut number = 0;
        while let Some((ended, ok)) = keys.attempts_beyond(number).await {
            number = ended;
            told.tell(|hooks| hooks.keys_fetched(ok));
        }
    };
    tokio::spawn(telling).abort_handle()
}

/// Has the keys fetched whenever they are said to have changed.
fn refresh_keys(revocations: &Revocations, keys: Arc<RemoteKeys>) -> AbortHandle {
    let mut states = revocations.states();
    let refreshing = async move {
        let mut known = 0;
        while states.changed().await.is_ok() {
            let changed = states.borrow_and_update().keys_changed;
            if changed > known {
                known = changed;
                keys.refresh();
            }
        }
    };
    tokio::spawn(refreshing).abort_handle()
}
