//! Owns what is asked of a token that is genuine and in time: whether it still stands, and which roles it had no room for.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use signet::auth::{Claims, Error, KeySet, Keys, RemoteKeys, Standing, Stands, VerifyingKey};
use signet::model::TokenTyp;

use crate::{introspection::Introspection, revocations::Revocations};

/// Whether tokens for one service still stand.
#[derive(Clone, Debug)]
pub struct TokenStanding {
    pub(crate) audience: String,
    pub(crate) revocations: Option<Revocations>,
    pub(crate) introspection: Option<Introspection>,
}

impl Standing for TokenStanding {
    type Found = ();

    fn check(&self, claims: &Claims) -> impl Future<Output = Result<Stands<()>, Error>> + Send {
        std::future::ready(self.stands(claims).map(|()| Stands::whole(None)))
    }

    async fn roles(&self, token: &str, _claims: &Claims) -> Result<Vec<String>, Error> {
        match &self.introspection {
            Some(introspection) => introspection.roles(token).await,
            None => Err(Error::Unavailable {
                what: "roles of the caller",
                source: "the token had no room for them, and the verifier may not introspect it".into(),
            }),
        }
    }
}

impl TokenStanding {
    pub(crate) fn stands(&self, claims: &Claims) -> Result<(), Error> {
        // Such a token counts here alone: for another audience, which a rule names, somebody else answers.
        if claims.typ == TokenTyp::Jwt && !claims.aud.contains(&self.audience) {
            return Err(Error::TokenInvalid("its `typ` is not `at+jwt`"));
        }
        self.revocations.as_ref().map_or(Ok(()), |revocations| revocations.check(claims))
    }
}

/// The keys of an issuer: fetched from it, or given by hand, as the test issuer does.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    /// Fetched, and kept fresh.
    Remote(Arc<RemoteKeys>),
    /// Given.
    Given(GivenKeys),
}

/// Keys that are given by hand. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct GivenKeys(Arc<RwLock<Arc<KeySet>>>);

impl GivenKeys {
    /// These keys. One that stays must stay the same `Arc`.
    pub fn of(keys: impl IntoIterator<Item = Arc<VerifyingKey>>) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(keys.into_iter().collect()))))
    }

    /// Puts others in their place.
    pub fn replace(&self, keys: impl IntoIterator<Item = Arc<VerifyingKey>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys.into_iter().collect());
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys for IssuerKeys {
    async fn current(&self, caller: Option<IpAddr>) -> Result<Arc<KeySet>, Error> {
        match self {
            Self::Remote(keys) => keys.current(caller).await,
            Self::Given(keys) => Ok(keys.current()),
        }
    }

    fn last_known(&self) -> Arc<KeySet> {
        match self {
            Self::Remote(keys) => keys.last_known(),
            Self::Given(keys) => keys.current(),
        }
    }

    async fn find(&self, kid: &str, caller: Option<IpAddr>) -> Result<Option<Arc<VerifyingKey>>, Error> {
        match self {
            Self::Remote(keys) => keys.find(kid, caller).await,
            Self::Given(_) => Ok(None),
        }
    }
}
