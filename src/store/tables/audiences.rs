//! Owns the tables `audiences` and `audience_owners`: the services that roles are for, and which principals own each.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::store::{
    Store,
    engine::{attempts::Failed, failure},
    tables::{
        access::{self, INSTANCE},
        administration::{AdminChange, Administering, Applied},
        changes::{self, ChangeEffect, ChangeKind},
        client_makers,
        entity::{
            audience_owners as owners,
            audiences::{ActiveModel, Column, Entity, Model},
        },
        roles,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::{Entropy, Timestamp},
    model::{
        AdminScope, AskedTyp, AudienceName, Error, NameSet, OwnedAudience, Principal, RoleName, TokenTyp,
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

    /// What of the types of tokens holds at those of `names` that are there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn token_typs(&self, names: &[AudienceName]) -> Result<HashMap<AudienceName, AskedTyp>, Error> {
        let query = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Name.is_in(names.iter().map(AudienceName::as_str)));
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        let typ = |row: Model| (AudienceName::from_stored(row.name.clone()), asked_typ(&row));
        Ok(rows.into_iter().map(typ).collect())
    }

    /// Makes the audience `name`, whose etag must be `etag` if one is said, what `make` makes of it: its owners, and the type of the tokens
    /// that are meant for it alone. Returns it as it was and as it is.
    ///
    /// # Errors
    /// [`Error::AudienceNotFound`], [`Error::EtagMismatch`], [`Error::LimitReached`]; [`Error::InvalidFields`] for a type that it may not
    /// ask for; [`Error::UserNotFound`], [`Error::GroupNotFound`] or
    /// [`Error::ClientNotFound`] of an owner that is new, and [`Error::MakerLacksScope`] of such a client; what `make` refuses with; why
    /// whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_audience(
        &self,
        name: &AudienceName,
        etag: Option<&str>,
        make: impl Fn(&OwnedAudience) -> Result<OwnedAudience, Error>,
        change: AdminChange<'_>,
    ) -> Result<Applied<(OwnedAudience, OwnedAudience)>, Error> {
        let row = Entity::find_by_id((INSTANCE, name.as_str().to_owned())).lock_exclusive();
        let (make, row) = (&make, &row);
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::AudiencesAdmin)?;
            let Some(row) = row.clone().all(&*db).await?.pop() else {
                return Err(Error::AudienceNotFound(name.as_str().to_owned()).into());
            };
            let create_time = Timestamp::from_micros(row.create_time);
            let token_typ = asked_typ(&row).now;
            let owners = owners_in(&*db, name).await?;
            let old = OwnedAudience { name: name.clone(), owners, token_typ, create_time };
            old.etag().must_match(etag)?;
            let becoming = make(&old)?;
            set_owners(&db, &old, &becoming.owners).await?;
            set_token_typ(&db, &old, becoming.token_typ).await?;
            let new = OwnedAudience { owners: owners_in(&*db, name).await?, ..becoming };
            let fields = [
                FieldChange::of(Field::Owners, &in_words(&old.owners), &in_words(&new.owners)),
                FieldChange::of(Field::TokenTyp, old.token_typ.name(), new.token_typ.name()),
            ];
            // An audience is known by its name: the id says nothing.
            if fields.iter().all(Option::is_none) {
                db.unchanged(INSTANCE, (old, new)).await
            } else {
                db.done(INSTANCE, fields.into_iter().flatten(), (old, new)).await
            }
        })
        .await
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
            token_typ: asked_typ(&row).now,
            name: AudienceName::from_stored(row.name),
            create_time: Timestamp::from_micros(row.create_time),
        };
        Ok(rows.into_iter().map(audience).collect())
    }
}

/// What of the types of tokens holds at the audience of `row`. Where it may not ask for `JWT` nobody has written that, and nobody reads
/// it.
pub(super) fn asked_typ(row: &Model) -> AskedTyp {
    let name = AudienceName::from_stored(row.name.clone());
    if name.may_ask_for(TokenTyp::Jwt).is_err() {
        return AskedTyp::default();
    }
    let now = row.token_typ.as_deref().and_then(TokenTyp::named).unwrap_or_default();
    AskedTyp { now, jwt_until: row.jwt_until.map(Timestamp::from_micros) }
}

/// Has the tokens that are meant for the audience alone, which was `old`, be called `wanted`. Those that are out stay what they are: until
/// when they were called `JWT` is kept.
async fn set_token_typ(db: &Administering<'_>, old: &OwnedAudience, wanted: TokenTyp) -> Result<(), Failed> {
    if wanted == old.token_typ {
        return Ok(());
    }
    let name = &old.name;
    if let Err(rule) = name.may_ask_for(wanted) {
        return Err(Error::InvalidFields(vec![rule.at("audience.token_typ")]).into());
    }
    let typ = Some(wanted.name()).filter(|_| wanted != TokenTyp::default());
    let mut update = Entity::update_many()
        .col_expr(Column::TokenTyp, Expr::value(typ))
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::Name.eq(name.as_str()));
    if old.token_typ == TokenTyp::Jwt {
        update = update.col_expr(Column::JwtUntil, Expr::value(db.now().as_micros()));
    }
    update.exec(&**db).await?;
    // It is read with what every user has there, by whoever hears that this has changed.
    let everyone = roles::id_of(&**db, name, &RoleName::everyone()).await?;
    let changed = (ChangeKind::Role, ChangeEffect::Changed);
    changes::tell(&**db, changed, &[everyone.map_or(INSTANCE, |id| id.0)], db.now()).await?;
    Ok(())
}

/// The owners of the audience `name`, in the order in which they were added.
async fn owners_in(db: &impl ConnectionTrait, name: &AudienceName) -> Result<Vec<Principal>, DbErr> {
    let query = owners::Entity::find()
        .filter(owners::Column::OrganizationId.eq(INSTANCE))
        .filter(owners::Column::Audience.eq(name.as_str()))
        .order_by_asc(owners::Column::CreateTime)
        .order_by_asc(owners::Column::OwnerId);
    let rows = query.all(db).await?;
    Ok(rows.iter().filter_map(|row| Principal::of(&row.owner_kind, row.owner_id)).collect())
}

/// Makes `wanted` the owners of the audience, which has those of `old`.
async fn set_owners(db: &Administering<'_>, old: &OwnedAudience, wanted: &[Principal]) -> Result<(), Failed> {
    let name = old.name.as_str();
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    if wanted.len() as u64 > AUDIENCE_MAX_OWNERS {
        let whose = format!("the audience `{name}`");
        return Err(Error::LimitReached { whose, what: "owners", most: AUDIENCE_MAX_OWNERS }.into());
    }
    for owner in old.owners.iter().filter(|owner| !wanted.contains(owner)) {
        let key = (INSTANCE, name.to_owned(), owner.kind().to_owned(), owner.id());
        owners::Entity::delete_by_id(key).exec(&**db).await?;
    }
    // In the order of their kinds and ids: two that lock the same rows do not wait for each other.
    for owner in wanted.into_iter().filter(|owner| !old.owners.contains(owner)) {
        access::must_be_there(&**db, owner).await?;
        if let Principal::Client(id) = owner {
            client_makers::may_own(&**db, id).await?;
        }
        let row = owners::ActiveModel {
            organization_id: Set(INSTANCE),
            audience: Set(name.to_owned()),
            owner_kind: Set(owner.kind().to_owned()),
            owner_id: Set(owner.id()),
            create_time: Set(db.now().as_micros()),
        };
        owners::Entity::insert(row).exec_without_returning(&**db).await?;
    }
    Ok(())
}

/// Owners as they are recorded.
fn in_words(owners: &[Principal]) -> String {
    let owners: Vec<_> = owners.iter().map(|owner| format!("{} {}", owner.kind(), owner.id())).collect();
    owners.join(", ")
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
        ..ActiveModel::default()
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
