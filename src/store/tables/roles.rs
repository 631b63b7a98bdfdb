//! Owns the table `roles`.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::store::{
    Store,
    engine::{failure, transaction::commit},
    tables::{
        access::{AccessWriteError, INSTANCE},
        audiences, bindings,
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            bindings::{Column as BindingColumn, Entity as BindingEntity},
            roles::{ActiveModel, Column, Entity, Model},
        },
    },
};
use crate::{
    base::{Entropy, Timestamp},
    model::{
        AudienceName, BuiltInRole, Error, NameSet, Role, RoleDescription, RoleId, RoleName,
        role::{AUDIENCE_MAX_ROLES, is_admin_scope},
    },
};

/// How the feed is told of a role.
pub(super) const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Role, ChangeEffect::Changed);
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Role, ChangeEffect::Ended);

impl Store {
    /// Adds `role`, and its audience if it is new.
    ///
    /// # Errors
    /// [`AccessWriteError::NameTaken`], [`AccessWriteError::TooMany`], [`AccessWriteError::Failed`].
    pub async fn add_role(&self, role: &Role) -> Result<(), AccessWriteError> {
        let of_audience = Entity::find()
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.eq(role.audience.as_str()));
        let added = self.write(|| async {
            let db = self.begin().await?;
            if role.is_everyone() {
                // The release before may have registered the audience's clients, which has no roles.
                audiences::add(&db, &role.audience, role.create_time).await?;
            } else {
                audiences::ensure(&db, &role.audience, role.create_time, self.entropy()).await?;
            }
            if of_audience.clone().count(&db).await? >= AUDIENCE_MAX_ROLES {
                return Ok(Err(AccessWriteError::TooMany(AUDIENCE_MAX_ROLES)));
            }
            match insert(&db, role).await {
                Ok(()) => {}
                Err(error) if failure::is_duplicate(&error) => return Ok(Err(AccessWriteError::NameTaken)),
                Err(error) => return Err(error.into()),
            }
            // Nobody else has it yet.
            if role.is_everyone() {
                changes::tell(&db, CHANGED, &[role.id.0], role.create_time).await?;
            }
            commit(db, Ok(())).await
        });
        added.await?
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

    /// The role `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn role(&self, id: RoleId) -> Result<Option<Role>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(Role::from))
    }

    /// The roles after `after` in the order of their ids, which is the order of their making, of `audience` if one is named; at most
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

    /// What every user has at `audiences`: of each the role `everyone`, if there is one.
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

    /// The scopes that somebody may have at `audience`: what everybody has, and those of roles that are bound, whether or not the binding
    /// has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn known_scopes(&self, audience: &AudienceName) -> Result<BTreeSet<String>, Error> {
        let bound = Query::select()
            .column(BindingColumn::Id)
            .from(BindingEntity)
            .and_where(Expr::col((BindingEntity, BindingColumn::OrganizationId)).eq(INSTANCE))
            .and_where(Expr::col((BindingEntity, BindingColumn::RoleId)).equals((Entity, Column::Id)))
            .to_owned();
        let is_known = Condition::any().add(Column::Name.eq(RoleName::EVERYONE)).add(Expr::exists(bound));
        let query = Entity::find()
            .select_only()
            .column(Column::Scopes)
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Audience.eq(audience.as_str()))
            .filter(is_known);
        let sets: Vec<String> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
        let names = |set: &String| set.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Ok(sets.iter().flat_map(names).filter(|name| !name.is_empty()).collect())
    }

    /// Replaces the role `id` by what `change` makes of it, and returns it as it was and as it is; none if there is no such role. What
    /// `change` refuses is not written, and neither is what it leaves as it was.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn update_role<E>(
        &self,
        id: RoleId,
        change: impl Fn(&Role) -> Result<Role, E>,
    ) -> Result<Result<Option<(Role, Role)>, E>, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            let row = Entity::find_by_id((INSTANCE, id.0)).lock_exclusive().all(&db).await?;
            let Some(old) = row.into_iter().next().map(Role::from) else { return Ok(Ok(None)) };
            let new = match change(&old) {
                Ok(new) if (&new.scopes, &new.description) == (&old.scopes, &old.description) => {
                    return Ok(Ok(Some((old.clone(), old))));
                }
                Ok(new) => new,
                Err(refused) => return Ok(Err(refused)),
            };
            Entity::update_many()
                .col_expr(Column::Scopes, Expr::value(new.scopes.as_str()))
                .col_expr(Column::Description, Expr::value(new.description.as_str()))
                .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::Id.eq(id.0))
                .exec(&db)
                .await?;
            if new.scopes != old.scopes {
                changes::tell(&db, CHANGED, &[id.0], new.update_time).await?;
            }
            commit(db, Ok(Some((old, new)))).await
        })
        .await
    }

    /// Deletes the role `id` and its bindings; false if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_role(&self, id: RoleId, now: Timestamp) -> Result<bool, Error> {
        self.write(|| async {
            let db = self.begin().await?;
            // The role first: whoever is just giving it to somebody is waited for, and nobody does after that.
            let done = Entity::delete_by_id((INSTANCE, id.0)).exec(&db).await?;
            bindings::delete_of_role(&db, id).await?;
            changes::tell(&db, ENDED, &[id.0], now).await?;
            commit(db, done.rows_affected > 0).await
        })
        .await
    }
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

/// What every user has at a new audience: nothing.
pub(super) fn everyone_of(audience: &AudienceName, now: Timestamp, entropy: &Entropy) -> Role {
    Role {
        id: RoleId::new(now, entropy),
        name: RoleName::everyone(),
        audience: audience.clone(),
        scopes: NameSet::default(),
        description: RoleDescription::default(),
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
            description: RoleDescription::from_stored(description),
            create_time: Timestamp::from_micros(row.create_time),
            update_time: Timestamp::from_micros(row.update_time),
        }
    }
}
