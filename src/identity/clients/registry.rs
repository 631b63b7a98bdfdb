//! Owns registering clients, and what is done to them afterwards by those who manage them: the rules are held here, and each act is
//! recorded, with who did it.

use zeroize::Zeroizing;

use super::{ClientDirectory, ClientRef, secret};
use crate::{
    audit::{Audit, Event, Field},
    base::Clock,
    identity::Administrator,
    model::{
        AudienceName, CertificateSubject, Client, ClientId, ClientKind, ClientName, Error, FieldReason,
        NameSet, RuleViolation,
    },
    store::Store,
};

/// The clients in the hands of those who manage them.
#[derive(Debug)]
pub struct ClientRegistry {
    directory: ClientDirectory,
    store: Store,
    clock: Clock,
    audit: Audit,
}

/// What is said of a new client.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What it is called.
    pub name: ClientName,
    /// The scopes that it may ask for.
    pub scopes: NameSet,
    /// Whom its tokens may be meant for; none stand for the service's own audience.
    pub audiences: NameSet,
    /// What it proves by that it is the one it says to be. A client that proves nothing is a public one.
    pub proof: Option<ClientProof>,
    /// Whether it may tell the addresses of the users for whom it asks. For a confidential client alone.
    pub may_claim_address: bool,
    /// What its tokens say of roles: [`ROLES_CLAIM`](crate::identity::permissions::ROLES_CLAIM) and
    /// [`GROUPS_CLAIM`](crate::identity::permissions::GROUPS_CLAIM), or nothing.
    pub token_claims: NameSet,
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

/// A client that was registered.
pub struct CreatedClient {
    /// The client.
    pub client: Client,
    /// Its secret, if it has one: nobody is told it again.
    pub secret: Option<Zeroizing<String>>,
}

/// A client that has a new secret.
pub struct RotatedSecret {
    /// The client.
    pub client: Client,
    /// The secret: nobody is told it again.
    pub secret: Zeroizing<String>,
}

/// What of a client is changed.
#[derive(Clone, Debug, Default)]
pub struct ClientChange {
    /// What it is called, if that is changed.
    pub name: Option<ClientName>,
    /// Scopes that it may ask for from now on.
    pub add_scopes: NameSet,
    /// Scopes that it may no longer ask for.
    pub remove_scopes: NameSet,
    /// Whom its tokens may be meant for from now on.
    pub add_audiences: NameSet,
    /// Whom its tokens may no longer be meant for.
    pub remove_audiences: NameSet,
    /// What its tokens say of roles from now on.
    pub add_token_claims: NameSet,
    /// What its tokens no longer say of roles.
    pub remove_token_claims: NameSet,
}

impl ClientRegistry {
    /// The clients in `store`; `audit` is told of each act.
    #[must_use]
    pub fn new(store: Store, clock: Clock, audit: Audit) -> Self {
        Self { directory: ClientDirectory::new(store.clone()), store, clock, audit }
    }

    /// Registers a client, and makes its secret if it is to have one.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for an audience whose name is none; [`Error::ClientNameTaken`], [`Error::SpiffeIdTaken`];
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn register(&self, new: NewClient, by: &Administrator) -> Result<CreatedClient, Error> {
        check_audiences(&new.audiences)?;
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
        let created = by.entry(Event::ClientCreated.done().client(client.id.to_string()));
        let pending = self.audit.begin(created);
        let added = self.store.add_client(&client).await;
        pending.settle(added.as_ref().err());
        added?;
        Ok(CreatedClient { client, secret })
    }

    /// Changes the name, the scopes and the audiences of the client `who`. No session ends by that.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::ClientNameTaken`], [`Error::InvalidFields`]; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn update(
        &self,
        who: &ClientRef,
        change: &ClientChange,
        by: &Administrator,
    ) -> Result<Client, Error> {
        check_audiences(&change.add_audiences)?;
        let id = self.directory.find(who).await?.id;
        let pending = self.audit.begin(by.entry(Event::ClientUpdated.done().client(id.to_string())));
        match self.store.update_client(id, |old| changed(old, change), self.clock.now()).await {
            Ok(Some((old, new))) => {
                let fields = [
                    (Field::Name, old.name != new.name),
                    (Field::Scopes, old.scopes != new.scopes),
                    (Field::Audiences, old.audiences != new.audiences),
                    (Field::TokenClaims, old.token_claims != new.token_claims),
                ];
                let fields: Vec<_> = fields.iter().filter(|(_, is)| *is).map(|(field, _)| *field).collect();
                if fields.is_empty() {
                    pending.dismiss();
                } else {
                    pending.done_changing(fields);
                }
                Ok(new)
            }
            Ok(None) => {
                pending.dismiss();
                Err(who.not_found())
            }
            Err(error) => {
                pending.settle(Some(&error));
                Err(error)
            }
        }
    }

    /// Makes a new secret for the client `who`. The one before it stays valid, unless `end_older`.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::PublicClient`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn rotate_secret(
        &self,
        who: &ClientRef,
        end_older: bool,
        by: &Administrator,
    ) -> Result<RotatedSecret, Error> {
        let id = self.find_confidential(who).await?.id;
        let secret = secret::random();
        let hash = secret::hash(&secret);
        let rotated = self.store.rotate_client_secret(id, hash, end_older, self.clock.now());
        let client = self.act(Event::ClientSecretRotated, id, by, rotated).await?;
        Ok(RotatedSecret { client, secret })
    }

    /// Replaces the public keys of the client `who` by `jwks`, which [`read_public_keys`](super::read_public_keys) returned.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::PublicClient`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_keys(&self, who: &ClientRef, jwks: String, by: &Administrator) -> Result<Client, Error> {
        let id = self.find_confidential(who).await?.id;
        let set = self.store.set_client_keys(id, jwks, self.clock.now());
        self.act(Event::ClientKeysReplaced, id, by, set).await
    }

    /// Replaces whose certificate stands for the client `who`: nobody's, if there is no `subject`.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::PublicClient`], [`Error::SpiffeIdTaken`]; [`Error::Unavailable`] or [`Error::Internal`], with
    /// the cause.
    pub async fn set_certificate(
        &self,
        who: &ClientRef,
        subject: Option<&CertificateSubject>,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let id = self.find_confidential(who).await?.id;
        let set = self.store.set_client_certificate(id, subject, self.clock.now());
        self.act(Event::ClientCertificateReplaced, id, by, set).await
    }

    /// Lets the client `who` tell the addresses of its users, or no longer.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`], [`Error::PublicClient`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_may_claim_address(
        &self,
        who: &ClientRef,
        may: bool,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let client = self.directory.find(who).await?;
        if client.kind == ClientKind::Public {
            return Err(public(&client, "it proves nothing, so it may not tell its users' addresses"));
        }
        let event = if may { Event::ClientAddressClaimsAllowed } else { Event::ClientAddressClaimsForbidden };
        let set = self.store.set_client_may_claim_address(client.id, may, self.clock.now());
        self.record(event, client.id, by, set).await?;
        self.read(client.id).await
    }

    /// Enables or disables the client `who`.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_active(
        &self,
        who: &ClientRef,
        is_active: bool,
        by: &Administrator,
    ) -> Result<Client, Error> {
        let id = self.directory.find(who).await?.id;
        let event = if is_active { Event::ClientEnabled } else { Event::ClientDisabled };
        self.record(event, id, by, self.store.set_client_active(id, is_active, self.clock.now())).await?;
        self.read(id).await
    }

    /// Deletes the client `who`, and the sessions that were opened with it. Returns it as it was.
    ///
    /// # Errors
    /// [`Error::ClientNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete(&self, who: &ClientRef, by: &Administrator) -> Result<Client, Error> {
        let client = self.directory.find(who).await?;
        let deleted = self.store.delete_client(client.id, self.clock.now());
        if self.record(Event::ClientDeleted, client.id, by, deleted).await? {
            Ok(client)
        } else {
            Err(who.not_found())
        }
    }

    /// Does to the client `id` what `done` does, which says whether there is such a client, and records it as `event`. Returns the client
    /// as it is then.
    async fn act(
        &self,
        event: Event,
        id: ClientId,
        by: &Administrator,
        done: impl Future<Output = Result<bool, Error>>,
    ) -> Result<Client, Error> {
        if self.record(event, id, by, done).await? {
            self.read(id).await
        } else {
            Err(ClientRef::from(id).not_found())
        }
    }

    /// Does to the client `id` what `done` does, which says whether that changed anything, and if so records it as `event`.
    async fn record(
        &self,
        event: Event,
        id: ClientId,
        by: &Administrator,
        done: impl Future<Output = Result<bool, Error>>,
    ) -> Result<bool, Error> {
        let pending = self.audit.begin(by.entry(event.done().client(id.to_string())));
        let done = done.await;
        match &done {
            Ok(is_changed) => pending.done_if(*is_changed),
            Err(error) => pending.settle(Some(error)),
        }
        done
    }

    async fn find_confidential(&self, who: &ClientRef) -> Result<Client, Error> {
        let client = self.directory.find(who).await?;
        match client.kind {
            ClientKind::Confidential => Ok(client),
            ClientKind::Public => Err(public(&client, "it has no secret, no public keys and no certificate")),
        }
    }

    async fn read(&self, id: ClientId) -> Result<Client, Error> {
        self.store.client(id).await?.ok_or_else(|| ClientRef::from(id).not_found())
    }
}

fn public(client: &Client, because: &'static str) -> Error {
    Error::PublicClient { client: client.name.as_str().to_owned(), because }
}

/// The client `old` after `change`.
fn changed(old: &Client, change: &ClientChange) -> Result<Client, Error> {
    let set = |field, old: &NameSet, add: &NameSet, remove: &NameSet| {
        let kept = old.without(remove);
        NameSet::of(kept.iter().chain(add.iter())).map_err(|error| {
            let violation = RuleViolation::new(FieldReason::TooLong, error.to_string());
            Error::InvalidFields(vec![violation.at(field)])
        })
    };
    let audiences = set("audiences", &old.audiences, &change.add_audiences, &change.remove_audiences)?;
    if audiences.is_empty() && !old.audiences.is_empty() {
        let rule =
            "must not all go, since none means the service itself: add its own --audience if that is meant";
        let violation = RuleViolation::new(FieldReason::Required, rule);
        return Err(Error::InvalidFields(vec![violation.at("audiences")]));
    }
    Ok(Client {
        name: change.name.clone().unwrap_or_else(|| old.name.clone()),
        scopes: set("scopes", &old.scopes, &change.add_scopes, &change.remove_scopes)?,
        audiences,
        token_claims: set(
            "token_claims",
            &old.token_claims,
            &change.add_token_claims,
            &change.remove_token_claims,
        )?,
        ..old.clone()
    })
}

/// Refuses what is too long for the name of an audience: each has roles, which are found by it.
fn check_audiences(names: &NameSet) -> Result<(), Error> {
    for name in names.iter() {
        AudienceName::parse(name)
            .map_err(|violation| Error::InvalidFields(vec![violation.at("audiences")]))?;
    }
    Ok(())
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
        ClientRegistry::new(store, clock, audit).register(new, &Administrator::operator()).await.unwrap()
    }

    #[tokio::test]
    async fn by_a_seed_ids_repeat_and_secrets_never_do() {
        let (first, again, other) = (registered(7).await, registered(7).await, registered(8).await);
        assert_eq!(first.client.id, again.client.id);
        assert_ne!(first.client.id, other.client.id);
        assert_ne!(first.secret.unwrap(), again.secret.unwrap());
    }
}
