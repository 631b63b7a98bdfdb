//! Owns the tables `audiences` and `audience_owners`.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::store::{
    Store,
    engine::{attempts::Failed, failure, transaction::commit},
    tables::{
        access::{self, AccessWriteError, INSTANCE},
        entity::{
            audience_owners as owners,
            audiences::{ActiveModel, Column, Entity, Model},
        },
        roles,
    },
};
use crate::{
    base::{Entropy, Timestamp},
    model::{
        AudienceName, Error, NameSet, OwnedAudience, Principal,
        audience::{AUDIENCE_MAX_BYTES, AUDIENCE_MAX_OWNERS},
    },
};

impl Store {
    /// The audience `name`, with its owners.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn audience(&self, name: &AudienceName) -> Result<Option<OwnedAudience>, Error> {
        let query = Entity::find_by_id((INSTANCE, name.as_str().to_owned()));
        let row = self.ask_for_one(|| query.clone().all(&self.db)).await?;
        Ok(self.with_owners(row.into_iter().collect()).await?.pop())
    }

    /// The audiences after `after` in the order of their names, with their owners; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn audiences(
        &self,
        after: Option<&AudienceName>,
        limit: u64,
    ) -> Result<Vec<OwnedAudience>, Error> {
        let mut query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        query = query.order_by_asc(Column::Name).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Name.gt(after.as_str()));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        self.with_owners(rows).await
    }

    /// Adds `owner` to the owners of the audience `name`; false if it is one already.
    ///
    /// # Errors
    /// [`AccessWriteError`].
    pub async fn add_audience_owner(
        &self,
        name: &AudienceName,
        owner: Principal,
        now: Timestamp,
    ) -> Result<bool, AccessWriteError> {
        let row = owners::ActiveModel {
            organization_id: Set(INSTANCE),
            audience: Set(name.as_str().to_owned()),
            owner_kind: Set(owner.kind().to_owned()),
            owner_id: Set(owner.id()),
            create_time: Set(now.as_micros()),
        };
        let of_audience = owners::Entity::find()
            .filter(owners::Column::OrganizationId.eq(INSTANCE))
            .filter(owners::Column::Audience.eq(name.as_str()));
        let is_audience = Entity::find_by_id((INSTANCE, name.as_str().to_owned()));
        let added = self.write(|| async {
            let db = self.begin().await?;
            let audience = is_audience.clone().lock_exclusive().all(&db).await?;
            if audience.is_empty() || !access::lock(&db, owner).await? {
                return Ok(Err(AccessWriteError::Gone));
            }
            let is_owner = of_audience
                .clone()
                .filter(owners::Column::OwnerKind.eq(owner.kind()))
                .filter(owners::Column::OwnerId.eq(owner.id()));
            if !is_owner.all(&db).await?.is_empty() {
                return Ok(Ok(false));
            }
            if of_audience.clone().count(&db).await? >= AUDIENCE_MAX_OWNERS {
                return Ok(Err(AccessWriteError::TooMany(AUDIENCE_MAX_OWNERS)));
            }
            owners::Entity::insert(row.clone()).exec_without_returning(&db).await?;
            commit(db, Ok(true)).await
        });
        added.await?
    }

    /// Takes `owner` from the owners of the audience `name`; false if it is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn remove_audience_owner(&self, name: &AudienceName, owner: Principal) -> Result<bool, Error> {
        let key = (INSTANCE, name.as_str().to_owned(), owner.kind().to_owned(), owner.id());
        let delete = owners::Entity::delete_by_id(key);
        Ok(self.ask(|| delete.clone().exec(&self.writer)).await?.rows_affected > 0)
    }

    async fn with_owners(&self, rows: Vec<Model>) -> Result<Vec<OwnedAudience>, Error> {
        let query = owners::Entity::find()
            .filter(owners::Column::OrganizationId.eq(INSTANCE))
            .filter(owners::Column::Audience.is_in(rows.iter().map(|row| row.name.as_str())))
            .order_by_asc(owners::Column::CreateTime)
            .order_by_asc(owners::Column::OwnerId);
        let all = if rows.is_empty() { Vec::new() } else { self.ask(|| query.clone().all(&self.db)).await? };
        let owners = |name: &str| {
            let of_it = all.iter().filter(|row| row.audience == name);
            of_it.filter_map(|row| Principal::of(&row.owner_kind, row.owner_id)).collect()
        };
        let audience = |row: Model| OwnedAudience {
            owners: owners(&row.name),
            name: AudienceName::from_stored(row.name),
            create_time: Timestamp::from_micros(row.create_time),
        };
        Ok(rows.into_iter().map(audience).collect())
    }
}

/// Adds the audience `name`, with a role `everyone` that gives nothing, unless it is there; within a transaction, which is begun again if
/// another one adds it at the same time.
pub(super) async fn ensure(
    db: &impl ConnectionTrait,
    name: &AudienceName,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<(), Failed> {
    if add(db, name, now).await? {
        let everyone = roles::everyone_of(name, now, entropy);
        again_if_taken(roles::insert(db, &everyone).await)?;
    }
    Ok(())
}

/// The same for each of `names`, but for those that an earlier release took and that are too long for an audience.
pub(super) async fn ensure_all(
    db: &impl ConnectionTrait,
    names: &NameSet,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<(), Failed> {
    // In one order, so that two that add the same ones do not wait for each other.
    for name in names.iter().filter(|name| name.len() <= AUDIENCE_MAX_BYTES).collect::<BTreeSet<_>>() {
        ensure(db, &AudienceName::from_stored(name.to_owned()), now, entropy).await?;
    }
    Ok(())
}

/// Adds the audience `name`, without its role; false if it is there.
pub(super) async fn add(
    db: &impl ConnectionTrait,
    name: &AudienceName,
    now: Timestamp,
) -> Result<bool, Failed> {
    let is_there = Entity::find_by_id((INSTANCE, name.as_str().to_owned()));
    if !is_there.all(db).await?.is_empty() {
        return Ok(false);
    }
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        name: Set(name.as_str().to_owned()),
        create_time: Set(now.as_micros()),
        revision: Set(0),
    };
    again_if_taken(Entity::insert(row).exec_without_returning(db).await.map(drop))?;
    Ok(true)
}

/// Nothing of the transaction counts once another one has taken what it inserts: the next attempt finds it.
fn again_if_taken(inserted: Result<(), DbErr>) -> Result<(), Failed> {
    inserted.map_err(|error| {
        if failure::is_duplicate(&error) { Failed::Database { error, again: true } } else { error.into() }
    })
}
