//! Owns what another service protects itself with: callers recognised by the tokens of one issuer.

use std::{sync::Arc, time::Duration};

use super::{
    AuthLayer, Authenticator, FetchSettings, JwtTyp, Policy, RemoteKeys, RemoteKeysError, Standing, Stands,
    Verifier, VerifierSettings,
};
use crate::{
    base::Clock,
    errors::FailureLog,
    model::{Claims, Error, name_set::one_name},
};

/// Whose tokens a service accepts, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResourceServerSettings {
    /// The one issuer that is trusted: the value of `iss` in its tokens (`--issuer` of Signet).
    pub issuer: String,
    /// Whom a token must be meant for (`aud`): the name of this service. Tokens for another are refused.
    pub audience: String,
    /// Where the issuer's keys are, if not where its metadata say: behind another name inside a cluster, for instance.
    pub jwks_uri: Option<String>,
    /// When the keys are fetched, and for how long they count.
    pub refresh: FetchSettings,
    /// How far the issuer's clock may be from this one: `exp` and `nbf` are checked with this allowance. 5 s by default.
    pub leeway: Duration,
    /// How many verified tokens are remembered, so that they cost no signature check again (about 700 bytes each). 10,000 by default.
    pub cache_size: usize,
    /// Whether tokens of `typ: JWT` are taken, too, if they are meant for this service alone: where its audience asks Signet for them
    /// (`signet audiences update --token-typ JWT`). Off by default (RFC 8725 section 3.11).
    pub token_typ_jwt: bool,
}

impl ResourceServerSettings {
    /// Accept the tokens of `issuer` that are meant for `audience`.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_uri: None,
            refresh: FetchSettings::default(),
            leeway: Duration::from_secs(5),
            cache_size: 10_000,
            token_typ_jwt: false,
        }
    }
}

/// A service that accepts access tokens (RFC 6749 section 1.1), as far as recognising callers goes. Clones share everything.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    keys: Arc<RemoteKeys>,
    authenticator: Arc<Authenticator<Arc<RemoteKeys>, UntilExpiry>>,
}

/// Every genuine token counts until it expires: an ended session, a disabled user or a deleted client is noticed when the token is
/// not renewed. Where it must count at once, ask Signet: `TokenService/IntrospectToken`, or `ext_authz` in the sidecar.
#[derive(Clone, Copy, Debug, Default)]
pub struct UntilExpiry;

impl Standing for UntilExpiry {
    type Found = ();

    async fn check(&self, _claims: &Claims) -> Result<Stands<()>, Error> {
        Ok(Stands::whole(None))
    }
}

impl ResourceServer {
    /// Begins to fetch the issuer's keys. Does not wait for them: calls that come before are answered when they are there, or with
    /// `UNAVAILABLE` if the issuer does not answer.
    ///
    /// # Errors
    /// [`RemoteKeysError`], if this cannot ever work: a setting breaks its rule, or there is no runtime of tokio.
    pub fn start(settings: ResourceServerSettings) -> Result<Self, RemoteKeysError> {
        let ResourceServerSettings { issuer, audience, jwks_uri, refresh, leeway, cache_size, token_typ_jwt } =
            settings;
        let audience = one_name(&audience)
            .map_err(|rule| RemoteKeysError::Setting { setting: "the audience", rule: rule.to_string() })?;
        let keys = Arc::new(RemoteKeys::start(&issuer, jwks_uri.as_deref(), refresh)?);
        let token_typ_jwt = if token_typ_jwt { JwtTyp::ForItself } else { JwtTyp::None };
        let settings = VerifierSettings { issuer, audience, leeway, cache_size, token_typ_jwt };
        let verifier = Arc::new(Verifier::new(Arc::clone(&keys), Clock::system(), settings));
        let authenticator = Arc::new(Authenticator::new(verifier, UntilExpiry));
        Ok(Self { keys, authenticator })
    }

    /// The layer that lets a call through to the service behind it only where `policy` says so, with its
    /// [`Caller`](super::Caller) in the request's extensions.
    #[must_use]
    pub fn protect(&self, policy: Policy) -> AuthLayer<Arc<RemoteKeys>, UntilExpiry> {
        let failures = FailureLog::new("protected", Clock::system());
        AuthLayer::telling(policy, Arc::clone(&self.authenticator), failures, None)
    }

    /// What recognises callers, for what is no gRPC service.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator<Arc<RemoteKeys>, UntilExpiry> {
        &self.authenticator
    }

    /// Returns when the issuer's keys are known: what a readiness check waits for.
    pub async fn ready(&self) {
        self.keys.ready().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_starts_without_an_issuer_and_an_audience() {
        for (issuer, audience, setting) in [
            ("https://id.example", "", "the audience"),
            ("https://id.example", "stock orders", "the audience"),
            ("", "stock", "the issuer"),
            ("stock", "https://id.example", "the issuer"),
        ] {
            let problem = ResourceServer::start(ResourceServerSettings::new(issuer, audience)).unwrap_err();
            assert!(problem.to_string().starts_with(setting), "{issuer} {audience}: {problem}");
        }
        assert!(ResourceServer::start(ResourceServerSettings::new("http://127.0.0.1:1", "stock")).is_ok());
    }
}
