//! Owns registered clients: what is known of them, who says to be one, and what is done to them by those who manage them.

mod assertion;
mod authentication;
mod change;
mod directory;
mod keys;
mod own_assertion;
mod registry;
mod secret;
mod slot;

use std::{sync::Arc, time::Duration};

use super::Guessing;
use crate::{
    audit::Audit,
    base::{Clock, Tally, Timestamp},
    changes::{Known, RowCache, Subscriber, Watermark},
    model::{Client, ClientId, Error, NameSet},
    store::{Change, ChangeKind, Store, Strangers},
};
use keys::ClientKeys;

/// The algorithms of clients' assertions.
pub use crate::jose::PUBLIC_KEY_ALGORITHMS as ASSERTION_ALGORITHMS;
pub use assertion::AssertionLeeway;
#[cfg(any(fuzzing, test))]
pub(crate) use assertion::fuzz as fuzz_assertion;
pub use authentication::{ClientAuthentication, ClientCredential, Proven, Requester};
pub use change::{ClientChange, NewSecret, SetChange};
pub(in crate::identity) use change::{changed, given};
pub use directory::{ClientDirectory, ClientFilter, ClientRef};
pub use keys::read_public_keys;
pub use own_assertion::ClientKey;
pub use registry::{ClientProof, ClientRegistry, CreatedClient, NewClient, RotatedSecret};
pub(super) use secret::random as random_secret;
pub use slot::ClientSlot;

/// The path of the token endpoint below the issuer (RFC 6749 section 3.2).
pub const TOKEN_ENDPOINT: &str = "/oauth2/token";

/// The clients of the service.
#[derive(Debug)]
pub struct Clients {
    store: Store,
    strangers: Strangers,
    guessing: Arc<Guessing>,
    clock: Clock,
    leeway: AssertionLeeway,
    /// The names by which an assertion may mean this service.
    audiences: [String; 2],
    known: RowCache<ClientId, RegisteredClient>,
    audit: Audit,
}

/// The parts by which clients are authenticated and remembered.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who issues the tokens: whom an assertion must be meant for.
    pub issuer: String,
    /// How far a client's clock may be from this one.
    pub leeway: AssertionLeeway,
    /// How many clients are remembered.
    pub cache_size: usize,
    /// For how long a client is remembered: how long a change by another process may stay unseen.
    pub cache_max_age: Duration,
}

/// A client, ready to be authenticated.
#[derive(Debug)]
pub struct RegisteredClient {
    client: Client,
    keys: ClientKeys,
}

impl RegisteredClient {
    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Clients {
    /// The clients in `store`; `audit` is told of those who are refused.
    #[must_use]
    pub fn new(
        store: Store,
        guessing: Arc<Guessing>,
        settings: ClientSettings,
        clock: Clock,
        watermark: Arc<Watermark>,
        audit: Audit,
    ) -> Self {
        let known = RowCache::new(settings.cache_size, settings.cache_max_age, clock.clone(), watermark);
        let endpoint = format!("{}{TOKEN_ENDPOINT}", settings.issuer.trim_end_matches('/'));
        // RFC 7523 section 3 lets the token endpoint's URL stand for the server, and many libraries send it; the issuer alone is what
        // its successor asks for. Neither means anybody else.
        let (strangers, audiences) = (store.for_strangers(), [settings.issuer, endpoint]);
        Self { store, strangers, guessing, clock, leeway: settings.leeway, audiences, known, audit }
    }

    /// How often a client was known, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.known.tally()
    }

    /// The client `id`, if it is there and enabled, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn active(&self, id: ClientId) -> Result<Option<Arc<RegisteredClient>>, Error> {
        let found = self.known_or(id, self.store.client(id)).await?;
        Ok(found.filter(|found| found.client.is_active))
    }

    /// The names of the claims about roles in tokens of the client `client_id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(super) async fn token_claims(&self, client_id: &str) -> Result<NameSet, Error> {
        let Some(id) = ClientId::parse(client_id) else { return Ok(NameSet::default()) };
        Ok(self.active(id).await?.map(|found| found.client.token_claims.clone()).unwrap_or_default())
    }

    /// The client that somebody says to be, who has not proven it.
    async fn named(&self, id: ClientId) -> Result<Option<Arc<RegisteredClient>>, Error> {
        self.known_or(id, self.strangers.client(id)).await
    }

    /// The client `id`, as it is remembered, or else as `read` finds it.
    async fn known_or(
        &self,
        id: ClientId,
        read: impl Future<Output = Result<Option<Client>, Error>>,
    ) -> Result<Option<Arc<RegisteredClient>>, Error> {
        if let Some(Known(known)) = self.known.get(id) {
            return Ok(known);
        }
        let reading = self.known.begin();
        let client = read.await?;
        let registered = client.map(RegisteredClient::try_from).transpose()?.map(Arc::new);
        self.known.put(id, registered.clone(), reading);
        Ok(registered)
    }

    /// Deletes what is remembered of assertions that had expired by `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.store.delete_expired_assertions(now).await
    }
}

impl Subscriber for Clients {
    fn hear(&self, change: &Change) {
        if change.concerns(ChangeKind::Client) {
            self.known.forget(ClientId(change.subject));
        }
    }

    fn forget_everything(&self) {
        self.known.forget_all();
    }
}

impl TryFrom<Client> for RegisteredClient {
    type Error = Error;

    fn try_from(client: Client) -> Result<Self, Error> {
        let keys = client.jwks.as_deref().map(ClientKeys::from_stored).transpose();
        let unreadable = |problem| Error::internal(format!("a key of the client {} {problem}", client.id));
        Ok(Self { keys: keys.map_err(unreadable)?.unwrap_or_default(), client })
    }
}
