//! Owns the table `attributes`: the declarations of users' attributes.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::store::{
    Store,
    engine::{attempts::Failed, failure},
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Applied},
        changes::{self, ChangeEffect, ChangeKind},
        entity::attributes::{ActiveModel, Column, Entity, Model},
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{
        AdminScope, AttributeDeclaration, AttributeId, AttributeName, AttributeSource, AttributeType,
        AttributeUses, AttributeWriter, Declarations, Description, Error,
        attribute_declaration::MAX_DECLARED,
    },
};

/// How the feed is told of an attribute.
const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Attribute, ChangeEffect::Changed);
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Attribute, ChangeEffect::Ended);

impl Store {
    /// Adds what is `declared`.
    ///
    /// # Errors
    /// [`Error::AttributeExists`], [`Error::LimitReached`]; why whoever adds it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn add_attribute(
        &self,
        declared: &AttributeDeclaration,
        change: AdminChange<'_>,
    ) -> Result<Applied<()>, Error> {
        let all = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        let all = &all;
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::AttributesWrite)?;
            match Entity::insert(row(declared)).exec_without_returning(&*db).await {
                Ok(_) => {}
                Err(error) if failure::is_duplicate(&error) => {
                    return Err(Error::AttributeExists(declared.name.as_str().to_owned()).into());
                }
                Err(error) => return Err(error.into()),
            }
            if all.clone().count(&*db).await? > MAX_DECLARED {
                let whose = "the service".to_owned();
                return Err(Error::LimitReached { whose, what: "attributes", most: MAX_DECLARED }.into());
            }
            changes::tell(&*db, CHANGED, &[declared.id.0], change.now).await?;
            db.done(declared.id.0, differences(None, Some(declared)), ()).await
        })
        .await
    }

    /// The attribute `id`, as it is declared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn attribute(&self, id: AttributeId) -> Result<Option<AttributeDeclaration>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.and_then(declared))
    }

    /// The attribute of the name `name`, as it is declared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn attribute_named(&self, name: &AttributeName) -> Result<Option<AttributeDeclaration>, Error> {
        let query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        let query = query.filter(Column::Name.eq(name.as_str()));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.and_then(declared))
    }

    /// The attributes after `after` in the order of their ids, the order of their declaration; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn attributes(
        &self,
        after: Option<AttributeId>,
        limit: u64,
    ) -> Result<Vec<AttributeDeclaration>, Error> {
        let mut query = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
        query = query.order_by_asc(Column::Id).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = self.ask(|| query.clone().all(&self.db)).await?;
        Ok(rows.into_iter().filter_map(declared).collect())
    }

    /// All that are declared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn declarations(&self) -> Result<Declarations, Error> {
        self.ask(|| all(&self.db)).await
    }

    /// Changes the attribute `id`, whose etag must be `etag` if one is said, to what `make` makes of it. Returns it as it was, and as it
    /// is.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`], [`Error::EtagMismatch`], those of `make`; why whoever changes it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn update_attribute(
        &self,
        id: AttributeId,
        etag: Option<&str>,
        make: impl Fn(&AttributeDeclaration) -> Result<AttributeDeclaration, Error>,
        change: AdminChange<'_>,
    ) -> Result<Applied<(AttributeDeclaration, AttributeDeclaration)>, Error> {
        let make = &make;
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::AttributesWrite)?;
            let old = find(&*db, id).await?;
            old.etag().must_match(etag)?;
            let new = make(&old)?;
            if new.uses == old.uses && new.description == old.description {
                return db.unchanged(id.0, (old.clone(), old)).await;
            }
            Entity::update_many()
                .col_expr(Column::InTokens, Expr::value(new.uses.in_tokens()))
                .col_expr(Column::InUserinfo, Expr::value(new.uses.in_userinfo))
                .col_expr(Column::InIntrospection, Expr::value(new.uses.in_introspection))
                .col_expr(Column::Description, Expr::value(new.description.as_str()))
                .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::Id.eq(id.0))
                .exec(&*db)
                .await?;
            changes::tell(&*db, CHANGED, &[id.0], change.now).await?;
            let fields = differences(Some(&old), Some(&new));
            db.done(id.0, fields, (old, new)).await
        })
        .await
    }

    /// Deletes the attribute `id`, whose etag must be `etag` if one is said, and returns it as it was. What users have of it belongs to
    /// nothing from then on.
    ///
    /// # Errors
    /// [`Error::AttributeNotFound`], [`Error::EtagMismatch`]; why whoever deletes it may not; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub async fn delete_attribute(
        &self,
        id: AttributeId,
        etag: Option<&str>,
        change: AdminChange<'_>,
    ) -> Result<Applied<AttributeDeclaration>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::AttributesWrite)?;
            let old = find(&*db, id).await?;
            old.etag().must_match(etag)?;
            Entity::delete_by_id((INSTANCE, id.0)).exec(&*db).await?;
            changes::tell(&*db, ENDED, &[id.0], change.now).await?;
            db.done(id.0, differences(Some(&old), None), old).await
        })
        .await
    }
}

/// All that are declared, within a transaction too.
pub(in crate::store) async fn all(db: &impl ConnectionTrait) -> Result<Declarations, DbErr> {
    let all = Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).order_by_asc(Column::Id).all(db);
    let (mut known, mut of_later_releases) = (Vec::new(), Vec::new());
    for row in all.await? {
        let id = AttributeId(row.id);
        match declared(row) {
            Some(declared) => known.push(declared),
            None => of_later_releases.push(id),
        }
    }
    Ok(Declarations::new(known, &of_later_releases))
}

/// The fields in which `new` differs from `old`, and always the name.
#[must_use]
pub(crate) fn differences(
    old: Option<&AttributeDeclaration>,
    new: Option<&AttributeDeclaration>,
) -> Vec<FieldChange> {
    let of = |field, text: fn(&AttributeDeclaration) -> String| {
        let (old, new) = (old.map(text).unwrap_or_default(), new.map(text).unwrap_or_default());
        FieldChange::of(field, &old, &new)
    };
    let name = |of: Option<&AttributeDeclaration>| of.map(|known| known.name.as_str().to_owned());
    let mut fields = vec![FieldChange { field: Field::Name, old: name(old), new: name(new) }];
    let others = [
        of(Field::Type, |known| known.kind.name().to_owned()),
        of(Field::Writer, |known| known.uses.writer().name().to_owned()),
        of(Field::Uses, |known| known.uses.to_string()),
        of(Field::Description, |known| known.description.as_str().to_owned()),
    ];
    fields.extend(others.into_iter().flatten());
    fields
}

/// The attribute `id`, whose row is locked until the transaction ends.
async fn find(db: &impl ConnectionTrait, id: AttributeId) -> Result<AttributeDeclaration, Failed> {
    let row = Entity::find_by_id((INSTANCE, id.0)).lock_exclusive().all(db).await?.pop();
    row.and_then(declared).ok_or_else(|| Error::AttributeNotFound(id.to_string()).into())
}

fn row(declared: &AttributeDeclaration) -> ActiveModel {
    ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(declared.id.0),
        name: Set(declared.name.as_str().to_owned()),
        value_type: Set(declared.kind.name().to_owned()),
        writer: Set(declared.uses.writer().name().to_owned()),
        in_tokens: Set(declared.uses.in_tokens()),
        in_userinfo: Set(declared.uses.in_userinfo),
        in_introspection: Set(declared.uses.in_introspection),
        description: Set(declared.description.as_str().to_owned()),
        create_time: Set(declared.create_time.as_micros()),
        update_time: Set(declared.update_time.as_micros()),
    }
}

/// The declaration in `row`; none if only a later release knows its type or its writer.
pub(super) fn declared(row: Model) -> Option<AttributeDeclaration> {
    Some(AttributeDeclaration {
        id: AttributeId(row.id),
        name: AttributeName::from_stored(row.name),
        kind: AttributeType::named(&row.value_type)?,
        uses: AttributeUses {
            source: AttributeSource::from_stored(AttributeWriter::named(&row.writer)?, row.in_tokens),
            in_userinfo: row.in_userinfo,
            in_introspection: row.in_introspection,
        },
        description: Description::from_stored(row.description),
        create_time: Timestamp::from_micros(row.create_time),
        update_time: Timestamp::from_micros(row.update_time),
    })
}
