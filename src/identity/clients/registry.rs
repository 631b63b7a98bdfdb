//! Owns registering clients, and what is done to them afterwards by those who manage them: the rules are held here, and each act is
//! recorded, with who did it.

use zeroize::Zeroizing;

use super::{
    ClientDirectory, ClientRef,
    change::{self, ClientChange},
    secret,
};
use crate::{
    audit::{Audit, Event},
    base::Clock,
    identity::{Administrator, administrator::NO_FIELDS, permissions},
    model::{AudienceName, CertificateSubject, Client, ClientId, ClientKind, ClientName, Error, NameSet},
    store::{Applied, Store, client_differences},
};

/// The clients in the hands of those who manage them.
#[derive(Debug)]
pub struct ClientRegistry {
    directory: ClientDirectory,
    store: Store,
    clock: Clock,
    audit: Audit,
    /// The service's own audience.
    own: NameSet,
}

/// The fields of a new client.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its name.
    pub name: ClientName,
    /// The scopes that it may ask for.
    pub scopes: NameSet,
    /// The audiences that its tokens may have; none stand for the service's own one.
    pub audiences: NameSet,
    /// How it authenticates. A client that does not is a public one.
    pub proof: Option<ClientProof>,
    /// Whether it may tell the addresses of the users for whom it asks. For a confidential client alone.
    pub may_claim_address: bool,
    /// What its tokens say of roles: [`ROLES_CLAIM`](crate::identity::permissions::ROLES_CLAIM) and
    /// [`GROUPS_CLAIM`](crate::identity::permissions::GROUPS_CLAIM), or nothing.
    pub token_claims: NameSet,
}

/// How a new client authenticates.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// A secret, which is made for it.
    Secret,
    /// Public keys, as [`read_public_keys`](super::read_public_keys) returned them.
    Keys(String),
    /// A certificate that was issued to this subject.
    Certificate(CertificateSubject),
}

/// A client that was registered.
pub struct CreatedClient {
    /// The client.
    pub client: Client,
    /// Its secret, if it has one: nobody is told it again, nor whoever asks again with the same request id.
    pub secret: Option<Zeroizing<String>>,
    /// The scopes that its users can have of it at this moment. None: whoever logs in with it gets no scope.
    pub user_scopes: NameSet,
}

/// A client that has a new secret.
pub struct RotatedSecret {
    /// The client.
    pub client: Client,
    /// The secret: nobody is told it again; none for whoever asks again with the same request id.
    pub secret: Option<Zeroizing<String>>,
}

impl ClientRegistry {
    /// The clients in `store`; `audit` is told of each act, and `own` is the service's own audience.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit, own: NameSet) -> Self {
        Self { directory: ClientDirectory::new(store.clone(), own.clone()), store, clock, audit, own }
    }

    /// Registers a client, and makes its secret if it is to have one.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for an audience whose name is none, or a scope of the service's own that there is not;
    /// [`Error::ClientNameTaken`], [`Error::SpiffeIdTaken`]; [`Error::GrantNotHeld`], [`Error::NotOwner`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn register(&self, new: NewClient, by: &Administrator) -> Result<CreatedClient, Error> {
        let now = self.clock.now();
        let mut client = Client {
            id: ClientId::new(now, self.store.entropy()),
            name: new.name,
            kind: if new.proof.is_some() { ClientKind::Confidential } else { ClientKind::Public },
            scopes: new.scopes,
            audiences: new.audiences,
            secrets: Vec::new(),
            jwks: None,
            certificate: None,
            may_claim_address: new.may_claim_address && new.proof.is_some(),
            token_claims: new.token_claims,
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
        let made = change::given(None, client, &self.own)?;
        let entry = by.entry(Event::ClientCreated.done().client(made.client.id.to_string()));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_client(&made, by.change(&entry, now)).await;
        let client = match by.settled(pending, added, |()| Some(NO_FIELDS))? {
            Applied::Now(()) => made.client,
            Applied::Before(id) => {
                secret = None;
                self.read(ClientId(id)).await?
            }
        };
        let secret = secret.filter(|_| !by.only_validates());
        Ok(CreatedClient { user_scopes: self.user_scopes(&client).await?, client, secret })
    }

    /// Changes what `change` says of the client `who`. No session and no secret ends by that.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::EtagMismatch`], [`Error::InvalidFields`], [`Error::ClientNameTaken`],
    /// [`Error::SpiffeIdTaken`], [`Error::BuiltInClient`], [`Error::PublicClient`]; [`Error::HoldsMore`], [`Error::GrantNotHeld`],
    /// [`Error::NotOwner`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update(
        &self,
        who: &ClientRef,
        change: &ClientChange,
        by: &Administrator,
    ) -> Result<Client, Error> {
        self.change(Event::ClientUpdated, who, change, by).await.map(|(client, _)| client)
    }

    /// Makes a new secret for the client `who`, which must have the etag `etag` if that is said. The secret before it stays valid, unless
    /// `end_older`.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn rotate_secret(
        &self,
        who: &ClientRef,
        end_older: bool,
        etag: Option<String>,
        by: &Administrator,
    ) -> Result<RotatedSecret, Error> {
        let (secret, change) = change::new_secret(end_older, etag);
        let (client, is_new) = self.change(Event::ClientSecretRotated, who, &change, by).await?;
        Ok(RotatedSecret { client, secret: Some(secret).filter(|_| is_new && !by.only_validates()) })
    }

    /// Replaces the public keys of the client `who` by `jwks`, which [`read_public_keys`](super::read_public_keys) returned.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn set_keys(&self, who: &ClientRef, jwks: String, by: &Administrator) -> Result<Client, Error> {
        let change = ClientChange { jwks: Some(Some(jwks)), ..ClientChange::default() };
        self.change(Event::ClientKeysReplaced, who, &change, by).await.map(|(client, _)| client)
    }

    /// Replaces whose certificate stands for the client `who`: nobody's, if there is no `subject`.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn set_certificate(
        &self,
        who: &ClientRef,
        subject: Option<&CertificateSubject>,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let change = ClientChange { certificate: Some(subject.cloned()), ..ClientChange::default() };
        self.change(Event::ClientCertificateReplaced, who, &change, by).await.map(|(client, _)| client)
    }

    /// Lets the client `who` tell the addresses of its users, or no longer.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn set_may_claim_address(
        &self,
        who: &ClientRef,
        may: bool,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let event = if may { Event::ClientAddressClaimsAllowed } else { Event::ClientAddressClaimsForbidden };
        let change = ClientChange { may_claim_address: Some(may), ..ClientChange::default() };
        self.change(event, who, &change, by).await.map(|(client, _)| client)
    }

    /// Enables or disables the client `who`, which must have the etag `etag` if that is said.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn set_active(
        &self,
        who: &ClientRef,
        is_active: bool,
        etag: Option<String>,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let event = if is_active { Event::ClientEnabled } else { Event::ClientDisabled };
        let change = ClientChange { is_active: Some(is_active), etag, ..ClientChange::default() };
        self.change(event, who, &change, by).await.map(|(client, _)| client)
    }

    /// Deletes the client `who`, which must have the etag `etag` if that is said, and the sessions that were opened with it. Returns it as
    /// it was; none if the same request has deleted it before.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::EtagMismatch`], [`Error::BuiltInClient`], [`Error::HoldsMore`]; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete(
        &self,
        who: &ClientRef,
        etag: Option<&str>,
        by: &Administrator,
    ) -> Result<Option<Client>, Error> {
        let id = self.directory.id(who).await?;
        let entry = by.entry(Event::ClientDeleted.done().client(id.to_string()));
        let pending = self.audit.begin(entry.clone());
        let may = |client: &Client| {
            if client.id.is_built_in() {
                return Err(Error::BuiltInClient { because: "it cannot be deleted" });
            }
            client.etag().must_match(etag)
        };
        let deleted = self.store.delete_client(id, may, by.change(&entry, self.clock.now())).await;
        match by.settled(pending, deleted, |client| client.as_ref().map(|_| NO_FIELDS))? {
            Applied::Now(client) => client.map(Some).ok_or_else(|| who.not_found()),
            Applied::Before(_) => Ok(None),
        }
    }

    /// The scopes that users of `client` can have of it at this moment: what every user has at one of its audiences, or has by a role that
    /// is bound to somebody.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn user_scopes(&self, client: &Client) -> Result<NameSet, Error> {
        let mut given = Vec::new();
        for name in change::audiences(client, &self.own).iter() {
            given.push(self.store.given_scopes(&AudienceName::of(name, &self.own)).await?);
        }
        let is_given = |scope: &str| given.iter().any(|scopes| scopes.contains(scope));
        Ok(permissions::unasked(&permissions::for_users(client)).keeping(is_given))
    }

    /// Makes of the client `who` what `change` says, and records it as `event`. Returns it as it is then, and whether this was done now:
    /// the same request may have done it before.
    async fn change(
        &self,
        event: Event,
        who: &ClientRef,
        change: &ClientChange,
        by: &Administrator,
    ) -> Result<(Client, bool), Error> {
        let id = self.directory.id(who).await?;
        let entry = by.entry(event.done().client(id.to_string()));
        let pending = self.audit.begin(entry.clone());
        let make = |old: &Client| change::changed(old, change, &self.own);
        let changed = |both: &Option<(Client, Client)>| {
            let (old, new) = both.as_ref().filter(|(old, new)| old != new)?;
            Some(client_differences(Some(old), new))
        };
        let done = self.store.change_client(id, make, by.change(&entry, self.clock.now())).await;
        match by.settled(pending, done, changed)? {
            Applied::Now(Some((_, new))) => Ok((new, true)),
            Applied::Now(None) => Err(who.not_found()),
            Applied::Before(id) => Ok((self.read(ClientId(id)).await?, false)),
        }
    }

    async fn read(&self, id: ClientId) -> Result<Client, Error> {
        self.store.client(id).await?.ok_or_else(|| ClientRef::from(id).not_found())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{audit::AuditLog, base::Entropy, metrics::AuditMetrics};

    /// What a client is given that is registered in a new database, with randomness that repeats by `seed`.
    async fn registered(seed: u64) -> CreatedClient {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::seeded(seed)).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let clock = Clock::manual(crate::base::Timestamp::from_micros(1_795_435_200_000_000));
        let audit = Audit::open(&AuditLog::Off, clock.clone(), AuditMetrics::default()).unwrap();
        let new = NewClient {
            name: ClientName::parse("billing").unwrap(),
            scopes: NameSet::default(),
            audiences: NameSet::default(),
            proof: Some(ClientProof::Secret),
            may_claim_address: false,
            token_claims: NameSet::default(),
        };
        ClientRegistry::new(store, clock, audit, NameSet::default())
            .register(new, &Administrator::operator())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn by_a_seed_ids_repeat_and_secrets_never_do() {
        let (first, again, other) = (registered(7).await, registered(7).await, registered(8).await);
        assert_eq!(first.client.id, again.client.id);
        assert_ne!(first.client.id, other.client.id);
        assert_ne!(first.secret.unwrap(), again.secret.unwrap());
    }
}
