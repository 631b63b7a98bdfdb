//! Owns registering clients, and what the operator does to them afterwards: the rules are held and each act is recorded here.

use zeroize::Zeroizing;

use super::secret;
use crate::{
    audit::{Audit, Event},
    model::{CertificateSubject, Client, ClientId, ClientKind, ClientName, Clock, Error, NameSet},
    store::{ClientTaken, ClientWriteError, Store},
};

/// The clients in the operator's hands.
#[derive(Debug)]
pub struct ClientRegistry {
    store: Store,
    clock: Clock,
    audit: Audit,
}

/// What the operator says of a new client.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What the operator calls it.
    pub name: ClientName,
    /// The scopes that it may ask for.
    pub scopes: NameSet,
    /// Whom its tokens may be meant for; none stand for the service's own audience.
    pub audiences: NameSet,
    /// What it proves by that it is the one it says to be. A client that proves nothing is a public one.
    pub proof: Option<ClientProof>,
    /// Whether it may tell the addresses of the users for whom it asks. For a confidential client alone.
    pub may_claim_address: bool,
}

/// What a new client proves by that it is the one it says to be.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// A secret, which is made for it.
    Secret,
    /// Public keys, as [`read_public_keys`](super::read_public_keys) returned them.
    Keys(String),
    /// A certificate that was issued to this subject.
    Certificate(CertificateSubject),
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such client.
    #[error("there is no client `{0}`")]
    NoSuchClient(ClientId),
    /// A public client proves nothing.
    #[error("`{}` is a public client: it has no secret, no public keys and no certificate", .0.as_str())]
    PublicClient(ClientName),
    /// A public client may not tell its users' addresses.
    #[error("`{}` is a public client: it proves nothing, so it may not tell its users' addresses", .0.as_str())]
    PublicClaims(ClientName),
    /// Another client has what may be had but once.
    #[error(transparent)]
    Taken(#[from] ClientTaken),
    /// The database.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<ClientWriteError> for RegistryError {
    fn from(error: ClientWriteError) -> Self {
        match error {
            ClientWriteError::Taken(taken) => Self::Taken(taken),
            ClientWriteError::Failed(error) => Self::Failed(error),
        }
    }
}

impl ClientRegistry {
    /// The clients in `store`; `audit` is told of each act.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { store, clock, audit }
    }

    /// Registers a client, and returns it with its secret if it has one.
    ///
    /// # Errors
    /// [`RegistryError::Taken`], [`RegistryError::Failed`].
    pub async fn register(
        &self,
        new: NewClient,
    ) -> Result<(Client, Option<Zeroizing<String>>), RegistryError> {
        let now = self.clock.now();
        let mut client = Client {
            id: ClientId::new(now, &mut rand::rng()),
            name: new.name,
            kind: if new.proof.is_some() { ClientKind::Confidential } else { ClientKind::Public },
            scopes: new.scopes,
            audiences: new.audiences,
            secrets: Vec::new(),
            jwks: None,
            certificate: None,
            may_claim_address: new.may_claim_address && new.proof.is_some(),
            is_active: true,
            create_time: now,
            update_time: now,
        };
        let mut secret = None;
        match new.proof {
            Some(ClientProof::Secret) => {
                let made = secret.insert(secret::random());
                client.secrets.push(secret::hash(made));
            }
            Some(ClientProof::Keys(jwks)) => client.jwks = Some(jwks),
            Some(ClientProof::Certificate(subject)) => client.certificate = Some(subject),
            None => {}
        }
        let created = Event::ClientCreated.done().by_operator().client(client.id.to_string());
        let pending = self.audit.begin(created);
        let added = self.store.add_client(&client).await;
        match &added {
            Ok(()) => pending.done(),
            Err(ClientWriteError::Taken(_)) => pending.dismiss(),
            Err(ClientWriteError::Failed(error)) => pending.settle(Some(error)),
        }
        added?;
        Ok((client, secret))
    }

    /// Makes a new secret for the client `id`, and returns both. The one before it stays valid, unless `end_older`.
    ///
    /// # Errors
    /// [`RegistryError`], but for [`RegistryError::Taken`].
    pub async fn rotate_secret(
        &self,
        id: ClientId,
        end_older: bool,
    ) -> Result<(Client, Zeroizing<String>), RegistryError> {
        self.must_be_confidential(id).await?;
        let secret = secret::random();
        let hash = secret::hash(&secret);
        let rotated = self.store.rotate_client_secret(id, hash, end_older, self.clock.now());
        self.act(Event::ClientSecretRotated, id, rotated).await?;
        Ok((self.find(id).await?, secret))
    }

    /// Replaces the public keys of the client `id` by `jwks`, which [`read_public_keys`](super::read_public_keys) returned.
    ///
    /// # Errors
    /// [`RegistryError`], but for [`RegistryError::Taken`].
    pub async fn set_keys(&self, id: ClientId, jwks: String) -> Result<Client, RegistryError> {
        self.must_be_confidential(id).await?;
        let set = self.store.set_client_keys(id, jwks, self.clock.now());
        self.act(Event::ClientKeysReplaced, id, set).await?;
        self.find(id).await
    }

    /// Replaces whose certificate stands for the client `id`: nobody's, if there is no `subject`.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn set_certificate(
        &self,
        id: ClientId,
        subject: Option<&CertificateSubject>,
    ) -> Result<Client, RegistryError> {
        self.must_be_confidential(id).await?;
        let set = self.store.set_client_certificate(id, subject, self.clock.now());
        self.act(Event::ClientCertificateReplaced, id, set).await?;
        self.find(id).await
    }

    /// Lets the client `id` tell the addresses of its users, or no longer.
    ///
    /// # Errors
    /// [`RegistryError`], but for [`RegistryError::Taken`].
    pub async fn set_may_claim_address(&self, id: ClientId, may: bool) -> Result<Client, RegistryError> {
        let client = self.find(id).await?;
        if client.kind == ClientKind::Public {
            return Err(RegistryError::PublicClaims(client.name));
        }
        let event = if may { Event::ClientAddressClaimsAllowed } else { Event::ClientAddressClaimsForbidden };
        self.record(event, id, self.store.set_client_may_claim_address(id, may, self.clock.now())).await?;
        self.find(id).await
    }

    /// Enables or disables the client `id`.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchClient`], [`RegistryError::Failed`].
    pub async fn set_active(&self, id: ClientId, is_active: bool) -> Result<Client, RegistryError> {
        let event = if is_active { Event::ClientEnabled } else { Event::ClientDisabled };
        self.record(event, id, self.store.set_client_active(id, is_active, self.clock.now())).await?;
        self.find(id).await
    }

    /// Deletes the client `id`, and the sessions that were opened with it.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchClient`], [`RegistryError::Failed`].
    pub async fn delete(&self, id: ClientId) -> Result<(), RegistryError> {
        self.act(Event::ClientDeleted, id, self.store.delete_client(id, self.clock.now())).await
    }

    /// Does to the client `id` what `done` does, which says whether there is such a client, and records it as `event`.
    async fn act<E>(
        &self,
        event: Event,
        id: ClientId,
        done: impl Future<Output = Result<bool, E>>,
    ) -> Result<(), RegistryError>
    where
        RegistryError: From<E>,
    {
        if self.record(event, id, done).await? { Ok(()) } else { Err(RegistryError::NoSuchClient(id)) }
    }

    /// Does to the client `id` what `done` does, which says whether that changed anything, and if so records it as `event`.
    async fn record<E>(
        &self,
        event: Event,
        id: ClientId,
        done: impl Future<Output = Result<bool, E>>,
    ) -> Result<bool, RegistryError>
    where
        RegistryError: From<E>,
    {
        let pending = self.audit.begin(event.done().by_operator().client(id.to_string()));
        let done = done.await.map_err(RegistryError::from);
        match &done {
            Ok(is_changed) => pending.done_if(*is_changed),
            Err(RegistryError::Failed(error)) => pending.settle(Some(error)),
            Err(_) => pending.dismiss(),
        }
        done
    }

    async fn must_be_confidential(&self, id: ClientId) -> Result<(), RegistryError> {
        let client = self.find(id).await?;
        match client.kind {
            ClientKind::Confidential => Ok(()),
            ClientKind::Public => Err(RegistryError::PublicClient(client.name)),
        }
    }

    async fn find(&self, id: ClientId) -> Result<Client, RegistryError> {
        self.store.client(id).await?.ok_or(RegistryError::NoSuchClient(id))
    }
}
