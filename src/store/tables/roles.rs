//! Owns the table `roles`: which scopes of an audience each role gives.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use crate::store::{
    BATCH, Store,
    engine::{attempts::Failed, failure},
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Applied, RolesOf},
        audiences, bindings,
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            bindings::{Column as BindingColumn, Entity as BindingEntity},
            roles::{ActiveModel, Column, Entity, Model},
        },
        taken_scopes,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::{Entropy, Timestamp},
    model::{
        AudienceName, BuiltInRole, Description, Error, NameSet, Role, RoleId, RoleName,
        role::{AUDIENCE_MAX_ROLES, is_admin_scope},
    },
};

/// How the feed is told of a role.
const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Role, ChangeEffect::Changed);
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Role, ChangeEffect::Ended);

impl Store {
    /// Adds `role`, and its audience if it is new.
    ///
    /// # Errors
    /// [`Error::RoleExists`], [`Error::LimitReached`]; why whoever adds it may not; [`Error::Unavailable`] or [`Error::Internal`], with the
    /// cause.
    pub async fn add_role(&self, role: &Role, change: AdminChange<'_>) -> Result<Applied<()>, Error> {
        let audience = role.audience.as_str();
        let of_audience =
            Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(Column::Audience.eq(audience));
        self.look_before_turn(change, RolesOf::Audience(&role.audience)).await?;
        let of_audience = &of_audience;
        self.change(change, |db| async move {
            db.may_change_roles_of(&role.audience).await?;
            db.rights().must_have_to_grant(&role.scopes)?;
            if role.is_everyone() {
                // The release before may have registered the audience's clients, which has no roles.
                audiences::add(&*db, &role.audience, role.create_time).await?;
            } else {
                audiences::ensure(&*db, &role.audience, role.create_time, self.entropy()).await?;
            }
            if of_audience.clone().count(&*db).await? >= AUDIENCE_MAX_ROLES {
                let whose = format!("the audience `{audience}`");
                return Err(Error::LimitReached { whose, what: "roles", most: AUDIENCE_MAX_ROLES }.into());
            }
            match insert(&*db, role).await {
                Ok(()) => {}
                Err(error) if failure::is_duplicate(&error) => {
                    let (role, audience) = (role.name.as_str().to_owned(), audience.to_owned());
                    return Err(Error::RoleExists { role, audience }.into());
                }
                Err(error) => return Err(error.into()),
            }
            if !role.scopes.is_empty() {
                // They are known at the audience from now on.
                changes::tell(&*db, CHANGED, &[role.id.0], role.create_time).await?;
            }
            let fields = [
                FieldChange::of(Field::Scopes, "", role.scopes.as_str()),
                FieldChange::of(Field::Description, "", role.description.as_str()),
            ];
            db.done(role.id.0, fields.into_iter().flatten(), ()).await
        })
        .await
    }

    /// The role `name` of `audience`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn role_named(&self, audience: &AudienceName, name: &RoleName) -> Result<Option<Role>, Error> {
        let query = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.eq(audience.as_str()))
            .filter(Column::Name.eq(name.as_str()));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Role::from))
    }

    /// The names of the existing roles of `ids`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn role_names(&self, ids: &[RoleId]) -> Result<HashMap<RoleId, String>, Error> {
        let mut names = HashMap::new();
        for ids in ids.chunks(BATCH) {
            let query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
            let query = query.filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
            let query = query.select_only().columns([Column::Id, Column::Name]);
            let found: Vec<(Uuid, String)> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
            names.extend(found.into_iter().map(|(id, name)| (RoleId(id), name)));
        }
        Ok(names)
    }

    /// The role `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn role(&self, id: RoleId) -> Result<Option<Role>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Role::from))
    }

    /// The roles after `after` in the order of their ids, the order of their creation, of `audience` if one is named; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn roles(
        &self,
        audience: Option<&AudienceName>,
        after: Option<RoleId>,
        limit: u64,
    ) -> Result<Vec<Role>, Error> {
        let mut query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        query = query.order_by_asc(Column::Id).limit(limit);
        if let Some(audience) = audience {
            query = query.filter(Column::Audience.eq(audience.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(Role::from).collect())
    }

    /// The role `everyone` of each of `audiences` that has one: every user has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn everyone(&self, audiences: &[AudienceName]) -> Result<Vec<Role>, Error> {
        let query = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.is_in(audiences.iter().map(AudienceName::as_str)))
            .filter(Column::Name.eq(RoleName::EVERYONE));
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().map(Role::from).collect())
    }

    /// The scopes of all roles of each of `audiences`, whether or not somebody has the role.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn known_scopes(
        &self,
        audiences: &[AudienceName],
    ) -> Result<HashMap<AudienceName, BTreeSet<String>>, Error> {
        let query = Entity::find()
            .select_only()
            .columns([Column::Audience, Column::Scopes])
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.is_in(audiences.iter().map(AudienceName::as_str)));
        let sets: Vec<(String, String)> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let mut known: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (audience, set) in sets {
            known.entry(AudienceName::from_stored(audience)).or_default().extend(names(&set));
        }
        Ok(known)
    }

    /// The scopes that somebody may have at `audience`: what everybody has, and those of roles that are bound, whether or not the binding
    /// has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn given_scopes(&self, audience: &AudienceName) -> Result<BTreeSet<String>, Error> {
        let bound = Query::select()
            .column(BindingColumn::Id)
            .from(BindingEntity)
            .and_where(Expr::col((BindingEntity, BindingColumn::OrganizationId)).eq(INSTANCE))
            .and_where(Expr::col((BindingEntity, BindingColumn::RoleId)).equals((Entity, Column::Id)))
            .to_owned();
        let is_given = Condition::any().add(Column::Name.eq(RoleName::EVERYONE)).add(Expr::exists(bound));
        let query = Entity::find()
            .select_only()
            .column(Column::Scopes)
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.eq(audience.as_str()))
            .filter(is_given);
        let sets: Vec<String> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        Ok(sets.iter().flat_map(|set| names(set)).collect())
    }

    /// Replaces the role `id`, whose etag must be `etag` if one is said, by what `make` makes of it, and returns it as it was and as it is.
    /// What `make` refuses is not written, and neither is what it leaves as it was.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::BuiltInRole`], [`Error::EtagMismatch`]; what `make` refuses with; why whoever changes it may not;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_role(
        &self,
        id: RoleId,
        etag: Option<&str>,
        make: impl Fn(&Role) -> Result<Role, Error>,
        change: AdminChange<'_>,
    ) -> Result<Applied<(Role, Role)>, Error> {
        self.look_before_turn(change, RolesOf::Role(id)).await?;
        let make = &make;
        self.change(change, |db| async move {
            let old = find(&*db, id).await?;
            db.may_change_roles_of(&old.audience).await?;
            if old.is_built_in() {
                return Err(built_in(&old));
            }
            old.etag().must_match(etag)?;
            let new = make(&old)?;
            db.rights().must_have_to_grant(&new.scopes.without(&old.scopes))?;
            db.rights().must_equal(&old.scopes.without(&new.scopes))?;
            let fields = [
                FieldChange::of(Field::Scopes, old.scopes.as_str(), new.scopes.as_str()),
                FieldChange::of(Field::Description, old.description.as_str(), new.description.as_str()),
            ];
            if fields.iter().all(Option::is_none) {
                return db.unchanged(id.0, (old.clone(), old)).await;
            }
            Entity::update_many()
                .col_expr(Column::Scopes, Expr::value(new.scopes.as_str()))
                .col_expr(Column::Description, Expr::value(new.description.as_str()))
                .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::Id.eq(id.0))
                .exec(&*db)
                .await?;
            if new.scopes != old.scopes {
                changes::tell(&*db, CHANGED, &[id.0], new.update_time).await?;
                let taken = old.scopes.without(&new.scopes);
                if !taken.is_empty() {
                    let holders = taken_scopes::holders(&*db, &old).await?;
                    taken_scopes::tell(&*db, &holders, &old.audience, &taken, new.update_time).await?;
                }
            }
            db.done(id.0, fields.into_iter().flatten(), (old, new)).await
        })
        .await
    }

    /// Deletes the role `id`, whose etag must be `etag` if one is said, and its bindings, and returns it as it was.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::BuiltInRole`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete_role(
        &self,
        id: RoleId,
        etag: Option<&str>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Role>, Error> {
        self.look_before_turn(change, RolesOf::Role(id)).await?;
        self.change(change, |db| async move {
            let role = find(&*db, id).await?;
            db.may_change_roles_of(&role.audience).await?;
            if role.is_built_in() || role.is_everyone() {
                return Err(built_in(&role));
            }
            db.rights().must_equal(&role.scopes)?;
            role.etag().must_match(etag)?;
            let holders = taken_scopes::holders(&*db, &role).await?;
            Entity::delete_by_id((INSTANCE, id.0)).exec(&*db).await?;
            bindings::delete_of_role(&*db, id).await?;
            changes::tell(&*db, ENDED, &[id.0], change.now).await?;
            taken_scopes::tell(&*db, &holders, &role.audience, &role.scopes, change.now).await?;
            let fields = [
                FieldChange::of(Field::Scopes, role.scopes.as_str(), ""),
                FieldChange::of(Field::Description, role.description.as_str(), ""),
            ];
            db.done(id.0, fields.into_iter().flatten(), role).await
        })
        .await
    }
}

/// The names in `set`, as a row has them.
fn names(set: &str) -> impl Iterator<Item = String> {
    set.split(' ').filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The role `id`, whose row is locked until the transaction ends.
pub(super) async fn find(db: &impl ConnectionTrait, id: RoleId) -> Result<Role, Failed> {
    let row = Entity::find_by_id((INSTANCE, id.0)).lock_exclusive().all(db).await?.pop();
    let role = row.map(Role::from);
    role.ok_or_else(|| Error::RoleNotFound { role: id.to_string(), audience: None }.into())
}

/// The id of the role `name` of `audience`, if there is one.
pub(super) async fn id_of(
    db: &impl ConnectionTrait,
    audience: &AudienceName,
    name: &RoleName,
) -> Result<Option<RoleId>, DbErr> {
    let query = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::Audience.eq(audience.as_str()))
        .filter(Column::Name.eq(name.as_str()));
    let ids: Vec<Uuid> = query.into_tuple().all(db).await?;
    Ok(ids.into_iter().next().map(RoleId))
}

/// The refusal to change `role`, which is built in.
pub(super) fn built_in(role: &Role) -> Failed {
    Error::BuiltInRole(role.name.as_str().to_owned()).into()
}

/// Adds `role`, within a transaction.
pub(super) async fn insert(db: &impl ConnectionTrait, role: &Role) -> Result<(), DbErr> {
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(role.id.0),
        audience: Set(role.audience.as_str().to_owned()),
        name: Set(role.name.as_str().to_owned()),
        scopes: Set(role.scopes.as_str().to_owned()),
        description: Set(role.description.as_str().to_owned()),
        create_time: Set(role.create_time.as_micros()),
        update_time: Set(role.update_time.as_micros()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// The role `everyone` of a new audience, which gives nothing.
pub(super) fn everyone_of(audience: &AudienceName, now: Timestamp, entropy: &Entropy) -> Role {
    Role {
        id: RoleId::new(now, entropy),
        name: RoleName::everyone(),
        audience: audience.clone(),
        scopes: NameSet::default(),
        description: Description::default(),
        create_time: now,
        update_time: now,
    }
}

impl From<Model> for Role {
    /// Of a role that the program has, the row is there to be bound: what it gives, the running release says. What administers the service
    /// and stands in the row of a role that may not give it, since no command has written it, counts for nothing.
    fn from(row: Model) -> Self {
        let (scopes, description) = match BuiltInRole::with_id(RoleId(row.id)) {
            Some(role) => (role.scopes(), role.description().to_owned()),
            None => (NameSet::from_stored(row.scopes), row.description),
        };
        let (name, audience) = (RoleName::from_stored(row.name), AudienceName::from_stored(row.audience));
        let is_clean = name.may_administer(&audience) || !scopes.iter().any(is_admin_scope);
        let scopes = if is_clean { scopes } else { scopes.keeping(|scope| !is_admin_scope(scope)) };
        Self {
            id: RoleId(row.id),
            name,
            audience,
            scopes,
            description: Description::from_stored(description),
            create_time: Timestamp::from_micros(row.create_time),
            update_time: Timestamp::from_micros(row.update_time),
        }
    }
}
