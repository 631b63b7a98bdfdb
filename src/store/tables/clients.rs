//! Owns the tables `clients` and `client_secrets`.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use crate::store::{
    Store,
    engine::{failure, transaction::commit},
    tables::{
        access, audiences,
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            client_secrets as secrets,
            clients::{ActiveModel, Column, Entity, Model},
        },
    },
};
use crate::{
    base::Timestamp,
    model::{
        CertificateSubject, Client, ClientId, ClientKind, ClientName, DnsName, Error, NameSet, Principal,
        SpiffeId,
    },
};

/// How the feed is told of a client.
const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Client, ChangeEffect::Changed);
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Client, ChangeEffect::Ended);

/// How many secrets of a client are valid at a time: the newest, and the one that it replaces.
const VALID_SECRETS: usize = 2;

/// What of a certificate is kept.
#[derive(Clone)]
struct SubjectColumns {
    spiffe_id: Option<String>,
    /// SHA-256: an ID may be longer than what MySQL and PostgreSQL can index.
    spiffe_id_hash: Option<Vec<u8>>,
    tls_san_dns: Option<String>,
}

impl SubjectColumns {
    fn of(subject: Option<&CertificateSubject>) -> Self {
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
    /// Adds `client` with its secrets, unless another has what may be had but once: the database decides that.
    ///
    /// # Errors
    /// [`Error::ClientNameTaken`], [`Error::SpiffeIdTaken`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_client(&self, client: &Client) -> Result<(), Error> {
        let SubjectColumns { spiffe_id, spiffe_id_hash, tls_san_dns } =
            SubjectColumns::of(client.certificate.as_ref());
        let row = ActiveModel {
            id: Set(client.id.0),
            name: Set(client.name.as_str().to_owned()),
            kind: Set(client.kind.name().to_owned()),
            scopes: Set(client.scopes.as_str().to_owned()),
            audiences: Set(client.audiences.as_str().to_owned()),
            jwks: Set(client.jwks.clone()),
            spiffe_id: Set(spiffe_id),
            spiffe_id_hash: Set(spiffe_id_hash),
            tls_san_dns: Set(tls_san_dns),
            may_claim_address: Set(client.may_claim_address),
            token_claims: Set(Some(client.token_claims.as_str().to_owned())),
            is_active: Set(client.is_active),
            create_time: Set(client.create_time.as_micros()),
            update_time: Set(client.update_time.as_micros()),
        };
        let added = self.write(|| async {
            let db = self.begin().await?;
            match Entity::insert(row.clone()).exec_without_returning(&db).await {
                Ok(_) => {}
                Err(error) if failure::is_duplicate(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            audiences::ensure_all(&db, &client.audiences, client.create_time, self.entropy()).await?;
            for (version, hash) in (0..).zip(client.secrets.iter().rev()) {
                insert_secret(&db, client.id, *hash, version, client.create_time).await?;
            }
            commit(db, true).await
        });
        if added.await? {
            return Ok(());
        }
        let namesake = self.client_named(&client.name).await?;
        Err(namesake.map_or(Error::SpiffeIdTaken, |_| Error::ClientNameTaken))
    }

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
        self.with_secrets(row).await
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

    /// The clients after `after` in the order of their ids, which is the order of their making, without their secrets; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn clients(&self, after: Option<ClientId>, limit: u64) -> Result<Vec<Client>, Error> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        rows.into_iter().map(|row| client(row, Vec::new())).collect()
    }

    /// Adds the secret of SHA-256 `hash` to the client `id`. The newest two stay valid, or it alone if `end_older`; false if there is
    /// no such client.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn rotate_client_secret(
        &self,
        id: ClientId,
        hash: [u8; 32],
        end_older: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            // The update first: it makes whoever rotates at the same time wait.
            if !update(&db, id, &[], now).await? {
                return Ok(false);
            }
            let present = find_secrets(&db, id).await?;
            let version = present.first().map_or(0, |newest| newest.version.saturating_add(1));
            let stay = if end_older { 0 } else { VALID_SECRETS - 1 };
            for old in present.into_iter().skip(stay) {
                secrets::Entity::delete_by_id(old.hash).exec(&db).await?;
            }
            insert_secret(&db, id, hash, version, now).await?;
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            commit(db, true).await
        })
        .await
    }

    /// Enables or disables the client `id`; false if that changes nothing: it is so already, or there is no such client.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_client_active(
        &self,
        id: ClientId,
        is_active: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.set_flag(id, Column::IsActive, is_active, now).await
    }

    /// Lets the client `id` tell the addresses of its users, or no longer; false if that changes nothing: it is so already, or there is no
    /// such client.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_client_may_claim_address(
        &self,
        id: ClientId,
        may: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.set_flag(id, Column::MayClaimAddress, may, now).await
    }

    /// Replaces the public keys of the client `id`; false if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_client_keys(&self, id: ClientId, jwks: String, now: Timestamp) -> Result<bool, Error> {
        self.change_client(id, &[(Column::Jwks, Expr::value(jwks))], now).await
    }

    /// Replaces whose certificate stands for the client `id`, unless another client has the SPIFFE ID; false if there is no such
    /// client.
    ///
    /// # Errors
    /// [`Error::SpiffeIdTaken`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn set_client_certificate(
        &self,
        id: ClientId,
        subject: Option<&CertificateSubject>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let SubjectColumns { spiffe_id, spiffe_id_hash, tls_san_dns } = SubjectColumns::of(subject);
        let columns = [
            (Column::SpiffeId, Expr::value(spiffe_id)),
            (Column::SpiffeIdHash, Expr::value(spiffe_id_hash)),
            (Column::TlsSanDns, Expr::value(tls_san_dns)),
        ];
        self.write(|| async {
            let db = self.begin().await?;
            let found = match update(&db, id, &columns, now).await {
                Ok(found) => found,
                Err(error) if failure::is_duplicate(&error) => return Err(Error::SpiffeIdTaken.into()),
                Err(error) => return Err(error.into()),
            };
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            commit(db, found).await
        })
        .await
    }

    /// Replaces the name, the scopes, the audiences and the claims of the client `id` by what `change` makes of it, and returns it as it
    /// was and as it is; none if there is no such client. What `change` refuses is not written, and neither is what it leaves as it was.
    ///
    /// # Errors
    /// What `change` refuses with; [`Error::ClientNameTaken`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_client(
        &self,
        id: ClientId,
        change: impl Fn(&Client) -> Result<Client, Error>,
        now: Timestamp,
    ) -> Result<Option<(Client, Client)>, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let row = Entity::find_by_id(id.0).lock_exclusive().all(&db).await?;
            let Some(row) = row.into_iter().next() else { return Ok(None) };
            let old = client(row, find_secrets(&db, id).await?)?;
            let new = change(&old)?;
            if new == old {
                return Ok(Some((old, new)));
            }
            let new = Client { update_time: now, ..new };
            let columns = [
                (Column::Name, Expr::value(new.name.as_str())),
                (Column::Scopes, Expr::value(new.scopes.as_str())),
                (Column::Audiences, Expr::value(new.audiences.as_str())),
                (Column::TokenClaims, Expr::value(new.token_claims.as_str())),
            ];
            match update(&db, id, &columns, now).await {
                Ok(_) => {}
                Err(error) if failure::is_duplicate(&error) => return Err(Error::ClientNameTaken.into()),
                Err(error) => return Err(error.into()),
            }
            audiences::ensure_all(&db, &new.audiences, now, self.entropy()).await?;
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            commit(db, Some((old, new))).await
        })
        .await
    }

    /// Deletes the client `id`, its secrets and all that gives it roles; false if there is none. The sessions that were opened with it are
    /// worth nothing from then on, and go with the next sweep ([`Store::sweep_sessions`]): there may be millions of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_client(&self, id: ClientId, now: Timestamp) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let done = Entity::delete_by_id(id.0).exec(&db).await?;
            access::take_all(&db, Principal::Client(id)).await?;
            secrets::Entity::delete_many().filter(secrets::Column::ClientId.eq(id.0)).exec(&db).await?;
            changes::tell(&db, ENDED, &[id.0], now).await?;
            commit(db, done.rows_affected > 0).await
        })
        .await
    }

    /// Which of these clients there are; at most [`BATCH`](crate::store::BATCH).
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

    /// Sets `columns` of the client `id`, and tells of it; false if there is none.
    async fn set_flag(
        &self,
        id: ClientId,
        column: Column,
        value: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let update = Entity::update_many()
                .col_expr(column, Expr::value(value))
                .col_expr(Column::UpdateTime, Expr::value(now.as_micros()));
            let done = update.filter(Column::Id.eq(id.0)).filter(column.ne(value)).exec(&db).await?;
            // Also if it was so before: whoever asks again may have seen that a replica does not know.
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            commit(db, done.rows_affected > 0).await
        })
        .await
    }

    async fn change_client(
        &self,
        id: ClientId,
        columns: &[(Column, Expr)],
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let found = update(&db, id, columns, now).await?;
            changes::tell(&db, CHANGED, &[id.0], now).await?;
            commit(db, found).await
        })
        .await
    }

    async fn with_secrets(&self, row: Option<Model>) -> Result<Option<Client>, Error> {
        let Some(row) = row else { return Ok(None) };
        let secrets = self.ask(|| find_secrets(&self.db, ClientId(row.id))).await?;
        client(row, secrets).map(Some)
    }
}

/// The secrets of the client `id`, the newest first.
async fn find_secrets(db: &impl ConnectionTrait, id: ClientId) -> Result<Vec<secrets::Model>, DbErr> {
    secrets::Entity::find()
        .filter(secrets::Column::ClientId.eq(id.0))
        .order_by_desc(secrets::Column::Version)
        .all(db)
        .await
}

async fn insert_secret(
    db: &impl ConnectionTrait,
    id: ClientId,
    hash: [u8; 32],
    version: i32,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = secrets::ActiveModel {
        hash: Set(hash.to_vec()),
        client_id: Set(id.0),
        version: Set(version),
        create_time: Set(now.as_micros()),
    };
    secrets::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Sets `columns` of the client `id`, and when it was changed, within a transaction; false if there is none.
async fn update(
    db: &impl ConnectionTrait,
    id: ClientId,
    columns: &[(Column, Expr)],
    now: Timestamp,
) -> Result<bool, DbErr> {
    let mut update = Entity::update_many().col_expr(Column::UpdateTime, Expr::value(now.as_micros()));
    for (column, value) in columns {
        update = update.col_expr(*column, value.clone());
    }
    let done = update.filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(done.rows_affected > 0)
}

fn client(row: Model, secrets: Vec<secrets::Model>) -> Result<Client, Error> {
    let hashes = secrets.into_iter().map(|secret| <[u8; 32]>::try_from(secret.hash));
    let hashes = hashes.collect::<Result<_, _>>();
    let certificate = match (row.spiffe_id, row.tls_san_dns) {
        (Some(id), _) => Some(CertificateSubject::SpiffeId(SpiffeId::from_stored(id))),
        (None, Some(name)) => Some(CertificateSubject::DnsName(DnsName::from_stored(name))),
        (None, None) => None,
    };
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
