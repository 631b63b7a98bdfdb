//! Owns registered clients: making them, and judging who says to be one.

mod assertion;
mod keys;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{constant_time, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use rand::Rng;
use zeroize::Zeroizing;

use super::{
    followed::Followed,
    read_cache::{Known, ReadCache},
};
use crate::{
    audit::{Audit, Event, Reason},
    model::{
        CertificateNames, CertificateSubject, Client, ClientId, ClientKind, ClientName, Clock, Error,
        NameSet, Origin, Tally, claims::FIRST_PARTY_CLIENT, error,
    },
    store::{ClientTaken, Store},
};
use assertion::{Assertion, AssertionRules};
use keys::ClientKeys;

pub use keys::{ASSERTION_ALGORITHMS, read_public_keys};

/// Where the token endpoint is, below the issuer (RFC 6749 section 3.2).
pub const TOKEN_ENDPOINT: &str = "/oauth2/token";

/// The clients of the service.
#[derive(Debug)]
pub struct Clients {
    store: Store,
    clock: Clock,
    leeway: Duration,
    /// The names by which an assertion may mean this service.
    audiences: [String; 2],
    known: ReadCache<ClientId, RegisteredClient>,
    audit: Audit,
}

/// What clients are judged and remembered by.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who issues the tokens: whom an assertion must be meant for.
    pub issuer: String,
    /// How far a client's clock may be from this one.
    pub leeway: Duration,
    /// How many clients are remembered.
    pub cache_size: usize,
    /// For how long a client is remembered: how long a change by another process may stay unseen.
    pub cache_max_age: Duration,
}

/// A client, ready to be judged.
#[derive(Debug)]
pub struct RegisteredClient {
    client: Client,
    keys: ClientKeys,
}

/// What the operator says of a new client.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What the operator calls it.
    pub name: ClientName,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// The scopes that it may ask for.
    pub scopes: NameSet,
    /// Whom its tokens may be meant for; none stand for the service's own audience.
    pub audiences: NameSet,
    /// Its public keys, as [`read_public_keys`] returned them.
    pub jwks: Option<String>,
    /// Whose certificate stands for it. A confidential client with neither this nor public keys gets a secret.
    pub certificate: Option<CertificateSubject>,
}

/// What a request says of its client (RFC 6749 section 2.3). Nothing at all, where a client must be told: whose SPIFFE ID its
/// certificate has.
#[derive(Debug, Default)]
pub struct ClientAuthentication {
    /// The `client_id`, if it was said.
    pub client_id: Option<String>,
    /// The proof.
    pub credential: ClientCredential,
}

/// How a client proves, in its request, that it is the one it says to be.
#[derive(Debug, Default)]
pub enum ClientCredential {
    /// Not at all: a public client, or one whose certificate stands for it.
    #[default]
    None,
    /// By its secret.
    Secret(Zeroizing<String>),
    /// By a JWT that it has signed (RFC 7523).
    Assertion(String),
}

/// Why a client is refused, and which, if there is one. Whoever says to be it is told neither.
#[derive(Debug)]
struct Refusal {
    reason: Reason,
    client: Option<ClientId>,
}

/// Who asks for a token.
#[derive(Clone, Debug)]
pub enum Requester {
    /// The service's own first-party application.
    FirstParty,
    /// A registered client that is enabled, and has proven who it is if it can.
    Client(Arc<RegisteredClient>),
}

impl RegisteredClient {
    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    const fn refused(&self, reason: Reason) -> Refusal {
        Refusal { reason, client: Some(self.client.id) }
    }
}

impl Refusal {
    const fn unknown() -> Self {
        Self { reason: Reason::UnknownClient, client: None }
    }
}

impl Requester {
    /// The `client_id` that tokens carry.
    #[must_use]
    pub fn client_id(&self) -> String {
        match self {
            Self::FirstParty => FIRST_PARTY_CLIENT.to_owned(),
            Self::Client(registered) => registered.client.id.to_string(),
        }
    }
}

impl Requester {
    /// Whether this is a client that has proven who it is, and may have `scope`.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] for who has proven nothing, [`Error::InsufficientScope`].
    pub fn prove_scope(&self, scope: &str) -> Result<(), Error> {
        match self {
            Self::Client(found) if found.client.kind == ClientKind::Confidential => {
                if found.client.scopes.contains(scope) {
                    Ok(())
                } else {
                    Err(Error::InsufficientScope(scope.to_owned()))
                }
            }
            _ => Err(Error::InvalidClient),
        }
    }
}

impl Clients {
    /// The clients in `store`; `audit` is told of those who are refused, and of what an operator does.
    #[must_use]
    pub fn new(
        store: Store,
        settings: ClientSettings,
        clock: Clock,
        followed: Arc<Followed>,
        audit: Audit,
    ) -> Self {
        let known = ReadCache::new(settings.cache_size, settings.cache_max_age, clock.clone(), followed);
        let endpoint = format!("{}{TOKEN_ENDPOINT}", settings.issuer.trim_end_matches('/'));
        // RFC 7523 section 3 lets the token endpoint's URL stand for the server, and many libraries send it; the issuer alone is what
        // its successor asks for. Neither means anybody else.
        Self { store, clock, leeway: settings.leeway, audiences: [settings.issuer, endpoint], known, audit }
    }

    /// Registers a client, and returns it with its secret if it has one; or what of it another client has.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn register(
        &self,
        new: NewClient,
    ) -> Result<Result<(Client, Option<Zeroizing<String>>), ClientTaken>, Error> {
        let now = self.clock.now();
        let has_proof = new.jwks.is_some() || new.certificate.is_some();
        let secret = (new.kind == ClientKind::Confidential && !has_proof).then(random_secret);
        let client = Client {
            id: ClientId::new(now, &mut rand::rng()),
            name: new.name,
            kind: new.kind,
            scopes: new.scopes,
            audiences: new.audiences,
            secrets: secret.iter().map(|secret| hash(secret)).collect(),
            jwks: new.jwks,
            certificate: new.certificate,
            is_active: true,
            create_time: now,
            update_time: now,
        };
        let created = Event::ClientCreated.done().by_operator().client(client.id.to_string());
        let pending = self.audit.begin(created);
        let added = self.store.add_client(&client).await?;
        pending.done_if(added.is_ok());
        Ok(added.map(|()| (client, secret)))
    }

    /// Makes a new secret for the confidential client `id`. The one before it stays valid, unless `end_older`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn rotate_secret(&self, id: ClientId, end_older: bool) -> Result<Zeroizing<String>, Error> {
        let secret = random_secret();
        let rotated = Event::ClientSecretRotated.done().by_operator().client(id.to_string());
        let pending = self.audit.begin(rotated);
        // None to be found any more: another command deleted it at the same time.
        pending
            .done_if(self.store.rotate_client_secret(id, hash(&secret), end_older, self.clock.now()).await?);
        self.known.forget(id);
        Ok(secret)
    }

    /// Who asks, by what the request, which came from `origin`, says of its client, and by the certificate of who sent it.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], whatever is wrong.
    pub async fn authenticate(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
    ) -> Result<Requester, Error> {
        let Some(ClientAuthentication { client_id, credential }) = said else {
            return Ok(Requester::FirstParty);
        };
        if matches!(credential, ClientCredential::None) && client_id.as_deref() == Some(FIRST_PARTY_CLIENT) {
            return Ok(Requester::FirstParty);
        }
        match self.judge(client_id.as_deref(), credential, certificate).await? {
            Ok(found) => Ok(Requester::Client(found)),
            Err(Refusal { reason, client }) => {
                let refused = Event::ClientRefused.refused(reason).origin(origin);
                self.audit.record(match client {
                    Some(id) => refused.client(id.to_string()),
                    None => refused,
                });
                Err(Error::InvalidClient)
            }
        }
    }

    /// Who asks where only a registered client may. What says nothing of its client is then the client of its certificate's SPIFFE
    /// ID, if there is a certificate.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], whatever is wrong.
    pub async fn authenticate_registered(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
    ) -> Result<Requester, Error> {
        let said = said.or_else(|| certificate.map(|_| ClientAuthentication::default()));
        self.authenticate(said, certificate, origin).await
    }

    /// The client that `credential` proves, or `certificate`, or that has none to prove itself by.
    async fn judge(
        &self,
        named: Option<&str>,
        credential: ClientCredential,
        certificate: Option<&CertificateNames>,
    ) -> Result<Result<Arc<RegisteredClient>, Refusal>, Error> {
        let id = match (named, &credential) {
            (Some(named), _) => ClientId::parse(named),
            (None, ClientCredential::None) => self.of_certificate(certificate).await?,
            (None, _) => None,
        };
        if let ClientCredential::Assertion(text) = credential {
            return self.assert(named.is_some(), id, &text).await;
        }
        let found = match id {
            Some(id) => self.find(id).await?,
            None => None,
        };
        let Some(found) = found else { return Ok(Err(Refusal::unknown())) };
        let proven = match &credential {
            ClientCredential::None if found.client.kind == ClientKind::Confidential => {
                self.judge_certificate(&found.client, certificate)
            }
            ClientCredential::Secret(secret) if !has_secret(&found.client, &hash(secret)) => {
                Err(Reason::WrongSecret)
            }
            _ => Ok(()),
        };
        Ok(match proven {
            Ok(()) if found.client.is_active => Ok(found),
            Ok(()) => Err(found.refused(Reason::ClientDisabled)),
            Err(reason) => Err(found.refused(reason)),
        })
    }

    /// The client that is registered by the SPIFFE ID of `certificate`.
    async fn of_certificate(
        &self,
        certificate: Option<&CertificateNames>,
    ) -> Result<Option<ClientId>, Error> {
        match certificate.and_then(CertificateNames::spiffe_id) {
            Some(id) => self.store.client_of_spiffe_id(&id).await,
            None => Ok(None),
        }
    }

    /// Whether `certificate` stands for `client` (RFC 8705 section 2.1).
    fn judge_certificate(
        &self,
        client: &Client,
        certificate: Option<&CertificateNames>,
    ) -> Result<(), Reason> {
        match (&client.certificate, certificate) {
            (Some(subject), Some(shown)) if shown.is_of(subject) && !shown.has_expired(self.clock.now()) => {
                Ok(())
            }
            (Some(_), Some(_)) => Err(Reason::WrongCertificate),
            (None, _) | (_, None) => Err(Reason::MissingProof),
        }
    }

    /// The client that the assertion `text` proves; a request that also names one must name the same.
    async fn assert(
        &self,
        is_named: bool,
        named: Option<ClientId>,
        text: &str,
    ) -> Result<Result<Arc<RegisteredClient>, Refusal>, Error> {
        // The caller is told nothing; whoever sets a client up needs to know.
        let note = |why: &str| tracing::debug!(why, "a client's assertion was refused");
        let assertion = match Assertion::parse(text) {
            Ok(assertion) => assertion,
            Err(why) => {
                note(why);
                return Ok(Err(Refusal { reason: Reason::BadAssertion, client: None }));
            }
        };
        let Some(id) = assertion.client_id() else { return Ok(Err(Refusal::unknown())) };
        let Some(found) = self.find(id).await? else { return Ok(Err(Refusal::unknown())) };
        let rules = AssertionRules { audiences: &self.audiences, leeway: self.leeway, now: self.clock.now() };
        let once = if is_named && named != Some(id) {
            Err("the request names another client")
        } else if found.client.kind != ClientKind::Confidential {
            Err("the client is a public one")
        } else {
            assertion.verify(&found.keys, &rules)
        };
        let once = match once {
            Ok(once) => once,
            Err(why) => {
                note(why);
                return Ok(Err(found.refused(Reason::BadAssertion)));
            }
        };
        Ok(if !found.client.is_active {
            Err(found.refused(Reason::ClientDisabled))
        } else if !self.store.use_assertion(once.hash, once.expire_time).await? {
            note("it was used before");
            Err(found.refused(Reason::ReplayedAssertion))
        } else {
            Ok(found)
        })
    }

    /// How often a client was known, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.known.tally()
    }

    /// Whether the client `id` is there and enabled, as it was at most the bound of the cache ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn is_active(&self, id: ClientId) -> Result<bool, Error> {
        Ok(self.find(id).await?.is_some_and(|found| found.client.is_active))
    }

    async fn find(&self, id: ClientId) -> Result<Option<Arc<RegisteredClient>>, Error> {
        if let Some(Known(known)) = self.known.get(id) {
            return Ok(known);
        }
        let reading = self.known.begin();
        let client = self.store.client(id).await?;
        let registered = client.map(RegisteredClient::try_from).transpose()?.map(Arc::new);
        self.known.put(id, registered.clone(), reading);
        Ok(registered)
    }

    /// Forgets the client `id`, which was changed in the database.
    pub(super) fn forget(&self, id: ClientId) {
        self.known.forget(id);
    }

    /// Forgets every client.
    pub(super) fn forget_all(&self) {
        self.known.forget_all();
    }

    /// Deletes what is remembered of assertions that have expired, every `interval`, until it is dropped.
    pub async fn sweep(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            if let Err(error) = self.store.delete_expired_assertions(self.clock.now()).await {
                tracing::warn!(error = %error::chain(&error), "expired assertions stay for now");
            }
        }
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

/// 256 random bits in base64url.
fn random_secret() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(bytes.as_mut_slice());
    Zeroizing::new(Base64UrlUnpadded::encode_string(bytes.as_slice()))
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

fn has_secret(client: &Client, hash: &[u8; 32]) -> bool {
    let matches = |valid: &[u8; 32]| constant_time::verify_slices_are_equal(valid, hash).is_ok();
    client.kind == ClientKind::Confidential && client.secrets.iter().any(matches)
}
