//! Owns authenticating clients: whether who says to be one is.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    ClientSlot, Clients, RegisteredClient,
    assertion::{Assertion, AssertionRules, AssertionUse},
    secret,
};
use crate::{
    audit::{Event, Reason},
    model::{CertificateNames, Client, ClientId, ClientKind, Error, NameSet, Origin},
};

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
struct ClientRefusal {
    reason: Reason,
    client: Option<ClientId>,
}

/// Why nobody is proven to ask.
#[derive(Debug)]
enum Unproven {
    /// The client is refused.
    Refused(ClientRefusal),
    /// The credential could not be checked.
    Failed(Error),
}

/// Who asks for a token: a client that is enabled, and has proven who it is if it can. Who names none is the built-in one.
#[derive(Clone, Debug)]
pub struct Requester(Arc<RegisteredClient>);

/// Who asks for a token, and the proof that is still to be used up, if it is one that counts once. What else is asked for is judged
/// before [`Clients::accept`], so that a refusal leaves the proof good.
#[derive(Debug)]
#[must_use = "the proof has not been used up"]
pub struct Proven {
    requester: Requester,
    once: Option<AssertionUse>,
}

impl Proven {
    /// Who asks.
    #[must_use]
    pub const fn requester(&self) -> &Requester {
        &self.requester
    }
}

impl From<Requester> for Proven {
    fn from(requester: Requester) -> Self {
        Self { requester, once: None }
    }
}

impl RegisteredClient {
    const fn refused(&self, reason: Reason) -> ClientRefusal {
        ClientRefusal { reason, client: Some(self.client.id) }
    }

    fn must_be_active(&self) -> Result<(), ClientRefusal> {
        if self.client.is_active { Ok(()) } else { Err(self.refused(Reason::ClientDisabled)) }
    }
}

impl ClientRefusal {
    const fn unknown() -> Self {
        Self { reason: Reason::UnknownClient, client: None }
    }
}

impl From<ClientRefusal> for Unproven {
    fn from(refusal: ClientRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Unproven {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Requester {
    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The `client_id` that tokens carry.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.client().id.to_string()
    }

    /// The names of the claims about roles in its tokens.
    #[must_use]
    pub fn token_claims(&self) -> NameSet {
        self.client().token_claims.clone()
    }
}

impl Clients {
    /// Who asks, by what the request, which came from `origin`, says of its client, and by the certificate of who sent it. It is put into
    /// `slot`, too.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], whatever is wrong; [`Error::TooManyAttempts`] in its place if that comes too often from one address.
    pub async fn authenticate(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
        slot: &ClientSlot,
    ) -> Result<Requester, Error> {
        let proven = self.prove(said, certificate, origin, slot).await?;
        self.accept(proven, origin).await
    }

    /// The same, without using the proof up.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], whatever is wrong.
    pub async fn prove(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
        slot: &ClientSlot,
    ) -> Result<Proven, Error> {
        let proven = match said {
            Some(ClientAuthentication { client_id, credential }) => {
                self.proven_by(client_id.as_deref(), credential, certificate).await
            }
            None => self.built_in().await.map_err(Unproven::from),
        };
        proven.inspect(|proven| slot.put(proven.requester.client().id)).map_err(|unproven| match unproven {
            Unproven::Refused(refusal) => self.refuse(refusal, origin),
            Unproven::Failed(error) => error,
        })
    }

    /// The client that asks; its proof cannot be used again.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] if it was used up before.
    pub async fn accept(&self, proven: Proven, origin: &Origin) -> Result<Requester, Error> {
        let Proven { requester, once } = proven;
        if let Some(once) = once
            && !self.store.use_assertion(once.hash, once.expire_time).await?
        {
            note("it was used before");
            return Err(self.refuse(requester.0.refused(Reason::ReplayedAssertion), origin));
        }
        Ok(requester)
    }

    /// Tells the audit log why, and the caller that it is not accepted.
    fn refuse(&self, ClientRefusal { reason, client }: ClientRefusal, origin: &Origin) -> Error {
        let refused = Event::ClientRefused.refused(reason).origin(origin);
        self.audit.record(match client {
            Some(id) => refused.client(id.to_string()),
            None => refused,
        });
        self.guessing.secret_failed(origin).err().unwrap_or(Error::InvalidClient)
    }

    /// Who asks where only a registered client may. What says nothing of its client is then the client of its certificate's SPIFFE
    /// ID, if there is a certificate.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_registered(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
        slot: &ClientSlot,
    ) -> Result<Requester, Error> {
        let proven = self.prove_registered(said, certificate, origin, slot).await?;
        self.accept(proven, origin).await
    }

    /// The same, without using the proof up.
    ///
    /// # Errors
    /// [`Error::InvalidClient`], whatever is wrong.
    pub async fn prove_registered(
        &self,
        said: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
        slot: &ClientSlot,
    ) -> Result<Proven, Error> {
        let said = said.or_else(|| certificate.map(|_| ClientAuthentication::default()));
        self.prove(said, certificate, origin, slot).await
    }

    /// The one who names no client.
    async fn built_in(&self) -> Result<Proven, Error> {
        let found = self.named(ClientId::BUILT_IN).await?;
        Ok(Requester(found.ok_or_else(|| Error::internal("the built-in client is always there"))?).into())
    }

    /// The client that `credential` proves, or `certificate`, or that has none to prove itself by.
    async fn proven_by(
        &self,
        named: Option<&str>,
        credential: ClientCredential,
        certificate: Option<&CertificateNames>,
    ) -> Result<Proven, Unproven> {
        let id = match (named, &credential) {
            (Some(named), _) => ClientId::parse(named),
            (None, ClientCredential::None) => self.of_certificate(certificate).await?,
            (None, _) => None,
        };
        if let ClientCredential::Assertion(text) = credential {
            return self.assert(named.is_some(), id, &text).await;
        }
        let found = match id {
            Some(id) => self.named(id).await?,
            None => None,
        };
        let found = found.ok_or_else(ClientRefusal::unknown)?;
        let proven = match &credential {
            ClientCredential::None if found.client.kind == ClientKind::Confidential => {
                self.check_certificate(&found.client, certificate)
            }
            ClientCredential::Secret(shown) if !secret::is_of(&found.client, &secret::hash(shown)) => {
                Err(Reason::WrongSecret)
            }
            _ => Ok(()),
        };
        proven.map_err(|reason| found.refused(reason))?;
        found.must_be_active()?;
        Ok(Requester(found).into())
    }

    /// The client that is registered by the SPIFFE ID of `certificate`.
    async fn of_certificate(
        &self,
        certificate: Option<&CertificateNames>,
    ) -> Result<Option<ClientId>, Error> {
        match certificate.and_then(CertificateNames::spiffe_id) {
            Some(id) => self.strangers.client_of_spiffe_id(&id).await,
            None => Ok(None),
        }
    }

    /// Whether `certificate` stands for `client` (RFC 8705 section 2.1).
    fn check_certificate(
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
    async fn assert(&self, is_named: bool, named: Option<ClientId>, text: &str) -> Result<Proven, Unproven> {
        let assertion = Assertion::parse(text).map_err(|why| {
            note(why);
            ClientRefusal { reason: Reason::BadAssertion, client: None }
        })?;
        let id = assertion.client_id().ok_or_else(ClientRefusal::unknown)?;
        let found = self.named(id).await?.ok_or_else(ClientRefusal::unknown)?;
        let rules = AssertionRules { audiences: &self.audiences, leeway: self.leeway, now: self.clock.now() };
        let once = if is_named && named != Some(id) {
            Err("the request names another client")
        } else if found.client.kind != ClientKind::Confidential {
            Err("the client is a public one")
        } else {
            assertion.verify(&found.keys, &rules)
        };
        let once = once.map_err(|why| {
            note(why);
            found.refused(Reason::BadAssertion)
        })?;
        found.must_be_active()?;
        Ok(Proven { requester: Requester(found), once: Some(once) })
    }
}

/// Tells why an assertion was refused: the caller is not told, and whoever sets a client up needs to know.
fn note(why: &str) {
    tracing::debug!(why, "a client's assertion was refused");
}
