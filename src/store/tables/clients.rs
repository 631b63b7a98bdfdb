//! Owns reading the tables `clients` and `client_secrets`: finding and listing clients.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    tables::entity::{
        client_secrets as secrets,
        clients::{Column, Entity, Model},
    },
};
use crate::{
    base::Timestamp,
    model::{
        CertificateSubject, Client, ClientId, ClientKind, ClientName, DnsName, Error, NameSet, SpiffeId,
    },
};

/// The columns of a certificate's subject.
#[derive(Clone)]
pub(super) struct SubjectColumns {
    pub(super) spiffe_id: Option<String>,
    /// SHA-256: an ID may be longer than what MySQL and PostgreSQL can index.
    pub(super) spiffe_id_hash: Option<Vec<u8>>,
    pub(super) tls_san_dns: Option<String>,
}

impl SubjectColumns {
    pub(super) fn of(subject: Option<&CertificateSubject>) -> Self {
        let (spiffe_id, tls_san_dns) = match subject {
            Some(CertificateSubject::SpiffeId(id)) => (Some(id), None),
            Some(CertificateSubject::DnsName(name)) => (None, Some(name.as_str().to_owned())),
            None => (None, None),
        };
        Self {
            spiffe_id: spiffe_id.map(|id| id.as_str().to_owned()),
            spiffe_id_hash: spiffe_id.map(spiffe_id_hash),
            tls_san_dns,
        }
    }
}

fn spiffe_id_hash(id: &SpiffeId) -> Vec<u8> {
    digest(&SHA256, id.as_str().as_bytes()).as_ref().to_vec()
}

impl Store {
    /// The client that is registered by the SPIFFE ID `spiffe_id`: see [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn find_client_of_spiffe_id(
        &self,
        spiffe_id: &SpiffeId,
    ) -> Result<Option<ClientId>, Error> {
        let query = Entity::find().filter(Column::SpiffeIdHash.eq(spiffe_id_hash(spiffe_id)));
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        Ok(row.map(|row| ClientId(row.id)))
    }

    /// The client `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn client(&self, id: ClientId) -> Result<Option<Client>, Error> {
        let row = self.ask_for_one(|| Entity::find_by_id(id.0).all(&self.db)).await?;
        // The built-in one is there even if somebody has deleted its row, which to the release before is any other's.
        Ok(self.with_secrets(row).await?.or_else(|| id.is_built_in().then(Client::built_in)))
    }

    /// The client of the name `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn client_named(&self, name: &ClientName) -> Result<Option<Client>, Error> {
        let query = Entity::find().filter(Column::Name.eq(name.as_str()));
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        self.with_secrets(row).await
    }

    /// The clients after `after` in the order of their ids, the order of their creation; at most `limit`, and
    /// [`BATCH`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn clients(&self, after: Option<ClientId>, limit: u64) -> Result<Vec<Client>, Error> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(limit.min(BATCH as u64));
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = rows.iter().map(|row| ClientId(row.id)).collect();
        let mut secrets: HashMap<Uuid, Vec<secrets::Model>> = HashMap::new();
        for secret in self.ask(|| find_secrets(&self.db, &ids)).await? {
            secrets.entry(secret.client_id).or_default().push(secret);
        }
        let with = |row: Model| {
            let of_row = secrets.remove(&row.id).unwrap_or_default();
            client(row, of_row)
        };
        rows.into_iter().map(with).collect()
    }

    /// Which of these clients there are; at most [`BATCH`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub(in crate::store) async fn clients_among(
        &self,
        ids: &BTreeSet<ClientId>,
    ) -> Result<BTreeSet<ClientId>, Error> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let query = Entity::find().select_only().column(Column::Id);
        let query = query.filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let found: Vec<Uuid> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        Ok(found.into_iter().map(ClientId).collect())
    }

    async fn with_secrets(&self, row: Option<Model>) -> Result<Option<Client>, Error> {
        let Some(row) = row else { return Ok(None) };
        let id = [ClientId(row.id)];
        let secrets = self.ask(|| find_secrets(&self.db, &id)).await?;
        client(row, secrets).map(Some)
    }
}

/// The secrets of the clients `ids`, the newest of each first.
pub(super) async fn find_secrets(
    db: &impl ConnectionTrait,
    ids: &[ClientId],
) -> Result<Vec<secrets::Model>, DbErr> {
    secrets::Entity::find()
        .filter(secrets::Column::ClientId.is_in(ids.iter().map(|id| id.0)))
        .order_by_desc(secrets::Column::Version)
        .all(db)
        .await
}

/// The client of `row`.
pub(super) fn client(row: Model, secrets: Vec<secrets::Model>) -> Result<Client, Error> {
    let hashes = secrets.into_iter().map(|secret| <[u8; 32]>::try_from(secret.hash));
    let hashes = hashes.collect::<Result<_, _>>();
    let certificate = match (row.spiffe_id, row.tls_san_dns) {
        (Some(id), _) => Some(CertificateSubject::SpiffeId(SpiffeId::from_stored(id))),
        (None, Some(name)) => Some(CertificateSubject::DnsName(DnsName::from_stored(name))),
        (None, None) => None,
    };
    if ClientId(row.id).is_built_in() {
        // What a program of the release before may have made of the rest does not count.
        return Ok(Client {
            scopes: NameSet::from_stored(row.scopes),
            audiences: NameSet::from_stored(row.audiences),
            token_claims: row.token_claims.map(NameSet::from_stored).unwrap_or_default(),
            create_time: Timestamp::from_micros(row.create_time),
            update_time: Timestamp::from_micros(row.update_time),
            ..Client::built_in()
        });
    }
    Ok(Client {
        id: ClientId(row.id),
        name: ClientName::from_stored(row.name),
        kind: ClientKind::of_name(&row.kind)
            .ok_or_else(|| Error::internal(format!("the client {} is of an unknown kind", row.id)))?,
        scopes: NameSet::from_stored(row.scopes),
        audiences: NameSet::from_stored(row.audiences),
        secrets: hashes.map_err(|_| Error::internal("a client's secret has not the length of a hash"))?,
        jwks: row.jwks,
        certificate,
        may_claim_address: row.may_claim_address,
        token_claims: row.token_claims.map(NameSet::from_stored).unwrap_or_default(),
        is_active: row.is_active,
        create_time: Timestamp::from_micros(row.create_time),
        update_time: Timestamp::from_micros(row.update_time),
    })
}
