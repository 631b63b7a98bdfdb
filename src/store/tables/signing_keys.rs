//! Owns the table `signing_keys`: the keys that sign tokens, encrypted with the master key, with the times of their stages.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};

use crate::store::{
    Lease, ResealedSecret, Store,
    engine::transaction::commit,
    tables::{
        administration::{AdminChange, Applied},
        changes::{self, ChangeEffect, ChangeKind},
        entity::signing_keys::{ActiveModel, Column, Entity, Model},
        leases, sealed_secrets,
    },
};
use crate::{
    base::Timestamp,
    model::{AdminScope, Error, KeyId, key::MAX_RETENTION},
};

/// A signing key as it is kept: its private part sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Its id.
    pub kid: KeyId,
    /// The JOSE name of what it signs with. A newer version of this program may know more names than this one.
    pub alg: String,
    /// The private part, under the master key.
    pub sealed_private_key: Vec<u8>,
    /// When it was made.
    pub create_time: Timestamp,
    /// From when it signs, until another does.
    pub sign_time: Timestamp,
    /// For how long it is kept after another has begun to sign: as long as a token that it signed may be accepted.
    pub retention: Duration,
}

/// A change of the signing keys.
#[derive(Debug, Default)]
pub struct KeyChange {
    /// A key to add.
    pub insert: Option<StoredKey>,
    /// A key that is to sign from another time on.
    pub sign_at: Option<(KeyId, Timestamp)>,
    /// Keys to delete.
    pub delete: Vec<KeyId>,
    /// Private parts that have been sealed anew.
    pub reseal: Vec<(KeyId, Vec<u8>)>,
    /// Other secrets that have been.
    pub reseal_secrets: Vec<ResealedSecret>,
    /// Whether every other secret is deleted.
    pub discard_secrets: bool,
}

/// The first signing key, which is made together with something else.
#[derive(Clone, Debug)]
pub struct FirstKey {
    /// The key.
    pub key: StoredKey,
    /// By which the keys are changed.
    pub lease: Lease,
}

impl KeyChange {
    fn is_empty(&self) -> bool {
        let Self { insert, sign_at, delete, reseal, reseal_secrets, discard_secrets } = self;
        let is_resealed = !(reseal.is_empty() && reseal_secrets.is_empty());
        insert.is_none() && sign_at.is_none() && delete.is_empty() && !is_resealed && !discard_secrets
    }
}

impl Store {
    /// Every signing key, in the order in which they sign.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>, Error> {
        self.ask(|| read(&self.lanes.service.reader)).await
    }

    /// The id, the algorithm's name and the sealed private key of every signing key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn sealed_private_keys(&self) -> Result<Vec<(KeyId, String, Vec<u8>)>, Error> {
        let query =
            Entity::find().select_only().columns([Column::Kid, Column::Alg, Column::SealedPrivateKey]);
        let rows = self.ask(|| query.clone().into_tuple::<(String, String, Vec<u8>)>().all(&self.db)).await?;
        Ok(rows.into_iter().map(|(kid, alg, sealed)| (KeyId(kid), alg, sealed)).collect())
    }

    /// Changes the signing keys as `decide` says when it is shown them, and tells the other processes. Nobody else changes them
    /// meanwhile. Returns whether anything was changed: nothing is if another process has the lease, if `decide` wants nothing, or if
    /// another secret that was sealed anew has been replaced meanwhile. `decide` may be asked again: its last answer counts.
    ///
    /// # Errors
    /// What `decide` refuses with; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn change_signing_keys(
        &self,
        lease: Lease,
        now: Timestamp,
        decide: impl FnMut(&[StoredKey]) -> Result<KeyChange, Error> + Send,
    ) -> Result<bool, Error> {
        let decide = Mutex::new(decide);
        self.write(|| async {
            let db = self.begin_on(&self.lanes.service.writer).await?;
            if !leases::take(&db, leases::SIGNING_KEYS, lease, now).await? {
                return Ok(false);
            }
            let keys = read(&db).await?;
            let change = decide.lock().unwrap_or_else(PoisonError::into_inner)(&keys)?;
            if change.is_empty() || !apply(&db, change).await? {
                return Ok(false);
            }
            let keys = (ChangeKind::SigningKeys, ChangeEffect::Changed);
            changes::tell(&db, keys, &[changes::SIGNING_KEYS], now).await?;
            commit(db, true).await
        })
        .await
    }

    /// The same, as an administrator asks for it: `decide` also says which key is concerned.
    ///
    /// # Errors
    /// As [`Self::change_signing_keys`]; [`Error::InsufficientScope`], [`Error::RequestIdReused`].
    pub async fn administer_signing_keys(
        &self,
        lease: Lease,
        asked: AdminChange<'_>,
        decide: impl FnMut(&[StoredKey]) -> Result<(KeyId, KeyChange), Error> + Send,
    ) -> Result<Applied<()>, Error> {
        let decide = Mutex::new(decide);
        let decide = &decide;
        self.change(asked, |db| async move {
            db.rights().must_have(AdminScope::KeysWrite)?;
            // An administrator need not wait for the lease.
            leases::take(&*db, leases::SIGNING_KEYS, lease, asked.now).await?;
            let keys = read(&*db).await?;
            let (kid, change) = decide.lock().unwrap_or_else(PoisonError::into_inner)(&keys)?;
            apply(&*db, change).await?;
            let keys = (ChangeKind::SigningKeys, ChangeEffect::Changed);
            changes::tell(&*db, keys, &[changes::SIGNING_KEYS], asked.now).await?;
            db.done(kid.as_uuid(), [], ()).await
        })
        .await
    }

    /// Has the key `kid` kept for at least `retention` after another has begun to sign.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn raise_key_retention(&self, kid: &KeyId, retention: Duration) -> Result<(), Error> {
        let micros = micros(retention);
        let raise =
            update(kid).col_expr(Column::Retention, Expr::value(micros)).filter(Column::Retention.lt(micros));
        self.ask(|| raise.clone().exec(&self.lanes.service.writer)).await.map(drop)
    }
}

/// Adds `first` at `now`, within a transaction, and tells the other processes; false if there is a key already.
pub(super) async fn add_first(
    db: &impl ConnectionTrait,
    first: &FirstKey,
    now: Timestamp,
) -> Result<bool, DbErr> {
    // Whoever makes one too waits from here on.
    if !leases::take(db, leases::SIGNING_KEYS, first.lease, now).await? || !read(db).await?.is_empty() {
        return Ok(false);
    }
    Entity::insert(ActiveModel::from(first.key.clone())).exec_without_returning(db).await?;
    let keys = (ChangeKind::SigningKeys, ChangeEffect::Changed);
    changes::tell(db, keys, &[changes::SIGNING_KEYS], now).await?;
    Ok(true)
}

async fn read(db: &impl ConnectionTrait) -> Result<Vec<StoredKey>, DbErr> {
    let rows = Entity::find().all(db).await?;
    let mut keys: Vec<_> = rows.into_iter().map(StoredKey::from).collect();
    keys.sort_by(|one, other| {
        (one.sign_time, one.create_time, &one.kid.0).cmp(&(other.sign_time, other.create_time, &other.kid.0))
    });
    Ok(keys)
}

/// False if a secret is no longer what was sealed anew.
async fn apply(db: &impl ConnectionTrait, change: KeyChange) -> Result<bool, DbErr> {
    if !change.delete.is_empty() {
        let kids = change.delete.into_iter().map(|kid| kid.0);
        Entity::delete_many().filter(Column::Kid.is_in(kids)).exec(db).await?;
    }
    if let Some((kid, time)) = change.sign_at {
        update(&kid).col_expr(Column::SignTime, Expr::value(time.as_micros())).exec(db).await?;
    }
    for (kid, sealed) in change.reseal {
        update(&kid).col_expr(Column::SealedPrivateKey, Expr::value(sealed)).exec(db).await?;
    }
    if change.discard_secrets {
        sealed_secrets::discard(db).await?;
    }
    if let Some(key) = change.insert {
        Entity::insert(ActiveModel::from(key)).exec_without_returning(db).await?;
    }
    sealed_secrets::reseal(db, change.reseal_secrets).await
}

fn update(kid: &KeyId) -> sea_orm::UpdateMany<Entity> {
    Entity::update_many().filter(Column::Kid.eq(kid.0.as_str()))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl From<StoredKey> for ActiveModel {
    fn from(key: StoredKey) -> Self {
        Self {
            kid: Set(key.kid.0),
            alg: Set(key.alg),
            sealed_private_key: Set(key.sealed_private_key),
            create_time: Set(key.create_time.as_micros()),
            sign_time: Set(Some(key.sign_time.as_micros())),
            retention: Set(Some(micros(key.retention))),
        }
    }
}

impl From<Model> for StoredKey {
    fn from(row: Model) -> Self {
        // A key of the version before, which knew no stages, signs since it was made, and tokens of any lifetime.
        Self {
            kid: KeyId(row.kid),
            alg: row.alg,
            sealed_private_key: row.sealed_private_key,
            create_time: Timestamp::from_micros(row.create_time),
            sign_time: Timestamp::from_micros(row.sign_time.unwrap_or(row.create_time)),
            retention: row.retention.map_or(MAX_RETENTION, |micros| {
                Duration::from_micros(u64::try_from(micros).unwrap_or_default())
            }),
        }
    }
}
